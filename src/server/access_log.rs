//! One line in the log for each request, written when its answer has ended: what kind of
//! request, by which token, for which server, with what end. No path, no query, no value:
//! people paste credentials into URLs.

use std::time::Instant;

use hyper::Response;
use hyper::body::Body;

use super::body::AnswerBody;
use super::followed_body::{End, Follower, follow};
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
            AnswerBody::Streamed(_) => follow(response, self),
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

impl Follower for AccessLine {
    fn passed(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
    }

    fn ended(self, end: End) {
        self.write(match end {
            End::Whole => "whole",
            End::Cut => "cut",
            End::Left => "left",
        });
    }
}
