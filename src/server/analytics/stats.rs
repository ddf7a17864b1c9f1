//! Counters of one server's calls since the start, for `/metrics`, and whether its last
//! calls were answered. In memory only.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::call::{Call, Outcome};
use crate::server::clock::Millis;

/// Upper bounds of the histogram's buckets, in microseconds; a last one without bound follows.
pub const BUCKETS: [u64; 14] = [
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Counters of one server.
#[derive(Debug, Default)]
pub struct ServerStats {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    errors: AtomicU64,
    micros: AtomicU64,
    last_answer: AtomicI64,
    failing: Mutex<Option<(Millis, &'static str)>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Calls in each bucket alone (not cumulative).
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Calls without success.
    pub errors: u64,
    /// Sum of the durations.
    pub total: Duration,
}

impl Snapshot {
    /// Number of calls.
    pub fn calls(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What a server's last calls say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No call has come since the start.
    Unknown,
    /// The last call was answered (be it with an error of the tool).
    Answers,
    /// No call was answered since then, last for the reason that the word names.
    Failing(Millis, &'static str),
}

impl ServerStats {
    /// Counts a call.
    pub(super) fn count(&self, call: &Call) {
        let micros = micros(call.duration);
        let bucket = BUCKETS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        if !call.outcome.is_success() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match call.outcome {
            Outcome::ClientLeft | Outcome::GoesOn => {}
            Outcome::Upstream(reason) => {
                *failing = Some((failing.map_or(call.at, |(since, _)| since), reason));
            }
            Outcome::Success | Outcome::ToolError | Outcome::RpcError => {
                *failing = None;
                self.last_answer.store(call.at, Ordering::Relaxed);
            }
        }
    }

    /// Notes what a list or a handshake has shown; it is no call.
    pub(super) fn heard(&self, at: Millis, shown: Result<(), &'static str>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(reason) = shown {
            *failing = Some((failing.map_or(at, |(since, _)| since), reason));
        } else {
            *failing = None;
            self.last_answer.store(at, Ordering::Relaxed);
        }
    }

    /// The counters now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            buckets: std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)),
            errors: self.errors.load(Ordering::Relaxed),
            total: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }

    /// What the last calls say.
    pub fn health(&self) -> Health {
        let failing = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match failing {
            Some((since, reason)) => Health::Failing(since, reason),
            None if self.last_answer.load(Ordering::Relaxed) == 0 => Health::Unknown,
            None => Health::Answers,
        }
    }
}

/// Microseconds, at most what a column holds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at: Millis, micros: u64, outcome: Outcome) -> Call {
        Call { at, duration: Duration::from_micros(micros), outcome, ..Call::nothing() }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let stats = ServerStats::default();
        for micros in [0, 5_000, 5_001, 300_000_000, 300_000_001, u64::MAX >> 1] {
            stats.count(&call(1, micros, Outcome::Success));
        }
        let buckets = stats.snapshot().buckets;
        assert_eq!((buckets[0], buckets[1], buckets[13], buckets[14]), (2, 1, 1, 2));
        assert_eq!((stats.snapshot().calls(), stats.snapshot().errors), (6, 0));
    }

    #[test]
    fn health_is_what_the_last_calls_say() {
        let stats = ServerStats::default();
        let after = |at, outcome| {
            stats.count(&call(at, 1, outcome));
            stats.health()
        };
        assert_eq!(after(1, Outcome::ClientLeft), Health::Unknown);
        assert_eq!(after(2, Outcome::Upstream("cut")), Health::Failing(2, "cut"));
        assert_eq!(after(3, Outcome::ClientLeft), Health::Failing(2, "cut"));
        assert_eq!(after(3, Outcome::GoesOn), Health::Failing(2, "cut"));
        assert_eq!(after(4, Outcome::Upstream("timed_out")), Health::Failing(2, "timed_out"));
        assert_eq!(after(5, Outcome::RpcError), Health::Answers);
        assert_eq!(after(6, Outcome::Upstream("cut")), Health::Failing(6, "cut"));
        assert_eq!(after(7, Outcome::Success), Health::Answers);
        assert_eq!((stats.snapshot().errors, stats.snapshot().calls()), (6, 8));
    }
}
