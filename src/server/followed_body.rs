//! A streamed answer that somebody follows to its end: the access log, and the record of a
//! call. What passes is not touched.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::body::{AnswerBody, BodyError};

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was there.
    Whole,
    /// It broke off.
    Cut,
    /// The client left before its end.
    Left,
}

/// Who follows an answer.
pub(super) trait Follower {
    /// A piece has passed.
    fn passed(&mut self, piece: &[u8]);
    /// Nothing comes any more.
    fn ended(self, end: End);
}

struct FollowedBody<F: Follower + Unpin> {
    body: AnswerBody,
    follower: Option<F>,
}

/// The response with its body followed.
pub(super) fn follow<F>(response: Response<AnswerBody>, follower: F) -> Response<AnswerBody>
where
    F: Follower + Unpin + 'static,
{
    response.map(|body| AnswerBody::Streamed(Box::pin(FollowedBody { body, follower: Some(follower) })))
}

impl<F: Follower + Unpin> FollowedBody<F> {
    fn end(&mut self, end: End) {
        if let Some(follower) = self.follower.take() {
            follower.ended(end);
        }
    }
}

impl<F: Follower + Unpin> Body for FollowedBody<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        match &frame {
            Poll::Pending => {}
            Poll::Ready(None) => this.end(End::Whole),
            Poll::Ready(Some(Err(_))) => this.end(End::Cut),
            Poll::Ready(Some(Ok(piece))) => {
                if let (Some(follower), Some(data)) = (&mut this.follower, piece.data_ref()) {
                    follower.passed(data);
                }
                if this.body.is_end_stream() {
                    this.end(End::Whole);
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: Follower + Unpin> Drop for FollowedBody<F> {
    fn drop(&mut self) {
        self.end(End::Left);
    }
}
