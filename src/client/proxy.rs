//! The proxy for https: who goes through it, and what it is called. It is asked for a tunnel
//! (CONNECT) and sees the API's host and port and its own credentials, nothing else.

use std::net::IpAddr;

use url::{Host, Url};

use super::api_base::ApiBase;
use super::error::ClientError;
use crate::domain::origin::is_loopback_host;

/// A proxy. It has no debug form, because its URL may hold a password.
#[derive(Clone)]
pub struct Proxy(Url);

impl Proxy {
    /// The proxy on the way to the API, if there is one. Plain http, this machine, and the
    /// hosts of `no_proxy` are reached directly.
    ///
    /// # Errors
    /// [`ClientError::BadProxy`] if a proxy would be needed and this is not the URL of one.
    pub fn on_the_way_to(
        base: &ApiBase,
        https_proxy: Option<&str>,
        no_proxy: Option<&str>,
    ) -> Result<Option<Self>, ClientError> {
        let Some(text) = https_proxy else { return Ok(None) };
        if !base.is_https() || is_loopback_host(base.url()) || is_exempt(base.url(), no_proxy.unwrap_or("")) {
            return Ok(None);
        }
        Self::parse(text).map(Some).ok_or(ClientError::BadProxy)
    }

    /// `http://`, `https://`, or host and port alone, which mean http.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let url = url.ok()?;
        // A password with '/', '?' or '#' in it ends the host too early, and a part of it would be
        // shown as the host and the port.
        let ends = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        (matches!(url.scheme(), "http" | "https") && url.has_host() && ends).then_some(Self(url))
    }

    /// Host and port, to be shown.
    pub(super) fn name(&self) -> String {
        let port = self.0.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.0.host_str().unwrap_or_default())
    }

    /// For the HTTP client, credentials included.
    pub(super) fn for_https(self) -> Result<reqwest::Proxy, ClientError> {
        reqwest::Proxy::https(self.0).map_err(|_| ClientError::BadProxy)
    }
}

/// Whether an entry of `no_proxy` names the URL's host: a domain (which stands for its
/// subdomains too), an address, a network such as `10.0.0.0/8`, or `*`; each but the network
/// may have a port.
fn is_exempt(url: &Url, no_proxy: &str) -> bool {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
    let entries = no_proxy.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    let address = match host {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    };
    let name = host.to_string().trim_end_matches('.').to_ascii_lowercase();
    entries.map(str::to_ascii_lowercase).any(|entry| match address {
        Some(address) => names_address(&entry, address, port),
        None => names_domain(&entry, &name, port),
    })
}

fn names_domain(entry: &str, name: &str, port: u16) -> bool {
    let Some(entry) = for_port(entry, port) else { return false };
    let domain = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    if domain.is_empty() {
        return entry == "*";
    }
    name.strip_suffix(domain).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn names_address(entry: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        let network = network.parse().ok();
        return network
            .zip(bits.parse().ok())
            .is_some_and(|(network, bits)| is_inside(address, network, bits));
    }
    let entry = if entry.parse::<IpAddr>().is_ok() { Some(entry) } else { for_port(entry, port) };
    let bare = entry.map(|entry| entry.trim_start_matches('[').trim_end_matches(']'));
    bare.is_some_and(|bare| bare == "*" || bare.parse() == Ok(address))
}

/// The entry without its port; `None` if it is for another one.
fn for_port(entry: &str, port: u16) -> Option<&str> {
    match entry.rsplit_once(':') {
        Some((host, number)) if !number.contains(']') => (number.parse() == Ok(port)).then_some(host),
        _ => Some(entry),
    }
}

fn is_inside(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (address ^ network).checked_shr(width - bits).unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(api: &str, proxy: &str, no_proxy: &str) -> Result<Option<String>, ClientError> {
        let base = ApiBase::parse(api).unwrap();
        let proxy = Proxy::on_the_way_to(&base, Some(proxy), Some(no_proxy))?;
        Ok(proxy.map(|proxy| proxy.name()))
    }

    #[test]
    fn forms_of_the_url() {
        let name = |proxy: &str| way("https://api.example.com", proxy, "").unwrap();
        for (proxy, expected) in [
            ("http://p.example:3128", "p.example:3128"),
            ("http://user:p%40ss@p.example:3128/", "p.example:3128"),
            ("user:pass@p.example:3128", "p.example:3128"),
            ("p.example:3128", "p.example:3128"),
            ("p.example", "p.example:80"),
            ("https://p.example", "p.example:443"),
            (" http://[::1]:8080 ", "[::1]:8080"),
        ] {
            assert_eq!(name(proxy).as_deref(), Some(expected), "{proxy}");
        }
        for proxy in [
            "socks5://p.example:1080",
            "http://",
            "http://a b",
            "ftp://p.example",
            "http://user:12/canary@p.example:3128",
            "user:12/canary@p.example:3128",
            "http://user:12?canary@p.example:3128",
            "http://user:12#canary@p.example:3128",
            "http://user:12\\canary@p.example:3128",
            "http://p.example:3128/path",
        ] {
            let found = way("https://api.example.com", proxy, "");
            assert!(matches!(found, Err(ClientError::BadProxy)), "{proxy}");
            // Where it is not needed, it does no harm.
            assert!(matches!(way("http://127.0.0.1:1", proxy, ""), Ok(None)), "{proxy}");
        }
    }

    #[test]
    fn who_goes_directly() {
        let direct = |api: &str, no_proxy: &str| way(api, "http://p:1", no_proxy).unwrap().is_none();
        for api in ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1", "https://[::1]:1"] {
            assert!(direct(api, ""), "{api}");
        }
        for (api, no_proxy) in [
            ("https://api.example.com", "*"),
            ("https://api.example.com", "other, API.example.com"),
            ("https://api.example.com", "example.com"),
            ("https://api.example.com", ".example.com"),
            ("https://api.example.com.", "*.example.com"),
            ("https://api.example.com", "a b\texample.com"),
            ("https://api.example.com", "example.com:443"),
            ("https://api.example.com:8443", "example.com:8443"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("https://10.1.2.3:8443", "10.1.2.3:8443"),
            ("https://10.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "0.0.0.0/0"),
            ("https://[fd00::1]", "fd00::1"),
            ("https://[fd00::1]", "[fd00::1]"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("https://[fd00::1]", "fd00::/8"),
            ("https://[fd00::1]", "*"),
        ] {
            assert!(direct(api, no_proxy), "{api} {no_proxy}");
        }
        for (api, no_proxy) in [
            ("https://api.example.com", ""),
            ("https://api.example.com", ", ,"),
            ("https://notexample.com", "example.com"),
            ("https://example.com", "api.example.com"),
            ("https://api.example.com", "example.com:8443"),
            ("https://api.example.com", "."),
            ("https://api.example.com", "10.0.0.0/8"),
            ("https://11.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "10.1.2.4/32"),
            ("https://10.1.2.3", "10.0.0.0/33"),
            ("https://10.1.2.3", "10.0.0.0/x"),
            ("https://10.1.2.3", "1.2.3"),
            ("https://[fd00::1]", "fe00::/8"),
            ("https://[fd00::1]", "0.0.0.0/0"),
        ] {
            assert!(!direct(api, no_proxy), "{api} {no_proxy}");
        }
    }
}
