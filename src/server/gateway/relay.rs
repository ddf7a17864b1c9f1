//! An upstream's answer on its way to the client. JSON passes as it is; events pass one by
//! one. What breaks off before the answer is there becomes one JSON-RPC error, as long as
//! that can still be told apart from what was sent. Memory stays bounded: no more than a
//! mebibyte of an answer is held.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::answer::{self, Answer};
use super::calls_under_way::{CallUnderWay, Mark};
use super::event_relay::EventRelay;
use super::modern::{InputRequired, ModernCall, WantedInput};
use super::outward::Outward;
use super::problem::{UpstreamProblem, upstream_error};
use super::relay_body::{BrokenOff, Outlet, RelayBody};
use super::sessions::{Session, UpstreamSession};
use super::upstream::Upstream;
use super::upstream_body::UpstreamBody;
use super::watched_body::{MindsItsServer, ServedBy};
use super::{Caller, Gateway};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;

/// Longest JSON answer that is held until it is complete, in bytes.
pub(super) const HOLD_LIMIT: usize = 1 << 20;
/// A stream on which nothing came for so long gets a comment, so that it is seen to be alive.
pub(super) const KEEP_ALIVE_TIME: Duration = Duration::from_secs(15);
/// That comment.
pub(super) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// A request whose answer is passed on.
pub(super) struct Passage {
    pub(super) gateway: Arc<Gateway>,
    pub(super) caller: Rc<Caller>,
    pub(super) upstream: Upstream,
    /// The request's id, as the client wrote it.
    pub(super) id: String,
    /// On the route of a workspace: what is said differently to the client.
    pub(super) workspace: Option<OnWorkspace>,
    /// For a client of the legacy era at a server of the modern one: what goes on there.
    pub(super) modern: Option<ModernCall>,
    /// The request under way, where the client can take it back with a notification.
    pub(super) call: Option<CallUnderWay>,
}

/// What the route of a workspace adds: there the gateway goes on after an early end itself.
pub(super) struct OnWorkspace {
    pub(super) session: Arc<Session>,
    pub(super) outward: Outward,
    /// The upstream session that the request was made in.
    pub(super) opened: Option<UpstreamSession>,
    /// For a client of the modern era: what the server wants of it.
    pub(super) wanted: Option<Arc<WantedInput>>,
}

impl Passage {
    /// The error document for a problem, with a line in the log.
    pub(super) fn failure(&self, problem: UpstreamProblem) -> Vec<u8> {
        let (request_id, server) = (&self.caller.request_id, &self.upstream.server.slug);
        tracing::warn!(request_id, server = %server, token = %self.caller.member.token_id, %problem, "a call failed");
        let wanted = self.workspace.as_ref().and_then(|workspace| workspace.wanted.as_ref());
        match wanted {
            _ if !problem.is_given_up() => {}
            Some(wanted) => wanted.give_up(),
            None => self.upstream.call_off(&self.id),
        }
        upstream_error(&self.id, server.as_str(), problem)
    }

    /// The answer has begun: its server wants nothing of the client any more.
    pub(super) fn note_answer(&self) {
        if let Some(wanted) = self.workspace.as_ref().and_then(|workspace| workspace.wanted.as_ref()) {
            wanted.close();
        }
    }

    /// What tells whether the client took the request back.
    pub(super) fn mark(&self) -> Option<Mark> {
        let call = self.call.as_ref()?;
        if self.modern.is_some() {
            call.is_at_a_modern_server();
        }
        Some(call.mark())
    }

    /// The answer for a problem. It goes with the response, for the record of the call.
    fn failed(&self, problem: UpstreamProblem) -> Response<AnswerBody> {
        let is_cancelled = self.call.as_ref().is_some_and(CallUnderWay::is_cancelled);
        let problem = match problem {
            _ if is_cancelled => UpstreamProblem::Cancelled,
            // Its session was ended for other secrets, and with it the call.
            UpstreamProblem::Status(_) | UpstreamProblem::Cut | UpstreamProblem::NotMcp
                if self.upstream.has_newer_secrets() =>
            {
                UpstreamProblem::SecretsChanged
            }
            problem => problem,
        };
        let mut response = match problem {
            UpstreamProblem::Cancelled => nothing(),
            problem => json_answer(StatusCode::OK, self.failure(problem)),
        };
        response.extensions_mut().insert(problem);
        response
    }

    /// Answers with what came back.
    pub(super) async fn answer(self, answered: Result<Answer, UpstreamProblem>) -> Response<AnswerBody> {
        let served_by = ServedBy::of(&self.upstream.server);
        let mark = self.mark();
        let mut response = until_cancelled(mark.clone(), Box::pin(self.unmarked_answer(answered)))
            .await
            .unwrap_or_else(|| {
                let mut response = nothing();
                response.extensions_mut().insert(UpstreamProblem::Cancelled);
                response
            });
        if let Some(mark) = mark {
            response.extensions_mut().insert(mark);
        }
        if response.extensions().get::<MindsItsServer>().is_none() {
            // The stream ends when the server is taken away.
            response.extensions_mut().insert(served_by);
        }
        response
    }

    async fn unmarked_answer(self, answered: Result<Answer, UpstreamProblem>) -> Response<AnswerBody> {
        match answered {
            Ok(Answer::Stream(response)) if answer::is_event_stream(&response) => {
                let (parts, body) = response.into_parts();
                relayed(&parts.headers, move |outlet| EventRelay::new(self, outlet).run(Some(body)))
            }
            Ok(Answer::Stream(response)) => {
                self.note_answer();
                self.json(*response).await
            }
            Ok(Answer::Whole(status, body)) => {
                self.note_answer();
                match self.modern.as_ref().and_then(|call| call.asked(&body)) {
                    Some(asked) => self.asking(asked),
                    None => json_answer(status, body),
                }
            }
            Err(problem) => self.failed(problem),
        }
    }

