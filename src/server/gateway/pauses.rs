//! How long to wait before a stream that ended early is asked for again.

use std::time::Duration;

/// The wait, unless the server names another.
pub(super) const DEFAULT_RETRY: Duration = Duration::from_secs(1);
/// Shortest wait; it grows by itself after each [`RESUMES_PER_STEP`] times.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);
const RESUMES_PER_STEP: u32 = 20;
/// Longest such wait.
pub(super) const MAX_RETRY: Duration = Duration::from_mins(10);

/// The wait before the rest of a stream is asked for, after so many times: as long as the
/// server wants, but never without a pause.
pub(super) fn wait_before(resumes: u32, wanted: Duration) -> Duration {
    wanted.max(SHORTEST_RETRY * (1 + resumes / RESUMES_PER_STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_wants_no_pause_gets_one() {
        assert_eq!(wait_before(0, Duration::ZERO), SHORTEST_RETRY);
        assert_eq!(wait_before(999, Duration::ZERO), Duration::from_secs(5));
        assert_eq!(wait_before(999, Duration::from_mins(1)), Duration::from_mins(1));
    }
}
