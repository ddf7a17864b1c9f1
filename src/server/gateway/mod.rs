//! The gateway: one MCP endpoint for a workspace (`/ws/{workspace}`) and one for each of
//! its servers. It authenticates, finds the server, opens that server's secrets, sends the
//! request with them, and streams the answer back.

pub mod address_policy;
mod addressing;
mod admission;
mod aggregate;
mod aggregate_initialize;
mod answer;
mod backoff;
mod batch;
mod call_outcome;
mod call_record;
mod calling;
mod calls_under_way;
mod candidates;
mod capabilities;
mod certificate_problem;
mod connect_diagnosis;
mod connection;
mod content_coding;
mod event_relay;
mod event_splitter;
mod failed_openings;
mod identification;
mod in_use;
mod inject;
mod input_rounds;
mod inward;
mod kept_upstream;
mod later_secrets;
mod left_calls;
mod listing;
mod long_message;
mod message;
mod modern;
mod naming;
mod nesting;
mod outward;
mod own_answer;
mod own_events;
mod part_of_list;
mod pauses;
mod peekable_socket;
mod post;
mod problem;
mod rate_limit;
pub mod redaction;
mod relay;
mod relay_body;
mod resource_index;
mod scoped_message;
mod server_requests;
mod server_stream;
mod server_test;
mod session_end;
mod session_start;
mod sessions;
mod side_by_side;
mod single;
mod single_stream;
mod sse;
mod test_findings;
mod unasked_events;
mod upstream;
mod upstream_body;
mod upstream_session;
mod watched_body;
mod workspace_session;
mod workspace_stream;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

pub use connection::UpstreamPool;

use self::address_policy::AddressPolicy;
use self::answer::SESSION_HEADER;
use self::backoff::Backoff;
use self::call_record::CalledServer;
use self::identification::Refusal;
use self::in_use::SecretsInUse;
use self::modern::{BridgeSessions, Eras, KnownSchemas, ParkedCalls};
use self::rate_limit::{Quota, RateLimits};
use self::sessions::{Answering, Scope, Session, Sessions};
use self::watched_body::{MindsItsServer, ServedBy, Standing};
use super::access_log::Served;
use super::auth::Member;
use super::body::AnswerBody;
use super::error::ApiError;
use super::response::{RequestId, error_answer, json_answer};
use super::startup::Project;
use super::store::{ServerRow, StoreError};
use crate::api::routes;

/// The protocol versions of the legacy era, newest first.
pub(super) const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How long a client's DELETE may wait for the upstreams.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// Serves MCP clients.
pub struct Gateway {
    project: Arc<Project>,
    sessions: Sessions,
    rate_limits: RateLimits,
    policy: AddressPolicy,
    /// How long an upstream may be silent while it works on a request.
    patience: Duration,
    eras: Eras,
    backoff: Backoff,
    schemas: KnownSchemas,
    bridges: BridgeSessions,
    parked: Arc<ParkedCalls>,
    /// Which secrets of each server were sent last.
    in_use: Arc<SecretsInUse>,
    /// When idle sessions are looked for again.
    next_sweep: AtomicI64,
}

/// A request whose sender is known and whose route exists.
struct Caller {
    pool: Rc<UpstreamPool>,
    request_id: String,
    member: Member,
    route: Route,
    /// Messages that were told to a server in another era, by the server's id and their own.
    told_in_other_era: RefCell<HashSet<(String, String)>>,
}

/// Where a request goes.
enum Route {
    Workspace,
    Server(Box<ServerRow>),
}

impl Caller {
    fn new(pool: Rc<UpstreamPool>, request_id: String, member: Member, route: Route) -> Self {
        Self { pool, request_id, member, route, told_in_other_era: RefCell::default() }
    }

    /// Whether a message may be told to a server in another era: once. A server that changes to and fro
    /// is not followed.
    fn may_change_era(&self, server_id: &str, id: &str) -> bool {
        self.told_in_other_era.borrow_mut().insert((server_id.to_owned(), id.to_owned()))
    }

