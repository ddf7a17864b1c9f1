//! Read connections: one for each thread that reads, opened at its first read. No read
//! transaction outlives a statement, so every read sees the newest commit.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::file;
use crate::server::store::StoreError;

static NEXT_STORE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's connections, with the number of the store each belongs to (tests run
    /// several servers in one process).
    static CONNECTIONS: RefCell<Vec<(u64, Connection)>> = const { RefCell::new(Vec::new()) };
}

/// Gives every thread its connection.
pub(super) struct Reader {
    store: u64,
    path: PathBuf,
}

impl Reader {
    pub(super) fn new(path: &Path) -> Self {
        Self { store: NEXT_STORE.fetch_add(1, Ordering::Relaxed), path: path.to_owned() }
    }

    /// Closes this thread's connection. The last connection to be closed lets SQLite fold
    /// the WAL into the file.
    pub(super) fn leave_thread(&self) {
        CONNECTIONS.with_borrow_mut(|connections| connections.retain(|(store, _)| *store != self.store));
    }

    /// Runs one read on this thread's connection, inline.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        CONNECTIONS.with_borrow_mut(|connections| {
            let place = connections.iter().position(|(store, _)| *store == self.store);
            let place = if let Some(place) = place {
                place
            } else {
                connections.push((self.store, file::open_for_reading(&self.path)?));
                connections.len() - 1
            };
            query(&connections[place].1)
        })
    }
}
