//! The filter on one stream: pieces in, pieces out. What may be the beginning of a match
//! is held back until it is known; everything else leaves with the piece it came in.

use std::rc::Rc;

use hyper::body::Bytes;
use zeroize::Zeroizing;

use super::escapes::Escapes;
use super::reader::{Reader, Span};
use super::secrets::Secrets;

/// What stands in a secret's place.
pub(super) const MARKER: &[u8] = b"[redacted]";
/// Readings in progress that are borne, and so many more for each pattern. Only a text made for
/// it, on a secret of one repeated piece, has more.
const MOST_READINGS: usize = 256;
/// More for each pattern.
const MORE_READINGS: usize = 4;

/// The stream cannot be filtered within the bounds; nothing more may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be filtered within bounds")]
pub struct Unfilterable;

/// Takes secrets out of a stream of bytes.
pub struct Filter {
    secrets: Rc<Secrets>,
    reader: Reader,
    /// What came in and may not go out yet.
    held: Zeroizing<Vec<u8>>,
    /// Place of the first byte that has not gone out.
    place: u64,
    /// End of the last match that went out as a marker.
    covered: u64,
}

impl Filter {
    /// A filter for a stream that begins.
    pub fn new(secrets: Rc<Secrets>) -> Self {
        Self { secrets, reader: Reader::default(), held: Zeroizing::default(), place: 0, covered: 0 }
    }

    /// Takes a piece; the answer is what may go out.
    ///
    /// # Errors
    /// [`Unfilterable`]; the stream must end here.
    pub fn push(&mut self, piece: &Bytes) -> Result<Bytes, Unfilterable> {
        if piece.is_empty() {
            return Ok(Bytes::new());
        }
        if self.held.is_empty() {
            self.scan(piece, 0)?;
            let free = self.free(piece);
            self.held.extend_from_slice(&piece[free..]);
            if self.is_clear() {
                self.place += free as u64;
                return Ok(piece.slice(..free));
            }
            return Ok(self.release(piece, free));
        }
        let mut held = std::mem::take(&mut self.held);
        let read = held.len();
        held.extend_from_slice(piece);
        self.scan(&held, read)?;
        let free = self.free(&held);
        let out = self.release(&held, free);
        held.drain(..free);
        self.held = held;
        Ok(out)
    }

    /// The stream has ended: the rest goes out.
    pub fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        self.reader.stop();
        self.release(&held, held.len())
    }

    /// How many bytes are held back.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Reads the text from `at` on; the text begins at the stream's place.
    fn scan(&mut self, text: &[u8], mut at: usize) -> Result<(), Unfilterable> {
        let starts = self.secrets.starts();
        let most = MOST_READINGS + MORE_READINGS * self.secrets.pattern_count();
        while at < text.len() {
            if self.reader.is_idle() {
                at = starts.next_candidate(text, at);
            }
            let Some(byte) = text.get(at) else { break };
            let before = at.checked_sub(1).map(|index| text[index]);
            let around = (before, *byte, text.get(at + 1).copied());
            self.reader.read(&self.secrets, around, self.place + at as u64);
            if self.reader.in_progress() > most {
                return Err(Unfilterable);
            }
            at += 1;
        }
        Ok(())
    }

    /// How much of the text, all of which was read, is no beginning of a match.
    fn free(&self, text: &[u8]) -> usize {
        let begins = text.last().is_some_and(|last| self.secrets.starts().begins(*last));
        let free = text.len() - usize::from(begins);
        let oldest = self.reader.oldest().map(|start| start.saturating_sub(self.place));
        let oldest = oldest.and_then(|oldest| usize::try_from(oldest).ok());
        // An escape goes as a whole, should a match begin within it. So what is held begins with none that
        // has begun before, and its backslashes can be counted.
        Escapes::of(text).begin_of(oldest.map_or(free, |oldest| oldest.min(free)))
    }

    fn is_clear(&self) -> bool {
        self.reader.found.is_empty() && self.covered <= self.place
    }

    /// Lets so many bytes of the text go, which begins at the stream's place, with a marker for each
    /// match that begins in them.
    fn release(&mut self, text: &[u8], free: usize) -> Bytes {
        let (from, end) = (self.place, self.place + free as u64);
        self.place = end;
        let index = |place: u64| usize::try_from(place.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut out = Vec::with_capacity(free + MARKER.len());
        let kept = |from_place: u64, to_place: u64, out: &mut Vec<u8>| {
            if let Some(part) = text.get(index(from_place)..index(to_place)) {
                out.extend_from_slice(part);
            }
        };
        self.reader.found.sort_unstable();
        self.reader.found.dedup();
        let (mut starts, mut ends) = (Escapes::of(text), Escapes::of(text));
        let (mut at, mut later, mut last) = (from.max(self.covered), Vec::new(), None);
        for span in self.reader.found.drain(..) {
            if span.start >= end {
                later.push(span);
                continue;
            }
            let mut span_end = span.end;
            if span.is_secret {
                let start = from + starts.begin_of(index(span.start)) as u64;
                if start >= self.covered {
                    kept(at, start, &mut out);
                    out.extend_from_slice(MARKER);
                }
                let shorter = last.replace(span).filter(|last: &Span| last.start == span.start);
                let shorter = shorter.map(|shorter| index(shorter.end));
                span_end = from + ends.end_of(index(span.end), shorter) as u64;
            }
            self.covered = self.covered.max(span_end);
            at = at.max(self.covered);
        }
        self.reader.found = later;
        kept(at.min(end), end, &mut out);
        out.into()
    }
}