    fn scope(&self) -> Scope {
        match &self.route {
            Route::Workspace => Scope::Workspace,
            Route::Server(server) => Scope::Server(server.id.clone()),
        }
    }
}

impl Gateway {
    /// A gateway on an open project.
    pub fn new(project: Arc<Project>, policy: AddressPolicy, patience: Duration) -> Self {
        Self {
            project,
            sessions: Sessions::new(),
            policy,
            patience,
            eras: Eras::default(),
            backoff: Backoff::default(),
            schemas: KnownSchemas::default(),
            bridges: BridgeSessions::default(),
            parked: Arc::default(),
            in_use: Arc::default(),
            next_sweep: AtomicI64::new(0),
            rate_limits: RateLimits::new(),
        }
    }

    /// Answers one request under `/ws/`.
    pub(super) async fn answer(
        self: &Arc<Self>,
        pool: &Rc<UpstreamPool>,
        request: Request<Incoming>,
        request_id: &RequestId,
    ) -> Response<AnswerBody> {
        let caller = match self.identify(pool, &request, &request_id.0).await {
            Ok(caller) => Rc::new(caller),
            Err(Refusal::Error(error)) => return error_answer(&error, request_id),
            Err(Refusal::Answer(answer)) => return *answer,
        };
        self.sweep_sessions(pool);
        let workspace = workspace_and_server(request.uri().path()).0.to_owned();
        let served_by = match &caller.route {
            Route::Workspace => None,
            Route::Server(server) => Some(ServedBy::of(server)),
        };
        let (project, in_use) = (Arc::clone(&self.project), Arc::clone(&self.in_use));
        let mut standing = Standing::new(project, in_use, caller.member.clone(), served_by);
        let mut response = tokio::select! {
            response = self.handle(&caller, request) => response,
            // Dropping the work closes the upstream's connection.
            () = standing.lost() => return error_answer(&self.gone(&caller.member).await, request_id),
        };
        self.rate_limits.describe(&caller.member, response.headers_mut());
        if let Some(served_by) = response.extensions_mut().remove::<ServedBy>() {
            standing.is_served_by(served_by);
        }
        if response.extensions_mut().remove::<MindsItsServer>().is_some() {
            standing.leaves_server_out();
        }
        if let Some(answering) = response.extensions_mut().remove::<Answering>() {
            standing.is_answered_in(answering);
        }
        let by_name = response.extensions_mut().remove::<CalledServer>();
        let server = match &caller.route {
            Route::Workspace => by_name.map(|server| server.0),
            Route::Server(server) => Some(server.slug.to_string()),
        };
        let token_id = caller.member.token_id.clone();
        response.extensions_mut().insert(Served { workspace, server, token_id });
        watched_body::watch(response, standing)
    }

    /// Why what was running was ended.
    async fn gone(&self, member: &Member) -> ApiError {
        if self.project.authenticator.still_accepts(member).await.unwrap_or(false) {
            // The token is good; it is the server that is not served any more.
            return ApiError::not_found("the MCP server was taken away while this was running")
                .with_hint("ask a workspace admin");
        }
        ApiError::unauthorized("the token was taken away while this was running")
            .with_hint("ask a workspace admin")
    }

    /// Does work for a call of a server. `None` if the server is taken away before it is done.
    async fn while_served<T>(
        &self,
        caller: &Caller,
        server: &ServerRow,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let served_by = Some(ServedBy::of(server));
        let (project, in_use) = (Arc::clone(&self.project), Arc::clone(&self.in_use));
        let standing = Standing::new(project, in_use, caller.member.clone(), served_by);
        tokio::select! {
            done = work => Some(done),
            () = standing.lost() => {
                if !self.project.authenticator.still_accepts(&caller.member).await.unwrap_or(true) {
                    // Whoever watches the token ends all of it in a moment, and says why.
                    std::future::pending::<()>().await;
                }
                None
            }
        }
    }

