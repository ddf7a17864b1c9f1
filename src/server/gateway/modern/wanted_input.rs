//! What a server of the legacy era wants of a client of the modern one while it works on one
//! call. The server asks with requests of its own and waits for their answers; the client gets
//! all that is open as a result, and answers with the call made again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::client_capabilities::{allow, is_any};
use super::input_required::may_ask;
use super::log_level::LogLevel;
use super::parked_calls::{Budget, Room};
use super::unasked::Unasked;
use super::unfinished::Unfinished;
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::naming::member;
use crate::server::gateway::problem::UpstreamProblem;
use crate::server::gateway::sessions::UpstreamSession;

/// Requests of one call that wait for their answers.
const MAX_OPEN: usize = 32;
/// Bytes of all of them together: images may be among what a model is asked about.
const SIZE_LIMIT: usize = 8 << 20;
/// How often it is looked whether a silent server waits for the client.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// The open requests of one call's server.
pub(in crate::server::gateway) struct WantedInput {
    budget: Budget,
    /// What the client can be asked for.
    capabilities: Value,
    /// The log messages that it gets meanwhile.
    pub(in crate::server::gateway) log_level: LogLevel,
    table: Mutex<Table>,
}

#[derive(Default)]
pub(super) struct Table {
    next: u64,
    /// By the key that the client knows it by.
    open: BTreeMap<String, Open>,
    waker: Option<Waker>,
    /// The server has begun to answer the call, so that it cannot be in need of anything; or
    /// nobody waits for that any more.
    pub(super) is_closed: bool,
    /// The gateway did not wait for the answer any longer.
    is_given_up: bool,
    /// When something was open last.
    waited_until: Option<Instant>,
    /// The upstream session that the call was made in.
    session_id: Option<HeaderValue>,
    /// What has come of a message that has not ended.
    pub(super) unfinished: Unfinished,
}

impl Table {
    fn close(&mut self) {
        self.is_closed = true;
        self.open.clear();
        self.unfinished.clear();
    }

