//! What a server goes on to say in a call whose client has to come back for it. A task keeps
//! the stream open and lets so much wait; then the server waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::CONTENT_TYPE;
use tokio::sync::{Notify, mpsc};

use super::legacy_call::OpenCall;
use super::parked_calls::Room;
use super::wanted_input::WantedInput;
use crate::server::body::{AnswerBody, BodyError};
use crate::server::gateway::Gateway;
use crate::server::gateway::relay::KEEP_ALIVE;
use crate::server::gateway::relay_body::BrokenOff;
use crate::server::gateway::watched_body::Standing;

/// Pieces of the server's stream that may wait for the client.
const WAITING_PIECES: usize = 8;
/// Bytes of them, but for one that is larger by itself.
const WAITING_BYTES: usize = 1 << 20;

/// What has been said.
pub(super) enum Said {
    /// A piece of the stream.
    Piece(Piece),
    /// The stream broke off where nothing can be put right.
    BrokenOff,
    /// There was no room for what came next.
    TooMuch,
}

impl Said {
    /// As a frame of a body.
    pub(super) fn into_frame(self) -> Result<Frame<Bytes>, BodyError> {
        match self {
            Self::Piece(piece) => Ok(Frame::data(piece.bytes)),
            Self::BrokenOff | Self::TooMuch => Err(BrokenOff.into()),
        }
    }
}

/// A piece that is counted as long as it waits.
pub(super) struct Piece {
    /// As the server said it.
    bytes: Bytes,
    _room: Option<Room>,
    _counted: Counted,
}

/// What waits now.
#[derive(Default)]
struct Waiting {
    pieces: AtomicUsize,
    bytes: AtomicUsize,
    /// Told when a piece was taken.
    taken: Notify,
}

/// A piece of so many bytes among what waits.
struct Counted(Arc<Waiting>, usize);

impl Waiting {
    fn count(self: &Arc<Self>, bytes: usize) -> Counted {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Counted(Arc::clone(self), bytes)
    }

    fn is_empty(&self) -> bool {
        self.pieces.load(Ordering::Relaxed) == 0
    }

    fn is_full(&self) -> bool {
        self.pieces.load(Ordering::Relaxed) >= WAITING_PIECES
            || self.bytes.load(Ordering::Relaxed) >= WAITING_BYTES
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.pieces.fetch_sub(1, Ordering::Relaxed);
        self.0.bytes.fetch_sub(self.1, Ordering::Relaxed);
        self.0.taken.notify_one();
    }
}

/// What waits.
pub(super) struct Pieces {
    waiting: mpsc::UnboundedReceiver<Said>,
    now: Arc<Waiting>,
}

impl Pieces {
    /// The next one.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Said>> {
        self.waiting.poll_recv(context)
    }

    /// How many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        self.now.bytes.load(Ordering::Relaxed)
    }
}

/// What a server says, as events, while nobody reads it. Its stream is kept open until it ends,
/// the receiver is dropped, or the token is not accepted any more.
pub(super) fn waiting_pieces(
    gateway: &Arc<Gateway>,
    call: &OpenCall,
    answering: impl Future<Output = Response<AnswerBody>> + 'static,
) -> Pieces {
    let (pieces, waiting) = mpsc::unbounded_channel();
    let (project, in_use) = (Arc::clone(&gateway.project), Arc::clone(&gateway.in_use));
    let standing = Standing::new(project, in_use, call.member().clone(), None);
    let now = Arc::default();
    let outlet = WaitingPieces { pieces, now: Arc::clone(&now), wanted: Arc::clone(&call.wanted) };
    tokio::task::spawn_local(async move {
        tokio::select! {
            () = standing.lost() => {}
            () = outlet.pieces.closed() => {}
            _ = outlet.pass(answering) => {}
        }
    });
    Pieces { waiting, now }
}

/// Whether these are events, as far as the head says.
pub(super) fn is_event_stream(response: &Response<AnswerBody>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Where the pieces go in.
struct WaitingPieces {
    pieces: mpsc::UnboundedSender<Said>,
    now: Arc<Waiting>,
    wanted: Arc<WantedInput>,
}

impl WaitingPieces {
    /// Passes a stream on. Of several signs of life one is enough.
    async fn pass(&self, answering: impl Future<Output = Response<AnswerBody>>) -> Option<()> {
        let response = answering.await;
        let is_json = !is_event_stream(&response);
        let mut body = response.into_body();
        if is_json {
            self.send(Bytes::from_static(b"event: message\ndata: ")).await?;
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return self.pieces.send(Said::BrokenOff).ok() };
            let bytes = frame.into_data().unwrap_or_default();
            let bytes = if is_json { in_one_line(&bytes) } else { bytes };
            if bytes != KEEP_ALIVE || self.now.is_empty() {
                self.send(bytes).await?;
            }
        }
        if is_json {
            self.send(Bytes::from_static(b"\n\n")).await?;
        }
        Some(())
    }

    /// Lets a piece wait, and returns when another one may come; `None` when nobody will read it.
    async fn send(&self, bytes: Bytes) -> Option<()> {
        // While its client is there, its connection bounds it.
        let room = if self.wanted.is_parked() {
            let room = self.wanted.budget().room(bytes.len(), || !self.pieces.is_closed());
            if room.is_none() {
                let _ = self.pieces.send(Said::TooMuch);
                return None;
            }
            room
        } else {
            None
        };
        // All that is held goes with the receiver.
        let counted = self.now.count(bytes.len());
        self.pieces.send(Said::Piece(Piece { bytes, _room: room, _counted: counted })).ok()?;
        while self.now.is_full() {
            self.now.taken.notified().await;
        }
        Some(())
    }
}

