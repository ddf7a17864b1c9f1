//! Calls of clients of the modern era at servers of the older one, while the client finds out
//! what the server wants to know: the server's stream stays open here, and the client comes
//! back to it with the call made again. The registry is process-wide, because the client comes
//! back on another connection and often on another core.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::legacy_call::OpenCall;
use crate::server::auth::Member;
use crate::server::gateway::relay_body::BrokenOff;
use crate::server::randomness::{RandomnessFailed, random_base62};

/// Calls that wait for the clients of one token; its oldest goes when another comes.
const TOKEN_CAPACITY: usize = 64;
/// Calls that wait at all; the oldest goes when another comes.
const CAPACITY: usize = 4096;
/// Bytes of what is asked in all calls of one token, and in all calls at all; the oldest go.
const TOKEN_BYTES: usize = 16 << 20;
const ALL_BYTES: usize = 128 << 20;
/// Characters of a state: over 256 random bits.
const STATE_CHARS: usize = 43;

/// A call that waits for its client. Dropping it ends the call at the server.
pub(super) struct ParkedCall {
    /// What is known of it.
    pub(super) call: OpenCall,
    /// What the server says meanwhile.
    pub(super) pieces: mpsc::Receiver<Result<Bytes, BrokenOff>>,
    /// Ends it when it has waited for too long.
    pub(super) timer: Option<Timer>,
}

impl ParkedCall {
    fn size(&self) -> usize {
        self.call.wanted.size()
    }
}

/// A task that is not needed any more when this is dropped.
pub(super) struct Timer(pub(super) AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// All calls that wait, by the state that the client was given.
#[derive(Default)]
pub(in crate::server::gateway) struct ParkedCalls(Mutex<Table>);

#[derive(Default)]
struct Table {
    count: u64,
    waiting: HashMap<String, (u64, ParkedCall)>,
}

impl Table {
    /// Takes the oldest out of those for which this holds, until another one of this size fits.
    fn make_room(
        &mut self,
        (capacity, bytes): (usize, usize),
        size: usize,
        is_one: impl Fn(&ParkedCall) -> bool,
    ) -> Vec<ParkedCall> {
        let those = self.waiting.iter().filter(|(_, (_, parked))| is_one(parked));
        let mut those: Vec<_> =
            those.map(|(state, (number, parked))| (*number, parked.size(), state.clone())).collect();
        those.sort_unstable();
        let mut held: usize = those.iter().map(|(_, size, _)| size).sum();
        let (mut left, mut gone) = (those.len(), Vec::new());
        for (_, its_size, state) in those {
            if left < capacity && held + size <= bytes {
                break;
            }
            gone.extend(self.waiting.remove(&state).map(|(_, parked)| parked));
            (left, held) = (left - 1, held - its_size);
        }
        gone
    }
}

impl ParkedCalls {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call wait; the answer is the state by which its client finds it again.
    ///
    /// # Errors
    /// [`RandomnessFailed`] when the system gives no random bytes.
    pub(super) fn park(&self, parked: ParkedCall) -> Result<String, RandomnessFailed> {
        let state = random_base62(STATE_CHARS)?.to_string();
        let mut table = self.table();
        let (size, member) = (parked.size(), parked.call.member());
        let of_token = table.make_room((TOKEN_CAPACITY, TOKEN_BYTES), size, |one| one.call.is_of(member));
        let of_all = table.make_room((CAPACITY, ALL_BYTES), size, |_| true);
        table.count += 1;
        let number = table.count;
        table.waiting.insert(state.clone(), (number, parked));
        drop(table);
        // Their ends wake other tasks: not while the table is locked.
        drop((of_token, of_all));
        Ok(state)
    }

    /// Takes the call out that waits under this state, if it is this member's and `fits`. Each
    /// state is good for once.
    pub(super) fn take(
        &self,
        state: &str,
        member: &Member,
        fits: impl FnOnce(&OpenCall) -> bool,
    ) -> Option<ParkedCall> {
        let mut table = self.table();
        let (_, parked) = table.waiting.get(state)?;
        if !parked.call.is_of(member) || !fits(&parked.call) {
            return None;
        }
        table.waiting.remove(state).map(|(_, parked)| parked)
    }

    /// Says what ends the call that waits under this state when it has waited for too long.
    pub(super) fn set_timer(&self, state: &str, timer: Timer) {
        if let Some((_, parked)) = self.table().waiting.get_mut(state) {
            parked.timer = Some(timer);
        }
    }

    /// The server of the member's call that waits under this state.
    pub(super) fn server_of(&self, state: &str, member: &Member) -> Option<String> {
        let table = self.table();
        let (_, parked) = table.waiting.get(state)?;
        parked.call.is_of(member).then(|| parked.call.server().id().to_owned())
    }

    /// Ends the call that waits under this state, if it still does.
    pub(super) fn give_up(&self, state: &str) {
        let given_up = self.table().waiting.remove(state);
        drop(given_up);
    }
}
