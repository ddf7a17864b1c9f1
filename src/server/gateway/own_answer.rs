//! Answers that the gateway reads itself. A server may close a stream early and go on with it on
//! another connection (2025-11-25); then the rest is asked for. What the server wants to know
//! meanwhile is answered here, because no client stands behind such a request.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderValue;

use super::answer;
use super::message::{Envelope, Kind};
use super::modern::Unasked;
use super::outward::is_same_id;
use super::pauses::{DEFAULT_RETRY, MAX_RETRY};
use super::problem::{UpstreamProblem, rpc_error};
use super::redaction;
use super::sessions::{Session, UpstreamSession};
use super::sse::EventReader;
use super::upstream::{SHORT_TIME, Upstream};
use super::upstream_body::UpstreamBody;

/// How often the rest of a stream is asked for without getting any.
const MAX_FRUITLESS: u32 = 5;
/// The shortest wait before that, whatever the server says.
const MIN_RETRY: Duration = Duration::from_millis(100);

/// A stream that is read, possibly over several connections.
struct Reading<'a> {
    upstream: &'a Upstream,
    /// The upstream session that the request was made in.
    made_in: Option<UpstreamSession>,
    /// The request's id, as it was written.
    id: &'a str,
    /// Bytes that may still come.
    room: usize,
    last_id: Option<HeaderValue>,
    retry: Duration,
    /// What is wrong with the answer when nothing more comes.
    problem: UpstreamProblem,
}

impl Upstream {
    /// Reads the answer to the request with this id, a JSON-RPC message of at most `limit`
    /// bytes. It takes as long as the server does: the caller sets the limit.
    pub(super) async fn read_answer(
        &self,
        session: &Session,
        response: Response<UpstreamBody>,
        id: &str,
        limit: usize,
    ) -> Result<Bytes, UpstreamProblem> {
        if !answer::is_event_stream(&response) {
            let (_, message) = answer::read_answer(response, limit).await?;
            return if is_answer(&message, id) { Ok(message) } else { Err(UpstreamProblem::NotMcp) };
        }
        let made_in = self.opened();
        // The modern era has no rest of a stream.
        let made_in = made_in.filter(|opened| !opened.modern);
        let (last_id, retry, problem) = (None, DEFAULT_RETRY, UpstreamProblem::Cut);
        let mut reading = Reading { upstream: self, made_in, id, room: limit, last_id, retry, problem };
        let mut connection = Some(response.into_body());
        let mut fruitless = 0;
        loop {
            if let Some(body) = connection.take() {
                let before = reading.last_id.clone();
                if let Some(message) = reading.read(body).await? {
                    return Ok(message);
                }
                if reading.problem != UpstreamProblem::Cut {
                    return Err(reading.problem);
                }
                fruitless = if reading.last_id == before { fruitless + 1 } else { 0 };
            } else {
                fruitless += 1;
            }
            let Some(last_id) = reading.last_id.as_ref().filter(|_| fruitless < MAX_FRUITLESS) else {
                return Err(UpstreamProblem::Cut);
            };
            tokio::time::sleep(reading.retry).await;
            match self.resume(session, reading.made_in.as_ref(), last_id).await {
                Ok(response) if answer::is_event_stream(&response) => connection = Some(response.into_body()),
                Err(UpstreamProblem::Unreachable | UpstreamProblem::TimedOut | UpstreamProblem::Cut) => {}
                // A refusal will not get better.
                Ok(_) | Err(_) => return Err(UpstreamProblem::Cut),
            }
        }
    }
}

impl Reading<'_> {
    /// Reads one connection; `None` if it ended without the answer.
    async fn read(&mut self, mut body: UpstreamBody) -> Result<Option<Bytes>, UpstreamProblem> {
        let mut reader = EventReader::default();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(piece) = frame.into_data() else { continue };
            self.room = self.room.checked_sub(piece.len()).ok_or(UpstreamProblem::NotMcp)?;
            for data in reader.push(&piece) {
                if is_answer(&data, self.id) {
                    return Ok(Some(data.into()));
                }
                if redaction::is_broken(&data) {
                    self.problem = UpstreamProblem::Redacted;
                }
                self.upstream.serve(self.made_in.as_ref(), &data).await;
            }
        }
        if let Some(id) = reader.last_id.take().filter(|_| self.made_in.is_some()) {
            self.last_id = HeaderValue::from_bytes(&id).ok().filter(|id| !id.is_empty());
        }
        if let Some(retry) = reader.retry {
            self.retry = Duration::from_millis(retry).clamp(MIN_RETRY, MAX_RETRY);
        }
        // Some servers leave out the last empty line.
        let last = reader.push(b"\n\n").pop().filter(|data| is_answer(data, self.id));
        Ok(last.map(Bytes::from))
    }
}

impl Upstream {
    /// Answers a request that the server makes of a client where there is none to be asked.
    /// Other messages are for nobody.
    pub(super) async fn serve(&self, made_in: Option<&UpstreamSession>, data: &[u8]) {
        self.refuse(made_in, data, Unasked::CannotBe).await;
    }

    /// The same, with the reason why nobody is asked.
    pub(super) async fn refuse(&self, made_in: Option<&UpstreamSession>, data: &[u8], why: Unasked) {
        let Ok(envelope) = Envelope::parse(data) else { return };
        if envelope.kind() != Kind::Request {
            return;
        }
        let id = envelope.id();
        let answer = if envelope.method() == "ping" {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes()
        } else {
            let (code, message) = why.error();
            rpc_error(id, code, message)
        };
        match self.post(made_in, answer.into(), SHORT_TIME).await {
            Ok(response) => answer::drain(response).await,
            Err(problem) => {
                let server = &self.server.slug;
                tracing::debug!(%server, %problem, "an answer did not reach the server");
            }
        }
    }
}

/// Whether this is the answer to the request with this id; an error may come without one.
fn is_answer(data: &[u8], id: &str) -> bool {
    Envelope::parse(data).is_ok_and(|envelope| {
        let is_ours =
            is_same_id(envelope.id(), id) || (envelope.error().is_some() && envelope.id() == "null");
        envelope.kind() == Kind::Response && is_ours
    })
}
