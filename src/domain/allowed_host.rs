//! A name under which clients may address the server, as `serve --allowed-host` takes it:
//! `mcp.example.com`, `mcp.example.com:8443`, `[2001:db8::1]`.

use std::str::FromStr;

use url::{Host, Url};

/// A host name or address; with a port, for that port only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: Option<u16>,
}

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is a name or an address, without scheme, path or *, such as mcp.example.com or mcp.example.com:8443"
)]
pub struct AllowedHostProblem;

impl AllowedHost {
    /// Whether a URL has this host: case and a dot at the end do not matter, and the port only
    /// if one was given.
    pub fn is_host_of(&self, url: &Url) -> bool {
        let same = url.host().is_some_and(|host| without_last_dot(host.to_owned()) == self.host);
        same && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

impl FromStr for AllowedHost {
    type Err = AllowedHostProblem;

    fn from_str(text: &str) -> Result<Self, AllowedHostProblem> {
        // The URL parser would drop or decode these in silence.
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/\\@?#%*,".contains(c);
        if text.contains(odd) {
            return Err(AllowedHostProblem);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, digits)) if !text.ends_with(']') => {
                let port = digits.parse().ok().filter(|port| *port > 0 && !digits.starts_with('+'));
                (name, Some(port.ok_or(AllowedHostProblem)?))
            }
            _ => (text, None),
        };
        let url = Url::parse(&format!("https://{name}")).map_err(|_| AllowedHostProblem)?;
        let host = url.host().filter(|_| url.port().is_none()).ok_or(AllowedHostProblem)?;
        Ok(Self { host: without_last_dot(host.to_owned()), port })
    }
}

/// `example.com.` and `example.com` are one name.
fn without_last_dot(host: Host<String>) -> Host<String> {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').map(str::to_owned).unwrap_or(name)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports() {
        let fits = |allowed: &str, url: &str| {
            allowed.parse::<AllowedHost>().unwrap().is_host_of(&Url::parse(url).unwrap())
        };
        let same = [
            ("mcp.example.com", "https://mcp.example.com"),
            ("mcp.example.com", "https://MCP.example.com.:8443"),
            ("MCP.Example.com.", "https://mcp.example.com:1"),
            ("mcp.example.com:8443", "https://mcp.example.com:8443"),
            ("mcp.example.com:443", "https://mcp.example.com"),
            ("192.0.2.7", "https://192.0.2.7:8443"),
            ("[2001:DB8::1]", "https://[2001:db8:0::1]:8443"),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("bücher.example", "https://xn--bcher-kva.example"),
            ("host_1", "https://host_1:8787"),
        ];
        for (allowed, url) in same {
            assert!(fits(allowed, url), "{allowed} {url}");
        }
        let other = [
            ("mcp.example.com", "https://a.mcp.example.com"),
            ("mcp.example.com", "https://mcp.example.com.evil.example"),
            ("mcp.example.com", "https://example.com"),
            ("mcp.example.com:8443", "https://mcp.example.com:8444"),
            ("mcp.example.com:8443", "https://mcp.example.com"),
            ("mcp.example.com:443", "https://mcp.example.com:8443"),
            ("[2001:db8::1]", "https://[2001:db8::2]"),
        ];
        for (allowed, url) in other {
            assert!(!fits(allowed, url), "{allowed} {url}");
        }
    }

    #[test]
    fn what_is_no_host() {
        let bad = [
            "",
            "*",
            "*.example.com",
            "https://mcp.example.com",
            "mcp.example.com/ws",
            "user@mcp.example.com",
            "mcp.example.com:",
            "mcp.example.com:0",
            "mcp.example.com:+1",
            "mcp.example.com:65536",
            "mcp.example.com:x",
            "2001:db8::1",
            "a b",
            "a,b",
            "%61",
            ":8443",
            "a:1:2",
        ];
        for text in bad {
            assert_eq!(text.parse::<AllowedHost>(), Err(AllowedHostProblem), "{text}");
        }
    }
}
