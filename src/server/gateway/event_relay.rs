//! The event stream that answers a request. Each event is looked at, translated on the route
//! of a workspace, and passed on. A server may close such a stream early and go on with it on
//! another connection (2025-11-25): on the route of a workspace the gateway asks for the rest
//! itself; on the route of one server the client sees the ids and does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::calls_under_way::CallUnderWay;
use super::event_splitter::{EventSplitter, Fields, Part, event, is_long_answer, single_messages};
use super::input_rounds::Round;
use super::message::{Envelope, Kind};
use super::modern::{InputRequired, Marker, Unasked, WantedInput};
use super::outward::{is_same_id, with_id};
use super::pauses::{DEFAULT_RETRY, MAX_RETRY, wait_before};
use super::problem::UpstreamProblem;
use super::relay::{KEEP_ALIVE, KEEP_ALIVE_TIME, Passage, until_cancelled};
use super::relay_body::{BrokenOff, Outlet};
use super::upstream_body::UpstreamBody;

/// How often the rest of a stream is asked for without getting any.
const MAX_FRUITLESS: u32 = 5;
/// How often it is asked for at all.
const MAX_RESUMES: u32 = 1000;
/// How the connection with a stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As it should.
    Clean,
    /// It broke.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// Other secrets of the server are in use.
    Outdated,
    /// There is no room for what comes.
    TooMuch,
}

/// What the last part was a piece of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pieces {
    /// None: it was an event.
    None,
    /// A long event.
    Other,
    /// A long event that is the answer.
    Answer,
}

/// One stream, possibly over several connections.
pub(super) struct EventRelay {
    pub(super) passage: Passage,
    pub(super) outlet: Outlet,
    answered: bool,
    /// Whether nothing of the connection has come yet.
    at_start: bool,
    /// What will be wrong with the answer when nothing more comes.
    problem: UpstreamProblem,
    pieces: Pieces,
    /// The id of the request as the server knows it.
    pub(super) awaited: String,
    /// What the server wants of the client before it answers.
    pub(super) asked: Option<Result<InputRequired, UpstreamProblem>>,
    /// Puts the client's id in the place of the server's.
    pub(super) marker: Option<Marker>,
    pub(super) last_id: Option<HeaderValue>,
    retry: Duration,
}

impl EventRelay {
    pub(super) fn new(passage: Passage, outlet: Outlet) -> Self {
        let awaited = passage.id.clone();
        let (answered, asked, marker, last_id) = (false, None, None, None);
        Self {
            at_start: true,
            problem: UpstreamProblem::Cut,
            pieces: Pieces::None,
            passage,
            outlet,
            answered,
            awaited,
            asked,
            marker,
            last_id,
            retry: DEFAULT_RETRY,
        }
    }

    /// The stream of a call to which the server answered that it wants to know something.
    pub(super) fn asking(
        passage: Passage,
        outlet: Outlet,
        asked: Result<InputRequired, UpstreamProblem>,
    ) -> Self {
        Self { asked: Some(asked), ..Self::new(passage, outlet) }
    }

    /// Passes the stream on until its answer is there and it has ended, or fails, or the
    /// client cancels the call, or the server is taken away.
    pub(super) async fn run(mut self, first: Option<UpstreamBody>) -> Result<(), BrokenOff> {
        let mark = self.passage.mark();
        let (gateway, caller) = (Arc::clone(&self.passage.gateway), Rc::clone(&self.passage.caller));
        let server = self.passage.upstream.server.clone();
        let relaying = until_cancelled(mark, Box::pin(self.relay(first)));
        match gateway.while_served(&caller, &server, relaying).await {
            Some(ended) => ended.unwrap_or(Ok(())),
            None => self.end_with(UpstreamProblem::Removed).await,
        }
    }