    async fn handle(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        // A POST is counted when it is known whether it is a tool call.
        if *request.method() != Method::POST {
            let refusal = self.rate_limits.take(&caller.member, Quota::Others, "null");
            let checked = [Method::GET, Method::DELETE].contains(request.method());
            let version = || post::refuse_unknown_version(request.headers(), "null").filter(|_| checked);
            if let Some(refusal) = refusal.or_else(version) {
                return refusal;
            }
        }
        match *request.method() {
            Method::POST => self.post(caller, request).await,
            Method::GET => self.listen(caller, request.headers()).await,
            Method::DELETE => self.end_session(caller, request.headers()).await,
            _ => method_not_allowed(),
        }
    }

    /// Ends the streams that clients listen on, when the server stops.
    pub(super) fn stop_listening(&self) {
        self.sessions.each(Session::end);
    }

    /// How many sessions clients have, and how many are held with each server, by its id.
    pub(super) fn session_counts(&self) -> (usize, HashMap<String, usize>) {
        self.sessions.counts()
    }

    /// The servers that are enabled and that the token may use.
    async fn enabled_servers(&self, member: &Member) -> Result<Vec<ServerRow>, StoreError> {
        let mut servers = self.project.store.servers(&member.workspace_id).await?;
        servers.retain(|server| server.enabled && member.scope.allows_server(server.slug.as_str()));
        Ok(servers)
    }

    /// The client's session: 400 without an id, 404 for an id that is unknown, ended or not its own.
    fn session(&self, caller: &Caller, headers: &HeaderMap) -> Result<Arc<Session>, StatusCode> {
        let id = headers.get(SESSION_HEADER).ok_or(StatusCode::BAD_REQUEST)?;
        let id = id.to_str().map_err(|_| StatusCode::NOT_FOUND)?;
        self.sessions.find(id, &caller.member, &caller.scope()).ok_or(StatusCode::NOT_FOUND)
    }

    /// GET: the stream of messages that belong to no request.
    async fn listen(self: &Arc<Self>, caller: &Rc<Caller>, headers: &HeaderMap) -> Response<AnswerBody> {
        if !accepts_events(headers) {
            let message = "send Accept: text/event-stream";
            let body = problem::rpc_error("null", problem::INVALID_REQUEST, message);
            return json_answer(StatusCode::NOT_ACCEPTABLE, body);
        }
        let session = match self.session(caller, headers) {
            Ok(session) => session,
            Err(status) => return session_error(status, "null"),
        };
        match &caller.route {
            Route::Workspace => self.aggregate_listen(caller, &session, headers),
            Route::Server(server) => self.single_listen(caller, server, &session, headers).await,
        }
    }

    /// DELETE: ends the client's session, and the upstream sessions it holds.
    async fn end_session(self: &Arc<Self>, caller: &Rc<Caller>, headers: &HeaderMap) -> Response<AnswerBody> {
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

/// Whether a client takes an event stream.
fn accepts_events(headers: &HeaderMap) -> bool {
    let mut accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.any(|value| {
        let mut types = value.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
        types.any(|one| ["text/event-stream", "text/*", "*/*"].iter().any(|it| one.eq_ignore_ascii_case(it)))
    })
}

/// The parts of a gateway's path.
fn workspace_and_server(path: &str) -> (&str, Option<&str>) {
    let rest = path.strip_prefix(routes::GATEWAY_PREFIX).unwrap_or_default();
    // One slash at the end is no part of a slug.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)))
}

fn method_not_allowed() -> Response<AnswerBody> {
    let message = "this endpoint has no such stream or method";
    let body = problem::rpc_error("null", problem::INVALID_REQUEST, message);
    let mut response = json_answer(StatusCode::METHOD_NOT_ALLOWED, body);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
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
