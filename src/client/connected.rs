//! Notes that a connection is up, TLS and a proxy's tunnel included: before that nothing was
//! sent, whatever becomes of the request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

/// Whether there was a connection. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Connected(Arc<AtomicBool>);

impl Connected {
    /// Whether there was one.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S> Layer<S> for Connected {
    type Service = NotingConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        NotingConnector { inner, connected: self.clone() }
    }
}

/// A connector that notes its success.
#[derive(Debug, Clone)]
pub(super) struct NotingConnector<S> {
    inner: S,
    connected: Connected,
}

impl<S, R> Service<R> for NotingConnector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let (connecting, connected) = (self.inner.call(to), self.connected.clone());
        Box::pin(async move {
            let connection = connecting.await?;
            connected.0.store(true, Ordering::SeqCst);
            Ok(connection)
        })
    }
}
