//! What of a server failed lately is not asked for again at once when lists are made, so that a
//! broken one costs its workspace nothing. When its rest is over, one question is put to it beside
//! a list that does not wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::listing::ListKind;
use super::problem::UpstreamProblem;
use super::upstream::Upstream;

/// The rest after the first failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_secs(2);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_mins(1);
/// How long a question may be under way before another one may be put.
const QUESTION_TIME: Duration = Duration::from_secs(10);
/// Servers that are remembered.
const CAPACITY: usize = 4096;

/// What failed: a server that lists no resources may well have tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Its sessions, and so all of it.
    Session,
    /// One of its lists.
    List(ListKind),
    /// Saying whether a resource without a slug is its own.
    BareResources,
}

/// What is to be done with a server when a list is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is asked and waited for.
    Well,
    /// It failed lately and is left out.
    Resting,
    /// It is left out, and asked beside the list whether it is back. Told to one asker only.
    Due,
}

struct Failing {
    /// Secrets, rules and URL with which it failed; with others it starts afresh.
    fingerprint: [u8; 32],
    failures: u32,
    rests_until: Instant,
    /// Pages of the list that came before it failed: they can be asked for all the same.
    good_pages: usize,
}

/// What failed for whom: `None` for all, else for the token with this id.
type Key = (String, Part, Option<String>);

/// The servers that failed when they were asked last.
#[derive(Default)]
pub(super) struct Backoff(Mutex<HashMap<Key, Failing>>);

impl Backoff {
    /// How a part of a server stands at this moment.
    fn standing(&self, key: &Key, fingerprint: &[u8; 32], now: Instant) -> (Standing, usize) {
        let mut failing = self.failing();
        match failing.get_mut(key).filter(|one| one.fingerprint == *fingerprint) {
            None => (Standing::Well, usize::MAX),
            Some(one) if now < one.rests_until => (Standing::Resting, one.good_pages),
            Some(one) => {
                one.rests_until = now + QUESTION_TIME;
                (Standing::Due, one.good_pages)
            }
        }
    }

    /// Whether it failed when it was asked last.
    pub(super) fn is_failing(&self, server_id: &str, part: Part, token_id: &str) -> bool {
        let failing = self.failing();
        keys(server_id, part, token_id).iter().any(|key| failing.contains_key(key))
    }

    fn answered(&self, server_id: &str, part: Part, token_id: &str) {
        let mut failing = self.failing();
        if failing.is_empty() {
            // With each call, and mostly.
            return;
        }
        for key in keys(server_id, part, token_id) {
            failing.remove(&key);
        }
    }

    fn failed(&self, key: Key, fingerprint: [u8; 32], good_pages: usize, now: Instant) {
        let mut failing = self.failing();
        if failing.len() >= CAPACITY {
            failing.retain(|_, one| one.rests_until + LONGEST_REST > now);
        }
        let known = failing.get(&key).filter(|one| one.fingerprint == fingerprint);
        let failures = known.map_or(1, |one| one.failures.saturating_add(1));
        let rest = FIRST_REST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_REST);
        if failing.len() < CAPACITY || failing.contains_key(&key) {
            failing.insert(key, Failing { fingerprint, failures, rests_until: now + rest, good_pages });
        }
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<Key, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What concerns a token: what failed for all, and what failed for itself.
fn keys(server_id: &str, part: Part, token_id: &str) -> [Key; 2] {
    [None, Some(token_id.to_owned())].map(|whose| (server_id.to_owned(), part, whose))
}

impl Upstream {
    /// How a part of the server stands for the caller, and how many pages of a list can be asked for
    /// without a wait for what failed.
    pub(super) fn standing(&self, part: Part) -> (Standing, usize) {
        let (backoff, token_id) = (&self.gateway().backoff, &self.caller().member.token_id);
        let now = Instant::now();
        let standings = keys(&self.server.id, part, token_id)
            .map(|key| backoff.standing(&key, &self.fingerprint(), now))
            .into_iter();
        standings.min_by_key(|(_, pages)| *pages).unwrap_or((Standing::Well, usize::MAX))
    }

    /// A part of it answered.
    pub(super) fn is_well(&self, part: Part) {
        self.gateway().backoff.answered(&self.server.id, part, &self.caller().member.token_id);
    }

    /// A part of it failed, or was too slow, after so many pages of a list. It rests, unless the
    /// problem says nothing of the server.
    pub(super) fn rests(&self, part: Part, problem: UpstreamProblem, good_pages: usize) {
        let own = Some(self.caller().member.token_id.clone());
        let whose = match problem {
            // One client's own question may have made it fail.
            _ if part == Part::BareResources => own,
            _ if problem.is_of_a_dead_server() => None,
            _ if problem.is_a_refusal() => own,
            _ => return,
        };
        let key = (self.server.id.clone(), part, whose);
        self.gateway().backoff.failed(key, self.fingerprint(), good_pages, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 32] = [1; 32];

    fn key(server_id: &str, part: Part, whose: Option<&str>) -> Key {
        (server_id.to_owned(), part, whose.map(str::to_owned))
    }

    #[test]
    fn the_rest_grows_and_one_asks_when_it_is_over() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let key = || key("s", Part::Session, None);
        let at = |seconds: u64| backoff.standing(&key(), &ONE, start + Duration::from_secs(seconds)).0;
        let fails = |seconds: u64| backoff.failed(key(), ONE, 0, start + Duration::from_secs(seconds));
        assert_eq!(at(0), Standing::Well);
        fails(0);
        assert_eq!(at(1), Standing::Resting);
        assert_eq!(at(2), Standing::Due);
        assert_eq!(at(2), Standing::Resting);
        // Nobody came back with an answer: another one may ask.
        assert_eq!(at(12), Standing::Due);
        fails(12);
        assert_eq!(at(15), Standing::Resting);
        assert_eq!(at(16), Standing::Due);
        for _ in 0..40 {
            fails(16);
        }
        assert_eq!(at(75), Standing::Resting);
        assert_eq!(at(76), Standing::Due);
        backoff.answered("s", Part::Session, "t");
        assert_eq!(at(77), Standing::Well);
    }

    #[test]
    fn other_secrets_are_a_new_start() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        let part = Part::List(ListKind::Tools);
        backoff.failed(key("s", part, None), ONE, 2, now);
        let standing = |key: Key, fingerprint| backoff.standing(&key, &fingerprint, now);
        assert_eq!(standing(key("s", part, None), ONE), (Standing::Resting, 2));
        let well = (Standing::Well, usize::MAX);
        assert_eq!(standing(key("s", part, None), [2; 32]), well);
        assert_eq!(standing(key("t", part, None), ONE), well);
        for other in [Part::Session, Part::List(ListKind::Resources)] {
            assert_eq!(standing(key("s", other, None), ONE), well);
        }
    }

    #[test]
    fn what_failed_for_one_token_does_not_concern_another() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(key("s", Part::Session, Some("a")), ONE, 0, now);
        let is_failing = |token| backoff.is_failing("s", Part::Session, token);
        assert!(is_failing("a") && !is_failing("b"));
        backoff.answered("s", Part::Session, "b");
        assert!(is_failing("a"));
        backoff.failed(key("s", Part::Session, None), ONE, 0, now);
        assert!(is_failing("b"));
        backoff.answered("s", Part::Session, "a");
        assert!(!is_failing("a") && !is_failing("b"));
    }
}
