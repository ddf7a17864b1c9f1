//! The body of an upstream's answer on its way to the client: each piece is passed on as
//! it comes, and nobody waits for the whole. Reading it drives the upstream's
//! connection; when it ends cleanly the connection goes back to the pool.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::connection::{Connection, PoolKey, UpstreamPool, can_rest, drive};

/// An upstream's answer. Dropping it before its end closes the upstream's connection.
pub(super) struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Rc<UpstreamPool>,
    key: PoolKey,
}

impl UpstreamBody {
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: Rc<UpstreamPool>,
        key: PoolKey,
    ) -> Self {
        Self { incoming, connection: Some(connection), pool, key }
    }

    fn finish(&mut self, context: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take()
            && can_rest(&mut connection, context)
        {
            self.pool.put(self.key.clone(), connection);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(connection) = &mut this.connection
            && drive(connection, context)
        {
            this.connection = None;
        }
        let frame = Pin::new(&mut this.incoming).poll_frame(context);
        match &frame {
            Poll::Ready(None) => this.finish(context),
            Poll::Ready(Some(Ok(_))) if this.incoming.is_end_stream() => this.finish(context),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
