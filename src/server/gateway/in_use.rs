//! Which secrets of each server were sent last, process-wide. An event stream is filtered
//! for the secrets it was opened with; so it ends before newer ones of its server are sent
//! for the first time, by whichever client: the server could repeat those on every stream.
//! Other answers go on, and are filtered for the newer ones too.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::inject::fingerprint;
use super::problem::UpstreamProblem;
use super::upstream::Upstream;

/// Servers that are remembered; those without a stream are forgotten first.
const CAPACITY: usize = 16 * 1024;

/// By the server's id.
#[derive(Default)]
pub(super) struct SecretsInUse(Mutex<HashMap<String, Used>>);

struct Used {
    fingerprint: [u8; 32],
    /// Counts the changes, from 1.
    change: u64,
    /// Its end is what the streams wait for.
    over: watch::Sender<()>,
}

impl Used {
    fn lease(&self) -> Lease {
        let mut over = self.over.subscribe();
        let known = over.clone();
        let change = self.change;
        Lease { change, over: known, waiting: Box::pin(async move { while over.changed().await.is_ok() {} }) }
    }
}

/// Lasts until other secrets of the server are used.
pub(super) struct Lease {
    change: u64,
    over: watch::Receiver<()>,
    waiting: Pin<Box<dyn Future<Output = ()>>>,
}

impl Lease {
    /// The number of the change that took them into use.
    pub(super) fn change(&self) -> u64 {
        self.change
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.has_changed().is_err()
    }

    /// The same; if it has not, the task is woken when it does.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> bool {
        self.is_over() || self.waiting.as_mut().poll(context) == Poll::Ready(())
    }
}

impl SecretsInUse {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last change at a server; 0 if none of its secrets were used yet.
    pub(super) fn last_change(&self, server_id: &str) -> u64 {
        self.all().get(server_id).map_or(0, |used| used.change)
    }

    /// A lease, if these are the secrets in use; else the number of the last change.
    pub(super) fn lease(&self, server_id: &str, fingerprint: &[u8; 32]) -> Result<Lease, u64> {
        match self.all().get(server_id) {
            Some(used) if used.fingerprint == *fingerprint => Ok(used.lease()),
            other => Err(other.map_or(0, |used| used.change)),
        }
    }

    /// Takes other secrets into use, which ends the leases of those before; `None` if there was
    /// another change after the one with this number, so that these may be older.
    fn replace(&self, server_id: &str, fingerprint: [u8; 32], last_change: u64) -> Option<Lease> {
        let mut all = self.all();
        let change = all.get(server_id).map_or(0, |used| used.change);
        if change != last_change {
            return None;
        }
        if all.len() >= CAPACITY && change == 0 {
            all.retain(|_, used| used.over.receiver_count() > 0);
        }
        let used = Used { fingerprint, change: change + 1, over: watch::Sender::default() };
        let lease = used.lease();
        all.insert(server_id.to_owned(), used);
        Some(lease)
    }

    /// Ends the leases of other secrets than these, which were read after the change with this
    /// number: they may have been sent by another process on the same database.
    pub(super) fn notice(&self, server_id: &str, fingerprint: [u8; 32], last_change: u64) {
        if matches!(self.lease(server_id, &fingerprint), Err(change) if change > 0) {
            let _ = self.replace(server_id, fingerprint, last_change);
        }
    }
}

impl Upstream {
    /// Takes its secrets into use before they are sent.
    ///
    /// # Errors
    /// [`UpstreamProblem::Outdated`] if newer ones are in use.
    pub(super) async fn lease(&self) -> Result<Lease, UpstreamProblem> {
        let in_use = self.secrets_in_use();
        loop {
            let last_change = match in_use.lease(&self.server.id, &self.fingerprint()) {
                Ok(lease) => return Ok(lease),
                Err(last_change) => last_change,
            };
            if last_change > 0 && !self.is_newest().await {
                return Err(UpstreamProblem::Outdated);
            }
            if let Some(lease) = in_use.replace(&self.server.id, self.fingerprint(), last_change) {
                return Ok(lease);
            }
        }
    }

    async fn is_newest(&self) -> bool {
        let row = self.store().server(&self.server.workspace_id, &self.server.slug).await;
        let row = row.ok().flatten().filter(|row| row.id == self.server.id);
        row.is_some_and(|row| fingerprint(&row) == self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_with_the_next_secrets_of_its_server() {
        let in_use = SecretsInUse::default();
        assert_eq!(in_use.lease("a", &[1; 32]).err(), Some(0));
        let first = in_use.replace("a", [1; 32], 0).unwrap();
        let (again, other) = (in_use.lease("a", &[1; 32]).unwrap(), in_use.replace("b", [1; 32], 0).unwrap());
        assert_eq!(in_use.lease("a", &[2; 32]).err(), Some(1));
        let second = in_use.replace("a", [2; 32], 1).unwrap();
        assert!(first.is_over() && again.is_over() && !second.is_over() && !other.is_over());
    }

    #[test]
    fn what_was_read_before_a_change_changes_nothing() {
        let in_use = SecretsInUse::default();
        let _ = in_use.replace("a", [1; 32], 0).unwrap();
        let newest = in_use.replace("a", [2; 32], 1).unwrap();
        assert!(in_use.replace("a", [1; 32], 1).is_none());
        in_use.notice("a", [1; 32], 1);
        in_use.notice("a", [2; 32], 2);
        assert!(!newest.is_over());
        in_use.notice("a", [3; 32], 2);
        assert!(newest.is_over());
    }
}
