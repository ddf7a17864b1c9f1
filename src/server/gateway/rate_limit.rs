//! How often a token may ask. Each token has two quotas: its tool calls, and all other
//! requests; a third one bounds guesses at names of servers. A quota is a number of requests in
//! a minute, whenever the minute begins. What was taken is kept in this process only, and for a
//! minute.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::server::auth::Member;
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;

/// Requests are counted by slices of time of so many microseconds.
const SLICE_MICROS: u64 = 250_000;
/// Slices in a minute.
const SLICES: u64 = 240;
/// Requests a minute that are no tool calls: at least so many, or five for each call. So many
/// may also ask for servers that are not there.
const OTHER_REQUESTS: u32 = 600;
const SHARDS: usize = 16;
/// Windows of one shard at which the empty ones are looked for and dropped.
const SWEEP_AT: usize = 256;
/// JSON-RPC code of the refusal: "limit exceeded", as other JSON-RPC services have it.
const LIMIT_EXCEEDED: i32 = -32005;
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Quota {
    /// `tools/call`.
    Calls,
    /// Everything else.
    Others,
    /// Requests for servers that are not there; they count as others too.
    Misses,
}

impl Quota {
    /// Requests a minute; `None` for no limit.
    fn of(self, member: &Member) -> Option<u32> {
        let calls = member.calls_a_minute?;
        Some(match self {
            Self::Calls => calls,
            Self::Others | Self::Misses => calls.saturating_mul(5).max(OTHER_REQUESTS),
        })
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Calls => "tool calls",
            Self::Others | Self::Misses => "requests",
        }
    }
}

/// How a quota stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    limit: u32,
    remaining: u32,
    /// Microseconds until the whole quota is there again.
    full_in: u64,
    /// Microseconds until the next request is taken; 0 if it is now.
    wait: u64,
}

/// The requests of the last minute.
#[derive(Default)]
struct Window {
    /// Slices of time in which any were taken, and how many, the oldest first.
    taken: VecDeque<(u64, u32)>,
    total: u32,
}

impl Window {
    /// Forgets what was taken a minute ago or earlier.
    fn forget(&mut self, now: u64) {
        let slice = now / SLICE_MICROS;
        while let Some((_, count)) = self.taken.pop_front_if(|(taken, _)| *taken + SLICES <= slice) {
            self.total -= count;
        }
    }

    fn take(&mut self, now: u64) {
        let slice = now / SLICE_MICROS;
        match self.taken.back_mut() {
            Some((taken, count)) if *taken >= slice => *count += 1,
            _ => self.taken.push_back((slice, 1)),
        }
        self.total += 1;
    }

    fn standing(&self, limit: u32, now: u64) -> Standing {
        let forgotten_in =
            |taken: Option<&(u64, u32)>| taken.map_or(0, |(slice, _)| (slice + SLICES) * SLICE_MICROS - now);
        let remaining = limit.saturating_sub(self.total);
        let wait = if remaining == 0 { forgotten_in(self.taken.front()) } else { 0 };
        Standing { limit, remaining, full_in: forgotten_in(self.taken.back()), wait }
    }
}

type Shard = HashMap<(String, Quota), Window>;

/// What all tokens took.
pub(super) struct RateLimits {
    start: Instant,
    shards: [Mutex<Shard>; SHARDS],
    hasher: std::hash::RandomState,
}

