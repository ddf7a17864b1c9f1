//! Calls that may never come back: on a thread of their own, given up after a limit. The
//! thread ends with the process, which does not wait for it.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    /// The limit is over.
    Late,
    /// The thread could not be started, or broke off.
    Broken,
}

/// Runs a call and waits for it no longer than the limit.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    let (answer, answered) = sync_channel(1);
    let started = thread::Builder::new().spawn(move || {
        // Nobody may be waiting any more.
        let _ = answer.send(call());
    });
    if started.is_err() {
        return Err(NoResult::Broken);
    }
    answered.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => NoResult::Late,
        RecvTimeoutError::Disconnected => NoResult::Broken,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_call_that_hangs_is_given_up_and_not_waited_for() {
        let (release, hold) = channel::<()>();
        let (limit, start) = (Duration::from_millis(20), Instant::now());
        let result = within(limit, move || hold.recv().is_ok());
        assert_eq!(result, Err(NoResult::Late));
        assert!(start.elapsed() >= limit);
        drop(release);
        assert_eq!(within(Duration::from_secs(20), || 1), Ok(1));
    }
}
