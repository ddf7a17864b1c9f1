//! Sessions of the legacy era. Each belongs to the token that opened it and to one route;
//! it holds one upstream session for each server, which is never shared. The registry is
//! process-wide, because a client's next connection lands on another core.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::HeaderValue;

use crate::domain::Origin;
use crate::server::auth::Member;
use crate::server::clock::{self, Millis};
use crate::server::randomness::{RandomnessFailed, random_base62};

/// A session without a request for so long is ended.
const IDLE_MILLIS: Millis = 30 * 60 * 1000;
/// Sessions in one shard; the longest idle one goes when another comes.
const SHARD_CAPACITY: usize = 1024;
const SHARDS: usize = 16;
/// Characters of a session id: over 256 random bits.
const ID_CHARS: usize = 43;

/// The route a session was opened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// `/ws/{workspace}`.
    Workspace,
    /// `/ws/{workspace}/{slug}`: the server's id.
    Server(String),
}

/// A session with one upstream.
#[derive(Debug, Clone)]
pub(super) struct UpstreamSession {
    /// The upstream's session id; servers without sessions give none.
    pub(super) id: Option<HeaderValue>,
    /// The protocol version it chose.
    pub(super) protocol: HeaderValue,
    /// Secrets, rules and URL it was opened with.
    pub(super) fingerprint: [u8; 32],
    /// The origin it was opened at.
    pub(super) origin: Origin,
    /// Whether the upstream has got `notifications/initialized`.
    pub(super) announced: bool,
}

/// Where the session with one upstream is kept; locked while it is being opened.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<UpstreamSession>>>;

/// A client's session.
pub(super) struct Session {
    /// Its id.
    pub(super) id: String,
    token_id: String,
    workspace_id: String,
    scope: Scope,
    /// The `initialize` message that upstream sessions are opened with.
    pub(super) initialize: Bytes,
    slots: Mutex<HashMap<String, Slot>>,
    last_used: AtomicI64,
}

impl Session {
    /// The slot of a server.
    pub(super) fn slot(&self, server_id: &str) -> Slot {
        let mut slots = unpoisoned(&self.slots);
        if let Some(slot) = slots.get(server_id) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(server_id.to_owned()).or_default())
    }

    /// All slots, by server id.
    pub(super) fn slots(&self) -> Vec<(String, Slot)> {
        unpoisoned(&self.slots).iter().map(|(id, slot)| (id.clone(), Arc::clone(slot))).collect()
    }

    fn belongs_to(&self, member: &Member, scope: &Scope) -> bool {
        self.token_id == member.token_id && self.workspace_id == member.workspace_id && self.scope == *scope
    }

    fn is_idle(&self, now: Millis) -> bool {
        now - self.last_used.load(Ordering::Relaxed) > IDLE_MILLIS
    }
}

type Shard = HashMap<String, Arc<Session>>;

/// All sessions.
pub(super) struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

/// A thread that panicked while it held the lock leaves a map that is still whole.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }

    /// The shard of an id: by a keyed hash, so that a client cannot fill one shard.
    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(id);
        unpoisoned(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()])
    }

    /// Opens a session.
    pub(super) fn open(
        &self,
        member: &Member,
        scope: Scope,
        initialize: Bytes,
    ) -> Result<Arc<Session>, RandomnessFailed> {
        let id = random_base62(ID_CHARS)?.to_string();
        let now = clock::now();
        let session = Arc::new(Session {
            id: id.clone(),
            token_id: member.token_id.clone(),
            workspace_id: member.workspace_id.clone(),
            scope,
            initialize,
            slots: Mutex::default(),
            last_used: AtomicI64::new(now),
        });
        let mut shard = self.shard(&id);
        if shard.len() >= SHARD_CAPACITY {
            shard.retain(|_, session| !session.is_idle(now));
            let oldest = shard.values().min_by_key(|session| session.last_used.load(Ordering::Relaxed));
            if let Some(id) =
                oldest.filter(|_| shard.len() >= SHARD_CAPACITY).map(|session| session.id.clone())
            {
                shard.remove(&id);
            }
        }
        shard.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The member's own session on this route; unknown, ended, idle and foreign ones alike are `None`.
    pub(super) fn find(&self, id: &str, member: &Member, scope: &Scope) -> Option<Arc<Session>> {
        let mut shard = self.shard(id);
        let session = shard.get(id)?;
        let now = clock::now();
        if session.is_idle(now) {
            shard.remove(id);
            return None;
        }
        if !session.belongs_to(member, scope) {
            return None;
        }
        session.last_used.store(now, Ordering::Relaxed);
        Some(Arc::clone(session))
    }

    /// How many sessions there are that are not idle for too long, and how many upstream
    /// sessions they hold, by the server's id.
    pub(super) fn counts(&self) -> (usize, HashMap<String, usize>) {
        let (mut count, mut held, now) = (0, HashMap::new(), clock::now());
        for shard in &self.shards {
            for session in unpoisoned(shard).values().filter(|session| !session.is_idle(now)) {
                count += 1;
                for (server_id, slot) in unpoisoned(&session.slots).iter() {
                    // One that is locked is being opened.
                    if slot.try_lock().map_or(true, |kept| kept.is_some()) {
                        *held.entry(server_id.clone()).or_default() += 1;
                    }
                }
            }
        }
        (count, held)
    }

    /// Ends a session.
    pub(super) fn close(&self, session: &Session) {
        self.shard(&session.id).remove(&session.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(token: &str) -> Member {
        Member { token_id: token.to_owned(), workspace_id: "w".to_owned() }
    }

    #[test]
    fn found_only_by_its_own_token_and_route() {
        let sessions = Sessions::new();
        let session = sessions.open(&member("a"), Scope::Workspace, Bytes::new()).unwrap();
        let find = |token: &str, scope: &Scope| sessions.find(&session.id, &member(token), scope).is_some();
        assert!(find("a", &Scope::Workspace));
        assert!(!find("b", &Scope::Workspace));
        assert!(!find("a", &Scope::Server("s".to_owned())));
        let elsewhere = Member { workspace_id: "x".to_owned(), ..member("a") };
        assert!(sessions.find(&session.id, &elsewhere, &Scope::Workspace).is_none());
        sessions.close(&session);
        assert!(!find("a", &Scope::Workspace));
    }

    #[test]
    fn idle_sessions_end_and_their_number_is_bounded() {
        let sessions = Sessions::new();
        let idle = sessions.open(&member("a"), Scope::Workspace, Bytes::new()).unwrap();
        idle.last_used.store(clock::now() - IDLE_MILLIS - 1, Ordering::Relaxed);
        assert!(sessions.find(&idle.id, &member("a"), &Scope::Workspace).is_none());
        for _ in 0..(SHARDS * SHARD_CAPACITY + 500) {
            sessions.open(&member("a"), Scope::Workspace, Bytes::new()).unwrap();
        }
        let count: usize = sessions.shards.iter().map(|shard| unpoisoned(shard).len()).sum();
        assert!(count <= SHARDS * SHARD_CAPACITY, "{count}");
    }
}