impl RateLimits {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: std::hash::RandomState::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn shard(&self, token_id: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(token_id);
        let shard = &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; the refusal if the quota is used up. `id` is the request's id as it
    /// was written.
    pub(super) fn take(&self, member: &Member, quota: Quota, id: &str) -> Option<Response<AnswerBody>> {
        let limit = quota.of(member)?;
        let standing = self.count(&member.token_id, quota, limit, self.now());
        (standing.wait > 0).then(|| refusal(&standing, quota, id))
    }

    /// The same refusal, without counting a request that is not refused.
    pub(super) fn used_up(&self, member: &Member, quota: Quota) -> Option<Response<AnswerBody>> {
        let limit = quota.of(member)?;
        let standing = self.look(&member.token_id, quota, limit, self.now());
        (standing.wait > 0).then(|| refusal(&standing, quota, "null"))
    }

    fn look(&self, token_id: &str, quota: Quota, limit: u32, now: u64) -> Standing {
        match self.shard(token_id).get_mut(&(token_id.to_owned(), quota)) {
            Some(window) => {
                window.forget(now);
                window.standing(limit, now)
            }
            None => Window::default().standing(limit, now),
        }
    }

    fn count(&self, token_id: &str, quota: Quota, limit: u32, now: u64) -> Standing {
        let mut shard = self.shard(token_id);
        let key = (token_id.to_owned(), quota);
        if shard.len() >= SWEEP_AT && !shard.contains_key(&key) {
            shard.retain(|_, window| {
                window.forget(now);
                window.total > 0
            });
        }
        let window = shard.entry(key).or_default();
        window.forget(now);
        let standing = window.standing(limit, now);
        if standing.wait == 0 {
            window.take(now);
        }
        standing
    }

    /// Writes how the token's quota of tool calls stands, unless the answer tells already.
    pub(super) fn describe(&self, member: &Member, headers: &mut HeaderMap) {
        let Some(limit) = Quota::Calls.of(member).filter(|_| !headers.contains_key(LIMIT)) else { return };
        self.look(&member.token_id, Quota::Calls, limit, self.now()).write(headers);
    }
}

impl Standing {
    fn write(self, headers: &mut HeaderMap) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reset_micros = since_1970.as_micros() + u128::from(self.full_in);
        let reset = u64::try_from(reset_micros.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(reset));
    }
}

fn refusal(standing: &Standing, quota: Quota, id: &str) -> Response<AnswerBody> {
    let seconds = standing.wait.div_ceil(1_000_000);
    let (limit, noun) = (standing.limit, quota.noun());
    let message = format!(
        "this token may make {limit} {noun} a minute, and they are used up; nothing was done. Try again in {seconds} s"
    );
    let data = json!({"reason": "rate_limited", "retry_after": seconds});
    let error = json!({"code": LIMIT_EXCEEDED, "message": message, "data": data});
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
    let mut response = json_answer(StatusCode::TOO_MANY_REQUESTS, body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    standing.write(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn so_many_in_any_minute() {
        let limits = RateLimits::new();
        let count = |now| limits.count("t", Quota::Calls, 120, now);
        for taken in 0..120 {
            let standing = count(u64::from(taken) * SECOND / 12);
            assert_eq!((standing.remaining, standing.wait), (120 - taken, 0));
        }
        // The last ones were taken after 9.75 s and later.
        let empty = Standing { limit: 120, remaining: 0, full_in: 59_750_000, wait: 50 * SECOND };
        assert_eq!(count(10 * SECOND), empty);
        // A refused request costs nothing.
        assert_eq!(count(60 * SECOND - 1).wait, 1);
        for _ in 0..3 {
            assert_eq!(count(60 * SECOND).wait, 0, "those of the first quarter of a second");
        }
        assert_eq!(count(60 * SECOND).wait, SECOND / 4);
        let full = count(200 * SECOND);
        assert_eq!(full, Standing { limit: 120, remaining: 120, full_in: 0, wait: 0 });
    }

    #[test]
    fn tokens_and_quotas_do_not_share() {
        let limits = RateLimits::new();
        assert_eq!(limits.count("t", Quota::Calls, 1, 0).wait, 0);
        assert_eq!(limits.count("t", Quota::Calls, 1, 0).wait, 60 * SECOND);
        assert_eq!(limits.count("t", Quota::Others, 1, 0).wait, 0);
        assert_eq!(limits.count("u", Quota::Calls, 1, 0).wait, 0);
    }

    #[test]
    fn empty_windows_are_not_kept() {
        let limits = RateLimits::new();
        for number in 0..100_000_u64 {
            limits.count(&format!("t{number}"), Quota::Calls, 120, number * SECOND / 4);
        }
        let kept: usize = limits.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * (SWEEP_AT + 1), "{kept}");
    }

    #[test]
    fn no_limit_and_the_limit_of_other_requests() {
        let member = |calls_a_minute| Member { calls_a_minute, ..Member::default() };
        assert_eq!(Quota::Others.of(&member(None)), None);
        assert_eq!(Quota::Others.of(&member(Some(3))), Some(600));
        assert_eq!(Quota::Others.of(&member(Some(1000))), Some(5000));
        assert_eq!(Quota::Calls.of(&member(Some(1000))), Some(1000));
    }
}
