//! The body of an upstream's answer on its way to the client: each piece is passed on as
//! it comes, and nobody waits for the whole. It is decoded and the request's secrets are
//! taken out here, so that nothing behind this file sees other bytes. Reading it drives
//! the upstream's connection; when it ends cleanly the connection goes back to the pool.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};

use super::answer::SESSION_HEADER;
use super::connection::{Connection, PoolKey, UpstreamPool, can_rest, drive};
use super::content_coding::{Coding, Decoder};
use super::in_use::Lease;
use super::later_secrets::LaterSecrets;
use super::redaction::{Filter, Secrets, Unfilterable, redact_headers};
use crate::server::body::BodyBroken;

/// An upstream's answer. Dropping it before its end closes the upstream's connection.
pub(super) struct UpstreamBody {
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Rc<UpstreamPool>,
    key: PoolKey,
    treatment: Option<Treatment>,
    on_change: OnChange,
    /// Came in when other secrets were in use than are filtered for.
    waiting: Option<Bytes>,
    ended: bool,
}

/// What happens when other secrets of the server are used.
pub(super) enum OnChange {
    /// It ends.
    End(Lease),
    /// It is filtered for those, too.
    Filter(LaterSecrets),
}

impl OnChange {
    /// Whether other secrets are in use than when it was looked last.
    fn has_to_be_looked_at(&self) -> bool {
        match self {
            Self::End(lease) => lease.is_over(),
            Self::Filter(later) => later.is_behind(),
        }
    }
}