    async fn relay(&mut self, mut connection: Option<UpstreamBody>) -> Result<(), BrokenOff> {
        let (mut fruitless, mut resumes) = (0, 0);
        loop {
            if let Some(asked) = self.asked.take() {
                match Box::pin(self.round(asked)).await {
                    Round::Stream(body) => (connection, fruitless) = (Some(*body), 0),
                    Round::Again => continue,
                    Round::Over(ended) => return ended,
                }
            }
            let mut advanced = false;
            if let Some(body) = connection.take() {
                let before = self.last_id.clone();
                let end = self.copy(body).await;
                if self.asked.is_some() {
                    continue;
                }
                let given_up = match end {
                    _ if self.problem != UpstreamProblem::Cut => Some(self.problem),
                    End::Silent => Some(UpstreamProblem::TimedOut),
                    End::Outdated => Some(UpstreamProblem::SecretsChanged),
                    End::TooMuch => Some(UpstreamProblem::TooMuch),
                    End::Clean | End::Cut => None,
                };
                // Not in the modern era: it has no GET.
                let client_can_go_on = self.passage.workspace.is_none()
                    && self.last_id.is_some()
                    && !self.is_of_a_modern_server();
                if self.is_in_pieces() && !(given_up.is_none() && client_can_go_on) {
                    return self.end_with(given_up.unwrap_or(UpstreamProblem::Cut)).await;
                }
                if self.answered && !self.is_in_pieces() {
                    return if end == End::Silent { Err(BrokenOff) } else { Ok(()) };
                }
                if let Some(problem) = given_up {
                    return self.end_with(problem).await;
                }
                if client_can_go_on {
                    // It knows where. An event that is not complete is none to it.
                    return if self.is_in_pieces() { Err(BrokenOff) } else { Ok(()) };
                }
                advanced = self.last_id != before;
            }
            fruitless = if advanced { 0 } else { fruitless + 1 };
            if self.is_cancelled()
                || self.last_id.is_none()
                || self.is_of_a_modern_server()
                || fruitless >= MAX_FRUITLESS
                || resumes >= MAX_RESUMES
            {
                return self.end_with(UpstreamProblem::Cut).await;
            }
            self.pause(wait_before(resumes, self.retry)).await;
            resumes += 1;
            match self.passage.resume(self.last_id.as_ref()).await {
                Ok(body) => connection = Some(body),
                Err(UpstreamProblem::Unreachable | UpstreamProblem::TimedOut | UpstreamProblem::Cut) => {}
                // A refusal will not get better.
                Err(_) => fruitless = MAX_FRUITLESS,
            }
        }
    }

    /// Ends the stream with an error, if its answer has not gone out whole. Half a long answer is
    /// ended like an event: what the client then reads is no message to it, but the error is.
    async fn end_with(&mut self, problem: UpstreamProblem) -> Result<(), BrokenOff> {
        self.settle();
        if self.is_cancelled() {
            // Who takes a request back gets no answer to it.
            return Ok(());
        }
        if self.answered && self.pieces != Pieces::Answer {
            return if self.is_in_pieces() { Err(BrokenOff) } else { Ok(()) };
        }
        let error = event(&self.passage.failure(problem));
        // Whichever line end the server uses, these are the end of a line and an empty one.
        let event_end: &[u8] = if self.is_in_pieces() { b"\n\n" } else { b"" };
        self.outlet.send([event_end, &error].concat()).await;
        Ok(())
    }

    /// Waits as long as the server wants, with signs of life.
    async fn pause(&self, mut left: Duration) {
        while left > KEEP_ALIVE_TIME {
            tokio::time::sleep(KEEP_ALIVE_TIME).await;
            self.outlet.send(KEEP_ALIVE).await;
            left -= KEEP_ALIVE_TIME;
        }
        tokio::time::sleep(left).await;
    }

    async fn copy(&mut self, mut body: UpstreamBody) -> End {
        let mut splitter = EventSplitter::default();
        self.at_start = true;
        let patience = self.passage.upstream.patience();
        let mut silent_since = Instant::now();
        loop {
            let silence = self.silent_since(silent_since).elapsed();
            let wait = KEEP_ALIVE_TIME.min(patience.saturating_sub(silence));
            let frame = match tokio::time::timeout(wait, body.frame()).await {
                Err(_) if self.silent_since(silent_since).elapsed() >= patience => return End::Silent,
                Err(_) if splitter.is_passing() => continue,
                Err(_) => {
                    self.outlet.send(KEEP_ALIVE).await;
                    continue;
                }
                Ok(Some(frame)) => frame.map(Frame::into_data),
                Ok(None) => break,
            };
            silent_since = Instant::now();
            match frame {
                Ok(Ok(piece)) => {
                    let parts = splitter.push(&piece);
                    let has_room = self.has_room_for(splitter.held());
                    for part in parts {
                        self.pass(part).await;
                    }
                    if !splitter.is_passing() {
                        self.pieces = Pieces::None;
                    }
                    if !has_room {
                        return End::TooMuch;
                    }
                    if self.asked.is_some() {
                        return End::Clean;
                    }
                }
                Ok(Err(_)) => {}
                Err(_) if body.is_outdated() => return End::Outdated,
                Err(_) => return End::Cut,
            }
        }
        let rest = splitter.rest();
        if !self.is_in_pieces() && !rest.trim_ascii().is_empty() {
            // Some servers leave out the last empty line.
            let events = single_messages([rest.as_slice(), b"\n\n"].concat());
            if events.iter().any(|event| self.is_answer(Fields::of(event).data.as_deref())) {
                for event in events {
                    self.pass(Part::Event(event)).await;
                }
            }
        }
        End::Clean
    }

