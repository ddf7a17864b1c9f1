//! What of a server failed lately is not asked for again at once when lists are made, so that a
//! dead one costs its workspace nothing. When its rest is over, one question is put to it beside a
//! list that does not wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::listing::ListKind;

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
}

/// The servers that failed when they were asked last.
#[derive(Default)]
pub(super) struct Backoff(Mutex<HashMap<(String, Part), Failing>>);

impl Backoff {
    /// How a part of a server stands at this moment.
    pub(super) fn standing(&self, server_id: &str, part: Part, fingerprint: &[u8; 32]) -> Standing {
        self.standing_at(server_id, part, fingerprint, Instant::now())
    }

    fn standing_at(&self, server_id: &str, part: Part, fingerprint: &[u8; 32], now: Instant) -> Standing {
        let mut failing = self.failing();
        match failing.get_mut(&(server_id.to_owned(), part)).filter(|one| one.fingerprint == *fingerprint) {
            None => Standing::Well,
            Some(one) if now < one.rests_until => Standing::Resting,
            Some(one) => {
                one.rests_until = now + QUESTION_TIME;
                Standing::Due
            }
        }
    }

    /// Whether it failed when it was asked last.
    pub(super) fn is_failing(&self, server_id: &str, part: Part) -> bool {
        self.failing().contains_key(&(server_id.to_owned(), part))
    }

    /// It answered.
    pub(super) fn answered(&self, server_id: &str, part: Part) {
        self.failing().remove(&(server_id.to_owned(), part));
    }

    /// It failed, or was too slow.
    pub(super) fn failed(&self, server_id: &str, part: Part, fingerprint: [u8; 32]) {
        self.failed_at(server_id, part, fingerprint, Instant::now());
    }

    fn failed_at(&self, server_id: &str, part: Part, fingerprint: [u8; 32], now: Instant) {
        let key = (server_id.to_owned(), part);
        let mut failing = self.failing();
        if failing.len() >= CAPACITY {
            failing.retain(|_, one| one.rests_until + LONGEST_REST > now);
        }
        let known = failing.get(&key).filter(|one| one.fingerprint == fingerprint);
        let failures = known.map_or(1, |one| one.failures.saturating_add(1));
        let rest = FIRST_REST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_REST);
        if failing.len() < CAPACITY || failing.contains_key(&key) {
            failing.insert(key, Failing { fingerprint, failures, rests_until: now + rest });
        }
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<(String, Part), Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 32] = [1; 32];

    #[test]
    fn the_rest_grows_and_one_asks_when_it_is_over() {
        let backoff = Backoff::default();
        let start = Instant::now();
        let at = |seconds: u64| {
            backoff.standing_at("s", Part::Session, &ONE, start + Duration::from_secs(seconds))
        };
        assert_eq!(at(0), Standing::Well);
        backoff.failed_at("s", Part::Session, ONE, start);
        assert_eq!(at(1), Standing::Resting);
        assert_eq!(at(2), Standing::Due);
        assert_eq!(at(2), Standing::Resting);
        // Nobody came back with an answer: another one may ask.
        assert_eq!(at(12), Standing::Due);
        backoff.failed_at("s", Part::Session, ONE, start + Duration::from_secs(12));
        assert_eq!(at(15), Standing::Resting);
        assert_eq!(at(16), Standing::Due);
        for _ in 0..40 {
            backoff.failed_at("s", Part::Session, ONE, start + Duration::from_secs(16));
        }
        assert_eq!(at(75), Standing::Resting);
        assert_eq!(at(76), Standing::Due);
        backoff.answered("s", Part::Session);
        assert_eq!(at(77), Standing::Well);
    }

    #[test]
    fn other_secrets_are_a_new_start() {
        let backoff = Backoff::default();
        let part = Part::List(ListKind::Tools);
        backoff.failed("s", part, ONE);
        assert_eq!(backoff.standing("s", part, &ONE), Standing::Resting);
        assert_eq!(backoff.standing("s", part, &[2; 32]), Standing::Well);
        assert_eq!(backoff.standing("t", part, &ONE), Standing::Well);
        for other in [Part::Session, Part::List(ListKind::Resources)] {
            assert_eq!(backoff.standing("s", other, &ONE), Standing::Well);
        }
    }
}
