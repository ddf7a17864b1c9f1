//! A call that a client of the modern era makes at a server of the older one. Such a server
//! asks its client with requests in the middle of the call and waits. The client gets them as
//! the result `input_required`, which ends its own request; the server's stream stays open
//! until the client makes the call again, with the answers and the state it was given.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answering::{Asked, failure};
use super::call_body::{CallBody, park};
use super::cancellation::CancelOnDrop;
use super::legacy_meta::for_legacy;
use super::log_level::LogLevel;
use super::parked_calls::{Budget, ParkedCall};
use super::waiting_pieces::waiting_pieces;
use super::wanted_input::WantedInput;
use super::{CACHED, COMPLETE};
use crate::server::auth::Member;
use crate::server::body::AnswerBody;
use crate::server::gateway::Gateway;
use crate::server::gateway::answer;
use crate::server::gateway::calls_under_way::{CallUnderWay, progress_token};
use crate::server::gateway::listing::own_request_id;
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::{NameInMessage, member};
use crate::server::gateway::outward::Outward;
use crate::server::gateway::problem::{INVALID_PARAMS, UpstreamProblem};
use crate::server::gateway::relay::{OnWorkspace, Passage};
use crate::server::gateway::sessions::{Answering, Session, UpstreamSession};
use crate::server::gateway::upstream::{SHORT_TIME, Upstream};
use crate::server::gateway::watched_body::ServedBy;
use crate::server::response::json_answer;

/// What a client gets that comes back to a call that is not there.
const NO_SUCH_CALL: &str = "no such call waits here (any more); make it again without params.requestState";

/// A call under way, as far as it outlives the client's request. Dropping it before its end
/// tells the server that it was cancelled.
pub(super) struct OpenCall {
    session: Arc<Session>,
    server: ServedBy,
    pub(super) wanted: Arc<WantedInput>,
    /// Of the method and of the parameters that stay the same; for calls that can wait only.
    digest: Option<digest::Digest>,
    /// The id by which the server knows it, as it is written.
    pub(super) own_id: String,
    /// The progress token of its first request.
    pub(super) progress_token: Option<String>,
    /// JSON members that go into its result.
    pub(super) members: &'static str,
    cancelling: CancelOnDrop,
    _answering: Answering,
    _under_way: UnderWay,
}

/// Sees to it that nothing is put to a call that is over, and that it is known if the server
/// may work on it all the same.
struct UnderWay {
    session: Arc<Session>,
    server_id: String,
    wanted: Arc<WantedInput>,
}

impl UnderWay {
    fn begin(session: &Arc<Session>, server_id: &str, wanted: &Arc<WantedInput>) -> Self {
        let (session, wanted) = (Arc::clone(session), Arc::clone(wanted));
        Self { session, server_id: server_id.to_owned(), wanted }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.wanted.can_be() && !self.wanted.is_closed() {
            self.session.workspace.hearing.left(&self.server_id, self.wanted.session_id());
        }
        self.wanted.close();
    }
}

impl OpenCall {
    /// Whose it is.
    pub(super) fn member(&self) -> &Member {
        &self.session.member
    }

    /// Whether it is a call of this member's.
    pub(super) fn is_of(&self, member: &Member) -> bool {
        let own = self.member();
        own.token_id == member.token_id && own.workspace_id == member.workspace_id
    }

    /// Where it was made.
    pub(super) fn server(&self) -> &ServedBy {
        &self.server
    }

    /// The answer has passed, or an error in its place.
    pub(super) fn ended(self) {
        if !self.wanted.is_given_up() {
            self.cancelling.ended();
        }
    }
}

