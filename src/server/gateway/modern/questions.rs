//! Requests that the gateway makes of a client of the legacy era on behalf of a server of the
//! modern one. The client answers with a POST of its own, maybe on another core; the answer
//! finds the call that waits for it here.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use crate::server::gateway::message::Envelope;
use crate::server::gateway::sessions::Session;

/// Unanswered questions of one session; the oldest goes when another comes.
const MAX_WAITING: usize = 256;
/// How their ids begin. Those of servers' own requests begin otherwise.
const PREFIX: &str = "gateway-request-";

/// The unanswered questions of one session.
#[derive(Default)]
pub(in crate::server::gateway) struct Questions(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Bytes>>,
}

/// A question that waits for its answer. Dropping it takes it back: an answer that comes later
/// is for nobody.
pub(in crate::server::gateway) struct Question {
    session: Arc<Session>,
    number: u64,
    answer: oneshot::Receiver<Bytes>,
}

impl Questions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> (u64, oneshot::Receiver<Bytes>) {
        let (sender, answer) = oneshot::channel();
        let mut table = self.table();
        if table.waiting.len() >= MAX_WAITING {
            table.waiting.pop_first();
        }
        table.next += 1;
        let number = table.next;
        table.waiting.insert(number, sender);
        (number, answer)
    }

    /// Hands an answer of the client to the call that asked; whether one did.
    pub(in crate::server::gateway) fn answered(&self, envelope: &Envelope<'_>, body: &Bytes) -> bool {
        let id = serde_json::from_str::<String>(envelope.id()).ok();
        let number = id.and_then(|id| id.strip_prefix(PREFIX)?.parse().ok());
        let waiting = number.and_then(|number: u64| self.table().waiting.remove(&number));
        waiting.is_some_and(|waiting| waiting.send(body.clone()).is_ok())
    }
}

impl Question {
    /// A new question to the client of a session.
    pub(in crate::server::gateway) fn new(session: &Arc<Session>) -> Self {
        let (number, answer) = session.workspace.questions.open();
        Self { session: Arc::clone(session), number, answer }
    }

    /// Its id towards the client, as it is to be written.
    pub(in crate::server::gateway) fn id(&self) -> String {
        format!("\"{PREFIX}{}\"", self.number)
    }

    /// The client's JSON-RPC answer; `None` if the question had to make room for others.
    pub(in crate::server::gateway) fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.answer).poll(context).map(Result::ok)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.session.workspace.questions.table().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(questions: &Questions, id: &str) -> bool {
        let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        questions.answered(&Envelope::parse(&body).unwrap(), &body)
    }

    #[test]
    fn an_answer_reaches_its_question_once() {
        let questions = Questions::default();
        let ((first, mut one), (second, mut two)) = (questions.open(), questions.open());
        for nobody in ["7", "\"server-request-1\"", "\"gateway-request-x\"", "\"gateway-request-99\""] {
            assert!(!answer(&questions, nobody), "{nobody}");
        }
        assert!(answer(&questions, &format!("\"{PREFIX}{second}\"")));
        assert!(two.try_recv().is_ok() && one.try_recv().is_err());
        assert!(!answer(&questions, &format!("\"{PREFIX}{second}\"")), "once");
        drop(one);
        assert!(!answer(&questions, &format!("\"{PREFIX}{first}\"")), "nobody waits any more");
    }

    #[test]
    fn their_number_is_bounded() {
        let questions = Questions::default();
        let mut open: Vec<_> = (0..=MAX_WAITING).map(|_| questions.open()).collect();
        assert!(open[0].1.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        assert!(open[1].1.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        assert_eq!(questions.table().waiting.len(), MAX_WAITING);
    }
}
