//! The bounded queue and the one thread behind it. Senders never wait: what has no room is
//! counted and forgotten. The thread writes in batches, deletes what is too old, and notes
//! when tokens were used. A file that fails costs the calls in hand and nothing else; one that
//! another program holds is waited for a little.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, params};

use super::call::Call;
use super::file;
use super::stats::micros;
use super::{AnalyticsSettings, oldest};
use crate::server::clock::Millis;
use crate::server::store::{Store, StoreError};

/// How long the thread lets calls gather once there is one: the most that a crash loses.
const GATHER: Duration = Duration::from_millis(100);
/// Calls in one transaction.
const BATCH: usize = 1000;
/// How often uses of tokens are written.
const USES_EVERY: Duration = Duration::from_secs(1);
/// How often old calls are deleted, at least and at most.
const SWEEP_EVERY: (Duration, Duration) = (Duration::from_mins(10), Duration::from_secs(1));
/// Calls deleted in one transaction.
const SWEEP_BATCH: u32 = 5000;
/// How long calls in hand are kept for while another program holds the file.
const BUSY_TIME: Duration = Duration::from_secs(5);
/// The pause between two tries, beside the time that SQLite itself waits.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// How often the log may say that calls were not kept.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// What goes through the queue.
pub(super) enum Event {
    /// A call has ended.
    Call(Box<Call>),
    /// A token was used.
    TokenUse(String, Millis),
}

/// The sending end. Dropping it lets the thread write what is left, and waits for it.
pub(super) struct Recorder {
    events: Option<SyncSender<Event>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
    has_file: bool,
    /// The server stops: nothing is waited for any more.
    ending: Arc<AtomicBool>,
}

impl Recorder {
    pub(super) fn start(
        path: &Path,
        settings: AnalyticsSettings,
        store: Arc<dyn Store>,
        lost: Arc<AtomicU64>,
    ) -> Self {
        let connection = file::open_for_writing(path).inspect_err(|problem| {
            let path = path.display();
            tracing::warn!(%path, %problem, "calls are not kept: the analytics file cannot be used; move it away and start again");
        });
        let connection = connection.ok();
        let has_file = connection.is_some();
        let (events, queue) = mpsc::sync_channel(settings.queue.max(1));
        let ending = Arc::new(AtomicBool::new(false));
        let work = Work {
            queue,
            connection,
            store,
            settings,
            lost: Arc::clone(&lost),
            uses: HashMap::new(),
            uses_written: Instant::now(),
            complained: None,
            ending: Arc::clone(&ending),
        };
        let thread = thread::Builder::new().name("analytics".to_owned()).spawn(move || work.run());
        if let Err(error) = &thread {
            tracing::warn!(%error, "calls are not kept: no thread for analytics");
        }
        Self { events: Some(events), thread: thread.ok(), lost, has_file, ending }
    }

    /// Whether there is a file to read.
    pub(super) fn has_file(&self) -> bool {
        self.has_file
    }

    /// Hands an event over, or counts it as lost.
    pub(super) fn send(&self, event: Event) {
        let Some(events) = &self.events else { return };
        if let Err(
            mpsc::TrySendError::Full(Event::Call(_)) | mpsc::TrySendError::Disconnected(Event::Call(_)),
        ) = events.try_send(event)
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.events.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Work {
    queue: Receiver<Event>,
    connection: Option<Connection>,
    store: Arc<dyn Store>,
    settings: AnalyticsSettings,
    lost: Arc<AtomicU64>,
    uses: HashMap<String, Millis>,
    uses_written: Instant,
    complained: Option<Instant>,
    ending: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self) {
        let mut next_sweep = Instant::now();
        loop {
            if next_sweep <= Instant::now() {
                self.sweep();
                next_sweep = Instant::now() + sweep_interval(self.settings.retention);
            }
            let next_uses = (!self.uses.is_empty()).then(|| self.uses_written + USES_EVERY);
            let deadline = next_uses.map_or(next_sweep, |uses| uses.min(next_sweep));
            let first = self.queue.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
            if let Ok(first) = first {
                // Asleep and not waiting on the queue: meanwhile a sender has nobody to wake.
                thread::sleep(GATHER);
                self.write_batch(first);
            }
            if ended || self.uses_written.elapsed() >= USES_EVERY {
                self.write_uses();
            }
            if ended {
                return;
            }
        }
    }

    fn write_batch(&mut self, first: Event) {
        let mut calls = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Event::Call(call) => calls.push(*call),
                Event::TokenUse(id, at) => {
                    self.uses.insert(id, at);
                }
            }
            next = if calls.len() < BATCH { self.queue.try_recv().ok() } else { None };
        }
        if calls.is_empty() {
            return;
        }
        let max_rows = i64::try_from(self.settings.max_rows).unwrap_or(i64::MAX);
        let written = match &mut self.connection {
            Some(connection) => {
                let began = Instant::now();
                let waits = || began.elapsed() < BUSY_TIME && !self.ending.load(Ordering::Relaxed);
                while_busy(waits, || insert(connection, &calls, max_rows)).map_err(StoreError::from)
            }
            None => Err(StoreError::Failed("there is no file".to_owned())),
        };
        if let Err(error) = written {
            self.lost.fetch_add(calls.len() as u64, Ordering::Relaxed);
            self.complain(&error);
        }
    }

    fn write_uses(&mut self) {
        self.uses_written = Instant::now();
        if !self.uses.is_empty() {
            self.store.note_token_uses(self.uses.drain().collect());
        }
    }

    /// Deletes what is too old, piece by piece so that no batch waits long.
    fn sweep(&mut self) {
        let end = oldest(self.settings.retention);
        let Some(connection) = &self.connection else { return };
        let sql = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at < ?1 LIMIT ?2)";
        loop {
            match connection.execute(sql, params![end, SWEEP_BATCH]) {
                Ok(deleted) if deleted >= SWEEP_BATCH as usize => {}
                Ok(_) => return,
                Err(error) => return self.complain(&error.into()),
            }
        }
    }

    fn complain(&mut self, error: &StoreError) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            let lost = self.lost.load(Ordering::Relaxed);
            tracing::warn!(%error, lost, "calls are not kept: the analytics file fails");
        }
    }
}

