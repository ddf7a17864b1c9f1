//! Calls of the legacy era whose client has seen an event with an id, and no answer: if their stream
//! ends, the client may go on there with GET. If their server does not give the rest, the client is
//! told on that GET that the call was cut; it would wait for its answer until its own time-out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::{Response, StatusCode};

use super::event_splitter::{Fields, event};
use super::message::{Envelope, Kind};
use super::outward::is_same_id;
use super::problem::{UpstreamProblem, upstream_error};
use super::relay::{events, streamed};
use crate::server::body::AnswerBody;
use crate::server::store::ServerRow;

/// Calls of one session that are remembered.
const CAPACITY: usize = 64;
/// Longest ids of a call and of an event that are remembered, together and in bytes.
const LONGEST_IDS: usize = 4096;

/// What became of a GET for the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InVain {
    /// It was refused for good.
    Refused,
    /// It may come later. Older SDKs ask twice.
    NotNow,
    /// The stream ended, and nothing was on it.
    Empty,
}

impl InVain {
    /// By the status of the server's answer, which is no stream.
    pub(super) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            408 | 409 | 425 | 429 | 500.. => Self::NotNow,
            _ => Self::Refused,
        }
    }

    /// How many of these in turn are borne.
    fn most(self) -> u32 {
        match self {
            Self::Refused => 1,
            Self::NotNow => 2,
            Self::Empty => 5,
        }
    }
}

/// Those of one session, the newest last.
#[derive(Default)]
pub(super) struct LeftCalls(Mutex<VecDeque<Left>>);

struct Left {
    server_id: String,
    /// The last event that the client has seen.
    event_id: Vec<u8>,
    /// The request's, as it was written.
    id: String,
    /// Whether its own stream goes on: then an equal event id is another one's.
    is_under_way: bool,
    /// What the last GETs for the rest have ended in, and how many in turn.
    failures: (Option<InVain>, u32),
}

impl Left {
    fn is_at(&self, server_id: &str, event_id: &[u8]) -> bool {
        !self.is_under_way && self.server_id == server_id && self.event_id == event_id
    }
}

impl LeftCalls {
    fn all(&self) -> MutexGuard<'_, VecDeque<Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the last event on a request's stream; an empty id takes back those before.
    pub(super) fn note(&self, server_id: &str, event_id: &[u8], id: &str) {
        // As it comes back in a header.
        let event_id = event_id.trim_ascii();
        let mut all = self.all();
        all.retain(|left| left.id != id);
        if event_id.is_empty() || event_id.len() + id.len() > LONGEST_IDS {
            return;
        }
        if all.len() >= CAPACITY {
            all.pop_front();
        }
        let (server_id, event_id, id) = (server_id.to_owned(), event_id.to_owned(), id.to_owned());
        all.push_back(Left { server_id, event_id, id, is_under_way: true, failures: (None, 0) });
    }

    /// The request's own stream is over.
    pub(super) fn leave(&self, id: &str) {
        for left in self.all().iter_mut().filter(|left| left.id == id) {
            left.is_under_way = false;
        }
    }

    /// Forgets a request that has its answer, or wants none.
    pub(super) fn forget(&self, id: &str) {
        self.all().retain(|left| left.id != id);
    }

    /// Whether it is the rest of a call that a client asks for with this event.
    pub(super) fn knows(&self, server_id: &str, event_id: &[u8]) -> bool {
        self.all().iter().any(|left| left.is_at(server_id, event_id))
    }

    /// Whether the stream of a call that has seen this event goes on.
    pub(super) fn is_under_way(&self, server_id: &str, event_id: &[u8]) -> bool {
        let is_it = |left: &Left| left.server_id == server_id && left.event_id == event_id;
        self.all().iter().any(|left| left.is_under_way && is_it(left))
    }

    /// Follows the stream that goes on after `after`, which is the last event then: whether the client
    /// has got its answer.
    pub(super) fn follow(&self, server_id: &str, after: &mut Vec<u8>, passed: &[u8]) {
        let fields = Fields::of(passed);
        let mut all = self.all();
        let answer = fields.data.as_deref().and_then(|data| Envelope::parse(data).ok());
        if let Some(answer) = answer.filter(|message| message.kind() == Kind::Response) {
            all.retain(|left| left.server_id != server_id || !is_same_id(answer.id(), &left.id));
        }
        let Some(left) = all.iter_mut().find(|left| left.is_at(server_id, after)) else { return };
        left.failures = (None, 0);
        let id = fields.id.map(|id| id.trim_ascii().to_vec());
        if let Some(id) = id.filter(|id| !id.is_empty() && id.len() <= LONGEST_IDS) {
            after.clone_from(&id);
            left.event_id = id;
        }
    }

    /// A long answer passes on the stream that goes on after this event.
    pub(super) fn answered_after(&self, server_id: &str, event_id: &[u8]) {
        self.all().retain(|left| !left.is_at(server_id, event_id));
    }

