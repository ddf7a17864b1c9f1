//! `mwt_<id 12>_<43 base62>`, a team member's credential for the gateway: a public id
//! by which its row is found, and 256 random bits.

use std::fmt;

use zeroize::Zeroizing;

/// Beginning of every workspace token.
pub const WORKSPACE_TOKEN_PREFIX: &str = "mwt_";
/// Characters of the public id.
pub const TOKEN_ID_CHARS: usize = 12;
/// Characters of the random part: 62^43 is just over 2^256.
pub const TOKEN_RANDOM_CHARS: usize = 43;

/// Tool calls a minute of a token that was made without a limit of its own.
pub const DEFAULT_CALLS_A_MINUTE: u32 = 120;
/// Highest limit that can be set, in tool calls a minute; beyond it, set none.
pub const MAX_CALLS_A_MINUTE: u32 = 1_000_000;

/// A workspace token. Redacted in debug output, wiped on drop.
pub struct WorkspaceToken(Zeroizing<String>);

/// Why a text is not a workspace token. The text is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a workspace token has the form mwt_<12 characters>_<43 characters>")]
pub struct TokenProblem;

impl WorkspaceToken {
    /// Accepts a text of exactly the token's form.
    ///
    /// # Errors
    /// [`TokenProblem`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TokenProblem> {
        public_id(text, WORKSPACE_TOKEN_PREFIX).ok_or(TokenProblem)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Puts a token together from its id and its random part.
    ///
    /// # Errors
    /// [`TokenProblem`] when a part has the wrong length or characters.
    pub fn assemble(id: &str, random: &str) -> Result<Self, TokenProblem> {
        Self::parse(&format!("{WORKSPACE_TOKEN_PREFIX}{id}_{random}"))
    }

    /// The whole token, for its one display and for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The public id.
    pub fn id(&self) -> &str {
        let start = WORKSPACE_TOKEN_PREFIX.len();
        &self.0[start..start + TOKEN_ID_CHARS]
    }
}

/// The id of `<prefix><id 12>_<43 base62>`; `None` for any other form.
pub(super) fn public_id<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(prefix)?;
    let (id, random) = rest.split_once('_')?;
    let base62 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let right =
        id.len() == TOKEN_ID_CHARS && random.len() == TOKEN_RANDOM_CHARS && base62(id) && base62(random);
    right.then_some(id)
}

impl fmt::Debug for WorkspaceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkspaceToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let (id, random) = ("Ab0".repeat(4), "x".repeat(43));
        let token = WorkspaceToken::assemble(&id, &random).unwrap();
        assert_eq!(token.id(), id);
        assert_eq!(format!("{token:?}"), "WorkspaceToken(redacted)");
        for bad in [
            format!("mwt_{id}_{random}x"),
            format!("mwt_{id}{random}"),
            format!("ak_{id}_{random}"),
            format!("mwt_{id}_{}", "-".repeat(43)),
            "mwt_".into(),
        ] {
            assert!(WorkspaceToken::parse(&bad).is_err(), "{bad}");
        }
    }
}
