//! Sessions of the legacy era. Each belongs to the token that opened it and to one route;
//! it holds one upstream session for each server, which is never shared. The registry is
//! process-wide, because a client's next connection lands on another core.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::body::Bytes;
use tokio::sync::watch;

use super::failed_openings::FailedOpenings;
pub(super) use super::kept_upstream::{Slot, UpstreamSession};
use super::workspace_session::WorkspaceSession;
use crate::server::auth::Member;
use crate::server::clock::{self, Millis};
use crate::server::randomness::{RandomnessFailed, random_base62};

/// A session without a request for so long is ended.
const IDLE_MILLIS: Millis = 30 * 60 * 1000;
/// Sessions in one shard; the longest idle one goes when another comes.
const SHARD_CAPACITY: usize = 1024;
/// Sessions of one token; its own longest idle one goes when another comes.
pub(super) const TOKEN_CAPACITY: usize = 128;
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
    /// No route: held for a client of the modern era, which has no session itself.
    Bridge,
}

/// A client's session.
pub(super) struct Session {
    /// Its id.
    pub(super) id: String,
    /// Whose it is.
    pub(super) member: Member,
    scope: Scope,
    /// The protocol version that was chosen at its beginning.
    pub(super) protocol: String,
    /// The `initialize` message that upstream sessions are opened with.
    pub(super) initialize: Bytes,
    /// What the route of a workspace remembers.
    pub(super) workspace: WorkspaceSession,
    slots: Mutex<HashMap<String, Slot>>,
    /// The last attempts that failed, by server id.
    pub(super) failed_openings: FailedOpenings,
    last_used: AtomicI64,
    /// Answers under way.
    answering: AtomicUsize,
    ended: watch::Sender<bool>,
}

