//! `initialize` on the route of a workspace: a session of the gateway's own, and one with each
//! server behind it, opened side by side with the client's own capabilities. What the servers
//! offer is announced as one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::json;
use serde_json::value::RawValue;

use super::aggregate::{rpc_result, store_failed};
use super::answer::SESSION_HEADER;
use super::backoff::{Part, Standing};
use super::capabilities::Capabilities;
use super::listing::own_request_id;
use super::message::Envelope;
use super::naming::{NameInMessage, member};
use super::problem::UpstreamProblem;
use super::sessions::{Scope, Session};
use super::side_by_side::join_all;
use super::upstream::Upstream;
use super::{Caller, Gateway, LEGACY_VERSIONS};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;
use crate::server::store::{ServerRow, StoreError};

/// How long `initialize` waits for the servers. They go on opening their sessions after it.
const OPENING_TIME: Duration = Duration::from_secs(3);
/// How long `notifications/initialized` waits for them. The client listens to them after it only, and
/// some ask for something within a third of a second.
const ANNOUNCING_TIME: Duration = Duration::from_millis(200);

impl Gateway {
    /// Answers `initialize` and opens a session.
    pub(super) async fn aggregate_initialize(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        envelope: &Envelope<'_>,
    ) -> Response<AnswerBody> {
        let wanted = envelope.params().and_then(|params| NameInMessage::find(params, &["protocolVersion"]));
        let known = LEGACY_VERSIONS
            .into_iter()
            .find(|version| wanted.as_ref().is_some_and(|wanted| wanted.text == *version));
        let version = known.unwrap_or(LEGACY_VERSIONS[0]);
        let initialize = for_servers(envelope, version);
        let Ok(session) = self.open_session(caller, Scope::Workspace, initialize, version) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        let offers = match self.offers(caller, &session).await {
            Ok(offers) => offers,
            Err(error) => return store_failed(caller, error),
        };
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": offers.announced(),
            "serverInfo": {"name": "aerostack", "version": env!("CARGO_PKG_VERSION")},
        });
        if let Some(instructions) = &offers.instructions {
            result["instructions"] = json!(instructions);
        }
        session.workspace.announce(&Capabilities { tools: true, ..offers });
        let mut response = rpc_result(envelope.id(), &result.to_string());
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(SESSION_HEADER, id);
        }
        response
    }

    /// Tells the servers that the client is ready, also one whose session is opening just now. Those
    /// that open later are told when they are used first.
    pub(super) async fn pass_initialized(self: &Arc<Self>, caller: &Rc<Caller>, session: &Arc<Session>) {
        let servers = self.enabled_servers(&caller.member).await.unwrap_or_default();
        let telling = session.slots().into_iter().filter_map(|(id, slot)| {
            let server = servers.iter().find(|server| server.id == id)?.clone();
            let (gateway, caller, session) = (Arc::clone(self), Rc::clone(caller), Arc::clone(session));
            Some(tokio::task::spawn_local(async move {
                if slot.lock().await.as_ref().is_none_or(|opened| opened.announced) {
                    return;
                }
                let slug = server.slug.clone();
                let told = match Upstream::open(&gateway, &caller, server, HeaderMap::new()) {
                    Ok(upstream) => upstream.session(&session).await.err(),
                    Err(problem) => Some(problem),
                };
                if let Some(problem) = told {
                    tracing::warn!(server = %slug, %problem, "a server was not told that the client is ready");
                }
            }))
        });
        let _ = tokio::time::timeout(ANNOUNCING_TIME, join_all(telling)).await;
    }

    /// What all servers offer together. One that fails or is late is taken to offer everything:
    /// a list of nothing is no harm, but what was not announced is never asked for.
    pub(super) async fn offers(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
    ) -> Result<Capabilities, StoreError> {
        let servers = self.enabled_servers(&caller.member).await?;
        let deadline = tokio::time::Instant::now() + OPENING_TIME;
        let opening = servers.iter().map(|server| {
            let standing = self.standing(caller, server);
            let opening = (standing != Standing::Resting)
                .then(|| self.open_in_background(caller, session, server.clone()))
                .filter(|_| standing == Standing::Well);
            async move { tokio::time::timeout_at(deadline, opening?).await.ok()?.ok()?.ok() }
        });
        let mut all = Capabilities::default();
        let mut instructions = Vec::new();
        for (server, offers) in servers.iter().zip(join_all(opening).await) {
            let everything = || Arc::new(Capabilities::everything());
            let offers = offers.unwrap_or_else(everything);
            all.add(&offers);
            instructions
                .extend(offers.instructions.as_ref().map(|text| format!("# {}\n\n{text}", server.slug)));
        }
        if caller.member.scope.limits_tools() {
            // There is nothing else for this token.
            all = Capabilities { tools: true, logging: all.logging, ..Capabilities::default() };
        }
        self.note_seen(caller, session, &servers);
        all.instructions = (!instructions.is_empty()).then(|| instructions.join("\n\n"));
        Ok(all)
    }

    fn standing(self: &Arc<Self>, caller: &Rc<Caller>, server: &ServerRow) -> Standing {
        let upstream = Upstream::open(self, caller, server.clone(), HeaderMap::new());
        // One whose secrets do not open fails at once.
        upstream.map_or(Standing::Well, |upstream| upstream.standing(Part::Session).0)
    }

    /// Opens the session with a server on a task of its own, which nobody has to wait for. The server
    /// is not told yet that the client is ready.
    pub(super) fn open_in_background(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        server: ServerRow,
    ) -> tokio::task::JoinHandle<Result<Arc<Capabilities>, UpstreamProblem>> {
        let (gateway, caller, session) = (Arc::clone(self), Rc::clone(caller), Arc::clone(session));
        tokio::task::spawn_local(async move {
            let slug = server.slug.clone();
            let opening = async {
                let upstream = Upstream::open(&gateway, &caller, server, HeaderMap::new())?;
                let offers = upstream.offers_before_it_is_announced(&session).await;
                if let Err(problem) = &offers {
                    upstream.rests(Part::Session, *problem, 0);
                    gateway.project.analytics.heard(&upstream.server.id, Err(problem.reason()));
                }
                offers
            };
            let opened = opening.await;
            if let Err(problem) = &opened {
                let request_id = &caller.request_id;
                tracing::warn!(request_id, server = %slug, %problem, "a server did not open a session");
            }
            opened
        })
    }
}

/// The `initialize` that servers get: the client's capabilities and name, as it wrote them.
fn for_servers(envelope: &Envelope<'_>, version: &str) -> Bytes {
    let part = |name: &str| envelope.params().and_then(|params| member(params, name)).map(RawValue::get);
    let own = json!({"name": "aerostack-gateway", "version": env!("CARGO_PKG_VERSION")}).to_string();
    let capabilities = part("capabilities").filter(|text| text.starts_with('{')).unwrap_or("{}");
    let client = part("clientInfo").filter(|text| text.starts_with('{')).unwrap_or(&own);
    let id = own_request_id();
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":"{id}","method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{client}}}}}"#
    ))
}
