//! A call that a client of the legacy era makes at a server of the modern one. What the
//! server wants of the client comes as a result there; the client gets it as requests on the
//! stream of its call, and the call is made again with its answers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::client_capabilities::allow;
use super::input_required::{InputRequired, may_ask};
use super::questions::Question;
use crate::server::gateway::answer::Answer;
use crate::server::gateway::event_splitter::event;
use crate::server::gateway::listing::own_request_id;
use crate::server::gateway::message::Envelope;
use crate::server::gateway::problem::UpstreamProblem;
use crate::server::gateway::relay::{KEEP_ALIVE, KEEP_ALIVE_TIME, Passage};
use crate::server::gateway::relay_body::Outlet;
use crate::server::gateway::sessions::{Session, UpstreamSession};

/// How often a server may ask while it works on one call.
const MAX_ROUNDS: u32 = 20;
/// How long the client's user may take to answer.
const ANSWER_TIME: Duration = Duration::from_mins(10);
/// Longest wait before a call is made again for which nothing was asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Such a call.
pub(in crate::server::gateway) struct ModernCall {
    session: Arc<Session>,
    /// The request as the server got it first.
    message: Bytes,
    passing: HeaderMap,
    may_ask: bool,
    rounds: u32,
}

impl ModernCall {
    /// The call that was just made in a session; `None` if its server is of the legacy era.
    pub(in crate::server::gateway) fn of(
        session: &Arc<Session>,
        opened: Option<&UpstreamSession>,
        message: Bytes,
        passing: HeaderMap,
    ) -> Option<Self> {
        let is_modern = opened.is_some_and(|opened| opened.modern);
        let may_ask = Envelope::parse(&message).is_ok_and(|envelope| may_ask(envelope.method()));
        let session = Arc::clone(session);
        is_modern.then_some(Self { session, message, passing, may_ask, rounds: 0 })
    }

    /// What an answer asks of the client, if it does.
    pub(in crate::server::gateway) fn asked(
        &self,
        answer: &[u8],
    ) -> Option<Result<InputRequired, UpstreamProblem>> {
        if self.may_ask { InputRequired::of(answer) } else { None }
    }

    /// Asks the client on its stream, and waits for all its answers.
    async fn put(
        &self,
        asked: &InputRequired,
        outlet: &Outlet,
        is_open: impl Fn(&Session) -> bool,
    ) -> Result<BTreeMap<String, Box<RawValue>>, UpstreamProblem> {
        let capabilities = self.session.workspace.client_capabilities(&self.session.initialize);
        for request in asked.requests.values() {
            let params: Value = serde_json::from_str(request.params.get()).unwrap_or_default();
            if !allow(capabilities, &request.method, &params) {
                return Err(UpstreamProblem::InputExcessive);
            }
        }
        let mut open = BTreeMap::new();
        for (key, request) in &asked.requests {
            let question = Question::new(&self.session);
            outlet.send(event(&request.message(&question.id()))).await;
            open.insert(key.clone(), question);
        }
        let mut answers = BTreeMap::new();
        let answered = self.collect(&mut open, &mut answers, outlet, is_open).await;
        for question in open.values() {
            // Nobody waits for these any more.
            let params = format!(r#"{{"requestId":{},"reason":"the call has failed"}}"#, question.id());
            let taken_back =
                format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
            outlet.send(event(taken_back.as_bytes())).await;
        }
        answered.map(|()| answers)
    }

    /// Waits for the answers, with signs of life; what was answered is not open any more.
    async fn collect(
        &self,
        open: &mut BTreeMap<String, Question>,
        answers: &mut BTreeMap<String, Box<RawValue>>,
        outlet: &Outlet,
        is_open: impl Fn(&Session) -> bool,
    ) -> Result<(), UpstreamProblem> {
        let deadline = Instant::now() + ANSWER_TIME;
        while !open.is_empty() {
            match tokio::time::timeout(KEEP_ALIVE_TIME, next_answer(open)).await {
                Ok((key, answer)) => {
                    open.remove(&key);
                    let answer = answer.ok_or(UpstreamProblem::InputMissing)?;
                    let result = Envelope::parse(&answer).ok().and_then(|envelope| envelope.result());
                    answers.insert(key, result.ok_or(UpstreamProblem::InputRefused)?.to_owned());
                }
                Err(_) if Instant::now() >= deadline || !is_open(&self.session) => {
                    return Err(UpstreamProblem::InputMissing);
                }
                Err(_) => {
                    self.session.touch();
                    outlet.send(KEEP_ALIVE).await;
                }
            }
        }
        Ok(())
    }
}

/// The first answer to any of the questions.
async fn next_answer(open: &mut BTreeMap<String, Question>) -> (String, Option<Bytes>) {
    poll_fn(|context| {
        for (key, question) in open.iter_mut() {
            if let Poll::Ready(answer) = question.poll_answer(context) {
                return Poll::Ready((key.clone(), answer));
            }
        }
        Poll::Pending
    })
    .await
}

impl Passage {
    /// Gets from the client what the server wants, and makes the call again. The answer comes
    /// with the id that the call has this time.
    ///
    /// # Errors
    /// [`UpstreamProblem`]: the client does not answer, the server asks for too much, or
    /// cannot be called.
    pub(in crate::server::gateway) async fn go_on(
        &mut self,
        asked: InputRequired,
        outlet: &Outlet,
    ) -> Result<(Answer, String), UpstreamProblem> {
        let call = self.modern.as_mut().ok_or(UpstreamProblem::NotMcp)?;
        call.rounds += 1;
        if call.rounds > MAX_ROUNDS {
            return Err(UpstreamProblem::InputExcessive);
        }
        let gateway = Arc::clone(&self.gateway);
        let answers = call.put(&asked, outlet, |session| gateway.sessions.is_open(&session.id)).await?;
        if asked.requests.is_empty() {
            // It only wants to be asked later.
            tokio::time::sleep((Duration::from_millis(50) * (1 << call.rounds.min(7))).min(LONGEST_PAUSE))
                .await;
        }
        let id = format!("\"{}\"", own_request_id());
        let message = asked.retry(&call.message, &id, &answers).ok_or(UpstreamProblem::NotMcp)?;
        // With the secrets as they are now.
        let server = &self.upstream.server;
        let now = gateway.enabled_server(&self.caller.member, server.slug.as_str()).await.ok().flatten();
        let now = now.filter(|now| now.id == server.id).ok_or(UpstreamProblem::Outdated)?;
        let (upstream, answered) =
            gateway.call(&self.caller, &call.session, now, &call.passing, message).await?;
        self.upstream = upstream;
        Ok((answered?, id))
    }
}
