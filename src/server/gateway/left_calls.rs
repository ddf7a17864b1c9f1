//! Calls of the legacy era whose client has seen an event with an id, and no answer: if their stream
//! ends, the client may go on there with GET. If their server does not give the rest, the client is
//! told on that GET that the call was cut; it would wait for its answer until its own time-out.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::Response;

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
/// How often the rest may be asked for in vain, if it may come later: older SDKs ask twice.
const MOST_FAILURES: u32 = 2;

/// Those of one session, the newest last.
#[derive(Default)]
pub(super) struct LeftCalls(Mutex<VecDeque<Left>>);

struct Left {
    server_id: String,
    /// The last event that the client has seen.
    event_id: Vec<u8>,
    /// The request's, as it was written.
    id: String,
    failures: u32,
}

impl LeftCalls {
    fn all(&self) -> MutexGuard<'_, VecDeque<Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the last event on a request's stream; an empty id takes back those before.
    pub(super) fn note(&self, server_id: &str, event_id: &[u8], id: &str) {
        let mut all = self.all();
        all.retain(|left| left.id != id);
        if event_id.is_empty() || event_id.len() + id.len() > LONGEST_IDS {
            return;
        }
        if all.len() >= CAPACITY {
            all.pop_front();
        }
        let (server_id, event_id, id) = (server_id.to_owned(), event_id.to_owned(), id.to_owned());
        all.push_back(Left { server_id, event_id, id, failures: 0 });
    }

    /// Forgets a request that has its answer.
    pub(super) fn forget(&self, id: &str) {
        self.all().retain(|left| left.id != id);
    }

    /// Whether it is the rest of a call that a client asks for with this event.
    pub(super) fn knows(&self, server_id: &str, event_id: &[u8]) -> bool {
        self.all().iter().any(|left| left.server_id == server_id && left.event_id == event_id)
    }

    /// Follows the stream that goes on after `after`, which is the last event then: whether the client
    /// has got its answer.
    pub(super) fn follow(&self, server_id: &str, after: &mut Vec<u8>, passed: &[u8]) {
        let fields = Fields::of(passed);
        let mut all = self.all();
        let is_it = |left: &Left| left.server_id == server_id && left.event_id == *after;
        let Some(index) = all.iter().position(is_it) else { return };
        let answer = fields.data.as_deref().and_then(|data| Envelope::parse(data).ok());
        let answer = answer.filter(|message| message.kind() == Kind::Response);
        if answer.is_some_and(|answer| is_same_id(answer.id(), &all[index].id)) {
            all.remove(index);
        } else if let Some(id) = fields.id.filter(|id| !id.is_empty() && id.len() <= LONGEST_IDS) {
            after.clone_from(&id);
            (all[index].event_id, all[index].failures) = (id, 0);
        }
    }

    /// The server did not give the rest after this event. The id of the request, if the client is to be
    /// told that it was cut: at once if that is `final_`, else when it has asked often enough.
    pub(super) fn failed(&self, server_id: &str, event_id: &[u8], is_final: bool) -> Option<String> {
        let mut all = self.all();
        let index = all.iter().position(|left| left.server_id == server_id && left.event_id == event_id)?;
        all[index].failures += 1;
        if !is_final && all[index].failures < MOST_FAILURES {
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

    #[test]
    fn who_asks_in_vain_is_told_once() {
        let left = LeftCalls::default();
        left.note("a", b"e1", "7");
        assert!(left.knows("a", b"e1") && !left.knows("b", b"e1") && !left.knows("a", b"e2"));
        assert_eq!(left.failed("a", b"e2", true), None);
        assert_eq!(left.failed("a", b"e1", false), None, "it may come later");
        assert_eq!(left.failed("a", b"e1", false).as_deref(), Some("7"));
        assert_eq!(left.failed("a", b"e1", true), None);
        left.note("a", b"e1", "8");
        assert_eq!(left.failed("a", b"e1", true).as_deref(), Some("8"));
    }

    #[test]
    fn a_stream_that_goes_on_is_followed_to_its_answer() {
        let left = LeftCalls::default();
        left.note("a", b"e1", "7");
        let mut after = b"e1".to_vec();
        left.follow("a", &mut after, b"id: e2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
        assert!(after == b"e2" && left.knows("a", b"e2") && !left.knows("a", b"e1"));
        left.follow("a", &mut after, b"data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\n");
        assert!(left.knows("a", b"e2"), "another one's");
        left.follow("a", &mut after, b"id: e3\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n");
        assert!(!left.knows("a", b"e2") && !left.knows("a", b"e3"));
        for number in 0..=CAPACITY {
            left.note("a", number.to_string().as_bytes(), &number.to_string());
        }
        assert!(!left.knows("a", b"0") && left.knows("a", b"1"));
        left.note("a", &[b'x'; LONGEST_IDS], "9");
        assert!(!left.knows("a", &[b'x'; LONGEST_IDS]));
        left.note("a", b"e1", "9");
        left.note("a", b"e2", "9");
        assert!(left.knows("a", b"e2") && !left.knows("a", b"e1"));
        left.forget("9");
        assert!(!left.knows("a", b"e2"));
    }
}
