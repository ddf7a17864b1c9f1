//! What the gateway's tool calls were: who called which tool of which server, for how
//! long and with what end; no arguments, no results. Kept in a file of its own, written by
//! one thread in batches. Nothing here can hold up a call: what has no room is counted.

mod call;
mod file;
mod queries;
mod recorder;
mod stats;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use call::{Call, Outcome, bounded_name};
pub use queries::{Group, GroupBy, LoggedCall, MAX_GROUPS};
pub use stats::{BUCKETS, Health, ServerStats, Snapshot};

use tokio::sync::Semaphore;

use super::clock::{self, Millis};
use super::store::{Store, StoreError};
use recorder::{Event, Recorder};

/// How long calls are kept unless the settings say otherwise: 30 days.
const RETENTION: Duration = Duration::from_hours(30 * 24);
/// Most calls that are kept.
const MAX_ROWS: u64 = 1_000_000;
/// Calls that wait to be written.
const QUEUE: usize = 8192;
/// A token's last use is noted at most this often, in milliseconds.
const USE_STEP: Millis = 60_000;
/// Questions that are answered at the same time; the next one waits for one of them.
const MAX_QUESTIONS: usize = 4;
/// Counters of servers that are kept in memory; more servers than that are not counted.
const MAX_SERVERS: usize = 10_000;

/// How calls are kept.
#[derive(Debug, Clone, Copy)]
pub struct AnalyticsSettings {
    /// For how long.
    pub retention: Duration,
    /// How many; the oldest go first.
    pub max_rows: u64,
    /// How many may wait to be written; what comes on top is counted and forgotten.
    pub queue: usize,
}

impl Default for AnalyticsSettings {
    /// 30 days, a million calls.
    fn default() -> Self {
        Self { retention: RETENTION, max_rows: MAX_ROWS, queue: QUEUE }
    }
}

/// Why a question about calls has no answer. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnalyticsError {
    /// The file could not be opened when the server started.
    #[error("the analytics file could not be opened when the server started")]
    Unavailable,
    /// The file fails now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records calls and answers questions about them.
pub struct Analytics {
    // Dropped first: its thread writes what is left.
    recorder: Recorder,
    path: PathBuf,
    retention: Duration,
    lost: Arc<AtomicU64>,
    servers: RwLock<HashMap<String, Arc<ServerStats>>>,
    /// When each token's use was last passed on.
    uses: Mutex<HashMap<String, Millis>>,
    /// Places for questions: each may read the whole file, on a connection of its own.
    places: Arc<Semaphore>,
}

impl Analytics {
    /// Opens the file beside the database and starts its thread. Never fails: a file that
    /// cannot be used is a warning in the log, and calls are then counted but not kept.
    pub fn start(database: &Path, settings: AnalyticsSettings, store: Arc<dyn Store>) -> Self {
        let path = file::beside(database);
        let lost = Arc::new(AtomicU64::new(0));
        let recorder = Recorder::start(&path, settings, store, Arc::clone(&lost));
        Self {
            recorder,
            path,
            retention: settings.retention,
            lost,
            servers: RwLock::default(),
            uses: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        }
    }

    /// Notes what a list of a server has shown of its health.
    pub fn heard(&self, server_id: &str, shown: Result<(), &'static str>) {
        if let Some(stats) = self.stats(server_id) {
            stats.heard(clock::now(), shown);
        }
    }

    /// Records a call that has ended. Never waits.
    pub fn record(&self, call: Call) {
        if let Some(stats) = self.stats(&call.server_id) {
            stats.count(&call);
        }
        self.recorder.send(Event::Call(Box::new(call)));
    }

    /// Notes that a token was accepted now. Never waits; at most once a minute it costs more
    /// than a look into a table.
    pub fn token_used(&self, token_id: &str) {
        let now = clock::now();
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(token_id) {
            Some(last) if (0..USE_STEP).contains(&(now - *last)) => return,
            Some(last) => *last = now,
            None => {
                uses.insert(token_id.to_owned(), now);
            }
        }
        drop(uses);
        self.recorder.send(Event::TokenUse(token_id.to_owned(), now));
    }

