//! One line in the log for each request, written when its answer has ended: what kind of
//! request, by which token, for which server, with what end. No path, no query, no value:
//! people paste credentials into URLs.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::body::{AnswerBody, BodyError};
use super::response::RequestId;

/// What the gateway knows of a request; a response's extension.
#[derive(Debug, Clone)]
pub(super) struct Served {
    /// Slug of the workspace.
    pub(super) workspace: String,
    /// Slug of the one server it was for.
    pub(super) server: Option<String>,
    /// Public id of the token.
    pub(super) token_id: String,
}

/// A line under way.
pub(super) struct AccessLine {
    request_id: String,
    method: &'static str,
    kind: &'static str,
    began: Instant,
    status: u16,
    served: Option<Served>,
    bytes: u64,
}

impl AccessLine {
    /// Begins with what the request says.
    pub(super) fn begin(request_id: &RequestId, method: &'static str, kind: &'static str) -> Self {
        let request_id = request_id.0.clone();
        Self { request_id, method, kind, began: Instant::now(), status: 0, served: None, bytes: 0 }
    }

    /// Writes the line when the answer has ended: now, if all of it is there.
    pub(super) fn follow(mut self, mut response: Response<AnswerBody>) -> Response<AnswerBody> {
        self.status = response.status().as_u16();
        self.served = response.extensions_mut().remove();
        match response.body() {
            AnswerBody::Whole(body) => {
                self.bytes = body.size_hint().lower();
                self.write("whole");
                response
            }
            AnswerBody::Streamed(_) => {
                let followed = |body| FollowedBody { body, line: Some(self) };
                response.map(|body| AnswerBody::Streamed(Box::pin(followed(body))))
            }
        }
    }

    fn write(&self, ended: &'static str) {
        let took = self.began.elapsed();
        let served = self.served.as_ref();
        tracing::info!(
            request_id = %self.request_id,
            method = self.method,
            kind = self.kind,
            workspace = served.map(|served| served.workspace.as_str()),
            server = served.and_then(|served| served.server.as_deref()),
            token = served.map(|served| served.token_id.as_str()),
            status = self.status,
            us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            ended,
            "request"
        );
    }
}

/// A streamed answer whose end the line waits for.
struct FollowedBody {
    body: AnswerBody,
    line: Option<AccessLine>,
}

impl FollowedBody {
    fn end(&mut self, how: &'static str) {
        if let Some(line) = self.line.take() {
            line.write(how);
        }
    }
}

impl Body for FollowedBody {
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
            Poll::Ready(None) => this.end("whole"),
            Poll::Ready(Some(Err(_))) => this.end("cut"),
            Poll::Ready(Some(Ok(piece))) => {
                if let (Some(line), Some(data)) = (&mut this.line, piece.data_ref()) {
                    line.bytes += data.len() as u64;
                }
                if this.body.is_end_stream() {
                    this.end("whole");
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

impl Drop for FollowedBody {
    fn drop(&mut self) {
        self.end("left");
    }
}