    /// The client need not go on elsewhere.
    fn settle(&self) {
        if let Some(call) = &self.passage.call {
            call.is_settled();
        }
    }

    fn is_of_a_modern_server(&self) -> bool {
        self.passage.upstream.opened().is_some_and(|opened| opened.modern)
    }

    fn is_in_pieces(&self) -> bool {
        self.pieces != Pieces::None
    }

    fn is_cancelled(&self) -> bool {
        self.passage.call.as_ref().is_some_and(CallUnderWay::is_cancelled)
    }

    fn wanted(&self) -> Option<&Arc<WantedInput>> {
        self.passage.workspace.as_ref().and_then(|workspace| workspace.wanted.as_ref())
    }

    /// Since when the server is silent that said something at this moment.
    fn silent_since(&self, moment: Instant) -> Instant {
        let moment = self.passage.call.as_ref().map_or(moment, |call| call.silent_since(moment));
        self.wanted().map_or(moment, |wanted| wanted.silent_since(moment))
    }

    /// Whether so many bytes of a message that has not ended can be kept.
    fn has_room_for(&self, bytes: usize) -> bool {
        self.wanted().filter(|wanted| wanted.can_be()).is_none_or(|wanted| wanted.holds(bytes))
    }

    fn note_answer(&mut self) {
        self.answered = true;
        self.settle();
        self.passage.note_answer();
    }

    async fn pass(&mut self, part: Part) {
        let is_bridge =
            self.passage.workspace.as_ref().is_some_and(|workspace| workspace.session.is_bridge());
        // It would stand in the way of what is changed in the first event.
        let part = if std::mem::take(&mut self.at_start) && is_bridge { part.without_mark() } else { part };
        let held = match part {
            Part::Event(held) => held,
            Part::Piece(piece) => {
                if self.pieces == Pieces::None {
                    self.pieces = Pieces::Other;
                    if is_long_answer(&piece) {
                        self.pieces = Pieces::Answer;
                        self.note_answer();
                    }
                }
                return self.send(piece).await;
            }
        };
        let fields = Fields::of(&held);
        if let Some(problem) = fields.data.as_deref().and_then(UpstreamProblem::of_event) {
            self.problem = problem;
            return;
        }
        if let Some(id) = &fields.id {
            self.last_id = HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty());
            if let (Some(call), false) = (&self.passage.call, self.is_of_a_modern_server()) {
                call.may_go_on_after(id);
            }
        }
        if let Some(retry) = fields.retry {
            self.retry = Duration::from_millis(retry).min(MAX_RETRY);
        }
        let (held, fields) = with_id(held, fields, &self.awaited);
        let answer = fields.data.as_deref().filter(|data| self.is_answer(Some(data)));
        if let (Some(workspace), Some(data)) = (&self.passage.workspace, fields.data.as_deref())
            && workspace.session.is_bridge()
            && is_of_the_older_era(data)
            && !workspace.wanted.as_ref().is_some_and(|wanted| wanted.log_level.asks_for(data))
        {
            let why = match (&workspace.wanted, &workspace.opened) {
                (Some(wanted), _) if wanted.takes_back(data) => return,
                (Some(wanted), Some(opened)) => match wanted.ask(data, opened) {
                    Ok(()) => return,
                    Err(why) => why,
                },
                _ => Unasked::CannotBe,
            };
            return self.passage.upstream.refuse(workspace.opened.as_ref(), data, why).await;
        }
        if let (Some(answer), Some(call)) = (answer, &self.passage.modern) {
            self.asked = call.asked(answer);
            if self.asked.is_some() {
                return;
            }
        }
        if answer.is_some() {
            self.note_answer();
        }
        let held = match &self.passage.workspace {
            Some(workspace) => workspace.outward.event(held, &fields, Some(&self.awaited)),
            None => Some(held),
        };
        if let Some(held) = held {
            self.send(held).await;
        }
    }

    fn is_answer(&self, data: Option<&[u8]>) -> bool {
        let envelope = data.and_then(|data| Envelope::parse(data).ok());
        envelope.is_some_and(|it| it.kind() == Kind::Response && is_same_id(it.id(), &self.awaited))
    }
}

/// What a client of the modern era does not get on a stream: requests and what becomes of them,
/// and log messages, unless its request asks for them.
fn is_of_the_older_era(data: &[u8]) -> bool {
    Envelope::parse(data).is_ok_and(|envelope| {
        let method = envelope.method();
        envelope.kind() == Kind::Request
            || ["notifications/message", "notifications/cancelled"].contains(&method)
    })
}
