//! Calls of clients of the modern era at servers of the older one, while the client finds out
//! what the server wants to know: the server's stream stays open here, and the client comes
//! back to it with the call made again. The registry is process-wide, because the client comes
//! back on another connection and often on another core. It also counts the bytes that are
//! kept for such clients.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::held_bytes::{Full, HeldBytes};
use super::legacy_call::OpenCall;
use super::waiting_pieces::Pieces;
use crate::server::auth::Member;
use crate::server::randomness::{RandomnessFailed, random_base62};

/// Calls that wait for the clients of one token; its oldest goes when another comes.
const TOKEN_CAPACITY: usize = 64;
/// Calls that wait at all; the oldest goes when another comes.
const CAPACITY: usize = 4096;
/// Characters of a state: over 256 random bits.
const STATE_CHARS: usize = 43;

/// A call that holds less is not given up for others.
const WORTH_BYTES: usize = 64 << 10;

/// Two that differ by no more than this hold the same.
const SLACK: usize = 1 << 10;

/// A call that waits for its client. Dropping it ends the call at the server.
pub(super) struct ParkedCall {
    /// What is known of it.
    pub(super) call: OpenCall,
    /// What the server says meanwhile.
    pub(super) pieces: Pieces,
    /// Ends it when it has waited for too long.
    pub(super) timer: Option<Timer>,
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
pub(in crate::server::gateway) struct ParkedCalls {
    table: Mutex<Table>,
    held: HeldBytes,
    /// One makes room at a time: what is about to be given back must not be looked for twice.
    making_room: Mutex<()>,
}

#[derive(Default)]
struct Table {
    count: u64,
    /// By age, with their states.
    waiting: BTreeMap<u64, (String, ParkedCall)>,
    /// By state.
    numbers: HashMap<String, u64>,
    /// Of each token that has any.
    of_tokens: HashMap<String, BTreeSet<u64>>,
}

impl Table {
    fn of_state(&self, state: &str) -> Option<&ParkedCall> {
        let number = self.numbers.get(state)?;
        self.waiting.get(number).map(|(_, parked)| parked)
    }

    fn insert(&mut self, state: String, parked: ParkedCall) {
        self.count += 1;
        let token_id = parked.call.member().token_id.clone();
        self.of_tokens.entry(token_id).or_default().insert(self.count);
        self.numbers.insert(state.clone(), self.count);
        self.waiting.insert(self.count, (state, parked));
    }

    fn remove(&mut self, number: u64) -> Option<ParkedCall> {
        let (state, parked) = self.waiting.remove(&number)?;
        self.numbers.remove(&state);
        let token_id = &parked.call.member().token_id;
        if let Some(numbers) = self.of_tokens.get_mut(token_id) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.of_tokens.remove(token_id);
            }
        }
        Some(parked)
    }

    fn remove_oldest_of(&mut self, token_id: &str) -> Option<ParkedCall> {
        let number = *self.of_tokens.get(token_id)?.first()?;
        self.remove(number)
    }

    fn remove_oldest(&mut self) -> Option<ParkedCall> {
        let number = *self.waiting.first_key_value()?.0;
        self.remove(number)
    }

    /// That of the token's calls but this one which holds the most bytes, the oldest of several,
    /// and how many.
    fn largest_of(&self, token_id: &str, but: &Budget) -> Option<(u64, usize)> {
        let numbers = self.of_tokens.get(token_id)?.iter();
        let held = numbers.filter_map(|number| {
            let budget = self.waiting.get(number)?.1.call.wanted.budget();
            (!Arc::ptr_eq(&budget.held, &but.held)).then(|| (*number, budget.held()))
        });
        held.filter(|(_, held)| *held >= WORTH_BYTES).min_by_key(|(_, held)| Reverse(*held))
    }

    /// Takes out what has to go before another one of this token's can wait.
    fn make_room(&mut self, token_id: &str) -> [Option<ParkedCall>; 2] {
        let is_full = self.of_tokens.get(token_id).is_some_and(|numbers| numbers.len() >= TOKEN_CAPACITY);
        let of_token = if is_full { self.remove_oldest_of(token_id) } else { None };
        let of_all = if self.waiting.len() >= CAPACITY { self.remove_oldest() } else { None };
        [of_token, of_all]
    }
}

