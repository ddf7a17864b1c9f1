//! The gateway: one MCP endpoint for a workspace (`/ws/{workspace}`) and one for each of
//! its servers. It authenticates, finds the server, opens that server's secrets, sends the
//! request with them, and streams the answer back.

pub mod address_policy;
mod aggregate;
mod answer;
mod call_outcome;
mod call_record;
mod connect_diagnosis;
mod connection;
mod inject;
mod message;
mod peekable_socket;
mod post;
mod problem;
mod server_test;
mod sessions;
mod single;
mod sse;
mod test_findings;
mod upstream;
mod upstream_body;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

pub use connection::UpstreamPool;

use self::address_policy::AddressPolicy;
use self::answer::SESSION_HEADER;
use self::call_record::CalledServer;
use self::sessions::{Scope, Session, Sessions};
use super::access_log::Served;
use super::auth::Member;
use super::body::AnswerBody;
use super::error::ApiError;
use super::response::{RequestId, error_answer, json_answer};
use super::startup::Project;
use super::store::ServerRow;
use crate::api::routes;
use crate::domain::ServerSlug;

/// The protocol versions of the legacy era, newest first.
pub(super) const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How long a client's DELETE may wait for the upstreams.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// Serves MCP clients.
pub struct Gateway {
    project: Arc<Project>,
    sessions: Sessions,
    policy: AddressPolicy,
}

/// A request whose sender is known and whose route exists.
struct Caller<'a> {
    pool: &'a Rc<UpstreamPool>,
    request_id: &'a str,
    member: Member,
    route: Route,
}

/// Where a request goes.
enum Route {
    Workspace,
    Server(Box<ServerRow>),
}

impl Caller<'_> {
    fn scope(&self) -> Scope {
        match &self.route {
            Route::Workspace => Scope::Workspace,
            Route::Server(server) => Scope::Server(server.id.clone()),
        }
    }
}

impl Gateway {
    /// A gateway on an open project.
    pub fn new(project: Arc<Project>, policy: AddressPolicy) -> Self {
        Self { project, sessions: Sessions::new(), policy }
    }

    /// Answers one request under `/ws/`.
    pub(super) async fn answer(
        &self,
        pool: &Rc<UpstreamPool>,
        request: Request<Incoming>,
        request_id: &RequestId,
    ) -> Response<AnswerBody> {
        let caller = match self.identify(pool, &request, &request_id.0).await {
            Ok(caller) => caller,
            Err(error) => return error_answer(&error, request_id),
        };
        let workspace = workspace_and_server(request.uri().path()).0.to_owned();
        let mut response = match *request.method() {
            Method::POST => self.post(&caller, request).await,
            Method::GET => self.listen(&caller, request.headers()).await,
            Method::DELETE => self.end_session(&caller, request.headers()).await,
            _ => method_not_allowed(),
        };
        let by_name = response.extensions_mut().remove::<CalledServer>();
        let server = match caller.route {
            Route::Workspace => by_name.map(|server| server.0),
            Route::Server(server) => Some(server.slug.to_string()),
        };
        let token_id = caller.member.token_id;
        response.extensions_mut().insert(Served { workspace, server, token_id });
        response
    }

    /// How many sessions clients have, and how many are held with each server, by its id.
    pub(super) fn session_counts(&self) -> (usize, HashMap<String, usize>) {
        self.sessions.counts()
    }

    /// Authenticates, then finds the route; without a token nobody learns what exists.
    async fn identify<'a>(
        &self,
        pool: &'a Rc<UpstreamPool>,
        request: &Request<Incoming>,
        request_id: &'a str,
    ) -> Result<Caller<'a>, ApiError> {
        let (workspace, server) = workspace_and_server(request.uri().path());
        let member = self.project.authenticator.member(request.headers(), workspace).await?;
        let member = member.ok_or_else(|| {
            ApiError::unauthorized(
                "a workspace token is needed, and this one is missing or not accepted here",
            )
            .with_hint("send Authorization: Bearer mwt_...; ask a workspace admin for a token")
        })?;
        self.project.analytics.token_used(&member.token_id);
        let route = match server.filter(|server| !server.is_empty()) {
            None => Route::Workspace,
            Some(slug) => Route::Server(Box::new(
                self.enabled_server(&member, slug)
                    .await?
                    .ok_or_else(|| ApiError::not_found("no such MCP server in this workspace"))?,
            )),
        };
        Ok(Caller { pool, request_id, member, route })
    }

    async fn enabled_server(&self, member: &Member, slug: &str) -> Result<Option<ServerRow>, ApiError> {
        let Ok(slug) = ServerSlug::parse(slug) else { return Ok(None) };
        let server = self.project.store.server(&member.workspace_id, &slug).await?;
        Ok(server.filter(|server| server.enabled))
    }

    /// The client's session: 400 without an id, 404 for an id that is unknown, ended or not its own.
    fn session(&self, caller: &Caller<'_>, headers: &HeaderMap) -> Result<Arc<Session>, StatusCode> {
        let id = headers.get(SESSION_HEADER).ok_or(StatusCode::BAD_REQUEST)?;
        let id = id.to_str().map_err(|_| StatusCode::NOT_FOUND)?;
        self.sessions.find(id, &caller.member, &caller.scope()).ok_or(StatusCode::NOT_FOUND)
    }

    /// GET: the stream of messages that belong to no request. The aggregated route has none yet.
    async fn listen(&self, caller: &Caller<'_>, headers: &HeaderMap) -> Response<AnswerBody> {
        let Route::Server(server) = &caller.route else { return method_not_allowed() };
        match self.session(caller, headers) {
            Ok(session) => self.single_listen(caller, server, &session, headers).await,
            Err(status) => session_error(status, "null"),
        }
    }

    /// DELETE: ends the client's session, and the upstream sessions it holds.
    async fn end_session(&self, caller: &Caller<'_>, headers: &HeaderMap) -> Response<AnswerBody> {
        let session = match self.session(caller, headers) {
            Ok(session) => session,
            Err(status) => return session_error(status, "null"),
        };
        self.sessions.close(&session);
        let _ = tokio::time::timeout(GOODBYE_TIME, self.end_upstream_sessions(caller, &session)).await;
        let mut response = Response::new(AnswerBody::none());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

/// The parts of a gateway's path.
fn workspace_and_server(path: &str) -> (&str, Option<&str>) {
    let rest = path.strip_prefix(routes::GATEWAY_PREFIX).unwrap_or_default();
    rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)))
}

fn method_not_allowed() -> Response<AnswerBody> {
    let message = "this endpoint has no such stream or method";
    let body = problem::rpc_error("null", problem::INVALID_REQUEST, message);
    let mut response = json_answer(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
    response
}

fn session_error(status: StatusCode, id: &str) -> Response<AnswerBody> {
    let body = if status == StatusCode::NOT_FOUND {
        let message = "the session is unknown or has ended; send initialize again";
        problem::rpc_error(id, problem::SESSION_NOT_FOUND, message)
    } else {
        let message = "Mcp-Session-Id is missing; send initialize first";
        problem::rpc_error(id, problem::INVALID_REQUEST, message)
    };
    json_answer(status, body)
}