/// Twice in the time that calls are kept, so that none stays much longer, but not all the time.
fn sweep_interval(retention: Duration) -> Duration {
    let (usual, least) = SWEEP_EVERY;
    (retention / 2).min(usual).max(least)
}

/// Tries again as long as another program holds the file and it is to be waited for.
fn while_busy<T>(
    waits: impl Fn() -> bool,
    mut attempt: impl FnMut() -> Result<T, rusqlite::Error>,
) -> Result<T, rusqlite::Error> {
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && waits() => thread::sleep(BUSY_PAUSE),
            ended => return ended,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn insert(connection: &mut Connection, calls: &[Call], max_rows: i64) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO calls (at, workspace_id, token_id, server, tool, micros, success, outcome, request_id)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for call in calls {
            statement.execute(params![
                call.at,
                call.workspace_id,
                call.token_id,
                call.server,
                call.tool,
                i64::try_from(micros(call.duration)).unwrap_or(i64::MAX),
                call.outcome.is_success(),
                call.outcome.as_str(),
                call.request_id,
            ])?;
        }
        // Ids count up without gaps but those of deleted old calls.
        let last = transaction.last_insert_rowid();
        transaction.execute("DELETE FROM calls WHERE id <= ?1", [last.saturating_sub(max_rows)])?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Nobody takes from this queue, ever: a sender that waited would wait for good.
    #[test]
    fn senders_never_wait() {
        let (events, _queue) = mpsc::sync_channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let recorder = Recorder {
            events: Some(events),
            thread: None,
            lost: Arc::clone(&lost),
            has_file: false,
            ending: Arc::default(),
        };
        let call = Call::nothing();
        for _ in 0..5 {
            recorder.send(Event::Call(Box::new(call.clone())));
        }
        recorder.send(Event::TokenUse("a".to_owned(), 0));
        assert_eq!(lost.load(Ordering::Relaxed), 3, "calls alone are counted");
    }
    /// A file, a connection that writes to it, and one that holds it.
    fn held_file() -> (tempfile::TempDir, Connection, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.analytics");
        let writer = file::open_for_writing(&path).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        let holder = Connection::open(&path).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        (folder, writer, holder)
    }

    #[test]
    fn calls_in_hand_wait_for_a_file_that_is_held() {
        let (_folder, mut writer, holder) = held_file();
        let mut tries = 0;
        let written = while_busy(
            || true,
            || {
                tries += 1;
                if tries == 3 {
                    holder.execute_batch("COMMIT").unwrap();
                }
                insert(&mut writer, &[Call::nothing()], 10)
            },
        );
        assert!(written.is_ok(), "{written:?}");
        let rows: i64 = holder.query_row("SELECT count(*) FROM calls", [], |row| row.get(0)).unwrap();
        assert_eq!((tries, rows), (3, 1));
    }

    #[test]
    fn calls_in_hand_do_not_wait_for_ever_or_for_what_stays() {
        let (_folder, mut writer, _holder) = held_file();
        let patience = Cell::new(2);
        let waits = || patience.replace(patience.get() - 1) > 0;
        let held = while_busy(waits, || insert(&mut writer, &[Call::nothing()], 10));
        assert!(held.is_err_and(|error| is_busy(&error)) && patience.get() == -1);
        let (_folder, mut writer, holder) = held_file();
        holder.execute_batch("DROP TABLE calls; COMMIT").unwrap();
        let mut tries = 0;
        let broken = while_busy(
            || true,
            || {
                tries += 1;
                insert(&mut writer, &[Call::nothing()], 10)
            },
        );
        assert!(broken.is_err() && tries == 1, "{broken:?}");
    }

    #[test]
    fn sweeps_fit_the_retention() {
        let seconds = |retention| sweep_interval(Duration::from_secs(retention)).as_secs();
        assert_eq!([0, 1, 5, 60, 1_200, 86_400].map(seconds), [1, 1, 2, 30, 600, 600]);
    }
}
