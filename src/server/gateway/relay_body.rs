//! The body of an answer that a task of the gateway writes piece by piece. The task runs
//! while the body is read, waits while the client is slow, and ends with the body: a client
//! that leaves takes the upstream's connection with it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};

use crate::server::body::BodyError;

/// The answer broke off in a place where nothing can be put right any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(super) struct BrokenOff;

/// Where the task writes: room for one piece.
#[derive(Clone, Default)]
pub(super) struct Outlet(Rc<Cell<Option<Bytes>>>);

impl Outlet {
    /// Hands a piece to the client; waits until the one before was taken.
    pub(super) async fn send(&self, piece: impl Into<Bytes>) {
        let mut piece = Some(piece.into()).filter(|piece| !piece.is_empty());
        // The body polls the task each time it is asked, so nobody has to be woken here.
        poll_fn(|_| {
            let waiting = self.0.take();
            if waiting.is_some() && piece.is_some() {
                self.0.set(waiting);
                return Poll::Pending;
            }
            self.0.set(piece.take().or(waiting));
            Poll::Ready(())
        })
        .await;
    }
}

type Task = dyn Future<Output = Result<(), BrokenOff>>;

/// A body that a task writes.
pub(super) struct RelayBody {
    task: Option<Pin<Box<Task>>>,
    outlet: Outlet,
}

impl RelayBody {
    /// The body that `write` makes of the outlet it is given.
    pub(super) fn new<F>(write: impl FnOnce(Outlet) -> F) -> Self
    where
        F: Future<Output = Result<(), BrokenOff>> + 'static,
    {
        let outlet = Outlet::default();
        Self { task: Some(Box::pin(write(outlet.clone()))), outlet }
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let ended = match this.task.as_mut().map(|task| task.as_mut().poll(context)) {
            None => Some(Ok(())),
            Some(Poll::Pending) => None,
            Some(Poll::Ready(ended)) => {
                this.task = None;
                Some(ended)
            }
        };
        match (this.outlet.0.take(), ended) {
            (Some(piece), Some(Err(broken))) => {
                // The piece first, then the break.
                this.task = Some(Box::pin(std::future::ready(Err(broken))));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, Some(Ok(()))) => Poll::Ready(None),
            (None, Some(Err(broken))) => Poll::Ready(Some(Err(broken.into()))),
            (None, None) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_none_is_lost() {
        let body = RelayBody::new(|outlet| async move {
            for number in 0..100 {
                outlet.send(format!("{number},")).await;
                outlet.send("").await;
            }
            Ok(())
        });
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        assert_eq!(text, (0..100).map(|number| format!("{number},")).collect::<Vec<_>>().concat());
    }

    #[tokio::test]
    async fn a_break_comes_after_what_was_written() {
        let mut body = RelayBody::new(|outlet| async move {
            outlet.send("half").await;
            Err(BrokenOff)
        });
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
