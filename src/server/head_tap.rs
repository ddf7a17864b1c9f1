//! Looks at request heads as they come from the socket. The HTTP library has made up its
//! mind before we see a request: it takes `Content-Length` with `Transfer-Encoding` and
//! lines that end in a bare LF. Both can be read in two ways by two programs (RFC 9112,
//! sections 2.2 and 6.3), so both are refused here. And it takes heads of almost twice the
//! length that it is told.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::ApiError;
use crate::api::error::ErrorCode;

/// Longest head of a request, in bytes, from the request line to the empty line.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// What came in since the end of the last request.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// Bytes of the running request's body that are still to come.
    body_left: u64,
    /// After a body without a known length nothing more is looked at: the connection closes.
    done: bool,
}

impl Seen {
    fn take_in(&mut self, piece: &[u8]) {
        if self.done {
            return;
        }
        let skipped = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(piece.len());
        self.body_left -= skipped as u64;
        self.bytes.extend_from_slice(&piece[skipped..]);
    }
}

/// A socket whose incoming bytes are looked at.
pub(super) struct HeadTap<S> {
    socket: S,
    seen: Rc<RefCell<Seen>>,
}

/// The other end: asked once for each request.
#[derive(Clone)]
pub(super) struct Heads(Rc<RefCell<Seen>>);

impl<S> HeadTap<S> {
    pub(super) fn new(socket: S) -> (Self, Heads) {
        let seen = Rc::new(RefCell::new(Seen::default()));
        (Self { socket, seen: Rc::clone(&seen) }, Heads(seen))
    }
}

impl Heads {
    /// Checks the head of the request that has just been read; whether the connection may
    /// take another one after it.
    pub(super) fn check(&self) -> Result<bool, ApiError> {
        let mut seen = self.0.borrow_mut();
        if seen.done {
            return Ok(false);
        }
        let start = seen.bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or_default();
        let length = head_length(&seen.bytes[start..]);
        if length > HEAD_BYTES {
            seen.done = true;
            let message = format!("the request's head is over {} KiB", HEAD_BYTES / 1024);
            return Err(ApiError::new(ErrorCode::TooLarge, message)
                .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let head = Head::read(&seen.bytes[start..start + length]);
        let rest = seen.bytes.split_off(start + length);
        seen.bytes.clear();
        if head.bare_line_feed || (head.has_encoding && head.content_length.is_some()) {
            seen.done = true;
            return Err(ApiError::invalid_request(
                "the request can be read in two ways (both lengths, or a bare line feed)",
            ));
        }
        seen.done = head.has_encoding;
        seen.body_left = head.content_length.unwrap_or_default();
        seen.take_in(&rest);
        Ok(!seen.done)
    }
}

/// Bytes up to the empty line, it included; all of them if there is none.
fn head_length(bytes: &[u8]) -> usize {
    let after = |at: usize| &bytes[at + 1..];
    let ends = |at: &usize| {
        bytes[*at] == b'\n' && (after(*at).starts_with(b"\n") || after(*at).starts_with(b"\r\n"))
    };
    let end = (0..bytes.len()).find(ends);
    end.map_or(bytes.len(), |at| at + 1 + if bytes[at + 1] == b'\n' { 1 } else { 2 })
}

struct Head {
    content_length: Option<u64>,
    has_encoding: bool,
    bare_line_feed: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Self {
        let mut head = Self { content_length: None, has_encoding: false, bare_line_feed: false };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            head.bare_line_feed |= line.ends_with(b"\n") && !line.ends_with(b"\r\n");
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = line[..colon].trim_ascii();
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                head.has_encoding = true;
            } else if name.eq_ignore_ascii_case(b"content-length") {
                let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).unwrap_or_default();
                head.content_length = Some(value.parse().unwrap_or_default());
            }
        }
        head
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadTap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.seen.borrow_mut().take_in(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadTap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads_of(stream: &[u8], piece: usize) -> Vec<Result<bool, ()>> {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let heads = Heads(Rc::clone(&seen));
        // As the HTTP library does it: a request is handed over once its head is complete.
        let mut answers = Vec::new();
        for bytes in stream.chunks(piece) {
            seen.borrow_mut().take_in(bytes);
            while head_is_whole(&seen.borrow().bytes) {
                answers.push(heads.check().map_err(|_| ()));
            }
        }
        answers
    }

    fn head_is_whole(bytes: &[u8]) -> bool {
        bytes.windows(4).any(|window| window == b"\r\n\r\n")
            || bytes.windows(2).any(|window| window == b"\n\n")
    }

    #[test]
    fn keeps_its_place_over_many_requests_in_pieces_of_any_size() {
        let two =
            b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n\r\n\r\nabcdGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let bad = b"GET / HTTP/1.1\r\ncontent-LENGTH: 0\r\nTransfer-Encoding: chunked\r\n\r\n";
        let stream = [&two[..], &two[..], &bad[..]].concat();
        for piece in 1..=stream.len() {
            let expected = [Ok(true), Ok(true), Ok(true), Ok(true), Err(())];
            assert_eq!(heads_of(&stream, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn bare_line_feeds_and_encodings() {
        assert_eq!(heads_of(b"GET / HTTP/1.1\nHost: a\n\n", 99), [Err(())]);
        assert_eq!(heads_of(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 99), [Err(())]);
        assert_eq!(heads_of(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 99), [Ok(false)]);
        assert_eq!(heads_of(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 99), [Ok(true)]);
    }
}
