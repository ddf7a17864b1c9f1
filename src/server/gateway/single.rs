//! The route of one server: messages pass through as they are. Session ids are ours to
//! the client and the upstream's to the upstream.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::aggregate::rpc_result;
use super::answer::{self, SESSION_HEADER};
use super::call_record::CallRecord;
use super::calls_under_way::CallUnderWay;
use super::capabilities::Capabilities;
use super::message::{Envelope, Kind};
use super::modern::ModernCall;
use super::naming::NameInMessage;
use super::problem::{UpstreamProblem, upstream_error};
use super::relay::Passage;
use super::sessions::{Scope, Session, UpstreamSession};
use super::upstream::{Upstream, passing_headers};
use super::workspace_stream::facts;
use super::{Caller, Gateway, LEGACY_VERSIONS, scoped_message};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;
use crate::server::store::ServerRow;

impl Gateway {
    /// Passes `initialize` on and opens the client's session with what comes back.
    pub(super) async fn single_initialize(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        server: &ServerRow,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<AnswerBody> {
        let body = with_known_version(envelope, body);
        let initialized = async {
            let upstream = Upstream::open(self, caller, server.clone(), passing_headers(headers))?;
            let (whole, opened) = upstream.initialize(body.clone()).await?;
            let known = |opened: &UpstreamSession| {
                opened.modern || LEGACY_VERSIONS.iter().any(|version| opened.protocol == *version)
            };
            if let Some(opened) = opened.as_ref().filter(|opened| !known(opened)) {
                // The client would go on in a version that nobody could carry for it.
                upstream.end(opened).await;
                return Err(UpstreamProblem::UnknownVersion);
            }
            Ok((whole, opened))
        };
        let hear = |shown: Result<(), UpstreamProblem>| {
            self.project.analytics.heard(&server.id, shown.map_err(UpstreamProblem::reason));
        };
        let (whole, opened) = match initialized.await {
            Ok(initialized) => initialized,
            Err(problem) => {
                hear(Err(problem));
                return Self::failed(caller, server, envelope.id(), problem);
            }
        };
        hear(opened.as_ref().map(|_| ()).ok_or(UpstreamProblem::NotInitialized));
        let limited = caller.member.scope.limits_tools().then(|| scoped_message::tools_only(&whole.message));
        let is_limited = limited.is_some();
        let raw = match limited {
            Some(None) => return Self::failed(caller, server, envelope.id(), UpstreamProblem::NotMcp),
            Some(Some(limited)) => limited.into(),
            None => whole.raw,
        };
        // A status of the upstream's would say something of this endpoint.
        let mut response = if whole.status.is_success() {
            json_answer(whole.status, raw)
        } else {
            json_answer(StatusCode::OK, answer::with_own_id(raw, envelope.id()))
        };
        if let Some(content_type) = whole.content_type.filter(|_| !is_limited) {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let Some(opened) = opened else { return response };
        let scope = Scope::Server(server.id.clone());
        let protocol =
            if opened.modern { LEGACY_VERSIONS[0] } else { opened.protocol.to_str().unwrap_or_default() };
        let Ok(session) = self.open_session(caller, scope, body, protocol) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        // What its stream tells of changes is about these lists.
        session.workspace.note_seen(facts(server));
        let tools_only = Capabilities { tools: true, ..Capabilities::default() };
        session.workspace.announce(if is_limited { &tools_only } else { &opened.offers });
        // The client itself sends notifications/initialized next.
        *session.slot(&server.id).lock().await = Some(UpstreamSession { announced: true, ..opened });
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(SESSION_HEADER, id);
        }
        response
    }

    /// Passes any other message on.
    pub(super) async fn single(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        server: &ServerRow,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<AnswerBody> {
        let passing = passing_headers(headers);
        if envelope.kind() == Kind::Request && envelope.method() == "ping" {
            // Hosted servers do not know it, and the client asks whether this endpoint is there.
            return rpc_result(envelope.id(), "{}");
        }
        if envelope.kind() == Kind::Request {
            let record = CallRecord::begin(self, caller, server, envelope);
            session.workspace.note_wish(&server.id, envelope);
            let call = CallUnderWay::begin(session, &server.id, envelope);
            let made = self.call(caller, session, server.clone(), &passing, body.clone()).await;
            let (upstream, answered) = match made {
                Ok(made) => made,
                Err(problem) => return record.watch(Self::failed(caller, server, envelope.id(), problem)),
            };
            let is_limited_list = caller.member.scope.limits_tools() && envelope.method() == "tools/list";
            let answered = match answered {
                Ok(answer) if is_limited_list => {
                    return Self::visible_tools(caller, &upstream, session, envelope.id(), answer).await;
                }
                answered => answered,
            };
            let opened = upstream.opened();
            let modern = ModernCall::of(session, opened.as_ref(), body, passing);
            let id = envelope.id().to_owned();
            let (gateway, caller) = (Arc::clone(self), Rc::clone(caller));
            let passage =
                Passage { gateway, caller, upstream, id, workspace: None, modern, call: Some(call) };
            return record.watch(passage.answer(answered).await);
        }
        // Of the one server, which hears it in any case.
        session.workspace.cancels(envelope);
        let notified = match Upstream::open(self, caller, server.clone(), passing) {
            Ok(upstream) => upstream.notify(session, body).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = notified {
            tracing::warn!(server = %server.slug, %problem, "a notification did not reach the server");
        }
        accepted()
    }

    /// Ends the upstream sessions that a client session holds, best effort.
    pub(super) async fn end_upstream_sessions(self: &Arc<Self>, caller: &Rc<Caller>, session: &Session) {
        let Ok(servers) = self.project.store.servers(&caller.member.workspace_id).await else { return };
        for (server_id, slot) in session.slots() {
            let Some(server) = servers.iter().find(|server| server.id == server_id) else { continue };
            let Some(opened) = slot.lock().await.take() else { continue };
            if let Ok(upstream) = Upstream::open(self, caller, server.clone(), HeaderMap::new()) {
                upstream.end(&opened).await;
            }
        }
    }

    /// The JSON-RPC error for a problem, and a line in the log. The problem goes with the
    /// response, for the record of the call.
    pub(super) fn failed(
        caller: &Caller,
        server: &ServerRow,
        id: &str,
        problem: UpstreamProblem,
    ) -> Response<AnswerBody> {
        let request_id = &caller.request_id;
        tracing::warn!(request_id, server = %server.slug, token = %caller.member.token_id, %problem, "a call failed");
        let mut response = json_answer(StatusCode::OK, upstream_error(id, server.slug.as_str(), problem));
        response.extensions_mut().insert(problem);
        response
    }
}

/// The message with the newest version that is carried here in place of an unknown one.
fn with_known_version(envelope: &Envelope<'_>, body: Bytes) -> Bytes {
    let wanted = envelope.params().and_then(|params| NameInMessage::find(params, &["protocolVersion"]));
    let unknown = wanted.filter(|wanted| !LEGACY_VERSIONS.contains(&wanted.text.as_ref()));
    let replaced = unknown.and_then(|unknown| unknown.replaced(&body, LEGACY_VERSIONS[0]));
    replaced.map_or(body, Bytes::from)
}

/// 202 without a body.
pub(super) fn accepted() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::none());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
