//! The route of a workspace: one endpoint for all its enabled servers. `ping` is answered
//! here, lists are merged, and what is about one tool, prompt or resource goes to the server
//! that its name says.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::addressing::{Addressed, has_cursor, is_about_a_resource, is_addressed};
use super::answer::{Answer, LIST_LIMIT};
use super::call_record::CallRecord;
use super::calls_under_way::CallUnderWay;
use super::candidates::{TRY_TIME, head_start};
use super::listing::{ListKind, one_page, own_request_id};
use super::message::{Envelope, Kind};
use super::modern::ModernCall;
use super::naming::NameInMessage;
use super::outward::Outward;
use super::problem::{INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND, UpstreamProblem, rpc_error};
use super::relay::{OnWorkspace, Passage, nothing};
use super::sessions::Session;
use super::side_by_side::first_success;
use super::single::accepted;
use super::upstream::{Upstream, passing_headers};
use super::workspace_session::Subscription;
use super::{Caller, Gateway};
use crate::server::body::AnswerBody;
use crate::server::response::{RequestId, error_answer, json_answer};
use crate::server::store::StoreError;

/// How long it is looked for the server of a resource that is subscribed to.
const PROBE_TIME: Duration = Duration::from_secs(2);

impl Gateway {
    /// Answers any message but `initialize`.
    pub(super) async fn aggregate(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        if envelope.kind() != Kind::Request {
            if envelope.method() == "notifications/initialized" {
                self.pass_initialized(caller, session).await;
            }
            self.pass_to_servers(caller, session, envelope, body).await;
            return accepted();
        }
        if let Some(kind) = ListKind::of_method(envelope.method()) {
            return self.aggregate_list(caller, session, envelope, headers, kind).await;
        }
        match envelope.method() {
            "ping" => rpc_result(envelope.id(), "{}"),
            "logging/setLevel" => self.set_log_level(caller, session, envelope, body).await,
            method if is_addressed(method) => {
                self.aggregate_addressed(caller, session, envelope, headers, body).await
            }
            _ => rpc_failure(envelope.id(), METHOD_NOT_FOUND, "there is no such method at this endpoint"),
        }
    }

    async fn aggregate_addressed(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        let addressed = self.address(caller, envelope, body, &session.workspace.resources).await;
        let mut addressed = match addressed {
            Ok(addressed) => addressed,
            Err(error) => return store_failed(caller, error),
        };
        if addressed.len() > 1 {
            addressed = Box::pin(self.subscribable(caller, session, envelope, headers, addressed)).await;
        }
        if addressed.len() > 1 {
            return Box::pin(self.try_each(caller, session, envelope, headers, addressed)).await;
        }
        let Some(to) = addressed.pop() else { return unknown(envelope) };
        note_subscription(session, envelope, &to);
        let record = CallRecord::begin(self, caller, &to.server, envelope);
        let call = CallUnderWay::begin(session, &to.server.id, envelope);
        let passing = passing_headers(headers);
        let made = self.call(caller, session, to.server.clone(), &passing, to.message.clone()).await;
        let (upstream, answered) = match made {
            Ok(made) => made,
            Err(problem) => return record.watch(Self::failed(caller, &to.server, envelope.id(), problem)),
        };
        let opened = upstream.opened();
        let outward = Outward::new(session, &to.server);
        let modern = ModernCall::of(session, opened.as_ref(), to.message, passing);
        let passage = Passage {
            gateway: Arc::clone(self),
            caller: Rc::clone(caller),
            upstream,
            id: envelope.id().to_owned(),
            workspace: Some(OnWorkspace { session: Arc::clone(session), outward, opened, wanted: None }),
            modern,
            call: Some(call),
        };
        record.watch(passage.answer(answered).await)
    }

    /// Asks several servers for a resource that carries no slug, until one has it.
    async fn try_each(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        addressed: Vec<Addressed>,
    ) -> Response<AnswerBody> {
        let (passing, id, method) = (passing_headers(headers), envelope.id(), envelope.method());
        // Of no server: the client's word ends the search, and each server is told for itself.
        let search = CallUnderWay::with_id(session, "", id, None);
        search.is_at_a_modern_server();
        let request = (method, id, Some(&search));
        let searching = Box::pin(self.first_that_has(caller, session, &passing, request, addressed));
        let Some(found) = search.mark().unless_cancelled(searching).await else { return nothing() };
        let Some((to, upstream, message)) = found else { return unknown(envelope) };
        if method == "resources/read" {
            session.workspace.resources.note_read(&to.server.id, &to.name);
        }
        note_subscription(session, envelope, &to);
        let call = Some(CallUnderWay::begin(session, &to.server.id, envelope));
        if search.is_cancelled() {
            return nothing();
        }
        let opened = upstream.opened();
        let modern = ModernCall::of(session, opened.as_ref(), to.message, passing);
        let (gateway, caller, id) = (Arc::clone(self), Rc::clone(caller), id.to_owned());
        let passage = Passage { gateway, caller, upstream, id, workspace: None, modern, call };
        passage.answer(Ok(Answer::Whole(StatusCode::OK, message))).await
    }

    /// The first of several servers that answers a request of this method and id with a result. Once the
    /// search for it was taken back, no other one is asked.
    async fn first_that_has(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        passing: &HeaderMap,
        (method, id, search): (&str, &str, Option<&CallUnderWay>),
        addressed: Vec<Addressed>,
    ) -> Option<(Addressed, Upstream, Bytes)> {
        let candidates = self.candidates(caller, session, passing, addressed);
        let asking = candidates.into_iter().map(|candidate| async {
            let (to, upstream) = candidate.opened().await?;
            let call = CallUnderWay::of_search(session, &to.server.id, id, search)?;
            let message = self.asked_whether_it_has(session, &to, &upstream, &call).await?;
            Some((to, upstream, message))
        });
        first_success(asking, head_start(method)).await
    }

