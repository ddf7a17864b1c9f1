//! `ak_...`, an admin's credential for the admin API. Keys that the companion server
//! makes have the form `ak_<id 12>_<43 base62>`; the hosted API may use another one.

use std::fmt;

use zeroize::Zeroizing;

use super::workspace_token::{TOKEN_ID_CHARS, public_id};

/// Beginning of every API key.
pub const API_KEY_PREFIX: &str = "ak_";
/// Longest API key, in bytes.
const MAX_API_KEY_BYTES: usize = 512;
/// Shortest API key of which the end is shown, in bytes.
const MIN_SHOWN_BYTES: usize = 20;

/// An API key. Redacted in debug output, wiped on drop.
pub struct ApiKey(Zeroizing<String>);

/// Why a text is not an API key. The text is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an API key begins with 'ak_', holds letters, digits, '_' and '-' only, and has at most 512 characters"
)]
pub struct ApiKeyProblem;

impl ApiKey {
    /// Accepts a text that begins with `ak_`.
    ///
    /// # Errors
    /// [`ApiKeyProblem`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ApiKeyProblem> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let rest = text.strip_prefix(API_KEY_PREFIX).ok_or(ApiKeyProblem)?;
        if rest.is_empty() || text.len() > MAX_API_KEY_BYTES || !rest.bytes().all(legal) {
            return Err(ApiKeyProblem);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The key, for the `Authorization` header and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which its owner knows a key again; `None` for one so
    /// short that they would give much of it away.
    pub fn last_four(&self) -> Option<&str> {
        (self.0.len() >= MIN_SHOWN_BYTES).then(|| &self.0[self.0.len() - 4..])
    }

    /// The public id of a key in the companion's form, by which it is found.
    pub fn public_id(&self) -> Option<&str> {
        public_id(&self.0, API_KEY_PREFIX)
    }
}

/// Puts a key together from its id and its random part.
///
/// # Errors
/// [`ApiKeyProblem`] when the parts do not have the companion's form.
pub fn assemble(id: &str, random: &str) -> Result<ApiKey, ApiKeyProblem> {
    let key = ApiKey::parse(&format!("{API_KEY_PREFIX}{id}_{random}"))?;
    if key.public_id().map(str::len) == Some(TOKEN_ID_CHARS) { Ok(key) } else { Err(ApiKeyProblem) }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let text = format!("ak_{}_{}", "a1".repeat(6), "Z".repeat(43));
        assert_eq!(ApiKey::parse(&text).unwrap().public_id(), Some("a1a1a1a1a1a1"));
        assert_eq!(ApiKey::parse("ak_hosted-form").unwrap().public_id(), None);
        assert_eq!(ApiKey::parse(&text).unwrap().last_four(), Some("ZZZZ"));
        assert_eq!(ApiKey::parse("ak_hosted-form").unwrap().last_four(), None);
        for bad in ["", "ak_", "sk_live_x", "ak_a b", "ak_a\n", "ak_ä"] {
            assert!(ApiKey::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", ApiKey::parse(&text).unwrap()), "ApiKey(redacted)");
    }
}
