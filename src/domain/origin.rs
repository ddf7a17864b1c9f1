//! Origins (scheme, host, port) and the URLs of upstreams. A secret is bound to the
//! origin of its server; an API key to the origin of its API.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// Longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// Scheme, host and port of a URL, written out whole: `https://api.example.com:443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin of an `http` or `https` URL; `None` for any other URL.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        Some(Self(format!("{}://{host}:{port}", url.scheme())))
    }

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL of an MCP server, as the URL standard normalises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    url: Url,
    origin: Origin,
}

/// Why a text is not the URL of an MCP server. The text is not repeated: it may hold a
/// credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Not a URL at all, or over the limit.
    #[error("not a URL of at most 2048 characters")]
    NotAUrl,
    /// Another scheme, or no host.
    #[error("only http:// and https:// URLs with a host name an MCP server")]
    Scheme,
    /// `user:password@`.
    #[error("a user name or password in the URL is refused; set it as a secret instead")]
    UserInfo,
    /// `#...`.
    #[error("a fragment ('#...') in the URL is refused; it would never be sent")]
    Fragment,
}

impl UpstreamUrl {
    /// Accepts an http or https URL without user info and fragment.
    ///
    /// # Errors
    /// The [`UrlProblem`] found.
    pub fn parse(text: &str) -> Result<Self, UrlProblem> {
        if text.len() > MAX_URL_BYTES || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlProblem::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| UrlProblem::NotAUrl)?;
        let origin = Origin::of(&url).ok_or(UrlProblem::Scheme)?;
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') && has_user_info(text)
        {
            return Err(UrlProblem::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        Ok(Self { url, origin })
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its origin.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
}

/// Finds an empty user info (`http://@host/`), which the parser drops in silence.
fn has_user_info(text: &str) -> bool {
    let after_scheme = text.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches(['/', '\\']);
    let authority_end = after_scheme.find(['/', '\\', '?', '#']).unwrap_or(after_scheme.len());
    after_scheme[..authority_end].contains('@')
}

/// Whether a URL's host can only be this machine: a loopback address or `localhost`.
pub fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name == "localhost.",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> String {
        UpstreamUrl::parse(text).unwrap().origin().to_string()
    }

    #[test]
    fn spelling_variants_have_one_origin() {
        for text in ["https://Api.Example.com/mcp", "HTTPS://api.example.com:443/other?x=1"] {
            assert_eq!(origin(text), "https://api.example.com:443");
        }
        assert_eq!(origin("http://127.1:8080/"), "http://127.0.0.1:8080");
        assert_eq!(origin("http://[0:0::1]/"), "http://[::1]:80");
    }

    #[test]
    fn different_origins_differ() {
        let base = origin("https://api.example.com/");
        for other in [
            "http://api.example.com:443/",
            "https://api.example.com:444/",
            "https://api.example.com./",
            "https://x.com/",
        ] {
            assert_ne!(origin(other), base, "{other}");
        }
    }

    #[test]
    fn refused() {
        for (text, problem) in [
            ("", UrlProblem::NotAUrl),
            ("github.com/mcp", UrlProblem::NotAUrl),
            ("https://a b/", UrlProblem::NotAUrl),
            ("https://a/\n", UrlProblem::NotAUrl),
            ("ftp://a/", UrlProblem::Scheme),
            ("file:///etc/passwd", UrlProblem::Scheme),
            ("https://u:p@a/", UrlProblem::UserInfo),
            ("https://@a/", UrlProblem::UserInfo),
            ("https://a/#f", UrlProblem::Fragment),
        ] {
            assert_eq!(UpstreamUrl::parse(text).err(), Some(problem), "{text}");
        }
        assert!(UpstreamUrl::parse("https://a/@scope/mcp").is_ok());
        assert!(UpstreamUrl::parse(&format!("https://a/{}", "x".repeat(MAX_URL_BYTES))).is_err());
    }

    #[test]
    fn loopback_hosts() {
        let loopback = |text: &str| is_loopback_host(&Url::parse(text).unwrap());
        for text in [
            "http://127.0.0.1:1/",
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://localhost/",
            "http://0x7f.1/",
        ] {
            assert!(loopback(text), "{text}");
        }
        for text in [
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "http://0.0.0.0/",
            "http://127.0.0.1.nip.io/",
        ] {
            assert!(!loopback(text), "{text}");
        }
    }
}