    async fn json(self, response: Response<UpstreamBody>) -> Response<AnswerBody> {
        let (parts, mut body) = response.into_parts();
        let mut held: Vec<u8> = Vec::new();
        while held.len() <= HOLD_LIMIT {
            let Ok(frame) = tokio::time::timeout(self.upstream.patience(), body.frame()).await else {
                return self.failed(UpstreamProblem::TimedOut);
            };
            let Some(frame) = frame else {
                let held = match answer::checked(held, &parts.headers, &self.id) {
                    Ok(held) => held,
                    Err(problem) => return self.failed(problem),
                };
                if let Some(asked) = self.modern.as_ref().and_then(|call| call.asked(&held)) {
                    return self.asking(asked);
                }
                let mut response = json_answer(StatusCode::OK, held);
                describe(&parts.headers, response.headers_mut());
                return response;
            };
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(piece)) => held.extend_from_slice(&piece),
                Ok(Err(_)) => {}
                Err(_) => return self.failed(broken(&body)),
            }
        }
        let mark = self.mark();
        streamed(&parts.headers, move |outlet| async move {
            let copying = copy(self, held.into(), body, outlet);
            until_cancelled(mark, copying).await.unwrap_or(Err(BrokenOff))
        })
    }

    /// Asks for the rest of the stream after an event, in the same upstream session and with the secrets
    /// as they are now.
    pub(super) async fn resume(
        &self,
        last_id: Option<&HeaderValue>,
    ) -> Result<UpstreamBody, UpstreamProblem> {
        let (Some(workspace), Some(last_id)) = (&self.workspace, last_id) else {
            return Err(UpstreamProblem::NotMcp);
        };
        let slug = self.upstream.server.slug.as_str();
        let server = self.gateway.enabled_server(&self.caller.member, slug).await;
        let server = server.ok().flatten().ok_or(UpstreamProblem::NotMcp)?;
        let upstream = Upstream::open(&self.gateway, &self.caller, server, HeaderMap::new())?;
        let response = upstream.resume(&workspace.session, workspace.opened.as_ref(), last_id).await?;
        if answer::is_event_stream(&response) {
            Ok(response.into_body())
        } else {
            Err(UpstreamProblem::NotMcp)
        }
    }

    /// A server that wants something of the client gets it over a stream.
    fn asking(self, asked: Result<InputRequired, UpstreamProblem>) -> Response<AnswerBody> {
        relayed(&events(), move |outlet| EventRelay::asking(self, outlet, asked).run(None))
    }
}

/// Does the work, if its request is not taken back before.
pub(super) async fn until_cancelled<T>(mark: Option<Mark>, work: impl Future<Output = T>) -> Option<T> {
    match mark {
        Some(mark) => mark.unless_cancelled(work).await,
        None => Some(work.await),
    }
}

/// The headers of an event stream.
pub(super) fn events() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))])
}

/// No answer: a stream with nothing in it.
pub(super) fn nothing() -> Response<AnswerBody> {
    streamed(&events(), |_| std::future::ready(Ok(())))
}

/// The rest of a JSON answer that is too long to be held. If it is cut, so is the client's: also
/// where only the end of the server's connection says so, and it came too early.
async fn copy(
    passage: Passage,
    held: Bytes,
    mut body: UpstreamBody,
    outlet: Outlet,
) -> Result<(), BrokenOff> {
    let last_byte = |piece: &[u8]| piece.trim_ascii_end().last().copied();
    let mut last = last_byte(&held);
    outlet.send(held).await;
    loop {
        let Ok(frame) = tokio::time::timeout(passage.upstream.patience(), body.frame()).await else {
            let _ = passage.failure(UpstreamProblem::TimedOut);
            return Err(BrokenOff);
        };
        let Some(frame) = frame else {
            if last == Some(b'}') {
                return Ok(());
            }
            let _ = passage.failure(UpstreamProblem::Cut);
            return Err(BrokenOff);
        };
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(piece)) => {
                last = last_byte(&piece).or(last);
                outlet.send(piece).await;
            }
            Ok(Err(_)) => {}
            Err(_) => {
                let _ = passage.failure(broken(&body));
                return Err(BrokenOff);
            }
        }
    }
}

/// Why a body broke off.
fn broken(body: &UpstreamBody) -> UpstreamProblem {
    if body.is_outdated() { UpstreamProblem::SecretsChanged } else { UpstreamProblem::Cut }
}

/// Of the upstream's headers only what describes its bytes.
fn describe(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

/// An answer that an [`EventRelay`] writes.
fn relayed<F>(describing: &HeaderMap, write: impl FnOnce(Outlet) -> F) -> Response<AnswerBody>
where
    F: Future<Output = Result<(), BrokenOff>> + 'static,
{
    let mut response = streamed(describing, write);
    response.extensions_mut().insert(MindsItsServer);
    response
}

/// The one place where a streamed answer is made.
pub(super) fn streamed<F>(describing: &HeaderMap, write: impl FnOnce(Outlet) -> F) -> Response<AnswerBody>
where
    F: Future<Output = Result<(), BrokenOff>> + 'static,
{
    let mut response = Response::new(AnswerBody::Streamed(Box::pin(RelayBody::new(write))));
    describe(describing, response.headers_mut());
    if answer::is_event_stream(&response) {
        // Proxies on the way must not hold events back (2026-07-28, "Streamable HTTP").
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    response
}