    /// How many calls were counted but not kept.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What is known of a server's calls since the start.
    pub fn server(&self, server_id: &str) -> Option<Arc<ServerStats>> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).get(server_id).cloned()
    }

    /// Forgets the counters of servers that are gone.
    pub fn keep_servers(&self, is_there: impl Fn(&str) -> bool) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|id, _| is_there(id));
    }

    fn stats(&self, server_id: &str) -> Option<Arc<ServerStats>> {
        if let Some(stats) = self.server(server_id) {
            return Some(stats);
        }
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MAX_SERVERS {
            return None;
        }
        Some(Arc::clone(servers.entry(server_id.to_owned()).or_default()))
    }

    /// Calls since a time, but none that is over the retention, in groups, those with most calls first.
    ///
    /// # Errors
    /// [`AnalyticsError`] when the file cannot be read.
    pub async fn groups(
        &self,
        workspace_id: &str,
        by: Vec<GroupBy>,
        since: Millis,
    ) -> Result<Vec<Group>, AnalyticsError> {
        let (workspace, since) = (workspace_id.to_owned(), since.max(oldest(self.retention)));
        self.ask(move |connection| queries::groups(connection, &workspace, &by, since)).await
    }

    /// Calls that are not over the retention, newest first, from the one after `after` on.
    ///
    /// # Errors
    /// [`AnalyticsError`] when the file cannot be read.
    pub async fn calls(
        &self,
        workspace_id: &str,
        token_id: Option<&str>,
        after: Option<i64>,
        count: usize,
    ) -> Result<Vec<LoggedCall>, AnalyticsError> {
        let (workspace, token) = (workspace_id.to_owned(), token_id.map(str::to_owned));
        let since = oldest(self.retention);
        self.ask(move |connection| {
            queries::calls(connection, &workspace, token.as_deref(), since, after, count)
        })
        .await
    }

    /// Runs a query on a thread where it holds up no call.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AnalyticsError> {
        if !self.recorder.has_file() {
            return Err(AnalyticsError::Unavailable);
        }
        let gone = || StoreError::Failed("the query was given up".to_owned());
        let path = self.path.clone();
        // Held until the query has ended, also if nobody waits for it any more.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| gone())?;
        let answering = tokio::task::spawn_blocking(move || {
            let _place = place;
            query(&file::open_for_reading(&path)?)
        });
        Ok(answering.await.map_err(|_| gone())??)
    }
}

/// From when on calls are kept. What is older is not told, also if it was not deleted yet.
fn oldest(retention: Duration) -> Millis {
    clock::now().saturating_sub(Millis::try_from(retention.as_millis()).unwrap_or(Millis::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;
    use crate::server::store::sqlite::SqliteStore;

    /// Counts who is inside, and how many there were at most.
    #[derive(Default)]
    struct Room {
        inside: Mutex<(usize, usize)>,
        changed: Condvar,
    }

    impl Room {
        /// Leaves when so many have been inside together; false if they never come.
        fn meet(&self, count: usize) -> bool {
            let mut inside = self.inside.lock().unwrap();
            inside.0 += 1;
            inside.1 = inside.1.max(inside.0);
            self.changed.notify_all();
            let waiting =
                self.changed.wait_timeout_while(inside, Duration::from_secs(30), |inside| inside.1 < count);
            let (mut inside, waited) = waiting.unwrap();
            inside.0 -= 1;
            !waited.timed_out()
        }
    }

    #[tokio::test]
    async fn questions_do_not_wait_for_each_other_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let store = Arc::new(SqliteStore::open(&database, &|_| true).unwrap());
        let analytics = Analytics::start(&database, AnalyticsSettings::default(), store);
        let room = Arc::new(Room::default());
        let meet = || {
            let room = Arc::clone(&room);
            async { analytics.ask(move |_| Ok(room.meet(MAX_QUESTIONS))).await.unwrap() }
        };
        let together = tokio::join!(meet(), meet(), meet(), meet(), meet(), meet());
        assert_eq!(together, (true, true, true, true, true, true), "one waited for another");
        assert_eq!(room.inside.lock().unwrap().1, MAX_QUESTIONS);
        assert_eq!(analytics.places.available_permits(), MAX_QUESTIONS);
    }
    #[tokio::test]
    async fn what_is_over_the_retention_is_not_told_before_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let store = Arc::new(SqliteStore::open(&database, &|_| true).unwrap());
        let settings =
            AnalyticsSettings { retention: Duration::from_hours(1), ..AnalyticsSettings::default() };
        let analytics = Analytics::start(&database, settings, store);
        let minutes_ago = |minutes: Millis| Call {
            at: clock::now() - minutes * 60_000,
            workspace_id: "w".to_owned(),
            token_id: "t".to_owned(),
            tool: format!("{minutes}"),
            ..Call::nothing()
        };
        // The first sweep comes at the start and the next one in ten minutes.
        for minutes in [61, 59, 0] {
            analytics.record(minutes_ago(minutes));
        }
        let names = |calls: Vec<LoggedCall>| calls.into_iter().map(|call| call.tool).collect::<Vec<_>>();
        let log = async |token| names(analytics.calls("w", token, None, 10).await.unwrap());
        let written = tokio::time::timeout(Duration::from_secs(30), async {
            while log(None).await.len() < 2 {
                tokio::task::yield_now().await;
            }
        });
        written.await.unwrap();
        assert_eq!(
            (log(None).await, log(Some("t")).await),
            (vec!["0".to_owned(), "59".to_owned()], vec!["0".to_owned(), "59".to_owned()])
        );
        let tools: Vec<_> = analytics
            .groups("w", vec![GroupBy::Tool], 0)
            .await
            .unwrap()
            .into_iter()
            .filter_map(|group| group.tool)
            .collect();
        assert_eq!(tools, ["0", "59"]);
        let is_there = analytics
            .ask(|file| Ok(file.query_row("SELECT count(*) FROM calls", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(is_there.await.unwrap(), 3, "a sweep came in between");
    }
}
