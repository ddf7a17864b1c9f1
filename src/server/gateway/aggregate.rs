//! The route of a workspace: one endpoint for all its enabled servers. `initialize` and
//! `ping` are answered here, lists are merged, calls go to the server that the name begins
//! with.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::addressing::has_cursor;
use super::answer::SESSION_HEADER;
use super::listing::{ListKind, one_page};
use super::message::{Envelope, Kind};
use super::problem::{INVALID_PARAMS, METHOD_NOT_FOUND, rpc_error};
use super::sessions::{Scope, Session};
use super::single::{accepted, pass_on};
use super::upstream::{Upstream, passing_headers};
use super::{Caller, Gateway, LEGACY_VERSIONS};
use crate::server::body::AnswerBody;
use crate::server::response::{RequestId, error_answer, json_answer};
use crate::server::store::StoreError;

impl Gateway {
    /// Answers `initialize` and opens a session. No upstream is contacted.
    pub(super) fn aggregate_initialize(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        envelope: &Envelope<'_>,
    ) -> Response<AnswerBody> {
        let params: Option<Value> =
            envelope.params().and_then(|params| serde_json::from_str(params.get()).ok());
        let wanted = params.as_ref().and_then(|params| params.get("protocolVersion")?.as_str());
        let known = LEGACY_VERSIONS.into_iter().find(|version| Some(*version) == wanted);
        let version = known.unwrap_or(LEGACY_VERSIONS[0]);
        let own = json!({"name": "aerostack-gateway", "version": env!("CARGO_PKG_VERSION")});
        let upstream = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": version, "capabilities": {}, "clientInfo": own},
        });
        let initialize = Bytes::from(upstream.to_string());
        let Ok(session) = self.sessions.open(&caller.member, Scope::Workspace, initialize) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        let result = json!({
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "aerostack", "version": env!("CARGO_PKG_VERSION")},
        });
        let mut response = rpc_result(envelope.id(), &result.to_string());
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(SESSION_HEADER, id);
        }
        response
    }

    /// Answers any other message.
    pub(super) async fn aggregate(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        if envelope.kind() != Kind::Request {
            return accepted();
        }
        if let Some(kind) = ListKind::of_method(envelope.method()) {
            return self.aggregate_list(caller, session, envelope, headers, kind).await;
        }
        match envelope.method() {
            "ping" => rpc_result(envelope.id(), "{}"),
            "tools/call" => self.aggregate_addressed(caller, session, envelope, headers, body).await,
            _ => rpc_failure(envelope.id(), METHOD_NOT_FOUND, "this endpoint serves tools only"),
        }
    }

    async fn aggregate_addressed(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        let addressed = match self.address(caller, envelope, body, &session.resources).await {
            Ok(addressed) => addressed,
            Err(error) => return store_failed(caller, error),
        };
        let Some(to) = addressed.into_iter().next() else {
            return rpc_failure(envelope.id(), INVALID_PARAMS, "unknown tool; see tools/list");
        };
        let calling = async {
            let upstream = Upstream::open(self, caller, to.server.clone(), passing_headers(headers))?;
            upstream.request(session, to.message).await
        };
        match calling.await {
            Ok(answer) => pass_on(answer),
            Err(problem) => Self::failed(caller, &to.server, envelope.id(), problem),
        }
    }

    async fn aggregate_list(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        kind: ListKind,
    ) -> Response<AnswerBody> {
        if has_cursor(envelope) {
            return rpc_failure(envelope.id(), INVALID_PARAMS, "unknown cursor; this list has one page");
        }
        match self.list(caller, session, kind, &passing_headers(headers)).await {
            Ok(lists) => {
                session.resources.remember(kind, &lists);
                rpc_result(envelope.id(), &one_page(kind, &lists))
            }
            Err(error) => store_failed(caller, error),
        }
    }
}

fn store_failed(caller: &Caller, error: StoreError) -> Response<AnswerBody> {
    error_answer(&error.into(), &RequestId(caller.request_id.clone()))
}

fn rpc_result(id: &str, result: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn rpc_failure(id: &str, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, rpc_error(id, code, message))
}