/// A piece of a JSON document, of which line ends are no part but between its tokens.
fn in_one_line(piece: &[u8]) -> Bytes {
    piece.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::server::gateway::modern::parked_calls::Budget;

    fn outlet() -> (WaitingPieces, Pieces) {
        let (pieces, waiting) = mpsc::unbounded_channel();
        let (now, budget) = (Arc::<Waiting>::default(), Budget::default());
        let wanted = Arc::new(WantedInput::new("tools/call", &json!({"roots": {}}), budget));
        assert!(wanted.park(0));
        (WaitingPieces { pieces, now: Arc::clone(&now), wanted }, Pieces { waiting, now })
    }

    async fn next(waiting: &mut Pieces) -> Option<Said> {
        std::future::poll_fn(|context| waiting.poll_next(context)).await
    }

    fn zeros(length: usize) -> Bytes {
        vec![0; length].into()
    }

    #[tokio::test]
    async fn so_much_waits_and_then_the_server_does() {
        for (length, count) in [(1, 8), (WAITING_BYTES / 4, 4), (WAITING_BYTES / 4 + 1, 4), (8 << 20, 1)] {
            let (outlet, mut waiting) = outlet();
            for _ in 1..count {
                assert!(outlet.send(zeros(length)).await.is_some(), "{length}");
            }
            let mut last = Box::pin(outlet.send(zeros(length)));
            assert!(tokio::time::timeout(Duration::ZERO, &mut last).await.is_err(), "{length}");
            for _ in 0..count {
                let Some(Said::Piece(piece)) = next(&mut waiting).await else { panic!("a piece") };
                assert_eq!(piece.bytes.len(), length);
            }
            assert!(last.await.is_some() && outlet.now.is_empty() && waiting.bytes() == 0);
        }
    }

    #[tokio::test]
    async fn what_waits_goes_with_who_reads_it() {
        let (outlet, waiting) = outlet();
        assert!(tokio::time::timeout(Duration::ZERO, outlet.send(zeros(8 << 20))).await.is_err());
        assert!(outlet.wanted.budget().room(9 << 20, || true).is_none());
        drop(waiting);
        assert!(outlet.wanted.budget().room(16 << 20, || true).is_some());
        assert!(outlet.send(zeros(1)).await.is_none());
    }

    #[tokio::test]
    async fn more_than_all_there_is_room_for_ends_it() {
        let (outlet, mut waiting) = outlet();
        let kept = outlet.wanted.budget().room(9 << 20, || true).unwrap();
        assert!(outlet.send(zeros(8 << 20)).await.is_none());
        assert!(matches!(next(&mut waiting).await, Some(Said::TooMuch)));
        drop(kept);
        let _ = tokio::time::timeout(Duration::ZERO, outlet.send(zeros(8 << 20))).await;
        assert!(matches!(next(&mut waiting).await, Some(Said::Piece(_))));
    }

    #[tokio::test]
    async fn while_the_client_is_there_nothing_is_refused() {
        let (outlet, mut waiting) = outlet();
        let kept = outlet.wanted.budget().room(15 << 20, || true).unwrap();
        outlet.wanted.unpark();
        let _ = tokio::time::timeout(Duration::ZERO, outlet.send(zeros(8 << 20))).await;
        assert!(outlet.wanted.holds(8 << 20) && waiting.bytes() == 8 << 20);
        // It is counted when the call waits again.
        assert!(!outlet.wanted.park(waiting.bytes()));
        drop(kept);
        outlet.wanted.unpark();
        assert!(!outlet.wanted.park(waiting.bytes() + 1), "8 MiB of a message that has not ended besides");
        outlet.wanted.unpark();
        assert!(outlet.wanted.park(waiting.bytes()) && !outlet.wanted.holds((8 << 20) + 1));
        assert!(matches!(next(&mut waiting).await, Some(Said::Piece(_))));
    }

    #[test]
    fn line_ends_between_tokens() {
        assert_eq!(in_one_line(b"{\r\n\"a\": \"b c\"}\n"), "{  \"a\": \"b c\"} ");
    }
}
