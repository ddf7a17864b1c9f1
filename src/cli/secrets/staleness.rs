//! `--stale 90d`: which secrets were not set for that long.

use std::str::FromStr;

use jiff::Timestamp;

use crate::api::secrets::SecretSummary;
use crate::cli::age::seconds_since;
use crate::cli::problem::Rule;
use crate::domain::Period;

/// A time without rotation, as it was written.
#[derive(Debug, Clone)]
pub(super) struct Staleness {
    seconds: i64,
    text: String,
}

impl Staleness {
    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the value has not been set for that long. A damaged secret counts, and one
    /// whose date is not understood: neither is known to be fresh.
    pub(super) fn applies_to(&self, secret: &SecretSummary, now: Timestamp) -> bool {
        secret.damaged || seconds_since(&secret.updated_at, now).is_none_or(|seconds| seconds >= self.seconds)
    }
}

impl FromStr for Staleness {
    type Err = Rule;

    fn from_str(text: &str) -> Result<Self, Rule> {
        let wrong = Rule("a time is a number and one of s, m, h, d, w, such as 90d");
        let period: Period = text.parse().map_err(|_| wrong)?;
        let seconds = i64::try_from(period.seconds()).map_err(|_| wrong)?;
        Ok(Self { seconds, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::secrets::InjectionDocument;

    #[test]
    fn times() {
        let seconds = |text: &str| text.parse::<Staleness>().ok().map(|stale| stale.seconds);
        assert_eq!(seconds("90d"), Some(90 * 86_400));
        assert_eq!((seconds("1s"), seconds("2m"), seconds("3h")), (Some(1), Some(120), Some(10_800)));
        assert_eq!((seconds("0d"), seconds("4w")), (Some(0), Some(28 * 86_400)));
        for bad in ["", "d", "90", "90 d", "-1d", "1.5d", "1y", "90D", "99999999999d", "1ä", "+1d", "1d1h"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_stale_from_that_age_on() {
        let now: Timestamp = "2026-03-15T12:00:00Z".parse().unwrap();
        let stale: Staleness = "90d".parse().unwrap();
        let is_stale = |time: &str, damaged| {
            let (name, injection) = ("A".to_owned(), InjectionDocument::Name {});
            let (created_at, updated_at) = (time.to_owned(), time.to_owned());
            let secret = SecretSummary { name, injection, created_at, updated_at, version: 1, damaged };
            stale.applies_to(&secret, now)
        };
        assert!(is_stale("2025-12-15T12:00:00Z", false));
        assert!(!is_stale("2025-12-15T12:00:01Z", false));
        assert!(is_stale("2025-12-15T12:00:01Z", true));
        assert!(is_stale("not a time", false));
    }
}
