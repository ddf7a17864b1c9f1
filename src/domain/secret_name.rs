//! Names of secrets: `[A-Za-z_][A-Za-z0-9_]{0,127}`, case kept.

use std::fmt;

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// The name of a secret, for example `GITHUB_TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// Why a text is not a secret's name. The text itself is never repeated: people
/// paste values where names belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret's name is 1 to 128 letters, digits and '_', and does not begin with a digit")]
pub struct NameProblem;

impl SecretName {
    /// Accepts a legal name.
    ///
    /// # Errors
    /// [`NameProblem`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NameProblem> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let first_is_digit = text.starts_with(|c: char| c.is_ascii_digit());
        if text.is_empty() || text.len() > MAX_NAME_BYTES || first_is_digit || !text.bytes().all(legal) {
            return Err(NameProblem);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name for a message in which it may be a value in the wrong place: what looks like
    /// a credential is masked.
    pub fn shown(&self) -> &str {
        if looks_like_credential(&self.0) { "****" } else { &self.0 }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the credentials of well-known services begin with, as far as a name may.
const PREFIXES: [&str; 17] = [
    "ak_",
    "mwt_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "sk_",
    "pk_",
    "rk_",
    "whsec_",
    "xox",
    "npm_",
    "hf_",
    "glpat",
    "eyJ",
];
/// Longer texts with letters of both cases and digits are not made up by people.
const LONG: usize = 30;

fn looks_like_credential(text: &str) -> bool {
    let mixed = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        || text.len() > LONG && mixed.iter().all(|kind| text.as_bytes().iter().any(kind))
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for SecretName {
    type Err = NameProblem;
    fn from_str(text: &str) -> Result<Self, NameProblem> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_not_shown() {
        let random = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6";
        for value in ["ghp_canary", "sk_live_x", "xoxb_1", "mwt_x", "ak_x", random] {
            assert_eq!(SecretName::parse(value).unwrap().shown(), "****", "{value}");
        }
        for name in ["GITHUB_TOKEN", "api_key", "GHP_TOKEN", "A_VERY_LONG_NAME_OF_A_KEY_NUMBER_2", "apiKey2"]
        {
            assert_eq!(SecretName::parse(name).unwrap().shown(), name);
        }
    }

    #[test]
    fn accepts_and_refuses() {
        for good in ["A", "_", "GITHUB_TOKEN", "apiKey2", &"N".repeat(128)] {
            assert_eq!(SecretName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", &"N".repeat(129)] {
            assert!(SecretName::parse(bad).is_err(), "{bad}");
        }
    }
}
