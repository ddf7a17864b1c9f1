//! What a new upstream session is told of the client's wishes: the level of log messages and
//! the resources it subscribed to, which an older session may have known. And looking for
//! streams in sessions that the upstream may have lost.

use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer::{self, Answer};
use super::listing::own_request_id;
use super::problem::UpstreamProblem;
use super::sessions::{Session, UpstreamSession};
use super::upstream::{SHORT_TIME, Upstream};
use super::upstream_body::UpstreamBody;

impl Upstream {
    /// Tells a session that was opened just now. What fails is not tried again.
    pub(super) async fn tell_wishes(&self, session: &Session, opened: &UpstreamSession) {
        let mut wishes = Vec::new();
        if let Some(level) = session.workspace.log_level().filter(|_| opened.offers.logging) {
            wishes.push(("logging/setLevel", json!({"level": level})));
        }
        if opened.offers.subscribe {
            let uris = session.workspace.subscriptions(&self.server.id);
            wishes.extend(uris.into_iter().map(|uri| ("resources/subscribe", json!({"uri": uri}))));
        }
        for (method, params) in wishes {
            let message =
                json!({"jsonrpc": "2.0", "id": own_request_id(), "method": method, "params": params});
            match self.post(Some(opened), message.to_string().into(), SHORT_TIME).await {
                Ok(response) => answer::drain(response).await,
                Err(problem) => {
                    tracing::debug!(server = %self.server.slug, %problem, method, "a wish was not told");
                    return;
                }
            }
        }
    }

    /// Opens the stream of messages that belong to no request, or the rest of a stream after
    /// an event. If the upstream has lost the session, another one is opened, and its stream from the
    /// beginning. A server may begin its answer with its first event, so there is no limit of time.
    pub(super) async fn listen_after(
        &self,
        session: &Session,
        last_event_id: Option<&HeaderValue>,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let opened = self.session(session).await?;
        if opened.modern && last_event_id.is_none() {
            return self.listen_modern(session).await;
        }
        let response = self.get_within(Duration::MAX, &opened, last_event_id).await?;
        let may_be_lost = [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&response.status());
        if !may_be_lost || opened.id.is_none() || !self.has_lost(&opened).await? {
            return Ok(response);
        }
        answer::drain(response).await;
        self.forget(session, &opened).await;
        let opened = self.session(session).await?;
        if opened.modern {
            return self.listen_modern(session).await;
        }
        self.get_within(Duration::MAX, &opened, None).await
    }

    /// Whether the upstream knows a session no longer. By a refused GET alone this is not known:
    /// with the same words some say that they have no such stream.
    async fn has_lost(&self, opened: &UpstreamSession) -> Result<bool, UpstreamProblem> {
        let id = json!(own_request_id());
        let ping = json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
        let response = self.post(Some(opened), ping.into(), SHORT_TIME).await?;
        match answer::of_session_request(response, &id.to_string()).await {
            Ok(Some(Answer::Stream(response))) => {
                answer::drain(*response).await;
                Ok(false)
            }
            answered => Ok(matches!(answered, Ok(None))),
        }
    }
}
