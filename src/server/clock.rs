//! Times: milliseconds since 1970 in the store, RFC 3339 in UTC on the wire.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Now.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// Milliseconds since some moment of this process. Nobody sets this clock, so it is for lengths of time.
pub fn monotonic() -> Millis {
    static START: OnceLock<Instant> = OnceLock::new();
    Millis::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(Millis::MAX)
}

/// A time as the wire has it, to the second: `2026-03-15T10:00:00Z`.
pub fn rfc3339(time: Millis) -> String {
    let seconds = jiff::Timestamp::from_second(time.div_euclid(1000));
    seconds.map_or_else(|_| "9999-12-31T23:59:59Z".to_owned(), |stamp| stamp.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn written_to_the_second_in_utc() {
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(super::rfc3339(1_773_568_800_999), "2026-03-15T10:00:00Z");
        assert_eq!(super::rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