    /// The rest after this event was asked for in vain. The id of the request, if the client is to be
    /// told that it was cut.
    pub(super) fn failed(&self, server_id: &str, event_id: &[u8], how: InVain) -> Option<String> {
        let mut all = self.all();
        let index = all.iter().position(|left| left.is_at(server_id, event_id))?;
        let failures = &mut all[index].failures;
        *failures = (Some(how), if failures.0 == Some(how) { failures.1 + 1 } else { 1 });
        if failures.1 < how.most() {
            return None;
        }
        all.remove(index).map(|left| left.id)
    }
}

/// The event that tells it.
pub(super) fn cut_event(id: &str, slug: &str) -> Vec<u8> {
    event(&upstream_error(id, slug, UpstreamProblem::Cut))
}

/// The answer to a GET that asks for the rest in vain.
pub(super) fn cut_answer(id: &str, server: &ServerRow) -> Response<AnswerBody> {
    let told = cut_event(id, server.slug.as_str());
    streamed(&events(), move |outlet| async move {
        outlet.send(told).await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call at this event, whose own stream is over.
    fn left(calls: &LeftCalls, event_id: &[u8], id: &str) {
        calls.note("a", event_id, id);
        calls.leave(id);
    }

    #[test]
    fn who_asks_in_vain_is_told_once() {
        let calls = LeftCalls::default();
        let failed = |event_id: &[u8], how| calls.failed("a", event_id, how);
        left(&calls, b"e1 ", "7");
        assert!(calls.knows("a", b"e1") && !calls.knows("b", b"e1") && !calls.knows("a", b"e2"));
        assert_eq!(failed(b"e2", InVain::Refused), None);
        assert_eq!(failed(b"e1", InVain::NotNow), None, "it may come later");
        assert_eq!(failed(b"e1", InVain::NotNow).as_deref(), Some("7"));
        assert_eq!(failed(b"e1", InVain::Refused), None);
        left(&calls, b"e1", "8");
        assert_eq!(failed(b"e1", InVain::Refused).as_deref(), Some("8"));
        left(&calls, b"e1", "8");
        assert!((0..4).all(|_| failed(b"e1", InVain::Empty).is_none()));
        assert_eq!(failed(b"e1", InVain::NotNow), None, "of this kind it is the first");
        assert!((0..4).all(|_| failed(b"e1", InVain::Empty).is_none()));
        assert_eq!(failed(b"e1", InVain::Empty).as_deref(), Some("8"));
        assert!(InVain::of(StatusCode::CONFLICT) == InVain::NotNow);
        assert!(InVain::of(StatusCode::METHOD_NOT_ALLOWED) == InVain::Refused);
    }

    #[test]
    fn a_call_whose_own_stream_goes_on_is_not_cut() {
        let calls = LeftCalls::default();
        calls.note("a", b"e1", "7");
        assert!(calls.is_under_way("a", b"e1") && !calls.knows("a", b"e1"));
        assert_eq!(calls.failed("a", b"e1", InVain::Refused), None);
        left(&calls, b"e1", "8");
        assert_eq!(calls.failed("a", b"e1", InVain::Refused).as_deref(), Some("8"));
        calls.leave("7");
        assert!(calls.knows("a", b"e1") && !calls.is_under_way("a", b"e1"));
    }

    #[test]
    fn a_stream_that_goes_on_is_followed_to_its_answer() {
        let calls = LeftCalls::default();
        let answer = |id: u8| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n");
        left(&calls, b"e1", "7");
        let mut after = b"e1".to_vec();
        assert_eq!(calls.failed("a", b"e1", InVain::NotNow), None);
        calls.follow("a", &mut after, b"data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
        assert_eq!(calls.failed("a", b"e1", InVain::NotNow), None, "something came meanwhile");
        calls.follow("a", &mut after, b"id: e2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
        assert!(after == b"e2" && calls.knows("a", b"e2") && !calls.knows("a", b"e1"));
        calls.follow("a", &mut after, answer(8).as_bytes());
        assert!(calls.knows("a", b"e2"), "another one's");
        calls.follow("a", &mut after, format!("id: e3\n{}", answer(7)).as_bytes());
        assert!(!calls.knows("a", b"e2") && !calls.knows("a", b"e3"));
        left(&calls, b"e1", "7");
        calls.answered_after("a", b"e1");
        assert!(!calls.knows("a", b"e1"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let calls = LeftCalls::default();
        for number in 0..=CAPACITY {
            left(&calls, number.to_string().as_bytes(), &number.to_string());
        }
        assert!(!calls.knows("a", b"0") && calls.knows("a", b"1"));
        left(&calls, &[b'x'; LONGEST_IDS], "9");
        assert!(!calls.knows("a", &[b'x'; LONGEST_IDS]));
        left(&calls, b"e1", "9");
        left(&calls, b"e2", "9");
        assert!(calls.knows("a", b"e2") && !calls.knows("a", b"e1"));
        calls.forget("9");
        assert!(!calls.knows("a", b"e2"));
    }
}
