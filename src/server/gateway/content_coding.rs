//! Upstreams that compress although they were asked not to (RFC 9110, section 8.4). Their
//! bytes are decoded as they come, a bounded piece at a time, so that a small body that
//! unpacks to a huge one costs no memory.

use std::io::Write;

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderMap};

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or what some servers take for it, RFC 1951.
    Deflate,
    /// One that is not read, or several.
    Other,
}

impl Coding {
    /// What the headers of an answer say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(value), None) = (named.next(), named.next()) else {
            return if headers.contains_key(CONTENT_ENCODING) { Self::Other } else { Self::Identity };
        };
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            _ => Self::Other,
        }
    }
}

/// The body does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;

impl From<std::io::Error> for Undecodable {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Decodes one body.
pub(super) struct Decoder {
    coding: Coding,
    inner: Option<Inner>,
    /// What came in and is not decoded yet.
    input: Bytes,
}

enum Inner {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
}

impl Decoder {
    /// For a body of this coding, which is not [`Coding::Identity`].
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, inner: None, input: Bytes::new() }
    }

    /// Takes the next piece, once [`Decoder::next_piece`] has no more of the one before.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.input = if self.input.is_empty() { piece } else { [&*self.input, &*piece].concat().into() };
    }

    /// Decodes some more; `None` when another piece is needed.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub(super) fn next_piece(&mut self) -> Result<Option<Bytes>, Undecodable> {
        while !self.input.is_empty() {
            let coding = self.coding;
            if self.inner.is_none() && coding == Coding::Deflate && self.input.len() < 2 {
                return Ok(None);
            }
            let input = &self.input;
            let made = if let Some(inner) = &mut self.inner {
                inner
            } else {
                self.inner.insert(Inner::new(coding, input)?)
            };
            let read = made.write(input)?;
            if read == 0 {
                // Something follows the end; nobody needs it.
                self.input.clear();
            }
            let _ = self.input.split_to(read);
            let out = made.take();
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }

    /// The body has ended: whether it was whole. One without a byte is.
    pub(super) fn finish(&mut self) -> Result<Bytes, Undecodable> {
        match &mut self.inner {
            None if self.input.is_empty() => Ok(Bytes::new()),
            None => Err(Undecodable),
            Some(inner) => {
                inner.finish()?;
                Ok(inner.take().into())
            }
        }
    }
}

impl Inner {
    fn new(coding: Coding, input: &[u8]) -> Result<Self, Undecodable> {
        match (coding, input) {
            (Coding::Gzip, _) => Ok(Self::Gzip(MultiGzDecoder::new(Vec::new()))),
            // The two bytes before a zlib stream: method 8, and a checksum of both.
            (Coding::Deflate, [method, flags, ..])
                if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31) =>
            {
                Ok(Self::Zlib(ZlibDecoder::new(Vec::new())))
            }
            (Coding::Deflate, _) => Ok(Self::Deflate(DeflateDecoder::new(Vec::new()))),
            _ => Err(Undecodable),
        }
    }

    /// Decodes at most some 64 KiB; how many bytes of the input that took.
    fn write(&mut self, input: &[u8]) -> std::io::Result<usize> {
        let writer: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
        };
        let read = writer.write(input)?;
        writer.flush()?;
        Ok(read)
    }

    fn finish(&mut self) -> std::io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        })
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

    fn coded(kind: &str, text: &[u8]) -> (Coding, Vec<u8>) {
        match kind {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                (Coding::Gzip, encoder.finish().unwrap())
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                (Coding::Deflate, encoder.finish().unwrap())
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                (Coding::Deflate, encoder.finish().unwrap())
            }
        }
    }

    fn decode(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
        let (mut decoder, mut out) = (Decoder::new(coding), Vec::new());
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(piece) = decoder.next_piece()? {
                assert!(piece.len() <= 128 << 10, "{}", piece.len());
                out.extend(piece);
            }
        }
        out.extend(decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn every_coding_at_every_split() {
        for kind in ["gzip", "zlib", "raw"] {
            let (coding, bytes) = coded(kind, TEXT.as_bytes());
            for split in 0..=bytes.len() {
                let out = decode(coding, &[&bytes[..split], &bytes[split..]]);
                assert_eq!(out.as_deref(), Ok(TEXT.as_bytes()), "{kind} {split}");
                if split > 0 && split < bytes.len() {
                    assert_eq!(decode(coding, &[&bytes[..split]]), Err(Undecodable), "{kind} cut at {split}");
                }
            }
            assert_eq!(decode(coding, &[]), Ok(Vec::new()));
            assert_eq!(decode(coding, &[b"not coded at all"]), Err(Undecodable));
        }
    }

    #[test]
    fn a_bomb_comes_in_bounded_pieces() {
        for kind in ["gzip", "zlib", "raw"] {
            let (coding, bytes) = coded(kind, &vec![b'x'; 8 << 20]);
            assert!(bytes.len() < 16 << 10);
            assert_eq!(decode(coding, &[&bytes]).map(|out| out.len()), Ok(8 << 20));
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut decoder = Decoder::new(Coding::Gzip);
        for _ in 0..3 {
            encoder.write_all(TEXT.as_bytes()).unwrap();
            encoder.flush().unwrap();
            decoder.push(std::mem::take(encoder.get_mut()).into());
            let mut out = Vec::new();
            while let Some(piece) = decoder.next_piece().unwrap() {
                out.extend(piece);
            }
            assert_eq!(out, TEXT.as_bytes());
        }
    }

    #[test]
    fn names() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            Coding::of(&headers)
        };
        assert_eq!([of(&[]), of(&["identity"]), of(&[""])], [Coding::Identity; 3]);
        assert_eq!([of(&["gzip"]), of(&["X-GZIP"])], [Coding::Gzip; 2]);
        assert_eq!(of(&["deflate"]), Coding::Deflate);
        assert_eq!([of(&["br"]), of(&["gzip, gzip"]), of(&["gzip", "gzip"])], [Coding::Other; 3]);
    }
}