impl Gateway {
    /// Makes a call, or goes on with one that waits for the client.
    pub(super) async fn call_legacy(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        mut upstream: Upstream,
        mut opened: UpstreamSession,
        message: &[u8],
    ) -> Result<Response<AnswerBody>, UpstreamProblem> {
        if let Some(state) = request_state(asked.envelope) {
            return self.go_on(asked, &upstream, &state).await;
        }
        if asked.envelope.params().is_some_and(|params| member(params, "requestState").is_some()) {
            let message = "params.requestState is not a string";
            return Ok(failure(asked.envelope.id(), INVALID_PARAMS, message));
        }
        // The session is shared by all clients of the token, and they all count from the same number.
        let own_id = format!("\"{}\"", own_request_id());
        let message = for_legacy(message, &own_id).ok_or(UpstreamProblem::NotMcp)?;
        let (session, server) = (Arc::clone(&asked.session), upstream.server.clone());
        let method = asked.envelope.method();
        let budget = Budget::of(&self.parked, &session.member);
        let wanted = WantedInput::new(method, &asked.capabilities, budget);
        let wanted = Arc::new(wanted.with_log_level(LogLevel::of_request(asked.envelope)));
        if wanted.can_be() {
            session.workspace.hearing.begin(&upstream.server.id, &wanted);
            opened = self.heard(asked, &upstream, opened).await?;
            upstream.asks(&wanted);
        }
        let call = OpenCall {
            session: Arc::clone(&session),
            server: ServedBy::of(&server),
            wanted: Arc::clone(&wanted),
            digest: wanted.can_be().then(|| digest_of(asked.envelope)),
            own_id: own_id.clone(),
            progress_token: progress_token(asked.envelope),
            members: members_for(method),
            cancelling: CancelOnDrop::new(self, asked, &upstream.server, &own_id),
            _answering: Answering::begin(&session),
            _under_way: UnderWay::begin(&session, &server.id, &wanted),
        };
        let outward = Outward::new(&session, &upstream.server);
        let under_way = CallUnderWay::with_id(&session, &server.id, &own_id, call.progress_token.clone());
        let wanted_input = Some(Arc::clone(&wanted));
        let (opened, within) = (Some(opened), Arc::clone(&session));
        let workspace = Some(OnWorkspace { session: within, outward, opened, wanted: wanted_input });
        let (gateway, caller, under_way) = (Arc::clone(self), Rc::clone(asked.caller), Some(under_way));
        let (id, modern) = (own_id, None);
        let passage = Passage { gateway, caller, upstream, id, workspace, modern, call: under_way };
        let mut answering = Box::pin(made(passage, session, message));
        tokio::select! {
            biased;
            response = &mut answering => match response {
                Ok(response) => Ok(CallBody::wrap(self, response, call, asked.envelope.id())),
                Err((problem, _)) => {
                    // Nothing was sent, so there is nothing to cancel.
                    call.ended();
                    Err(problem)
                }
            },
            () = wanted.untold() => {
                // It came on another stream than the answer, of which there is nothing yet.
                let (gateway, caller) = (Arc::clone(self), Rc::clone(asked.caller));
                let own_id = call.own_id.clone();
                let answering = async move {
                    // What follows its head watches the server itself.
                    match gateway.while_served(&caller, &server, answering).await {
                        Some(Ok(response)) => response,
                        Some(Err((problem, passage))) => passage.answer(Err(problem)).await,
                        None => Self::failed(&caller, &server, &own_id, UpstreamProblem::Removed),
                    }
                };
                let pieces = waiting_pieces(self, &call, answering);
                Ok(json_answer(StatusCode::OK, park(self, call, pieces, asked.envelope.id())))
            }
        }
    }

    /// The upstream session, in which the server is heard from now on.
    async fn heard(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        upstream: &Upstream,
        opened: UpstreamSession,
    ) -> Result<UpstreamSession, UpstreamProblem> {
        self.hear(asked.caller, &asked.session, &upstream.server, &opened).await;
        let now = upstream.session(&asked.session).await?;
        if now.id != opened.id {
            // It turned out to be lost.
            self.hear(asked.caller, &asked.session, &upstream.server, &now).await;
        }
        Ok(now)
    }

    /// Gives the server the client's answers, and the client the rest of the server's stream.
    async fn go_on(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        upstream: &Upstream,
        state: &str,
    ) -> Result<Response<AnswerBody>, UpstreamProblem> {
        let id = asked.envelope.id();
        let Some(answers) = input_responses(asked.envelope) else {
            return Ok(failure(id, INVALID_PARAMS, "params.inputResponses is not an object of objects"));
        };
        let digest = digest_of(asked.envelope);
        let fits = |call: &OpenCall| {
            let is_same = call.digest.is_some_and(|own| own.as_ref() == digest.as_ref());
            // Who can be asked for something else is another client.
            is_same && call.server.id() == upstream.server.id && call.wanted.is_for(&asked.capabilities)
        };
        let Some(ParkedCall { call, pieces, .. }) = self.parked.take(state, &asked.caller.member, fits)
        else {
            return Ok(failure(id, INVALID_PARAMS, NO_SUCH_CALL));
        };
        call.wanted.unpark();
        for (made_in, message) in call.wanted.answered(&answers) {
            match upstream.tell_answer(&made_in, message).await {
                Ok(()) => {}
                // The server has lost the session, and the call with it.
                Err(UpstreamProblem::Status(404)) => return Ok(failure(id, INVALID_PARAMS, NO_SUCH_CALL)),
                // It cannot be told anew: the call was made with the older ones.
                Err(UpstreamProblem::Outdated) => return Err(UpstreamProblem::SecretsChanged),
                Err(problem) => return Err(problem),
            }
        }
        Ok(CallBody::resumed(self, pieces, call, id, progress_token(asked.envelope)))
    }
}

