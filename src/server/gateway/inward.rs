//! What a client of the workspace says without wanting an answer, on its way to the servers:
//! its own answers to their requests, cancellations, progress, changed roots, the log level.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderMap;

use super::aggregate::{rpc_failure, rpc_result};
use super::message::{Envelope, Kind};
use super::naming::{NameInMessage, member};
use super::outward::spliced;
use super::problem::{INVALID_PARAMS, UpstreamProblem};
use super::sessions::Session;
use super::side_by_side::join_all;
use super::upstream::Upstream;
use super::{Caller, Gateway};
use crate::server::body::AnswerBody;
use crate::server::store::ServerRow;

/// Levels of log messages (RFC 5424).
pub(super) const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// How long a look at a session that may be opening just now may take.
const SLOT_TIME: Duration = Duration::from_millis(100);

/// How long the client waits until servers have taken what it said.
const TELLING_TIME: Duration = Duration::from_millis(500);

/// For whom a message is.
enum Recipients {
    /// These servers, by id: one as a rule.
    These(Vec<String>),
    /// All with an open session.
    All,
}

/// Finds the server of a message, and the message as the server knows it. `None` if it is for
/// nobody.
fn routed(session: &Session, envelope: &Envelope<'_>, body: &[u8]) -> Option<(Recipients, Bytes)> {
    let known = &session.workspace;
    if envelope.kind() == Kind::Response {
        let id: String = serde_json::from_str(envelope.id()).ok()?;
        let asked = known.server_requests.answered(&id)?;
        let message = spliced(body, &[(envelope.id(), asked.id)])?;
        return Some((Recipients::These(vec![asked.server_id]), message.into()));
    }
    match envelope.method() {
        "notifications/cancelled" => {
            Some((Recipients::These(known.cancels(envelope)), Bytes::copy_from_slice(body)))
        }
        "notifications/progress" => {
            let raw = member(envelope.params()?, "progressToken")?.get();
            let token: String = serde_json::from_str(raw).ok()?;
            let asked = known.server_requests.with_token(&token)?;
            let message = spliced(body, &[(raw, asked.progress_token?)])?;
            Some((Recipients::These(vec![asked.server_id]), message.into()))
        }
        "notifications/roots/list_changed" => Some((Recipients::All, Bytes::copy_from_slice(body))),
        _ => None,
    }
}

impl Gateway {
    /// Passes a notification or an answer on to the server or servers it is for.
    pub(super) async fn pass_to_servers(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        body: &[u8],
    ) {
        let Some((recipients, message)) = routed(session, envelope, body) else { return };
        let mut servers = match &recipients {
            Recipients::These(_) => self.enabled_servers(&caller.member).await.unwrap_or_default(),
            Recipients::All => self.with_open_sessions(caller, session).await,
        };
        if let Recipients::These(ids) = &recipients {
            servers.retain(|server| ids.contains(&server.id));
        }
        self.tell(caller, session, servers, move |upstream, session| {
            let message = message.clone();
            async move { upstream.notify(&session, message).await }
        })
        .await;
    }

    /// Tells servers something, each on a task of its own. The client waits a moment, so that what it
    /// says next comes next, but not for a server that is slow or failed lately.
    async fn tell<F>(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        servers: Vec<ServerRow>,
        say: impl Fn(Upstream, Arc<Session>) -> F,
    ) where
        F: Future<Output = Result<(), UpstreamProblem>> + 'static,
    {
        let telling = servers.into_iter().filter_map(|server| {
            let rests = self.is_left_out(caller, session, &server);
            let slug = server.slug.clone();
            let saying = Upstream::open(self, caller, server, HeaderMap::new())
                .map(|upstream| say(upstream, Arc::clone(session)));
            let task = tokio::task::spawn_local(async move {
                let said = match saying {
                    Ok(saying) => saying.await,
                    Err(problem) => Err(problem),
                };
                if let Err(problem) = said {
                    tracing::warn!(server = %slug, %problem, "a word of the client's did not reach the server");
                }
            });
            (!rests).then_some(task)
        });
        let _ = tokio::time::timeout(TELLING_TIME, join_all(telling)).await;
    }

    /// The enabled servers that have a session open on behalf of the client.
    async fn with_open_sessions(&self, caller: &Caller, session: &Session) -> Vec<ServerRow> {
        let looking = session.slots().into_iter().map(|(id, slot)| async move {
            // One that is opening just now holds its slot for longer.
            let kept = tokio::time::timeout(SLOT_TIME, slot.lock()).await;
            kept.is_ok_and(|kept| kept.is_some()).then_some(id)
        });
        let open: Vec<String> = join_all(looking).await.into_iter().flatten().collect();
        let mut servers = self.enabled_servers(&caller.member).await.unwrap_or_default();
        servers.retain(|server| open.contains(&server.id));
        servers
    }

    /// Sets the level of log messages on all servers that have them, now and when their
    /// session opens.
    pub(super) async fn set_log_level(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        envelope: &Envelope<'_>,
        body: &[u8],
    ) -> Response<AnswerBody> {
        let level = envelope.params().and_then(|params| NameInMessage::find(params, &["level"]));
        let Some(level) = level.filter(|level| LOG_LEVELS.contains(&level.text.as_ref())) else {
            return rpc_failure(envelope.id(), INVALID_PARAMS, "params.level is none of the log levels");
        };
        session.workspace.set_log_level(&level.text);
        let message = Bytes::copy_from_slice(body);
        let servers = self.with_open_sessions(caller, session).await;
        self.tell(caller, session, servers, move |upstream, session| {
            let message = message.clone();
            async move {
                if upstream.offers(&session).await?.logging {
                    upstream.notify(&session, message).await?;
                }
                Ok(())
            }
        })
        .await;
        rpc_result(envelope.id(), "{}")
    }
}
