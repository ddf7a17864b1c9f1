//! The one writer: a thread that takes jobs from a channel and runs each in an
//! immediate transaction. The answer is sent after the commit, which is on disk by then
//! (`synchronous=FULL`).

use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::thread;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::file::OpenError;
use crate::server::store::{StoreError, WriteError};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What becomes of a transaction whose work was done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    /// It is written.
    Commit,
    /// It was a rehearsal: everything is as before.
    RollBack,
}

/// Hands jobs to the thread; dropping it lets the thread finish and waits for it.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection) -> Result<Self, OpenError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            for job in queue {
                // A job that panics has been rolled back, and its caller gets an error.
                let done = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
                if done.is_err() {
                    tracing::error!("a write panicked; nothing of it was stored");
                }
            }
            // Nothing stays in the WAL after a clean end: the one file can be copied alone.
            let fold = connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()));
            if let Err(error) = fold {
                tracing::warn!(%error, "the WAL was not folded into the database; keep both files together");
            }
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(run)
            .map_err(|_| StoreError::Failed("no thread for the writer".to_owned()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` in a transaction; commits if it answers `Ok`, else nothing is changed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, WriteError> + Send + 'static,
    ) -> Result<T, WriteError> {
        self.run(work, Ending::Commit).await
    }

    /// Runs `work` in a transaction of which nobody waits to hear. What fails is in the log.
    pub(super) fn write_unwatched(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), WriteError> + Send + 'static,
    ) {
        let job: Job = Box::new(move |connection| {
            if let Err(error) = in_transaction(connection, work, Ending::Commit) {
                tracing::warn!(%error, "a note was not stored");
            }
        });
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// Runs `work` in a transaction that ends in this way if it answers `Ok`.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, WriteError> + Send + 'static,
        ending: Ending,
    ) -> Result<T, WriteError> {
        let gone = || StoreError::Failed("the writer has stopped".to_owned());
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = answer.send(in_transaction(connection, work, ending));
        });
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        waiting.await.map_err(|_| gone())?
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, WriteError>,
    ending: Ending,
) -> Result<T, WriteError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    match ending {
        Ending::Commit => transaction.commit()?,
        Ending::RollBack => transaction.rollback()?,
    }
    Ok(done)
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
