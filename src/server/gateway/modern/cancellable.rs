//! Calls of a client of the legacy era that can be cancelled with a notification, as that era
//! does it. A server of the modern era is told by the end of its connection; so whoever holds
//! that connection waits for the word here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::server::gateway::sessions::Session;

/// The calls of one session that are under way, by their ids as they were written.
#[derive(Default)]
pub(in crate::server::gateway) struct CancellableCalls(Mutex<HashMap<String, Arc<Notify>>>);

/// A call that is under way, as long as it lives.
pub(in crate::server::gateway) struct Cancellable {
    session: Arc<Session>,
    id: String,
    word: Arc<Notify>,
}

impl CancellableCalls {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the word to a call; one that does not look for it yet finds it later.
    pub(in crate::server::gateway) fn cancel(&self, id: &str) {
        if let Some(word) = self.calls().get(id) {
            word.notify_one();
        }
    }

    /// Returns when the call with this id is cancelled; never if there is none.
    pub(in crate::server::gateway) async fn cancelled(&self, id: &str) {
        let word = self.calls().get(id).cloned();
        match word {
            Some(word) => word.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Cancellable {
    /// Notes that a call is under way.
    pub(in crate::server::gateway) fn new(session: &Arc<Session>, id: &str) -> Self {
        let word = Arc::<Notify>::default();
        session.workspace.calls.calls().insert(id.to_owned(), Arc::clone(&word));
        Self { session: Arc::clone(session), id: id.to_owned(), word }
    }

    /// What is notified when the client cancels the call.
    pub(in crate::server::gateway) fn word(&self) -> Arc<Notify> {
        Arc::clone(&self.word)
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut calls = self.session.workspace.calls.calls();
        // Another call may have taken the id, against the rules.
        if calls.get(&self.id).is_some_and(|word| Arc::ptr_eq(word, &self.word)) {
            calls.remove(&self.id);
        }
    }
}
