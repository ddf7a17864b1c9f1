//! The route of one server: messages pass through as they are. Session ids are ours to
//! the client and the upstream's to the upstream.

use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::SESSION_HEADER;
use super::answer::{self, Answer};
use super::call_record::CallRecord;
use super::message::{Envelope, Kind};
use super::problem::{UpstreamProblem, upstream_error};
use super::sessions::{Scope, Session, UpstreamSession};
use super::upstream::{Upstream, passing_headers};
use super::upstream_body::UpstreamBody;
use super::{Caller, Gateway, method_not_allowed};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;
use crate::server::store::ServerRow;

impl Gateway {
    /// Passes `initialize` on and opens the client's session with what comes back.
    pub(super) async fn single_initialize(
        &self,
        caller: &Caller<'_>,
        server: &ServerRow,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<AnswerBody> {
        let initialized = async {
            let upstream = Upstream::open(self, caller, server.clone(), passing_headers(headers))?;
            upstream.initialize(body.clone()).await
        };
        let (whole, opened) = match initialized.await {
            Ok(initialized) => initialized,
            Err(problem) => return Self::failed(caller, server, envelope.id(), problem),
        };
        let mut response = json_answer(whole.status, whole.raw);
        if let Some(content_type) = whole.content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let Some(opened) = opened else { return response };
        let scope = Scope::Server(server.id.clone());
        let Ok(session) = self.sessions.open(&caller.member, scope, body) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        // The client itself sends notifications/initialized next.
        *session.slot(&server.id).lock().await = Some(UpstreamSession { announced: true, ..opened });
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(SESSION_HEADER, id);
        }
        response
    }

    /// Passes any other message on.
    pub(super) async fn single(
        &self,
        caller: &Caller<'_>,
        server: &ServerRow,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<AnswerBody> {
        let record = CallRecord::begin(self, caller, server, envelope);
        let upstream = match Upstream::open(self, caller, server.clone(), passing_headers(headers)) {
            Ok(upstream) => upstream,
            Err(problem) => return record.watch(Self::failed(caller, server, envelope.id(), problem)),
        };
        if envelope.kind() == Kind::Request {
            return record.watch(match upstream.request(session, body).await {
                Ok(answer) => pass_on(answer),
                Err(problem) => Self::failed(caller, server, envelope.id(), problem),
            });
        }
        if let Err(problem) = upstream.notify(session, body).await {
            tracing::warn!(server = %server.slug, %problem, "a notification did not reach the server");
        }
        accepted()
    }

    /// Passes the upstream's stream of unrelated messages on; one that has none gets 405 for it.
    pub(super) async fn single_listen(
        &self,
        caller: &Caller<'_>,
        server: &ServerRow,
        session: &Session,
        headers: &HeaderMap,
    ) -> Response<AnswerBody> {
        let listening = async {
            let upstream = Upstream::open(self, caller, server.clone(), passing_headers(headers))?;
            upstream.listen(session).await
        };
        match listening.await {
            Ok(response) if answer::is_event_stream(&response) => stream(response),
            Ok(_) | Err(_) => method_not_allowed(),
        }
    }

    /// Ends the upstream sessions that a client session holds, best effort.
    pub(super) async fn end_upstream_sessions(&self, caller: &Caller<'_>, session: &Session) {
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
        caller: &Caller<'_>,
        server: &ServerRow,
        id: &str,
        problem: UpstreamProblem,
    ) -> Response<AnswerBody> {
        let request_id = caller.request_id;
        tracing::warn!(request_id, server = %server.slug, token = %caller.member.token_id, %problem, "a call failed");
        let mut response = json_answer(StatusCode::OK, upstream_error(id, server.slug.as_str(), problem));
        response.extensions_mut().insert(problem);
        response
    }
}

/// 202 without a body.
pub(super) fn accepted() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::none());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The upstream's answer as ours: its bytes, and of its headers only what describes them.
pub(super) fn pass_on(answer: Answer) -> Response<AnswerBody> {
    match answer {
        Answer::Stream(response) => stream(*response),
        Answer::Refusal(body) => json_answer(StatusCode::BAD_REQUEST, body),
    }
}

fn stream(upstream: Response<UpstreamBody>) -> Response<AnswerBody> {
    let (parts, body) = upstream.into_parts();
    let mut response = Response::new(AnswerBody::Streamed(Box::pin(body)));
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