/// Makes the call and begins to pass its answer on, unless the server's settings have changed
/// before anything was sent, or it refuses the call because it is of the modern era.
async fn made(
    mut passage: Passage,
    session: Arc<Session>,
    message: Bytes,
) -> Result<Response<AnswerBody>, (UpstreamProblem, Box<Passage>)> {
    let answered = passage.upstream.request(&session, message).await;
    let (is_modern, may_run) = match &answered {
        Ok(answer) => {
            let is_modern = passage.upstream.is_modern_after_all(&session, answer).await;
            (is_modern, !is_modern)
        }
        Err(problem) => (false, problem.may_still_run()),
    };
    if let Some(wanted) = passage.workspace.as_ref().and_then(|workspace| workspace.wanted.as_ref())
        && !may_run
    {
        wanted.close();
    }
    if is_modern || matches!(answered, Err(UpstreamProblem::Outdated)) {
        return Err((UpstreamProblem::Outdated, Box::new(passage)));
    }
    if let Some(workspace) = &mut passage.workspace {
        // It may have been opened again for this.
        workspace.opened = passage.upstream.opened();
    }
    // What its status says is about the server's own endpoint, not about the workspace's.
    let answered = answered.map(|answer| answer.for_legacy(&passage.id));
    Ok(passage.answer(answered).await)
}

impl Upstream {
    /// Answers a request of the server in the session in which it asked.
    async fn tell_answer(&self, made_in: &UpstreamSession, message: Bytes) -> Result<(), UpstreamProblem> {
        if made_in.fingerprint != self.fingerprint() {
            return Err(UpstreamProblem::SecretsChanged);
        }
        let response = self.post(Some(made_in), message, SHORT_TIME).await?;
        let status = response.status();
        answer::drain(response).await;
        if status.is_success() { Ok(()) } else { Err(UpstreamProblem::Status(status.as_u16())) }
    }
}

/// What goes into the results of a method that servers of the legacy era have too.
fn members_for(method: &str) -> &'static str {
    match method {
        "resources/read" => CACHED,
        _ => COMPLETE,
    }
}

/// The state that a client was given with `input_required`.
pub(super) fn request_state(envelope: &Envelope<'_>) -> Option<String> {
    NameInMessage::find(envelope.params()?, &["requestState"]).map(|state| state.text.into_owned())
}

/// The client's answers by their keys; none are fine. `None` if they are not objects in one.
fn input_responses(envelope: &Envelope<'_>) -> Option<BTreeMap<String, Box<RawValue>>> {
    let Some(answers) = envelope.params().and_then(|params| member(params, "inputResponses")) else {
        return Some(BTreeMap::new());
    };
    let answers: BTreeMap<String, Box<RawValue>> = serde_json::from_str(answers.get()).ok()?;
    answers.values().all(|answer| answer.get().starts_with('{')).then_some(answers)
}

/// What must be the same when the call is made again: the method, and all parameters but those
/// that belong to each request alone.
fn digest_of(envelope: &Envelope<'_>) -> digest::Digest {
    #[derive(Deserialize, Default)]
    struct Params(BTreeMap<String, Value>);
    let params = envelope.params().and_then(|params| serde_json::from_str::<Params>(params.get()).ok());
    let mut params = params.unwrap_or_default().0;
    params.retain(|name, _| !["_meta", "inputResponses", "requestState"].contains(&name.as_str()));
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(envelope.method().as_bytes());
    for (name, value) in params {
        context.update(format!("\n{}:{value}", Value::from(name)).as_bytes());
    }
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Vec<u8> {
        digest_of(&Envelope::parse(text.as_bytes()).unwrap()).as_ref().to_vec()
    }

    #[test]
    fn the_same_call_is_known_again() {
        let first = digest(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1,"b":{"c":2,"d":3}},"_meta":{"x":1}}}"#,
        );
        let again = r#"{"jsonrpc":"2.0","id":"2","method":"tools/call","params":{"requestState":"s","inputResponses":{},"arguments":{"b":{"d":3,"c":2},"a":1},"name":"t"}}"#;
        assert_eq!(digest(again), first);
        for other in [
            again.replace("\"t\"", "\"u\""),
            again.replace("\"a\":1", "\"a\":2"),
            again.replace("tools/call", "prompts/get"),
            again.replace("requestState", "other"),
        ] {
            assert_ne!(digest(&other), first, "{other}");
        }
    }
}
