//! The ids of the last events that the servers of a session wrote on their own streams. By them a
//! client that goes on after an event on its GET stream is told from one that goes on with a call.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// Ids that are remembered: a client that lost its connection names one of the last.
const CAPACITY: usize = 256;

/// Hashes of them, the newest last.
#[derive(Default)]
pub(super) struct OwnEvents {
    ids: Mutex<VecDeque<u64>>,
    hasher: RandomState,
}

impl OwnEvents {
    /// Notes an id of the server with this slug.
    pub(super) fn note(&self, slug: &str, id: &[u8]) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() == CAPACITY {
            ids.pop_front();
        }
        ids.push_back(self.hasher.hash_one((slug, id)));
    }

    /// Whether it is one of the last.
    pub(super) fn knows(&self, slug: &str, id: &[u8]) -> bool {
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.contains(&self.hasher.hash_one((slug, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_of_each_server() {
        let events = OwnEvents::default();
        for number in 0..=CAPACITY {
            events.note("a", number.to_string().as_bytes());
        }
        assert!(events.knows("a", b"1") && events.knows("a", b"256"));
        assert!(!events.knows("a", b"0") && !events.knows("b", b"1"));
    }
}
