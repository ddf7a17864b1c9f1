//! Follows one `tools/call` from the moment its server is known to the end of its answer,
//! and records it then, however it ends. Whoever writes a way through the gateway makes a
//! record with `begin` and hands the response to `watch`; a record that is dropped before
//! that is a client that left.

use std::sync::Arc;
use std::time::Instant;

use hyper::Response;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;

use super::call_outcome::AnswerReader;
use super::calls_under_way::Mark;
use super::message::{Envelope, Kind};
use super::problem::UpstreamProblem;
use super::{Caller, Gateway, Route};
use crate::server::analytics::{Call, Outcome, bounded_name};
use crate::server::body::AnswerBody;
use crate::server::clock;
use crate::server::followed_body::{End, Follower, follow};
use crate::server::startup::Project;
use crate::server::store::ServerRow;

/// A call under way. Empty for messages that are no call.
pub(super) struct CallRecord(Option<Started>);

struct Started {
    project: Arc<Project>,
    began: Instant,
    call: Call,
}

impl CallRecord {
    /// Begins to follow the message if it is a `tools/call`. On the route of a workspace the
    /// tool's name is what stands after the first `__`.
    pub(super) fn begin(
        gateway: &Gateway,
        caller: &Caller,
        server: &ServerRow,
        envelope: &Envelope<'_>,
    ) -> Self {
        if envelope.kind() != Kind::Request || envelope.method() != "tools/call" {
            return Self(None);
        }
        let name = tool_name(envelope);
        let tool = match &caller.route {
            Route::Workspace => name.split_once("__").map_or(name.as_str(), |(_, tool)| tool),
            Route::Server(_) => &name,
        };
        let call = Call {
            at: 0,
            workspace_id: server.workspace_id.clone(),
            token_id: caller.member.token_id.clone(),
            server_id: server.id.clone(),
            server: server.slug.to_string(),
            tool: bounded_name(tool).to_owned(),
            duration: std::time::Duration::ZERO,
            outcome: Outcome::ClientLeft,
            request_id: caller.request_id.clone(),
        };
        Self(Some(Started { project: Arc::clone(&gateway.project), began: Instant::now(), call }))
    }

    /// Forgets the call: it was not made.
    pub(super) fn discard(mut self) {
        self.0 = None;
    }

    /// Records the call as ended in this way.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// Follows the answer to its end: the duration is that of the whole answer, and the
    /// outcome what the answer says. An answer made for an [`UpstreamProblem`] (see
    /// [`Gateway::failed`]) is recorded as that problem.
    pub(super) fn watch(self, response: Response<AnswerBody>) -> Response<AnswerBody> {
        let Some(started) = &self.0 else { return response };
        let mut response = response;
        response.extensions_mut().insert(CalledServer(started.call.server.clone()));
        if let Some(problem) = response.extensions().get::<UpstreamProblem>() {
            let outcome = Outcome::Upstream(problem.reason());
            self.finish(outcome);
            return response;
        }
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let reader = AnswerReader::new(text(CONTENT_TYPE), text(CONTENT_ENCODING));
        let mark = response.extensions_mut().remove::<Mark>();
        let (parts, body) = response.into_parts();
        if let Some(bytes) = body.whole() {
            let mut reader = reader;
            reader.push(&bytes);
            self.finish(reader.end());
            return Response::from_parts(parts, body);
        }
        if body.is_end_stream() {
            self.finish(reader.end());
            return Response::from_parts(parts, body);
        }
        follow(Response::from_parts(parts, body), UnderWay { reader, record: self, mark })
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(started) = self.0.take() {
            let (at, duration) = (clock::now(), started.began.elapsed());
            started.project.analytics.record(Call { at, duration, outcome, ..started.call });
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.end(Outcome::ClientLeft);
    }
}

/// The server that a call went to, for the access log; a response's extension.
#[derive(Clone)]
pub(super) struct CalledServer(pub(super) String);

fn tool_name(envelope: &Envelope<'_>) -> String {
    #[derive(Deserialize)]
    struct Params {
        name: String,
    }
    let params = envelope.params().and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
    params.map(|params| params.name).unwrap_or_default()
}

/// A call whose answer is on its way.
struct UnderWay {
    reader: AnswerReader,
    record: CallRecord,
    /// Tells whether the client took it back.
    mark: Option<Mark>,
}

impl Follower for UnderWay {
    fn passed(&mut self, piece: &[u8]) {
        self.reader.push(piece);
    }

    fn ended(self, end: End) {
        match end {
            End::Whole
                if self.reader.found().is_none() && self.mark.is_some_and(|mark| mark.is_cancelled()) =>
            {
                self.record.finish(Outcome::Upstream(UpstreamProblem::Cancelled.reason()));
            }
            End::Whole => self.record.finish(self.reader.end()),
            End::Cut => self.record.finish(Outcome::Upstream(UpstreamProblem::Cut.reason())),
            End::Left => match self.reader.found() {
                // It had all it wanted, and did not wait for the end of the stream.
                Some(outcome) => self.record.finish(outcome),
                // The record says so itself.
                None => drop(self.record),
            },
        }
    }
}
