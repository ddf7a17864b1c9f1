//! In the modern era a client cancels by closing its stream; a server of the legacy era wants
//! to be told. So whoever waits for such a server's answer holds one of these.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::server::gateway::sessions::Session;
use crate::server::gateway::upstream::Upstream;

/// Tells the server that its answer is not wanted any more, if it is dropped before
/// [`CancelOnDrop::ended`].
pub(super) struct CancelOnDrop(oneshot::Sender<()>);

impl CancelOnDrop {
    /// For the request with this id, as it was written. To be called on a worker's thread.
    pub(super) fn new(upstream: &Rc<Upstream>, session: &Arc<Session>, id: &str) -> Self {
        let (ended, is_ended) = oneshot::channel();
        let (upstream, session) = (Rc::clone(upstream), Arc::clone(session));
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the client closed its stream"}}}}"#
        );
        // The task waits from the start, because nothing can be begun while it is dropped.
        tokio::task::spawn_local(async move {
            if is_ended.await.is_err()
                && let Err(problem) = upstream.notify(&session, message.into()).await
            {
                tracing::debug!(server = %upstream.server.slug, %problem, "a cancellation did not reach the server");
            }
        });
        Self(ended)
    }

    /// The answer is complete.
    pub(super) fn ended(self) {
        let _ = self.0.send(());
    }
}
