//! The route of a workspace: one endpoint for all its enabled servers. `initialize` and
//! `ping` are answered here, lists are merged, calls go to the server that the name begins
//! with.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Answer, LIST_LIMIT, SESSION_HEADER};
use super::call_record::CallRecord;
use super::message::{Envelope, Kind, prefixed_page, split_call};
use super::problem::{INVALID_PARAMS, METHOD_NOT_FOUND, UpstreamProblem, rpc_error};
use super::sessions::{Scope, Session};
use super::single::{accepted, pass_on};
use super::upstream::{Upstream, passing_headers};
use super::{Caller, Gateway, LEGACY_VERSIONS};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;
use crate::server::store::ServerRow;

/// How long one server may take for its part of a list.
const LIST_TIME: Duration = Duration::from_secs(5);
/// Pages of one server's list.
const MAX_PAGES: usize = 100;

impl Gateway {
    /// Answers `initialize` and opens a session. No upstream is contacted.
    pub(super) fn aggregate_initialize(
        &self,
        caller: &Caller<'_>,
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
        &self,
        caller: &Caller<'_>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        if envelope.kind() != Kind::Request {
            return accepted();
        }
        match envelope.method() {
            "ping" => rpc_result(envelope.id(), "{}"),
            "tools/list" => self.aggregate_list(caller, session, envelope, headers).await,
            "tools/call" => self.aggregate_call(caller, session, envelope, headers, body).await,
            _ => rpc_failure(envelope.id(), METHOD_NOT_FOUND, "this endpoint serves tools only"),
        }
    }

    async fn aggregate_call(
        &self,
        caller: &Caller<'_>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<AnswerBody> {
        let unknown = || rpc_failure(envelope.id(), INVALID_PARAMS, "unknown tool; see tools/list");
        let Some(call) = split_call(body, envelope.params()) else { return unknown() };
        let server = match self.enabled_server(&caller.member, &call.server).await {
            Ok(Some(server)) => server,
            Ok(None) => return unknown(),
            Err(error) => {
                let request_id = crate::server::response::RequestId(caller.request_id.to_owned());
                return crate::server::response::error_answer(&error, &request_id);
            }
        };
        let record = CallRecord::begin(self, caller, &server, envelope);
        let calling = async {
            let upstream = Upstream::open(self, caller, server.clone(), passing_headers(headers))?;
            upstream.request(session, call.message.into()).await
        };
        record.watch(match calling.await {
            Ok(answer) => pass_on(answer),
            Err(problem) => Self::failed(caller, &server, envelope.id(), problem),
        })
    }

    /// Asks all enabled servers at once. A server that fails or is late is left out, and
    /// the log says so.
    async fn aggregate_list(
        &self,
        caller: &Caller<'_>,
        session: &Session,
        envelope: &Envelope<'_>,
        headers: &HeaderMap,
    ) -> Response<AnswerBody> {
        if envelope.params().is_some_and(|params| has_cursor(params.get())) {
            return rpc_failure(envelope.id(), INVALID_PARAMS, "unknown cursor; this list has one page");
        }
        let servers = match self.project.store.servers(&caller.member.workspace_id).await {
            Ok(servers) => servers,
            Err(error) => {
                let request_id = crate::server::response::RequestId(caller.request_id.to_owned());
                return crate::server::response::error_answer(&error.into(), &request_id);
            }
        };
        let passing = passing_headers(headers);
        let lists = servers.into_iter().filter(|server| server.enabled).map(|server| {
            let (passing, slug) = (passing.clone(), server.slug.clone());
            async move {
                let listing = self.list_tools(caller, session, server, passing);
                let tools = tokio::time::timeout(LIST_TIME, listing).await.unwrap_or(Err(UpstreamProblem::TimedOut));
                tools.unwrap_or_else(|problem| {
                    let request_id = caller.request_id;
                    tracing::warn!(request_id, server = %slug, %problem, "a server is missing from a tool list");
                    Vec::new()
                })
            }
        });
        let tools: Vec<String> = join_all(lists.collect()).await.concat();
        rpc_result(envelope.id(), &format!(r#"{{"tools":[{}]}}"#, tools.join(",")))
    }

    /// All pages of one server's tools, names prefixed.
    async fn list_tools(
        &self,
        caller: &Caller<'_>,
        session: &Session,
        server: ServerRow,
        passing: HeaderMap,
    ) -> Result<Vec<String>, UpstreamProblem> {
        let slug = server.slug.clone();
        let upstream = Upstream::open(self, caller, server, passing)?;
        let mut tools: Vec<String> = Vec::new();
        let mut cursors: Vec<String> = Vec::new();
        for page in 1..=MAX_PAGES {
            let mut request = json!({"jsonrpc": "2.0", "id": page, "method": "tools/list"});
            if let Some(cursor) = cursors.last() {
                request["params"] = json!({"cursor": cursor});
            }
            let Answer::Stream(response) = upstream.request(session, request.to_string().into()).await?
            else {
                return Err(UpstreamProblem::NotMcp);
            };
            let room = LIST_LIMIT.saturating_sub(tools.iter().map(String::len).sum());
            let (_, message) = answer::read_answer(*response, room).await?;
            let answer = Envelope::parse(&message).map_err(|_| UpstreamProblem::NotMcp)?;
            let result = answer.result().ok_or(UpstreamProblem::NotMcp)?;
            let list = prefixed_page(slug.as_str(), result).ok_or(UpstreamProblem::NotMcp)?;
            tools.extend(list.tools);
            match list.next_cursor {
                Some(cursor) if !cursors.contains(&cursor) => cursors.push(cursor),
                _ => break,
            }
        }
        Ok(tools)
    }
}

fn has_cursor(params: &str) -> bool {
    serde_json::from_str::<Value>(params)
        .is_ok_and(|params| params.get("cursor").is_some_and(|cursor| !cursor.is_null()))
}

fn rpc_result(id: &str, result: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn rpc_failure(id: &str, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, rpc_error(id, code, message))
}

/// Runs futures side by side on this task; answers in their order.
async fn join_all<F: Future<Output = Vec<String>>>(futures: Vec<F>) -> Vec<Vec<String>> {
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<Vec<String>>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *slot = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) {
            return std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect());
        }
        std::task::Poll::Pending
    })
    .await
}
