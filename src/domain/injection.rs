//! How a secret becomes a request header: by its own name, as a header of choice with
//! an optional prefix, or as bearer auth (RFC 6750, section 2.1).

use std::fmt;

use super::SecretName;
use super::reserved_header::{fold, reserved_by};

/// Longest header name and longest prefix, in bytes.
pub const MAX_HEADER_BYTES: usize = 128;

/// The rule by which a secret is injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Injection {
    /// `NAME: value`, the default.
    Name,
    /// `Header: <prefix>value`.
    Header {
        /// The header.
        header: InjectionHeader,
        /// Text before the value, empty for none.
        prefix: String,
    },
    /// `Authorization: Bearer value`.
    Bearer,
}

/// A header name that may carry a secret, spelled as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectionHeader(String);

/// Why a rule is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InjectionProblem {
    /// Not a token of RFC 9110, section 5.6.2, or too long.
    #[error("a header name is 1 to 128 letters, digits and any of !#$%&'*+-.^_`|~")]
    NotAHeader,
    /// HTTP or MCP needs it, or honest servers echo it. Holds the name or beginning that is
    /// reserved, not what was given: people paste values where headers belong.
    #[error("the header is reserved ('{0}'): HTTP or MCP uses it itself, or servers echo it")]
    Reserved(&'static str),
    /// The prefix is not a legal beginning of a field value.
    #[error("a prefix is at most 128 printable ASCII characters and does not begin with a blank")]
    BadPrefix,
}

impl InjectionHeader {
    /// Accepts a header that may carry a secret.
    ///
    /// # Errors
    /// [`InjectionProblem`] for an illegal or reserved name.
    pub fn parse(text: &str) -> Result<Self, InjectionProblem> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > MAX_HEADER_BYTES || !text.bytes().all(legal) {
            return Err(InjectionProblem::NotAHeader);
        }
        if let Some(reserved) = reserved_by(text) {
            return Err(InjectionProblem::Reserved(reserved));
        }
        Ok(Self(text.to_owned()))
    }

    /// The header that Aerostack's hosted servers read: `X-Mcp-Secret-` and the
    /// secret's name with hyphens for underscores.
    ///
    /// # Errors
    /// [`InjectionProblem::NotAHeader`] when the name is too long for a header.
    pub fn mcp_secret(name: &SecretName) -> Result<Self, InjectionProblem> {
        Self::parse(&format!("X-Mcp-Secret-{}", name.as_str().replace('_', "-")))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Injection {
    /// Builds the rule for a header with a prefix.
    ///
    /// # Errors
    /// [`InjectionProblem`] for an illegal header or prefix.
    pub fn header(header: &str, prefix: &str) -> Result<Self, InjectionProblem> {
        let printable = prefix.bytes().all(|byte| (b' '..0x7f).contains(&byte));
        if prefix.len() > MAX_HEADER_BYTES || prefix.starts_with(' ') || !printable {
            return Err(InjectionProblem::BadPrefix);
        }
        Ok(Self::Header { header: InjectionHeader::parse(header)?, prefix: prefix.to_owned() })
    }

    /// Checks that the rule can be used for a secret of this name: by the default rule
    /// the name itself becomes the header.
    ///
    /// # Errors
    /// [`InjectionProblem`] when the name is reserved as a header.
    pub fn check_for(&self, name: &SecretName) -> Result<(), InjectionProblem> {
        match self {
            Self::Name => InjectionHeader::parse(name.as_str()).map(|_| ()),
            Self::Header { .. } | Self::Bearer => Ok(()),
        }
    }

    /// The header that is sent for a secret of this name.
    pub fn header_name<'a>(&'a self, name: &'a SecretName) -> &'a str {
        match self {
            Self::Name => name.as_str(),
            Self::Header { header, .. } => header.as_str(),
            Self::Bearer => "Authorization",
        }
    }

    /// The text before the value.
    pub fn prefix(&self) -> &str {
        match self {
            Self::Name => "",
            Self::Header { prefix, .. } => prefix,
            Self::Bearer => "Bearer ",
        }
    }

    /// The header folded, under which no second secret of the server may stand.
    pub fn folded_header(&self, name: &SecretName) -> String {
        fold(self.header_name(name))
    }
}

impl fmt::Display for InjectionHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let name = SecretName::parse("GITHUB_TOKEN").unwrap();
        assert_eq!(Injection::Name.header_name(&name), "GITHUB_TOKEN");
        assert_eq!(Injection::Bearer.prefix(), "Bearer ");
        let rule = Injection::header("X-API-Key", "Token ").unwrap();
        assert_eq!((rule.header_name(&name), rule.prefix()), ("X-API-Key", "Token "));
        assert_eq!(InjectionHeader::mcp_secret(&name).unwrap().as_str(), "X-Mcp-Secret-GITHUB-TOKEN");
        assert_eq!(Injection::Name.folded_header(&name), "github-token");
    }

    #[test]
    fn refused() {
        assert_eq!(Injection::header("X Y", ""), Err(InjectionProblem::NotAHeader));
        assert_eq!(Injection::header("", ""), Err(InjectionProblem::NotAHeader));
        assert_eq!(Injection::header("X", "a\r\n"), Err(InjectionProblem::BadPrefix));
        assert_eq!(Injection::header("X", " a"), Err(InjectionProblem::BadPrefix));
        assert_eq!(Injection::header("content_type", ""), Err(InjectionProblem::Reserved("content-")));
        assert!(Injection::Name.check_for(&SecretName::parse("CONTENT_TYPE").unwrap()).is_err());
        assert!(Injection::Bearer.check_for(&SecretName::parse("HOST").unwrap()).is_ok());
    }
}
