//! Slugs of MCP servers and workspaces: `[a-z0-9][a-z0-9-]{0,62}`. The pattern has
//! no underscore, so the first `__` of a full tool name always ends the slug.

use std::fmt;

/// Longest slug, in bytes.
pub const MAX_SLUG_BYTES: usize = 63;

/// Why a text is not a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slug is 1 to 63 characters of a-z, 0-9 and '-', and does not begin with '-'")]
pub struct SlugProblem;

fn is_slug(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= MAX_SLUG_BYTES && !text.starts_with('-') && text.bytes().all(legal)
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Accepts a legal slug.
            ///
            /// # Errors
            /// [`SlugProblem`] for anything else.
            pub fn parse(text: &str) -> Result<Self, SlugProblem> {
                if is_slug(text) { Ok(Self(text.to_owned())) } else { Err(SlugProblem) }
            }

            /// The slug as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = SlugProblem;
            fn from_str(text: &str) -> Result<Self, SlugProblem> {
                Self::parse(text)
            }
        }
    };
}

slug! {
    /// The name of an MCP server inside its workspace, for example `github-mcp`.
    ServerSlug
}

slug! {
    /// The name of a workspace in URLs, for example `default`.
    WorkspaceSlug
}

impl WorkspaceSlug {
    /// Makes a slug from a display name: lower case, every run of other characters
    /// one hyphen, cut at 63 bytes.
    ///
    /// # Errors
    /// [`SlugProblem`] when the name holds no ASCII letter or digit.
    pub fn from_name(name: &str) -> Result<Self, SlugProblem> {
        let mut slug = String::new();
        for character in name.chars() {
            let lower = character.to_ascii_lowercase();
            if lower.is_ascii_lowercase() || lower.is_ascii_digit() {
                slug.push(lower);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(MAX_SLUG_BYTES);
        Self::parse(slug.trim_end_matches('-'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_and_refuses() {
        for good in ["a", "0", "github-mcp", "a--b", &"x".repeat(63)] {
            assert!(ServerSlug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a__b", "a.b", "a b", "ü", "a/b", &"x".repeat(64)] {
            assert!(ServerSlug::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn slug_from_a_name() {
        assert_eq!(WorkspaceSlug::from_name("Team Ünder  Test!").unwrap().as_str(), "team-nder-test");
        assert!(WorkspaceSlug::from_name("  --  ").is_err());
    }
}