    /// Whether one of this size may be asked besides, if it is not open already.
    fn takes(&self, id: &str, size: usize) -> Result<Known, Unasked> {
        if self.open.values().any(|one| one.id == id) {
            return Ok(Known::Already);
        }
        let open: usize = self.open.values().map(|one| one.room.bytes()).sum();
        match () {
            () if self.is_closed => Err(Unasked::CannotBe),
            () if self.open.len() >= MAX_OPEN || open + size > SIZE_LIMIT => Err(Unasked::TooMuch),
            () => Ok(Known::New),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Known {
    Already,
    New,
}

struct Open {
    /// The server's id, as it was written.
    id: String,
    method: String,
    params: Option<Box<RawValue>>,
    /// The upstream session in which it asked; the answer belongs there.
    made_in: UpstreamSession,
    is_told: bool,
    room: Room,
}

impl WantedInput {
    /// For a request of this method. `capabilities` are the client's, as the request says them.
    pub(super) fn new(method: &str, capabilities: &Value, budget: Budget) -> Self {
        let capabilities = if may_ask(method) { capabilities.clone() } else { Value::Null };
        Self { budget, capabilities, log_level: LogLevel::default(), table: Mutex::default() }
    }

    /// The same for a request that asks for log messages.
    pub(super) fn with_log_level(self, log_level: LogLevel) -> Self {
        Self { log_level, ..self }
    }

    /// Where the bytes are counted that are kept for it.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether the client can be asked for anything.
    pub(in crate::server::gateway) fn can_be(&self) -> bool {
        is_any(&self.capabilities)
    }

    /// Whether these are the capabilities that it is for.
    pub(super) fn is_for(&self, capabilities: &Value) -> bool {
        self.capabilities == *capabilities
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request of the server. One that comes again, on a resumed stream, is known already.
    ///
    /// # Errors
    /// [`Unasked`] if it is none that this client can be asked now; the server has to be told so.
    pub(in crate::server::gateway) fn ask(
        &self,
        message: &[u8],
        made_in: &UpstreamSession,
    ) -> Result<(), Unasked> {
        let Ok(envelope) = Envelope::parse(message) else { return Err(Unasked::CannotBe) };
        let params = envelope.params();
        let said = params.and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or(Value::Null);
        if envelope.kind() != Kind::Request || !allow(&self.capabilities, envelope.method(), &said) {
            return Err(Unasked::CannotBe);
        }
        let (id, method) = (envelope.id().to_owned(), envelope.method().to_owned());
        let size = id.len() + method.len() + params.map_or(0, |params| params.get().len());
        if self.table().takes(&id, size)? == Known::Already {
            return Ok(());
        }
        // Other calls may have to end for it, or this one: the table must not be locked.
        let room = self.budget.room(size, || !self.is_closed()).ok_or(Unasked::TooMuch)?;
        let (params, made_in) = (params.map(ToOwned::to_owned), made_in.clone());
        let mut table = self.table();
        if table.takes(&id, size)? == Known::Already {
            return Ok(());
        }
        table.next += 1;
        let key = format!("input-{}", table.next);
        table.open.insert(key, Open { id, method, params, made_in, is_told: false, room });
        if let Some(waker) = table.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    /// Notes in which upstream session the call is made.
    pub(in crate::server::gateway) fn runs_in(&self, session_id: Option<&HeaderValue>) {
        self.table().session_id = session_id.cloned();
    }

    /// The upstream session that it was made in.
    pub(super) fn session_id(&self) -> Option<HeaderValue> {
        self.table().session_id.clone()
    }

    /// Notes that the gateway does not wait for the answer any longer.
    pub(in crate::server::gateway) fn give_up(&self) {
        self.table().is_given_up = true;
    }

    /// Whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.table().is_given_up
    }

    /// Notes that the answer to the call has begun: nothing is open any more, and nothing is asked.
    pub(in crate::server::gateway) fn close(&self) {
        self.table().close();
    }

    /// Whether the answer has begun, or nobody waits for it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.table().is_closed
    }

    /// Does the work, which the server has to begin to answer within the limit. While it waits
    /// for the client, that time stands still.
    pub(in crate::server::gateway) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, UpstreamProblem>>,
    ) -> Result<T, UpstreamProblem> {
        let (mut work, began) = (std::pin::pin!(work), Instant::now());
        loop {
            let left = limit.saturating_sub(self.silent_since(began).elapsed());
            if left.is_zero() {
                return Err(UpstreamProblem::TimedOut);
            }
            if let Ok(done) = tokio::time::timeout(left.min(LOOK_TIME), &mut work).await {
                return done;
            }
        }
    }

    /// Since when the server is silent that said something at this moment: not while it waits for
    /// the client.
    pub(in crate::server::gateway) fn silent_since(&self, moment: Instant) -> Instant {
        let table = self.table();
        let waited_until = if table.open.is_empty() { table.waited_until } else { Some(Instant::now()) };
        waited_until.map_or(moment, |waited_until| waited_until.max(moment))
    }

    /// Takes a notification of the server that it does not want an answer any more. `false` if
    /// it says something else.
    pub(in crate::server::gateway) fn takes_back(&self, message: &[u8]) -> bool {
        let Ok(envelope) = Envelope::parse(message) else { return false };
        if envelope.kind() != Kind::Notification || envelope.method() != "notifications/cancelled" {
            return false;
        }
        if let Some(id) = envelope.params().and_then(|params| member(params, "requestId")) {
            let mut table = self.table();
            table.open.retain(|_, one| one.id != id.get());
            table.waited_until = Some(Instant::now());
        }
        true
    }

    /// Whether the server waits for the client.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        !self.table().open.is_empty()
    }

    /// Ready when there is something that the client was not told.
    pub(super) fn poll_untold(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut table = self.table();
        if table.open.values().any(|one| !one.is_told) {
            return Poll::Ready(());
        }
        table.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns when there is something that the client was not told.
    pub(super) async fn untold(&self) {
        std::future::poll_fn(|context| self.poll_untold(context)).await;
    }

    /// All that is open, as the member `inputRequests` of a result; the client is told with it.
    pub(super) fn tell(&self) -> String {
        let mut requests = Vec::new();
        for (key, one) in &mut self.table().open {
            one.is_told = true;
            let method = Value::from(one.method.as_str());
            let params =
                one.params.as_ref().map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
            requests.push(format!(r#""{key}":{{"method":{method}{params}}}"#));
        }
        format!("{{{}}}", requests.join(","))
    }

    /// Takes the client's answers by their keys: the messages that the server gets for them, and
    /// in which session. Answers to nothing are left out; what is still open then has to be
    /// told again.
    pub(super) fn answered(
        &self,
        answers: &BTreeMap<String, Box<RawValue>>,
    ) -> Vec<(UpstreamSession, Bytes)> {
        let mut table = self.table();
        let mut messages = Vec::new();
        for (key, answer) in answers {
            if let Some(one) = table.open.remove(key) {
                let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{answer}}}"#, one.id);
                messages.push((one.made_in, message.into()));
            }
        }
        table.open.values_mut().for_each(|one| one.is_told = false);
        table.waited_until = Some(Instant::now());
        messages
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::gateway::modern::tests::opened;

    fn wanted() -> WantedInput {
        WantedInput::new("tools/call", &json!({"roots": {}, "elicitation": {}}), Budget::default())
    }

    fn asks(wanted: &WantedInput, message: &str) -> Result<(), Unasked> {
        wanted.ask(message.as_bytes(), &opened())
    }

    fn request(id: &str, method: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"x":1.50}}}}"#)
    }

    fn answers(texts: &[(&str, &str)]) -> BTreeMap<String, Box<RawValue>> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        texts.iter().map(|(key, text)| ((*key).to_owned(), raw(text))).collect()
    }

    #[test]
    fn what_is_open_is_told_until_it_is_answered() {
        let wanted = wanted();
        let mut context = Context::from_waker(Waker::noop());
        assert!(wanted.can_be() && !wanted.is_open() && wanted.poll_untold(&mut context).is_pending());
        assert!(asks(&wanted, &request("0", "elicitation/create")).is_ok());
        assert!(asks(&wanted, &request("0", "elicitation/create")).is_ok(), "it came again");
        assert!(asks(&wanted, r#"{"jsonrpc":"2.0","id":"a","method":"roots/list"}"#).is_ok());
        assert!(wanted.is_open() && wanted.poll_untold(&mut context).is_ready());
        let told = r#"{"input-1":{"method":"elicitation/create","params":{"x":1.50}},"input-2":{"method":"roots/list"}}"#;
        assert_eq!(wanted.tell(), told);
        assert!(wanted.poll_untold(&mut context).is_pending());
        let given = answers(&[("input-2", r#"{"roots":[]}"#), ("input-9", "{}")]);
        let messages = wanted.answered(&given);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].1, r#"{"jsonrpc":"2.0","id":"a","result":{"roots":[]}}"#);
        assert!(wanted.poll_untold(&mut context).is_ready(), "the other one is told again");
        assert!(wanted.answered(&given).is_empty(), "once");
        let cancelled = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#;
        assert!(wanted.takes_back(cancelled) && !wanted.is_open());
        assert!(!wanted.takes_back(br#"{"jsonrpc":"2.0","method":"notifications/progress"}"#));
    }

    #[test]
    fn the_time_of_the_client_is_not_that_of_the_server() {
        let (wanted, began) = (wanted(), Instant::now());
        assert_eq!(wanted.silent_since(began), began);
        for answered in [true, false] {
            assert!(asks(&wanted, &request("7", "roots/list")).is_ok());
            let open = wanted.silent_since(began);
            assert!(open > began && wanted.silent_since(began) >= open, "it goes on");
            if answered {
                wanted.answered(&answers(&[("input-1", "{}")]));
            } else {
                let cancelled =
                    br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
                assert!(wanted.takes_back(cancelled));
            }
            let ended = wanted.silent_since(began);
            assert!(ended >= open && wanted.silent_since(began) == ended, "it is over");
            assert!(wanted.silent_since(Instant::now()) > ended, "it said something since");
        }
    }

    #[test]
    fn nothing_is_asked_once_the_answer_has_begun() {
        let wanted = wanted();
        assert!(asks(&wanted, &request("0", "roots/list")).is_ok());
        wanted.close();
        assert!(!wanted.is_open());
        assert_eq!(asks(&wanted, &request("1", "roots/list")), Err(Unasked::CannotBe));
    }

    #[test]
    fn only_what_the_client_can_do_and_only_so_much() {
        let wanted = wanted();
        for method in ["sampling/createMessage", "ping", "tools/list"] {
            assert_eq!(asks(&wanted, &request("1", method)), Err(Unasked::CannotBe), "{method}");
        }
        let large = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"roots/list","params":{{"x":"{}"}}}}"#,
            "x".repeat(SIZE_LIMIT)
        );
        assert_eq!(asks(&wanted, &large), Err(Unasked::TooMuch));
        let long_id = format!("\"{}\"", "9".repeat(SIZE_LIMIT));
        assert_eq!(asks(&wanted, &request(&long_id, "roots/list")), Err(Unasked::TooMuch));
        for id in 0..MAX_OPEN {
            assert!(asks(&wanted, &request(&id.to_string(), "roots/list")).is_ok());
        }
        assert_eq!(asks(&wanted, &request("99", "roots/list")), Err(Unasked::TooMuch));
        let list = WantedInput::new("tools/list", &json!({"roots": {}}), Budget::default());
        assert!(!list.can_be());
        assert_eq!(asks(&list, &request("1", "roots/list")), Err(Unasked::CannotBe));
    }
}
