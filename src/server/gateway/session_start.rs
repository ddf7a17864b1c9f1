//! What a new upstream session is told of the client's wishes: the level of log messages and
//! the resources it subscribed to, which an older session may have known. And looking for
//! streams in sessions that the upstream may have lost.

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::answer;
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
    /// an event. A session that the upstream has lost is opened again for the first.
    pub(super) async fn listen_after(
        &self,
        session: &Session,
        last_event_id: Option<&HeaderValue>,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        if last_event_id.is_some() {
            let opened = self.session(session).await?;
            return self.get(&opened, last_event_id).await;
        }
        let response = self.listen(session).await?;
        if response.status() != StatusCode::NOT_FOUND {
            return Ok(response);
        }
        answer::drain(response).await;
        let kept = session.slot(&self.server.id).lock().await.clone();
        if let Some(lost) = kept.filter(|kept| kept.id.is_some()) {
            self.forget(session, &lost).await;
        }
        self.listen(session).await
    }
}
