//! How often a token may ask. Each token has two quotas: its tool calls, and all other
//! requests; a third one bounds guesses at names of servers. A quota is a bucket that holds a minute's worth and fills evenly. Buckets are kept
//! in this process only, and a full one is not kept at all.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::server::auth::Member;
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;

const MINUTE_MICROS: u64 = 60_000_000;
/// Requests a minute that are no tool calls: at least so many, or five for each call. So many
/// may also ask for servers that are not there.
const OTHER_REQUESTS: u32 = 600;
const SHARDS: usize = 16;
/// Buckets of one shard at which the full ones are looked for and dropped.
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

/// A bucket is one number: the moment at which it is full again.
type Shard = HashMap<(String, Quota), u64>;

/// The buckets of all tokens.
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
        let full_at = self.shard(token_id).get(&(token_id.to_owned(), quota)).copied();
        standing(limit, full_at.unwrap_or_default().max(now), now)
    }

    fn count(&self, token_id: &str, quota: Quota, limit: u32, now: u64) -> Standing {
        let mut shard = self.shard(token_id);
        let full_at = shard.get(&(token_id.to_owned(), quota)).copied().unwrap_or_default().max(now);
        let standing = standing(limit, full_at, now);
        if standing.wait > 0 {
            return standing;
        }
        if shard.len() >= SWEEP_AT {
            shard.retain(|_, full_at| *full_at > now);
        }
        shard.insert((token_id.to_owned(), quota), full_at + interval(limit));
        standing
    }

    /// Writes how the token's quota of tool calls stands, unless the answer tells already.
    pub(super) fn describe(&self, member: &Member, headers: &mut HeaderMap) {
        let Some(limit) = Quota::Calls.of(member).filter(|_| !headers.contains_key(LIMIT)) else { return };
        self.look(&member.token_id, Quota::Calls, limit, self.now()).write(headers);
    }
}

/// Microseconds in which a bucket gains one request.
fn interval(limit: u32) -> u64 {
    MINUTE_MICROS / u64::from(limit.max(1))
}

fn standing(limit: u32, full_at: u64, now: u64) -> Standing {
    let interval = interval(limit);
    let full_in = full_at.saturating_sub(now);
    let room = (interval * u64::from(limit)).saturating_sub(full_in);
    let remaining = u32::try_from(room / interval).unwrap_or(limit);
    let wait = interval.saturating_sub(room);
    Standing { limit, remaining, full_in, wait }
}

impl Standing {
    fn write(self, headers: &mut HeaderMap) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let reset = since_1970.as_secs() + self.full_in.div_ceil(1_000_000);
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
    fn a_minute_s_worth_at_once_then_evenly() {
        let limits = RateLimits::new();
        for taken in 0..120 {
            let standing = limits.count("t", Quota::Calls, 120, 0);
            assert_eq!((standing.remaining, standing.wait), (120 - taken, 0));
        }
        let empty = limits.count("t", Quota::Calls, 120, 0);
        assert_eq!(empty, Standing { limit: 120, remaining: 0, full_in: 60 * SECOND, wait: SECOND / 2 });
        // A refused request costs nothing.
        assert_eq!(limits.count("t", Quota::Calls, 120, SECOND / 2).wait, 0);
        assert_eq!(limits.count("t", Quota::Calls, 120, SECOND / 2).wait, SECOND / 2);
        assert_eq!(limits.count("t", Quota::Calls, 120, 200 * SECOND).remaining, 120);
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
    fn full_buckets_are_not_kept() {
        let limits = RateLimits::new();
        for number in 0..100_000_u64 {
            limits.count(&format!("t{number}"), Quota::Calls, 120, number * SECOND / 100);
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
