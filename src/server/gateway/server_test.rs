//! A test of one MCP server for its admins: opens a session and lists the tools, the same
//! way as for a member and with the secrets in place, and says in plain words what is
//! wrong. Admins may know names; values and what the server said stay out of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, LIST_LIMIT};
use super::connect_diagnosis::{ConnectProblem, TlsProblem, diagnose, diagnose_cut, speaks_tls};
use super::message::Envelope;
use super::modern::MODERN_VERSION;
use super::problem::UpstreamProblem;
use super::session_end::HeldSession;
use super::sessions::{Scope, Session};
use super::upstream::Upstream;
use super::{Caller, Gateway, LEGACY_VERSIONS, Route, UpstreamPool, test_findings};
use crate::api::server_test::{Finding, ServerTestReport};
use crate::server::auth::Member;
use crate::server::store::{ServerRow, WorkspaceRow};

/// How long the test may take before it is given up.
const TEST_TIME: Duration = Duration::from_secs(15);
/// Pages of tools that are counted.
const MAX_PAGES: usize = 100;
/// In the place of a token's id: the connections of a test are shared with nobody.
const NO_TOKEN: &str = "server-test";

/// What a server that answers is like.
struct Answers {
    era: &'static str,
    protocol: String,
    /// Lengths of the tools' names, in characters; `None` if it has no list of tools.
    names: Option<Vec<usize>>,
}

impl Gateway {
    /// Tests a server. An admin asks, so no workspace token is involved.
    pub(in crate::server) async fn test_server(
        self: &Arc<Self>,
        pool: &Rc<UpstreamPool>,
        request_id: &str,
        workspace: &WorkspaceRow,
        server: ServerRow,
    ) -> ServerTestReport {
        let began = Instant::now();
        let (token_id, workspace_id) = (NO_TOKEN.to_owned(), workspace.id.clone());
        let member = Member { token_id, workspace_id, ..Member::default() };
        let route = Route::Server(Box::new(server.clone()));
        let (pool, request_id) = (Rc::clone(pool), request_id.to_owned());
        let caller = Rc::new(Caller::new(pool, request_id, member, route));
        let listing = tokio::time::timeout(TEST_TIME, self.test_listing(&caller, &server));
        let result = listing.await.unwrap_or(Err(UpstreamProblem::TimedOut));
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut findings = Vec::from_iter(test_findings::of_settings(&server));
        match &result {
            Ok(Answers { names: None, .. }) => findings.extend(test_findings::no_tools(&server, true)),
            Ok(Answers { names: Some(names), .. }) if names.is_empty() => {
                findings.extend(test_findings::no_tools(&server, false));
            }
            Ok(Answers { names: Some(names), .. }) => {
                findings.extend(test_findings::of_tools(workspace, &server, names));
            }
            Err(problem) => findings.extend(self.explain(&server, *problem).await),
        }
        let shown = result.as_ref().map(|_| ()).map_err(|problem| problem.reason());
        self.project.analytics.heard(&server.id, shown);
        let answers = result.ok();
        ServerTestReport {
            server: server.slug.to_string(),
            ok: answers.is_some(),
            took_ms,
            era: answers.as_ref().map(|answers| answers.era.to_owned()),
            tools: answers.as_ref().map(|answers| answers.names.as_ref().map_or(0, Vec::len) as u64),
            protocol: answers.map(|answers| answers.protocol),
            findings,
        }
    }

    /// What to say of a problem. One that has to do with the connection is looked into.
    async fn explain(&self, server: &ServerRow, problem: UpstreamProblem) -> Vec<Finding> {
        let (url, policy, private) = (&server.url, self.policy, server.allow_private_network);
        let closer: Option<ConnectProblem> = match problem {
            UpstreamProblem::Unreachable | UpstreamProblem::AddressRefused | UpstreamProblem::TimedOut => {
                diagnose(url, policy, private).await
            }
            UpstreamProblem::Cut => Some(diagnose_cut(url, policy, private).await),
            // What nginx and others answer to plain HTTP at their port for TLS.
            UpstreamProblem::Status(400) => {
                speaks_tls(url, policy, private).await.then_some(ConnectProblem::Tls(TlsProblem::Unasked))
            }
            _ => None,
        };
        match closer {
            Some(closer) => vec![test_findings::of_connection(server, closer)],
            None => test_findings::of_problem(server, problem),
        }
    }

    async fn test_listing(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        server: &ServerRow,
    ) -> Result<Answers, UpstreamProblem> {
        let upstream = Upstream::open(self, caller, server.clone(), HeaderMap::new())?;
        let own = json!({"name": "aerostack-test", "version": env!("CARGO_PKG_VERSION")});
        let initialize = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": LEGACY_VERSIONS[0], "capabilities": {}, "clientInfo": own},
        });
        let scope = Scope::Server(server.id.clone());
        let initialize = initialize.to_string().into();
        let session = self.open_session(caller, scope, initialize, LEGACY_VERSIONS[0]);
        let session = session.map_err(|_| UpstreamProblem::NotInitialized)?;
        // Also if the test takes too long, or the one who asked leaves.
        let _held = HeldSession::new(self, caller, &session);
        let names = count_tools(&upstream, &session).await;
        let slot = session.slot(&server.id);
        let opened = slot.lock().await.take();
        self.sessions.close(&session);
        let protocol = opened.as_ref().and_then(|opened| opened.protocol.to_str().ok()).unwrap_or_default();
        // A text of the server's is passed on only if it is one that is known.
        let known = [MODERN_VERSION].into_iter().chain(LEGACY_VERSIONS).find(|version| *version == protocol);
        let protocol = known.unwrap_or("unknown").to_owned();
        if let Some(opened) = &opened {
            upstream.end(opened).await;
        }
        let era = if opened.is_some_and(|opened| opened.modern) { "modern" } else { "legacy" };
        Ok(Answers { era, protocol, names: names? })
    }
}

/// The lengths of all tools' names, page by page; `None` if the server refuses to list them.
async fn count_tools(upstream: &Upstream, session: &Session) -> Result<Option<Vec<usize>>, UpstreamProblem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        tools: Vec<Tool>,
        next_cursor: Option<String>,
    }
    #[derive(Deserialize)]
    struct Tool {
        name: String,
    }
    let (mut names, mut cursors) = (Vec::new(), Vec::<String>::new());
    for page in 1..=MAX_PAGES {
        let mut request = json!({"jsonrpc": "2.0", "id": page, "method": "tools/list"});
        if let Some(cursor) = cursors.last() {
            request["params"] = json!({"cursor": cursor});
        }
        let (request, id) = (Bytes::from(request.to_string()), page.to_string());
        let Answer::Stream(response) = upstream.request(session, request).await? else {
            return Ok(None);
        };
        let message = upstream.read_answer(session, *response, &id, LIST_LIMIT).await?;
        let envelope = Envelope::parse(&message).map_err(|_| UpstreamProblem::NotMcp)?;
        let Some(result) = envelope.result() else { return Ok(None) };
        let list: Page = serde_json::from_str(result.get()).map_err(|_| UpstreamProblem::NotMcp)?;
        names.extend(list.tools.iter().map(|tool| tool.name.chars().count()));
        match list.next_cursor {
            Some(cursor) if !cursors.contains(&cursor) => cursors.push(cursor),
            _ => break,
        }
    }
    Ok(Some(names))
}
