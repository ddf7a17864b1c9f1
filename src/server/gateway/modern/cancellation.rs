//! In the modern era a client cancels by closing its stream; a server of the legacy era wants
//! to be told. So whoever waits for such a server's answer holds one of these.

use std::rc::Rc;
use std::sync::Arc;

use hyper::header::HeaderMap;
use tokio::sync::oneshot;

use super::answering::Asked;
use crate::server::gateway::Gateway;
use crate::server::gateway::upstream::Upstream;
use crate::server::store::ServerRow;

/// Tells the server that its answer is not wanted any more, if it is dropped before
/// [`CancelOnDrop::ended`].
pub(super) struct CancelOnDrop(oneshot::Sender<()>);

impl CancelOnDrop {
    /// For a request to a server, with the id by which the server knows it. To be called on a worker's thread.
    pub(super) fn new(gateway: &Arc<Gateway>, asked: &Asked<'_>, server: &ServerRow, id: &str) -> Self {
        let (ended, is_ended) = oneshot::channel();
        let (gateway, caller) = (Arc::clone(gateway), Rc::clone(asked.caller));
        let (session, slug) = (Arc::clone(&asked.session), server.slug.clone());
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the client closed its stream"}}}}"#
        );
        // The task waits from the start, because nothing can be begun while it is dropped.
        tokio::task::spawn_local(async move {
            if is_ended.await.is_ok() {
                return;
            }
            // With the secrets as they are now.
            let Ok(Some(server)) = gateway.enabled_server(&caller.member, slug.as_str()).await else {
                return;
            };
            let told = match Upstream::open(&gateway, &caller, server, HeaderMap::new()) {
                Ok(upstream) => upstream.notify(&session, message.into()).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = told {
                tracing::debug!(server = %slug, %problem, "a cancellation did not reach the server");
            }
        });
        Self(ended)
    }

    /// The answer is complete.
    pub(super) fn ended(self) {
        let _ = self.0.send(());
    }
}
