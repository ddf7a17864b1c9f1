//! When a request is sent again, and after which pause. Only what is safe: a connection that
//! never came up carried nothing, and 429 and 502 to 504 are tried again for requests that
//! may be made twice (docs/decisions, "What the command line sends again").

use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use reqwest::Method;

use super::answer::{Answer, Broken};
use crate::api::routes;

/// Most tries of one request, the first one included.
const MAX_TRIES: u32 = 3;
/// Longest wait a server can ask for that is obeyed; a longer one ends the command.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// The first pause is between this and its half; each further one twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(400);

/// What may be done about a request without a clear answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is doing it once (RFC 9110, section 9.2.2).
    Freely,
    /// Only if nothing was sent.
    Unsent,
}

impl Repeat {
    /// The rule for a request.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let twice_is_once = [Method::GET, Method::PUT, Method::DELETE].contains(method);
        if twice_is_once || path == routes::VALIDATE { Self::Freely } else { Self::Unsent }
    }
}

/// Why a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There was no connection.
    Unreachable,
    /// This status, and whether the server said how long to wait.
    Status {
        /// HTTP status.
        status: u16,
        /// The server named the time.
        asked: bool,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unreachable => f.write_str("there was no connection"),
            Self::Status { status, asked } => {
                let what = if status == 429 { "too many requests" } else { "not available now" };
                let wait = if asked { " and asks to wait" } else { "" };
                write!(f, "the server answered HTTP {status} ({what}){wait}")
            }
        }
    }
}

/// The cause and the pause, if the request may be sent again after this many tries.
pub(super) fn next_try(
    tries: u32,
    repeat: Repeat,
    outcome: &Result<Answer, Broken>,
) -> Option<(Cause, Duration)> {
    if tries >= MAX_TRIES {
        return None;
    }
    let (cause, asked) = match outcome {
        Err(Broken::Transport(error)) if may_pass(error) => (Cause::Unreachable, None),
        Ok(answer) if repeat == Repeat::Freely && matches!(answer.status, 429 | 502..=504) => {
            let asked = answer.retry_after;
            (Cause::Status { status: answer.status, asked: asked.is_some() }, asked)
        }
        _ => return None,
    };
    let pause = own_pause(tries).max(asked.unwrap_or_default());
    (pause <= MAX_WAIT).then_some((cause, pause))
}

/// Half of the full pause, and a random part of the other half, so that many that failed
/// together do not come back together.
fn own_pause(tries: u32) -> Duration {
    let full = FIRST_PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1));
    // The standard library's hash keys are the random numbers that are at hand.
    let random = RandomState::new().build_hasher().finish() % 1000;
    let half = full / 2;
    half + half * u32::try_from(random).unwrap_or_default() / 1000
}

/// Whether the connection did not come up, for a reason that may be gone soon. A certificate
/// that is not accepted, or a name that does not exist, stays as it is.
fn may_pass(error: &reqwest::Error) -> bool {
    if !error.is_connect() {
        return false;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(io) = this.downcast_ref::<io::Error>() {
            let io = unwrapped(io);
            return passing_kind(io.kind())
                || io.to_string().contains("Temporary failure in name resolution");
        }
        cause = this.source();
    }
    // Our own limit for a connection; everything else that is no I/O error is final.
    error.is_timeout()
}

/// The TLS connector puts I/O errors into I/O errors, which `source` skips.
fn unwrapped(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        error = inner;
    }
    error
}

fn passing_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof
    )
}

/// Takes `Retry-After` apart: seconds, or a date (RFC 9110, section 10.2.3), which is read by
/// the server's own clock where the answer says what that shows.
pub(super) fn wait_asked_for(retry_after: &str, date: Option<&str>) -> Option<Duration> {
    let text = retry_after.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = http_date(text)?;
    let now = date.and_then(http_date).unwrap_or_else(Timestamp::now);
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

/// The three forms of RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let older = |form: &str| {
        let date = strtime::parse(form, text).ok()?.to_datetime().ok()?;
        TimeZone::UTC.to_timestamp(date).ok()
    };
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    date.or_else(|| older("%A, %d-%b-%y %H:%M:%S GMT")).or_else(|| older("%a %b %e %H:%M:%S %Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_made_twice() {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert_eq!(Repeat::of(&method, routes::SERVERS), Repeat::Freely, "{method}");
        }
        for method in [Method::POST, Method::PATCH] {
            assert_eq!(Repeat::of(&method, routes::SERVERS), Repeat::Unsent, "{method}");
        }
        assert_eq!(Repeat::of(&Method::POST, routes::VALIDATE), Repeat::Freely);
    }

    #[test]
    fn pauses_grow_and_differ() {
        for (tries, least, most) in [(1, 200, 400), (2, 400, 800)] {
            let pauses: Vec<_> = (0..50).map(|_| own_pause(tries).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }

    #[test]
    fn seconds_and_dates() {
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let seconds = |text: &str| wait_asked_for(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60), "RFC 850");
        assert_eq!(seconds("Sun Nov  6 08:50:37 1994"), Some(60), "asctime");
        assert_eq!(seconds("Sun Nov 16 08:50:37 1994"), None, "not that day of the week");
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "in the past");
        for text in ["", "-1", "1.5", "soon", "Sun, 06 Nov", "7 s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        let far = wait_asked_for("Fri, 06 Nov 2499 08:49:37 GMT", None);
        assert!(far.is_some_and(|wait| wait > MAX_WAIT), "without a date, our own clock counts");
    }
}