impl UpstreamBody {
    /// `treatment` comes from [`treat_head`].
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: Rc<UpstreamPool>,
        key: PoolKey,
        treatment: Option<Treatment>,
        on_change: OnChange,
    ) -> Self {
        let (connection, waiting) = (Some(connection), None);
        Self { incoming, connection, pool, key, treatment, on_change, waiting, ended: false }
    }

    /// Whether it ended because other secrets of the server are in use.
    pub(super) fn is_outdated(&self) -> bool {
        match &self.on_change {
            OnChange::End(lease) => lease.is_over(),
            OnChange::Filter(later) => later.is_lost(),
        }
    }

    /// Ready when it can be read on.
    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyBroken>> {
        match &mut self.on_change {
            OnChange::End(lease) => {
                Poll::Ready(if lease.poll_over(context) { Err(BodyBroken) } else { Ok(()) })
            }
            OnChange::Filter(later) => Poll::Ready(later.catch_up()),
        }
    }

    /// A piece on its way out; `None` if nothing of it can go out yet.
    fn outgoing(&mut self, piece: Bytes) -> Result<Option<Frame<Bytes>>, BodyBroken> {
        let piece = match &mut self.on_change {
            OnChange::End(_) => piece,
            OnChange::Filter(later) => later.filtered(piece)?,
        };
        Ok(Some(piece).filter(|piece| !piece.is_empty()).map(Frame::data))
    }

    /// The last piece, if there is one.
    fn last(&mut self) -> Option<Result<Frame<Bytes>, BodyBroken>> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        match &mut self.on_change {
            OnChange::End(_) => None,
            OnChange::Filter(later) => {
                later.finish().map(|rest| (!rest.is_empty()).then(|| Frame::data(rest))).transpose()
            }
        }
    }

    fn finish(&mut self, context: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take()
            && can_rest(&mut connection, context)
        {
            self.pool.put(self.key.clone(), connection);
        }
    }

    /// The next piece as the upstream sent it.
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyBroken>>> {
        loop {
            if let Some(connection) = &mut self.connection
                && drive(connection, context)
            {
                self.connection = None;
            }
            let frame = Pin::new(&mut self.incoming).poll_frame(context);
            match &frame {
                Poll::Ready(None) => self.finish(context),
                Poll::Ready(Some(Ok(_))) if self.incoming.is_end_stream() => self.finish(context),
                _ => {}
            }
            return match frame {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(BodyBroken))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers are not passed on.
                    Err(_) => continue,
                },
            };
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        let this = self.get_mut();
        loop {
            if std::task::ready!(this.poll_change(context)).is_err() {
                this.connection = None;
                return Poll::Ready(Some(Err(BodyBroken)));
            }
            if let Some(treatment) = &mut this.treatment
                && let Some(piece) = treatment.next_piece().transpose()
            {
                match this.outgoing(piece?)? {
                    Some(frame) => return Poll::Ready(Some(Ok(frame))),
                    None => continue,
                }
            }
            let piece = match this.waiting.take() {
                Some(piece) => Some(piece),
                None => std::task::ready!(this.poll_incoming(context)).transpose()?,
            };
            if this.on_change.has_to_be_looked_at() {
                // It may have been sent after other secrets were.
                this.waiting = piece;
                continue;
            }
            match (&mut this.treatment, piece) {
                (None, Some(piece)) => {
                    if let Some(frame) = this.outgoing(piece)? {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                (None, None) => return Poll::Ready(this.last()),
                (Some(treatment), Some(piece)) => treatment.push(piece),
                (Some(treatment), None) if treatment.ended => return Poll::Ready(this.last()),
                (Some(treatment), None) => treatment.end()?,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let filters = matches!(&self.on_change, OnChange::Filter(later) if later.filters());
        self.incoming.is_end_stream()
            && self.treatment.as_ref().is_none_or(|treatment| treatment.ended && treatment.out.is_none())
            && (self.ended || !filters)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// What is done to the bytes of a body.
pub(super) struct Treatment {
    decoder: Option<Decoder>,
    filter: Option<Filter>,
    /// Came in and was not treated, if nothing has to be decoded.
    input: Option<Bytes>,
    /// The rest, to go out.
    out: Option<Bytes>,
    ended: bool,
}

/// Prepares an answer's headers for what is going to happen to its body, and takes the
/// secrets out of them. The upstream's session id alone stays: it goes back to nobody but
/// the upstream.
///
/// # Errors
/// [`Unfilterable`].
pub(super) fn treat_head(
    headers: &mut HeaderMap,
    secrets: Option<&Rc<Secrets>>,
) -> Result<Option<Treatment>, Unfilterable> {
    let coding = Coding::of(headers);
    if let Some(secrets) = secrets {
        redact_headers(secrets, headers, |name| name == SESSION_HEADER)?;
    }
    headers.remove(CONTENT_ENCODING);
    if coding == Coding::Identity && secrets.is_none() {
        return Ok(None);
    }
    headers.remove(CONTENT_LENGTH);
    let decoder = (coding != Coding::Identity).then(|| Decoder::new(coding));
    let filter = secrets.map(|secrets| Filter::new(Rc::clone(secrets)));
    Ok(Some(Treatment { decoder, filter, input: None, out: None, ended: false }))
}

impl Treatment {
    fn push(&mut self, piece: Bytes) {
        match &mut self.decoder {
            Some(decoder) => decoder.push(piece),
            None => self.input = Some(piece),
        }
    }

    /// What can go out now.
    fn next_piece(&mut self) -> Result<Option<Bytes>, BodyBroken> {
        loop {
            if let Some(out) = self.out.take().filter(|out| !out.is_empty()) {
                return Ok(Some(out));
            }
            let decoded = match &mut self.decoder {
                Some(decoder) => decoder.next_piece().map_err(|_| BodyBroken)?,
                None => self.input.take(),
            };
            let Some(decoded) = decoded else { return Ok(None) };
            self.out = Some(self.filtered(&decoded)?);
        }
    }

    fn filtered(&mut self, piece: &Bytes) -> Result<Bytes, BodyBroken> {
        match &mut self.filter {
            Some(filter) => filter.push(piece).map_err(|_| BodyBroken),
            None => Ok(piece.clone()),
        }
    }

    /// Nothing more comes in.
    fn end(&mut self) -> Result<(), BodyBroken> {
        self.ended = true;
        let last = match &mut self.decoder {
            Some(decoder) => decoder.finish().map_err(|_| BodyBroken)?,
            None => Bytes::new(),
        };
        let mut out = self.filtered(&last)?;
        if let Some(filter) = &mut self.filter {
            out = [out, filter.finish()].concat().into();
        }
        self.out = Some(out);
        Ok(())
    }
}
