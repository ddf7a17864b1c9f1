//! Takes the secrets of a request out of its answer: a filter on the stream that finds each
//! value as it is, in base64, in hex, and with any of its characters escaped, however the
//! stream is cut into pieces. All other bytes stay, and nothing waits that need not.

#[cfg(test)]
mod edge_tests;
mod escapes;
mod filter;
mod pattern;
mod reader;
mod secrets;
mod start_pairs;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::secret_value::SHORTEST_REDACTED_VALUE;

use self::filter::MARKER;
pub use self::filter::{Filter, Unfilterable};
pub use self::secrets::Secrets;

/// Whether this was a JSON object and is JSON no more since something was taken out of it that was
/// more than a part of a string: a number, an object.
pub(super) fn is_broken(message: &[u8]) -> bool {
    message.trim_ascii_start().starts_with(b"{")
        && message.windows(MARKER.len()).any(|bytes| bytes == MARKER)
        && serde_json::from_slice::<serde::de::IgnoredAny>(message).is_err()
}

/// Takes the secrets out of the values of headers, but for those that `spared` names.
///
/// # Errors
/// [`Unfilterable`] if that cannot be done.
pub(super) fn redact_headers(
    secrets: &Rc<Secrets>,
    headers: &mut HeaderMap,
    spared: impl Fn(&HeaderName) -> bool,
) -> Result<(), Unfilterable> {
    let starts = secrets.starts();
    let may_hold_one = |value: &HeaderValue| {
        value.len() >= SHORTEST_REDACTED_VALUE && starts.next_candidate(value.as_bytes(), 0) < value.len()
    };
    for (_, value) in headers.iter_mut().filter(|(name, value)| may_hold_one(value) && !spared(name)) {
        let before = Bytes::copy_from_slice(value.as_bytes());
        let mut filter = Filter::new(Rc::clone(secrets));
        let after = [filter.push(&before)?, filter.finish()].concat();
        if after != before {
            *value = HeaderValue::from_bytes(&after).map_err(|_| Unfilterable)?;
        }
    }
    Ok(())
}
