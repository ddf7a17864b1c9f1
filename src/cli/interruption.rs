//! Ctrl-C. While a request is under way it ends the command with a message that says what
//! became of the change; outside of that (at a question, while standard input is read) it
//! does what it does to any program.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use signal_hook::consts::SIGINT;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Failure, FailureKind};
use crate::client::ApiClient;

/// `true` while the signal is to do what it does by default.
static OUTSIDE_REQUESTS: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// A handler, once there, stays for the life of the process: it is registered once.
static DEFAULT_KEPT: OnceLock<bool> = OnceLock::new();

/// The flag for [`ApiClient::show_requests_in`].
pub(super) fn outside_requests() -> Arc<AtomicBool> {
    Arc::clone(OUTSIDE_REQUESTS.get_or_init(|| Arc::new(AtomicBool::new(true))))
}

/// Runs to the end, or until Ctrl-C, which is `None`.
pub(super) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<Option<T>, Failure> {
    // First this one, so that outside of requests the process ends before anything else is
    // done about the signal.
    let keep = || signal_hook::flag::register_conditional_default(SIGINT, outside_requests()).is_ok();
    if !*DEFAULT_KEPT.get_or_init(keep) {
        return Err(Failure::new(FailureKind::Unexpected, "could not prepare for Ctrl-C"));
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("could not prepare for Ctrl-C")?;
    tokio::select! {
        biased;
        done = work => Ok(Some(done)),
        _ = interrupt.recv() => Ok(None),
    }
}

/// What an interrupted command says, by what its client (if it got so far) knows.
pub(super) fn failure(client: Option<&ApiClient>) -> Failure {
    let changes = client.map(ApiClient::changes).unwrap_or_default();
    let message = match (changes.made, changes.uncertain) {
        (false, false) => "interrupted; nothing was changed",
        (false, true) => "interrupted; the change may have been made all the same",
        (true, false) => "interrupted; a change was made before that",
        (true, true) => "interrupted; a change was made before that, and one more may have been",
    };
    let failure = Failure::new(FailureKind::Interrupted, message);
    if changes.made || changes.uncertain { failure.with_hint("look before trying again") } else { failure }
}
