//! Which secrets of each server were sent last, process-wide. An event stream is filtered
//! for the secrets it was opened with; so it ends before newer ones of its server are sent
//! for the first time, by whichever client: the server could repeat those on every stream.
//! Other answers go on, and are filtered for the newer ones too.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::watch;

use super::inject::fingerprint;
use super::problem::UpstreamProblem;
use super::upstream::Upstream;
use crate::server::store::ServerRow;

/// Servers that are remembered; those without a stream are forgotten first.
const CAPACITY: usize = 16 * 1024;
/// Changes of one server that are remembered.
const HISTORY: usize = 32;

/// By the server's id.
#[derive(Default)]
pub(super) struct SecretsInUse(Mutex<HashMap<String, Used>>);

struct Used {
    fingerprint: [u8; 32],
    /// Counts the changes, from 1.
    change: u64,
    /// The server as it was at the last changes, its secrets sealed, for answers that began before.
    history: VecDeque<Arc<ServerRow>>,
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
    fn lease(&self, server_id: &str, fingerprint: &[u8; 32]) -> Result<Lease, u64> {
        match self.all().get(server_id) {
            Some(used) if used.fingerprint == *fingerprint => Ok(used.lease()),
            other => Err(other.map_or(0, |used| used.change)),
        }
    }

    /// Whether other secrets of the server were taken into use after these.
    pub(super) fn has_newer(&self, server_id: &str, fingerprint: &[u8; 32]) -> bool {
        matches!(self.lease(server_id, fingerprint), Err(change) if change > 0)
    }

    /// The server at each change after the one with this number, and a lease of the last; `None` if
    /// that is too long ago.
    pub(super) fn since(&self, server_id: &str, change: u64) -> Option<(Vec<Arc<ServerRow>>, Lease)> {
        let all = self.all();
        let used = all.get(server_id)?;
        let count = usize::try_from(used.change.checked_sub(change)?).ok()?;
        let first = used.history.len().checked_sub(count)?;
        Some((used.history.range(first..).cloned().collect(), used.lease()))
    }

    /// Takes other secrets into use, which ends the leases of those before; `None` if there was
    /// another change after the one with this number, so that these may be older.
    fn replace(&self, server: &ServerRow, fingerprint: [u8; 32], last_change: u64) -> Option<Lease> {
        let server_id = &server.id;
        let mut all = self.all();
        let change = all.get(server_id).map_or(0, |used| used.change);
        if change != last_change {
            return None;
        }
        if all.len() >= CAPACITY && change == 0 {
            all.retain(|_, used| used.over.receiver_count() > 0);
        }
        let mut history = all.remove(server_id).map(|used| used.history).unwrap_or_default();
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(Arc::new(server.clone()));
        let used = Used { fingerprint, change: change + 1, history, over: watch::Sender::default() };
        let lease = used.lease();
        all.insert(server_id.to_owned(), used);
        Some(lease)
    }

    /// Ends the leases of other secrets than these, which were read after the change with this
    /// number: they may have been sent by another process on the same database.
    pub(super) fn notice(&self, server: &ServerRow, fingerprint: [u8; 32], last_change: u64) {
        if matches!(self.lease(&server.id, &fingerprint), Err(change) if change > 0) {
            let _ = self.replace(server, fingerprint, last_change);
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
            if let Some(lease) = in_use.replace(&self.server, self.fingerprint(), last_change) {
                return Ok(lease);
            }
        }
    }

    /// Whether other secrets of the server were taken into use meanwhile.
    pub(super) fn has_newer_secrets(&self) -> bool {
        self.secrets_in_use().has_newer(&self.server.id, &self.fingerprint())
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
    use crate::domain::{ServerSlug, UpstreamUrl};

    fn server(id: &str) -> ServerRow {
        ServerRow {
            id: id.to_owned(),
            workspace_id: "w".to_owned(),
            slug: ServerSlug::parse("s").unwrap(),
            name: "s".to_owned(),
            url: UpstreamUrl::parse("https://a.example/mcp").unwrap(),
            enabled: true,
            allow_private_network: false,
            redact_responses: true,
            created_at: 0,
            updated_at: 0,
            secrets: Vec::new(),
            has_damaged_secret: false,
            damaged_secrets: Vec::new(),
        }
    }

    #[test]
    fn what_was_used_since_is_known_for_a_while() {
        let in_use = SecretsInUse::default();
        for change in 0..40 {
            let _ = in_use.replace(&server("a"), [change; 32], u64::from(change)).unwrap();
        }
        let count = |change| in_use.since("a", change).map(|(rows, _)| rows.len());
        assert_eq!(
            (count(40), count(39), count(8), count(7), count(41)),
            (Some(0), Some(1), Some(32), None, None)
        );
        assert!(in_use.since("b", 0).is_none());
    }

    #[test]
    fn a_lease_ends_with_the_next_secrets_of_its_server() {
        let in_use = SecretsInUse::default();
        assert_eq!(in_use.lease("a", &[1; 32]).err(), Some(0));
        let first = in_use.replace(&server("a"), [1; 32], 0).unwrap();
        let (again, other) =
            (in_use.lease("a", &[1; 32]).unwrap(), in_use.replace(&server("b"), [1; 32], 0).unwrap());
        assert_eq!(in_use.lease("a", &[2; 32]).err(), Some(1));
        assert!(!in_use.has_newer("a", &[1; 32]) && in_use.has_newer("a", &[2; 32]));
        let second = in_use.replace(&server("a"), [2; 32], 1).unwrap();
        assert!(first.is_over() && again.is_over() && !second.is_over() && !other.is_over());
    }

    #[test]
    fn what_was_read_before_a_change_changes_nothing() {
        let in_use = SecretsInUse::default();
        let _ = in_use.replace(&server("a"), [1; 32], 0).unwrap();
        let newest = in_use.replace(&server("a"), [2; 32], 1).unwrap();
        assert!(in_use.replace(&server("a"), [1; 32], 1).is_none());
        in_use.notice(&server("a"), [1; 32], 1);
        in_use.notice(&server("a"), [2; 32], 2);
        assert!(!newest.is_over());
        in_use.notice(&server("a"), [3; 32], 2);
        assert!(newest.is_over());
    }
}