    /// Of several servers those that a subscription is asked of. Many take any URI, so that is no sign
    /// that they have the resource; but the one from which it can be read has it.
    async fn subscribable(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        mut addressed: Vec<Addressed>,
    ) -> Vec<Addressed> {
        let Some(uri) = addressed.first().map(|to| to.name.clone()) else { return addressed };
        let mut owners = session.workspace.subscribed_at(&uri);
        if envelope.method() == "resources/subscribe" {
            let id = json!(own_request_id()).to_string();
            let read = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/read","params":{{"uri":{}}}}}"#,
                json!(uri)
            );
            let message = Bytes::from(read);
            let probe = |to: &Addressed| Addressed {
                server: to.server.clone(),
                name: uri.clone(),
                message: message.clone(),
            };
            let request = ("resources/read", id.as_str(), None);
            let probes = addressed.iter().map(probe).collect();
            let passing = passing_headers(headers);
            let asking = self.first_that_has(caller, session, &passing, request, probes);
            let found = tokio::time::timeout(PROBE_TIME, asking).await.ok().flatten();
            owners = found.map(|(to, ..)| to.server.id).into_iter().collect();
            for owner in &owners {
                session.workspace.resources.note_read(owner, &uri);
            }
        } else if envelope.method() != "resources/unsubscribe" {
            return addressed;
        }
        if addressed.iter().any(|to| owners.contains(&to.server.id)) {
            addressed.retain(|to| owners.contains(&to.server.id));
        }
        addressed
    }

    /// The answer of one of several servers, if there is a result in it.
    async fn asked_whether_it_has(
        self: &Arc<Self>,
        session: &Session,
        to: &Addressed,
        upstream: &Upstream,
        call: &CallUnderWay,
    ) -> Option<Bytes> {
        let mut unheard = Unheard { upstream, call, is_over: false };
        let asking = async {
            match upstream.request(session, to.message.clone()).await? {
                Answer::Stream(response) => {
                    upstream.read_answer(session, *response, call.id(), LIST_LIMIT).await.map(Some)
                }
                Answer::Whole(..) => Ok(None),
            }
        };
        let asked = tokio::time::timeout(TRY_TIME, asking).await;
        let asked = asked.unwrap_or(Err(UpstreamProblem::TimedOut));
        unheard.is_over = !asked.as_ref().is_err_and(|problem| problem.may_still_run());
        self.note_try(upstream.caller(), &to.server, asked.as_ref().map(|_| ()).map_err(|problem| *problem));
        let is_result =
            |message: &Bytes| Envelope::parse(message).is_ok_and(|answer| answer.result().is_some());
        asked.ok()?.filter(is_result)
    }

    async fn aggregate_list(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        kind: ListKind,
    ) -> Response<AnswerBody> {
        if has_cursor(envelope) {
            return rpc_failure(envelope.id(), INVALID_PARAMS, "unknown cursor; this list has one page");
        }
        match self.list(caller, session, kind, &passing_headers(headers)).await {
            Ok(lists) => {
                session.workspace.resources.remember(kind, &lists);
                rpc_result(envelope.id(), &one_page(kind, &lists))
            }
            Err(error) => store_failed(caller, error),
        }
    }
}

/// A request that a server works on. If that ends before the server's answer, because it took too long or
/// another one was faster, the server is told that nobody waits.
struct Unheard<'a> {
    upstream: &'a Upstream,
    call: &'a CallUnderWay,
    is_over: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        // Of what the client took back it tells the server itself.
        if !self.is_over && !self.call.is_cancelled() {
            self.upstream.call_off(self.call.id());
        }
    }
}

/// Remembers a subscription, so that its notifications get the right name and it is made
/// again when the upstream session is.
fn note_subscription(session: &Session, envelope: &Envelope<'_>, to: &Addressed) {
    let named = envelope.params().and_then(|params| NameInMessage::find(params, &["uri"]));
    let bare = named.is_some_and(|named| named.text == to.name);
    let subscription = Subscription { server_id: to.server.id.clone(), uri: to.name.clone(), bare };
    match envelope.method() {
        "resources/subscribe" => session.workspace.subscribe(subscription),
        "resources/unsubscribe" => session.workspace.unsubscribe(&to.server.id, &to.name),
        _ => {}
    }
}

/// The answer for what no server of the workspace has.
fn unknown(envelope: &Envelope<'_>) -> Response<AnswerBody> {
    let method = envelope.method();
    if !is_about_a_resource(method) {
        let what = match method {
            "tools/call" => "unknown tool; see tools/list",
            "prompts/get" => "unknown prompt; see prompts/list",
            _ => "unknown prompt or resource template",
        };
        return rpc_failure(envelope.id(), INVALID_PARAMS, what);
    }
    let uri = envelope.params().and_then(|params| NameInMessage::find(params, &["uri"]));
    let Some(uri) = uri else { return rpc_failure(envelope.id(), INVALID_PARAMS, "params.uri is missing") };
    let message = "unknown resource; see resources/list";
    let error = json!({"code": RESOURCE_NOT_FOUND, "message": message, "data": {"uri": uri.text}});
    let id = envelope.id();
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))
}

pub(super) fn store_failed(caller: &Caller, error: StoreError) -> Response<AnswerBody> {
    error_answer(&error.into(), &RequestId(caller.request_id.clone()))
}

pub(super) fn rpc_result(id: &str, result: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

pub(super) fn rpc_failure(id: &str, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, rpc_error(id, code, message))
}
