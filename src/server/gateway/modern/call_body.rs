//! The answer to a call at a server of the older era on its way to a client of the modern one.
//! When the server asks for something, the client's answer ends with that, and the server's
//! stream is kept open elsewhere until the client comes back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::legacy_call::OpenCall;
use super::parked_calls::{ParkedCall, Timer};
use super::progress_token::ProgressTokens;
use super::result_type::Marker;
use super::waiting_pieces::{Pieces, Said, is_event_stream, waiting_pieces};
use crate::server::body::{AnswerBody, BodyError};
use crate::server::gateway::Gateway;
use crate::server::gateway::event_splitter::{EventEnds, event};
use crate::server::gateway::problem::{INTERNAL_ERROR, UpstreamProblem, rpc_error, upstream_error};
use crate::server::gateway::watched_body::MindsItsServer;

/// How long the client may take to come back.
pub(super) const ANSWER_TIME: Duration = Duration::from_mins(10);

/// Where the server's stream comes from.
enum Source {
    /// It is written here.
    Here(AnswerBody),
    /// A task keeps it open.
    Kept(Pieces),
}

/// A body whose results are marked.
pub(super) struct CallBody {
    gateway: Arc<Gateway>,
    /// `None` when nothing more comes.
    source: Option<Source>,
    is_events: bool,
    ends: EventEnds,
    marker: Marker,
    progress: Option<ProgressTokens>,
    call: Option<OpenCall>,
    client_id: String,
}

impl CallBody {
    fn new(gateway: &Arc<Gateway>, source: Source, is_events: bool, call: OpenCall, client_id: &str) -> Self {
        let marker = Marker::for_modern(is_events, call.members, &call.own_id, client_id);
        let (gateway, client_id) = (Arc::clone(gateway), client_id.to_owned());
        let (source, call) = (Some(source), Some(call));
        let ends = EventEnds::default();
        Self { gateway, source, is_events, ends, marker, progress: None, call, client_id }
    }

    /// The server's answer as the client is to see it.
    pub(super) fn wrap(
        gateway: &Arc<Gateway>,
        response: Response<AnswerBody>,
        call: OpenCall,
        client_id: &str,
    ) -> Response<AnswerBody> {
        let is_events = is_event_stream(&response);
        response.map(|body| {
            if let Some(bytes) = body.whole() {
                let mut marker = Marker::for_modern(is_events, call.members, &call.own_id, client_id);
                call.ended();
                return AnswerBody::of(marker.push(&bytes));
            }
            let body = Self::new(gateway, Source::Here(body), is_events, call, client_id);
            AnswerBody::Streamed(Box::pin(body))
        })
    }

    /// What the server goes on to say in a call that waited for the client.
    pub(super) fn resumed(
        gateway: &Arc<Gateway>,
        pieces: Pieces,
        call: OpenCall,
        client_id: &str,
        progress_token: Option<String>,
    ) -> Response<AnswerBody> {
        let progress = ProgressTokens::new(call.progress_token.as_ref(), progress_token);
        let body = Self::new(gateway, Source::Kept(pieces), true, call, client_id);
        let body = Self { progress, ..body };
        let mut response = Response::new(AnswerBody::Streamed(Box::pin(body)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.extensions_mut().insert(MindsItsServer);
        response
    }

    /// Whether the server asks for something that the client has to be told now, between events.
    fn has_to_ask(&self, context: &mut Context<'_>) -> bool {
        let call = self.call.as_ref().filter(|_| self.is_events && self.ends.are_reached());
        call.is_some_and(|call| call.wanted.poll_untold(context).is_ready())
    }

    /// Ends the client's answer with what the server asks for.
    fn ask(&mut self) -> Option<Bytes> {
        let (source, call) = (self.source.take()?, self.call.take()?);
        let pieces = match source {
            Source::Kept(pieces) => pieces,
            Source::Here(body) => {
                let mut response = Response::new(body);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                waiting_pieces(&self.gateway, &call, std::future::ready(response))
            }
        };
        Some(event(&park(&self.gateway, call, pieces, &self.client_id)).into())
    }

    /// A piece as the client is to see it.
    fn piece(&mut self, piece: Bytes) -> Bytes {
        if self.call.as_ref().is_some_and(|call| call.wanted.can_be()) {
            self.ends.pass(&piece);
        }
        let piece = match &self.progress {
            Some(progress) => progress.translated(piece),
            None => piece,
        };
        self.marker.push(&piece)
    }

    /// The last event of a call of which no more could be kept.
    fn given_up(&mut self) -> Bytes {
        self.source = None;
        // Its end tells the server.
        let call = self.call.take();
        let slug = call.as_ref().map(|call| call.server().slug()).unwrap_or_default();
        event(&upstream_error(&self.client_id, slug, UpstreamProblem::TooMuch)).into()
    }

    fn ended(&mut self) {
        if let Some(call) = self.call.take() {
            call.ended();
        }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            None => return Poll::Ready(None),
            Some(Source::Here(body)) => Pin::new(body).poll_frame(context),
            Some(Source::Kept(pieces)) => match pieces.poll_next(context) {
                Poll::Ready(Some(Said::TooMuch)) if this.ends.are_reached() => {
                    return Poll::Ready(Some(Ok(Frame::data(this.given_up()))));
                }
                said => said.map(|said| said.map(Said::into_frame)),
            },
        };
        match frame {
            Poll::Pending if this.has_to_ask(context) => {
                Poll::Ready(this.ask().map(|last| Ok(Frame::data(last))))
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => {
                let is_last = matches!(&this.source, Some(Source::Here(body)) if body.is_end_stream());
                let frame = frame.map(|frame| frame.map(|frame| frame.map_data(|data| this.piece(data))));
                if frame.is_none() || is_last {
                    this.ended();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            None => true,
            Some(Source::Here(body)) => body.is_end_stream(),
            Some(Source::Kept(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Lets a call wait for its client: the answer that its request gets, a JSON-RPC message.
pub(super) fn park(gateway: &Arc<Gateway>, call: OpenCall, pieces: Pieces, client_id: &str) -> Vec<u8> {
    if !call.wanted.park(pieces.bytes()) {
        return upstream_error(client_id, call.server().slug(), UpstreamProblem::TooMuch);
    }
    let requests = call.wanted.tell();
    let Ok(state) = gateway.parked.park(ParkedCall { call, pieces, timer: None }) else {
        return rpc_error(client_id, INTERNAL_ERROR, "the system gives no random bytes; try again");
    };
    let result =
        format!(r#"{{"resultType":"input_required","inputRequests":{requests},"requestState":"{state}"}}"#);
    let (own, of_timer) = (Arc::clone(gateway), state.clone());
    let timer = tokio::task::spawn_local(async move {
        tokio::time::sleep(ANSWER_TIME).await;
        own.parked.give_up(&of_timer);
    });
    gateway.parked.set_timer(&state, Timer(timer.abort_handle()));
    format!(r#"{{"jsonrpc":"2.0","id":{client_id},"result":{result}}}"#).into_bytes()
}