impl ParkedCalls {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call wait; the answer is the state by which its client finds it again.
    ///
    /// # Errors
    /// [`RandomnessFailed`] when the system gives no random bytes.
    pub(super) fn park(&self, parked: ParkedCall) -> Result<String, RandomnessFailed> {
        let state = random_base62(STATE_CHARS)?.to_string();
        let mut table = self.table();
        let gone = table.make_room(&parked.call.member().token_id);
        table.insert(state.clone(), parked);
        drop(table);
        // Their ends wake other tasks: not while the table is locked.
        drop(gone);
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
        let parked = table.of_state(state)?;
        if !parked.call.is_of(member) || !fits(&parked.call) {
            return None;
        }
        let number = *table.numbers.get(state)?;
        table.remove(number)
    }

    /// Says what ends the call that waits under this state when it has waited for too long.
    pub(super) fn set_timer(&self, state: &str, timer: Timer) {
        let mut table = self.table();
        let number = table.numbers.get(state).copied();
        if let Some((_, parked)) = number.and_then(|number| table.waiting.get_mut(&number)) {
            parked.timer = Some(timer);
        }
    }

    /// The server of the member's call that waits under this state.
    pub(super) fn server_of(&self, state: &str, member: &Member) -> Option<String> {
        let table = self.table();
        let parked = table.of_state(state)?;
        parked.call.is_of(member).then(|| parked.call.server().id().to_owned())
    }

    /// Ends the call that waits under this state, if it still does.
    pub(super) fn give_up(&self, state: &str) {
        let mut table = self.table();
        let given_up = table.numbers.get(state).copied().and_then(|number| table.remove(number));
        drop(table);
        drop(given_up);
    }
}

/// Where the bytes of one call are counted that are kept for its client.
#[derive(Clone, Default)]
pub(in crate::server::gateway) struct Budget {
    parked: Arc<ParkedCalls>,
    token_id: String,
    /// What the call holds.
    held: Arc<AtomicUsize>,
}

impl Budget {
    /// For a call of the member's.
    pub(super) fn of(parked: &Arc<ParkedCalls>, member: &Member) -> Self {
        Self { parked: Arc::clone(parked), token_id: member.token_id.clone(), held: Arc::default() }
    }

    /// Bytes that the call holds.
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Room for so many bytes. For that waiting calls end which hold as much as this one
    /// would, or more, of the token, or of another one that holds more; `None` if that does not help, or
    /// nobody `is_waiting` for it any more. Not to be called with a lock in hand that the end of
    /// a call needs.
    pub(super) fn room(&self, bytes: usize, is_waiting: impl Fn() -> bool) -> Option<Room> {
        let parked = &self.parked;
        let take = || parked.held.take(&self.token_id, bytes);
        if take().is_err() {
            let _making_room = parked.making_room.lock().unwrap_or_else(PoisonError::into_inner);
            while let Err(full) = take() {
                if !is_waiting() {
                    return None;
                }
                let gone = self.less_worth(full, bytes);
                drop(gone?);
            }
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Some(Room { budget: self.clone(), bytes })
    }

    /// Takes a call out that is to end for so many more bytes of this one.
    fn less_worth(&self, full: Full, bytes: usize) -> Option<ParkedCall> {
        let held = &self.parked.held;
        let mut table = self.parked.table();
        if full == Full::OfAll {
            let tokens = table.of_tokens.keys().filter(|token| **token != self.token_id);
            let tokens = tokens.filter_map(|token| {
                let (number, _) = table.largest_of(token, self)?;
                Some((held.of_token(token), number))
            });
            let enough = held.of_token(&self.token_id) + bytes;
            if let Some((_, number)) = tokens.filter(|(of_token, _)| *of_token >= enough).max() {
                return table.remove(number);
            }
        }
        let (number, its) = table.largest_of(&self.token_id, self)?;
        if its + SLACK >= self.held() + bytes { table.remove(number) } else { None }
    }
}

/// Bytes that are counted until this is dropped.
pub(super) struct Room {
    budget: Budget,
    bytes: usize,
}

impl Room {
    /// How many.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes another one's on.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.parked.held.give_back(&self.budget.token_id, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_is_not_needed_any_more_ends() {
        let task = tokio::spawn(std::future::pending::<()>());
        drop(Timer(task.abort_handle()));
        assert!(task.await.unwrap_err().is_cancelled());
    }

    #[test]
    fn rooms_are_given_back() {
        let budget = Budget::default();
        let room = |bytes| budget.room(bytes, || true);
        let mut first = room(9 << 20).unwrap();
        assert!(room(8 << 20).is_none(), "nothing waits that could end for it");
        first.absorb(room(7 << 20).unwrap());
        assert!(first.bytes() == 16 << 20 && room(1).is_none());
        assert_eq!(budget.held(), 16 << 20);
        drop(first);
        assert!(budget.held() == 0 && room(16 << 20).is_some());
    }
}
