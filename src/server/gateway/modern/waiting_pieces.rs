//! What a server goes on to say in a call whose client has to come back for it. A task keeps
//! the stream open and lets so much wait; then the server waits.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::CONTENT_TYPE;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::legacy_call::OpenCall;
use super::parked_calls::{Budget, Room};
use crate::server::body::{AnswerBody, BodyError};
use crate::server::gateway::Gateway;
use crate::server::gateway::relay::KEEP_ALIVE;
use crate::server::gateway::relay_body::BrokenOff;
use crate::server::gateway::watched_body::Standing;

/// Pieces of the server's stream that wait for the client.
const WAITING_PIECES: u32 = 8;
/// Bytes of one of them; a larger one counts as several, one that is larger than all as all.
const PIECE_SIZE: usize = 128 << 10;

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
    _room: Room,
    _permit: OwnedSemaphorePermit,
}

/// What waits.
pub(super) type Pieces = mpsc::UnboundedReceiver<Said>;

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
    let free = Arc::new(Semaphore::new(WAITING_PIECES as usize));
    let outlet = WaitingPieces { pieces, free, budget: call.wanted.budget().clone() };
    tokio::task::spawn_local(async move {
        tokio::select! {
            () = standing.lost() => {}
            () = outlet.pieces.closed() => {}
            _ = outlet.pass(answering) => {}
        }
    });
    waiting
}

/// Whether these are events, as far as the head says.
pub(super) fn is_event_stream(response: &Response<AnswerBody>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Where the pieces go in.
struct WaitingPieces {
    pieces: mpsc::UnboundedSender<Said>,
    free: Arc<Semaphore>,
    budget: Budget,
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
            if bytes != KEEP_ALIVE || self.free.available_permits() == WAITING_PIECES as usize {
                self.send(bytes).await?;
            }
        }
        if is_json {
            self.send(Bytes::from_static(b"\n\n")).await?;
        }
        Some(())
    }

    /// Lets a piece wait once those before it leave room; `None` when nobody will read it.
    async fn send(&self, bytes: Bytes) -> Option<()> {
        // It is held from now on, so it is counted from now on.
        let Some(room) = self.budget.room(bytes.len(), || !self.pieces.is_closed()) else {
            let _ = self.pieces.send(Said::TooMuch);
            return None;
        };
        let permits = permits_for(bytes.len());
        let permit = Arc::clone(&self.free).acquire_many_owned(permits).await.ok()?;
        self.pieces.send(Said::Piece(Piece { bytes, _room: room, _permit: permit })).ok()
    }
}

fn permits_for(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_SIZE)).unwrap_or(WAITING_PIECES).clamp(1, WAITING_PIECES)
}

/// A piece of a JSON document, of which line ends are no part but between its tokens.
fn in_one_line(piece: &[u8]) -> Bytes {
    piece.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outlet() -> (WaitingPieces, Pieces) {
        let (pieces, waiting) = mpsc::unbounded_channel();
        let free = Arc::new(Semaphore::new(WAITING_PIECES as usize));
        (WaitingPieces { pieces, free, budget: Budget::default() }, waiting)
    }

    fn zeros(length: usize) -> Bytes {
        vec![0; length].into()
    }

    #[tokio::test]
    async fn so_much_waits_and_then_the_server_does() {
        for (length, count) in [(1, 8), (PIECE_SIZE, 8), (PIECE_SIZE + 1, 4), (8 << 20, 1)] {
            let (outlet, mut waiting) = outlet();
            for _ in 0..count {
                assert!(outlet.send(zeros(length)).await.is_some(), "{length}");
            }
            let mut next = Box::pin(outlet.send(zeros(length)));
            assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err(), "{length}");
            let Some(Said::Piece(piece)) = waiting.recv().await else { panic!("a piece") };
            assert_eq!(piece.bytes.len(), length);
            drop(piece);
            assert!(next.await.is_some());
        }
    }

    #[tokio::test]
    async fn more_than_all_there_is_room_for_ends_it() {
        let (outlet, mut waiting) = outlet();
        let kept = outlet.budget.room(9 << 20, || true).unwrap();
        assert!(outlet.send(zeros(8 << 20)).await.is_none());
        assert!(matches!(waiting.recv().await, Some(Said::TooMuch)));
        drop(kept);
        assert!(outlet.send(zeros(8 << 20)).await.is_some());
    }

    #[test]
    fn line_ends_between_tokens() {
        assert_eq!(in_one_line(b"{\r\n\"a\": \"b c\"}\n"), "{  \"a\": \"b c\"} ");
    }
}
