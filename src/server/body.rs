//! Bodies: reading a request's within its limits, and the two kinds of answer's.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Instant;

/// How much of a body over the limit is read and thrown away, so that its sender gets to
/// read the refusal instead of a reset connection. Bytes.
const DISCARD_LIMIT: usize = 32 << 20;
/// How long a body may take, whatever its size.
const READ_TIME: Duration = Duration::from_mins(1);
/// How long it may take when nothing of it comes.
const FIRST_READ_TIME: Duration = Duration::from_secs(10);
/// Each piece of so many bytes gives it a second more: who sends slower is given up.
const BYTES_A_SECOND: usize = 4096;

/// How long the next piece of a body may take that says itself that it is too long.
const OVERSIZE_TIME: Duration = Duration::from_secs(1);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyProblem {
    /// Over the limit.
    TooLarge,
    /// Cut off, or too slow.
    Broken,
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// [`BodyProblem`]; a body over the limit is read on and forgotten up to a bound.
pub(super) async fn read_limited<B>(body: B, limit: usize) -> Result<Bytes, BodyProblem>
where
    B: Body<Data = Bytes> + Unpin,
{
    collect(body, limit, Instant::now()).await
}

/// When a body of which so much has come must be there or have brought more.
fn deadline(start: Instant, total: usize) -> Instant {
    let earned = Duration::from_secs((total / BYTES_A_SECOND) as u64);
    start + READ_TIME.min(FIRST_READ_TIME + earned)
}

async fn collect<B>(mut body: B, limit: usize, start: Instant) -> Result<Bytes, BodyProblem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut kept: Vec<u8> = Vec::new();
    let mut first = Bytes::new();
    let mut total = 0_usize;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    loop {
        let mut until = deadline(start, total);
        let is_too_long = announced > limit || total > limit;
        if is_too_long {
            // Its sender need not be waited for.
            until = until.min(Instant::now() + OVERSIZE_TIME);
        }
        let read = tokio::time::timeout_at(until, body.frame()).await;
        if is_too_long && !matches!(read, Ok(Some(_))) {
            return Err(BodyProblem::TooLarge);
        }
        let Some(frame) = read.map_err(|_| BodyProblem::Broken)? else { break };
        let Ok(data) = frame.map_err(|_| BodyProblem::Broken)?.into_data() else { continue };
        total += data.len();
        if total > limit {
            kept = Vec::new();
            if total > limit + DISCARD_LIMIT {
                return Err(BodyProblem::TooLarge);
            }
        } else if kept.is_empty() && first.is_empty() {
            first = data;
        } else {
            if kept.is_empty() {
                kept.extend_from_slice(&first);
            }
            kept.extend_from_slice(&data);
        }
    }
    if total > limit {
        return Err(BodyProblem::TooLarge);
    }
    Ok(if kept.is_empty() { first } else { kept.into() })
}

/// A body broke off before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body broke off before its end")]
pub(super) struct BodyBroken;

/// The body of an answer.
pub(super) enum AnswerBody {
    /// Made here, whole.
    Whole(Full<Bytes>),
    /// Comes from elsewhere, piece by piece.
    Streamed(Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>),
}

/// Why a body that comes from elsewhere broke off. The client's connection is closed for it.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl AnswerBody {
    /// A body of these bytes.
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }

    /// The bytes of a body that was made here.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let Self::Whole(body) = self else { return None };
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut body.clone()).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => Some(Bytes::new()),
        }
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self::of(Bytes::new())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Streamed(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limit_is_exact() {
        let read = async |size: usize| read_limited(Full::new(Bytes::from(vec![b'x'; size])), 100).await;
        assert_eq!(read(100).await.map(|bytes| bytes.len()), Ok(100));
        assert_eq!(read(101).await, Err(BodyProblem::TooLarge));
        assert_eq!(read(0).await.map(|bytes| bytes.len()), Ok(0));
    }

    #[test]
    fn time_is_earned_by_bytes_up_to_a_minute() {
        let start = Instant::now();
        let seconds = |total| (deadline(start, total) - start).as_secs();
        assert_eq!((seconds(0), seconds(4095), seconds(8192), seconds(16 << 20)), (10, 10, 12, 60));
    }
}
