//! Attempts to open a session with a server that came to nothing: whoever waited for one gets
//! its outcome, and does not begin another one. So many calls at a server that hangs take no
//! longer than one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::problem::UpstreamProblem;

/// The last one of each server, by its id, in one client's session.
#[derive(Default)]
pub(super) struct FailedOpenings(Mutex<HashMap<String, FailedOpening>>);

struct FailedOpening {
    at: Instant,
    fingerprint: [u8; 32],
    problem: UpstreamProblem,
}

impl FailedOpenings {
    /// Notes that no session could be opened with these secrets.
    pub(super) fn note(&self, server_id: &str, fingerprint: [u8; 32], problem: UpstreamProblem) {
        let failed = FailedOpening { at: Instant::now(), fingerprint, problem };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server_id.to_owned(), failed);
    }

    /// Why that failed, if it did with these secrets at or after this moment.
    pub(super) fn since(
        &self,
        server_id: &str,
        fingerprint: &[u8; 32],
        moment: Instant,
    ) -> Option<UpstreamProblem> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = all.get(server_id)?;
        (failed.at >= moment && failed.fingerprint == *fingerprint).then_some(failed.problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waited_gets_the_outcome() {
        let (failed, problem) = (FailedOpenings::default(), UpstreamProblem::TimedOut);
        let before = Instant::now();
        failed.note("s", [1; 32], problem);
        assert_eq!(failed.since("s", &[1; 32], before), Some(problem));
        assert_eq!(failed.since("s", &[2; 32], before), None);
        assert_eq!(failed.since("t", &[1; 32], before), None);
        while Instant::now() == before {}
        assert_eq!(failed.since("s", &[1; 32], Instant::now() + std::time::Duration::from_nanos(1)), None);
    }
}
