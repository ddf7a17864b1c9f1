//! How long ago something was, for people.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Seconds since an RFC 3339 time, none below zero (clocks differ); `None` if it is no time.
pub fn seconds_since(time: &str, now: Timestamp) -> Option<i64> {
    let then: Timestamp = time.parse().ok()?;
    Some(now.duration_since(then).as_secs().max(0))
}

/// `3 days ago`; `unknown` if it is no time.
pub fn ago(time: &str, now: Timestamp) -> String {
    let Some(seconds) = seconds_since(time, now) else { return "unknown".to_owned() };
    let scale = [
        (MINUTE, 1, ""),
        (HOUR, MINUTE, "minute"),
        (DAY, HOUR, "hour"),
        (60 * DAY, DAY, "day"),
        (730 * DAY, 30 * DAY, "month"),
        (i64::MAX, 365 * DAY, "year"),
    ];
    let step = scale.into_iter().find(|(end, _, _)| seconds < *end);
    let (_, length, unit) = step.unwrap_or(scale[5]);
    if unit.is_empty() {
        return "just now".to_owned();
    }
    let count = seconds / length;
    if count == 1 { format!("1 {unit} ago") } else { format!("{count} {unit}s ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let now: Timestamp = "2026-03-15T12:00:00Z".parse().unwrap();
        for (time, told) in [
            ("2026-03-15T12:00:30Z", "just now"),
            ("2026-03-15T11:59:01Z", "just now"),
            ("2026-03-15T11:59:00Z", "1 minute ago"),
            ("2026-03-15T11:00:01Z", "59 minutes ago"),
            ("2026-03-15T10:00:00Z", "2 hours ago"),
            ("2026-03-14T12:00:00Z", "1 day ago"),
            ("2026-01-15T12:00:00Z", "59 days ago"),
            ("2026-01-14T12:00:00Z", "2 months ago"),
            ("2025-03-15T12:00:00Z", "12 months ago"),
            ("2020-03-15T12:00:00Z", "6 years ago"),
            ("soon", "unknown"),
        ] {
            assert_eq!(ago(time, now), told, "{time}");
        }
        assert_eq!(seconds_since("2026-03-15T12:00:30Z", now), Some(0));
    }
}