/// An answer is under way in a session, which is not idle meanwhile.
#[derive(Clone)]
pub(super) struct Answering(#[expect(dead_code, reason = "its drop is what counts")] Arc<Held>);

struct Held(Arc<Session>);

impl Answering {
    /// From now on, as long as it or a copy of it lives.
    pub(super) fn begin(session: &Arc<Session>) -> Self {
        session.answering.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Held(Arc::clone(session))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.touch();
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
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

    /// Whether it is held for a client of the modern era, so that upstreams are asked for that
    /// era first.
    pub(super) fn is_bridge(&self) -> bool {
        self.scope == Scope::Bridge
    }

    /// On the route of one server: the server's id.
    pub(super) fn server_id(&self) -> Option<&str> {
        if let Scope::Server(id) = &self.scope { Some(id) } else { None }
    }

    fn belongs_to(&self, member: &Member, scope: &Scope) -> bool {
        let own = &self.member;
        own.token_id == member.token_id && own.workspace_id == member.workspace_id && self.scope == *scope
    }

    /// Notes that the session is in use.
    pub(super) fn touch(&self) {
        self.last_used.store(clock::monotonic(), Ordering::Relaxed);
    }

    /// When it was last used; in the far future while an answer is under way.
    fn last_use(&self) -> Millis {
        if self.answering.load(Ordering::Relaxed) > 0 {
            return Millis::MAX;
        }
        self.last_used.load(Ordering::Relaxed)
    }

    fn is_idle(&self, now: Millis) -> bool {
        now.saturating_sub(self.last_use()) > IDLE_MILLIS
    }

    /// Notes that it is over, for its streams.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Returns when it is over.
    pub(super) async fn ended(&self) {
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

type Shard = HashMap<String, Arc<Session>>;

/// All sessions.
pub(super) struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    /// The sessions of each token. Locked before a shard, never after one.
    tokens: Mutex<HashMap<String, Vec<Weak<Session>>>>,
    hasher: RandomState,
}

/// A thread that panicked while it held the lock leaves a map that is still whole.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            tokens: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// The shard of an id: by a keyed hash, so that a client cannot fill one shard.
    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(id);
        unpoisoned(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()])
    }

    /// Opens a session. Those that had to make room for it come with it, already out of the
    /// registry: they are to be ended upstream.
    pub(super) fn open(
        &self,
        member: &Member,
        scope: Scope,
        initialize: Bytes,
        protocol: &str,
    ) -> Result<(Arc<Session>, Vec<Arc<Session>>), RandomnessFailed> {
        let id = random_base62(ID_CHARS)?.to_string();
        let now = clock::monotonic();
        let session = Arc::new(Session {
            id: id.clone(),
            member: member.clone(),
            scope,
            protocol: protocol.to_owned(),
            initialize,
            workspace: WorkspaceSession::default(),
            slots: Mutex::default(),
            failed_openings: FailedOpenings::default(),
            last_used: AtomicI64::new(now),
            answering: AtomicUsize::new(0),
            ended: watch::Sender::new(false),
        });
        let mut gone = self.make_room_for_token(&session, now);
        let mut shard = self.shard(&id);
        if shard.len() >= SHARD_CAPACITY {
            gone.extend(shard.extract_if(|_, session| session.is_idle(now)).map(|(_, session)| session));
            if shard.len() >= SHARD_CAPACITY {
                let oldest = shard.values().min_by_key(|session| session.last_use());
                let oldest = oldest.map(|session| session.id.clone());
                gone.extend(oldest.and_then(|id| shard.remove(&id)));
            }
        }
        shard.insert(id, Arc::clone(&session));
        Ok((session, gone))
    }

    /// Notes a session of a token; the token's longest idle ones over its share go.
    fn make_room_for_token(&self, session: &Arc<Session>, now: Millis) -> Vec<Arc<Session>> {
        let mut tokens = unpoisoned(&self.tokens);
        let own = tokens.entry(session.member.token_id.clone()).or_default();
        own.retain(|one| one.strong_count() > 0);
        let mut live: Vec<Arc<Session>> = own.iter().filter_map(Weak::upgrade).collect();
        live.retain(|one| self.shard(&one.id).contains_key(&one.id));
        live.sort_by_key(|one| std::cmp::Reverse(one.last_use()));
        let mut gone = live.split_off(live.len().min(TOKEN_CAPACITY - 1));
        gone.extend(live.extract_if(.., |one| one.is_idle(now)));
        for one in &gone {
            self.shard(&one.id).remove(&one.id);
        }
        *own = live.iter().chain([session]).map(Arc::downgrade).collect();
        gone
    }

    /// Takes out all sessions that were idle for too long.
    pub(super) fn expired(&self) -> Vec<Arc<Session>> {
        let now = clock::monotonic();
        let mut expired = Vec::new();
        for shard in &self.shards {
            let mut shard = unpoisoned(shard);
            expired.extend(shard.extract_if(|_, session| session.is_idle(now)).map(|(_, session)| session));
        }
        let mut tokens = unpoisoned(&self.tokens);
        tokens.retain(|_, own| {
            own.retain(|one| one.upgrade().is_some_and(|one| !one.is_idle(now)));
            !own.is_empty()
        });
        expired
    }

    /// The members that have sessions, one for each token.
    pub(super) fn members(&self) -> Vec<Member> {
        let tokens = unpoisoned(&self.tokens);
        let first = |own: &Vec<Weak<Session>>| own.iter().find_map(Weak::upgrade);
        tokens.values().filter_map(first).map(|session| session.member.clone()).collect()
    }

    /// Takes out all sessions of a token.
    pub(super) fn take_all_of(&self, member: &Member) -> Vec<Arc<Session>> {
        let own = unpoisoned(&self.tokens).remove(&member.token_id).unwrap_or_default();
        own.iter().filter_map(Weak::upgrade).filter_map(|one| self.shard(&one.id).remove(&one.id)).collect()
    }

    /// The member's own session on this route; unknown, ended, idle and foreign ones alike are `None`.
    pub(super) fn find(&self, id: &str, member: &Member, scope: &Scope) -> Option<Arc<Session>> {
        let shard = self.shard(id);
        let session = shard.get(id)?;
        let now = clock::monotonic();
        // One that was idle for too long is left for `expired`, which ends it upstream.
        if session.is_idle(now) || !session.belongs_to(member, scope) {
            return None;
        }
        session.last_used.store(now, Ordering::Relaxed);
        Some(Arc::clone(session))
    }

    /// How many sessions there are that are not idle for too long, and how many upstream
    /// sessions they hold, by the server's id.
    pub(super) fn counts(&self) -> (usize, HashMap<String, usize>) {
        let (mut count, mut held, now) = (0, HashMap::new(), clock::monotonic());
        self.each(|session| {
            let live = !session.is_idle(now);
            count += usize::from(live);
            for (server_id, slot) in unpoisoned(&session.slots).iter().filter(|_| live) {
                // One that is locked is being opened.
                if slot.try_lock().map_or(true, |kept| kept.is_some()) {
                    *held.entry(server_id.clone()).or_default() += 1;
                }
            }
        });
        (count, held)
    }

    /// Looks at all of them.
    pub(super) fn each(&self, mut look: impl FnMut(&Session)) {
        for shard in &self.shards {
            unpoisoned(shard).values().for_each(|session| look(session));
        }
    }

    /// Whether the session with this id is still open.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.shard(id).contains_key(id)
    }

    /// Ends a session.
    pub(super) fn close(&self, session: &Session) {
        self.shard(&session.id).remove(&session.id);
        session.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(token: &str) -> Member {
        Member { token_id: token.to_owned(), workspace_id: "w".to_owned(), ..Member::default() }
    }

    fn open(sessions: &Sessions, token: &str) -> (Arc<Session>, Vec<Arc<Session>>) {
        sessions.open(&member(token), Scope::Workspace, Bytes::new(), "2025-11-25").unwrap()
    }

    #[test]
    fn found_only_by_its_own_token_and_route() {
        let sessions = Sessions::new();
        let (session, _) = open(&sessions, "a");
        let find = |token: &str, scope: &Scope| sessions.find(&session.id, &member(token), scope).is_some();
        assert!(find("a", &Scope::Workspace));
        assert!(!find("b", &Scope::Workspace));
        assert!(!find("a", &Scope::Server("s".to_owned())));
        let elsewhere = Member { workspace_id: "x".to_owned(), ..member("a") };
        assert!(sessions.find(&session.id, &elsewhere, &Scope::Workspace).is_none());
        sessions.close(&session);
        assert!(!find("a", &Scope::Workspace) && !sessions.is_open(&session.id));
    }

    #[test]
    fn idle_sessions_end() {
        let sessions = Sessions::new();
        let (idle, busy) = (open(&sessions, "a").0, open(&sessions, "a").0);
        idle.last_used.store(clock::monotonic() - IDLE_MILLIS - 1, Ordering::Relaxed);
        assert!(sessions.find(&idle.id, &member("a"), &Scope::Workspace).is_none());
        let expired = sessions.expired();
        assert!(matches!(expired.as_slice(), [one] if one.id == idle.id));
        assert!(sessions.expired().is_empty() && sessions.is_open(&busy.id));
    }

    #[test]
    fn a_session_with_an_answer_under_way_is_not_idle() {
        let sessions = Sessions::new();
        let (session, _) = open(&sessions, "a");
        let answering = Answering::begin(&session);
        session.last_used.store(clock::monotonic() - IDLE_MILLIS - 1, Ordering::Relaxed);
        assert!(sessions.expired().is_empty());
        assert!(sessions.find(&session.id, &member("a"), &Scope::Workspace).is_some());
        session.last_used.store(clock::monotonic() - IDLE_MILLIS - 1, Ordering::Relaxed);
        for _ in 0..TOKEN_CAPACITY - 1 {
            open(&sessions, "a");
        }
        assert!(sessions.is_open(&session.id), "nor the first to go");
        drop(answering.clone());
        assert!(sessions.expired().is_empty());
        drop(answering);
        assert!(sessions.expired().is_empty(), "its idle time begins now");
        session.last_used.store(clock::monotonic() - IDLE_MILLIS - 1, Ordering::Relaxed);
        assert_eq!(sessions.expired().len(), 1);
    }

    #[test]
    fn a_token_pushes_out_its_own_sessions_only() {
        let sessions = Sessions::new();
        let (other, _) = open(&sessions, "b");
        other.last_used.store(clock::monotonic() - IDLE_MILLIS / 2, Ordering::Relaxed);
        let first: Vec<_> = (0..TOKEN_CAPACITY).map(|_| open(&sessions, "a")).collect();
        assert!(first.iter().all(|(_, gone)| gone.is_empty()));
        first[7].0.last_used.store(clock::monotonic() - 1000, Ordering::Relaxed);
        let (newest, gone) = open(&sessions, "a");
        assert_eq!(gone.iter().map(|one| &one.id).collect::<Vec<_>>(), [&first[7].0.id]);
        assert!(
            !sessions.is_open(&gone[0].id) && sessions.is_open(&newest.id) && sessions.is_open(&other.id)
        );
    }

    #[test]
    fn all_of_a_token_can_be_taken_out() {
        let sessions = Sessions::new();
        let (own, other) = ([open(&sessions, "a").0, open(&sessions, "a").0], open(&sessions, "b").0);
        assert_eq!(sessions.members().len(), 2);
        assert_eq!(sessions.take_all_of(&member("a")).len(), 2);
        assert!(own.iter().all(|one| !sessions.is_open(&one.id)) && sessions.is_open(&other.id));
        assert!(sessions.take_all_of(&member("a")).is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        let sessions = Sessions::new();
        for number in 0..(SHARDS * SHARD_CAPACITY + 500) {
            open(&sessions, &format!("token-{}", number / 100));
        }
        let count: usize = sessions.shards.iter().map(|shard| unpoisoned(shard).len()).sum();
        assert!(count <= SHARDS * SHARD_CAPACITY, "{count}");
    }
}
