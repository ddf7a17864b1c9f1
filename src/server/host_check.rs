//! `Host` and `Origin`: a listener answers to its own address, to loopback names, to the names
//! of its certificate and to those it was given, so that a web page that re-binds its own name
//! to our address gets nothing (DNS rebinding).

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Uri};
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use url::{Host, Url};

use super::error::ApiError;
use crate::domain::AllowedHost;
use crate::domain::origin::is_loopback_host;

/// The server's URL as the client addressed it, for `gateway_url` and `mcp_json`.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl(pub(super) Arc<str>);

/// The address at which a connection arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArrivedAt(pub(super) IpAddr);

/// Which names this listener answers to.
pub(super) struct HostCheck {
    scheme: &'static str,
    /// The listener's own, if it speaks TLS.
    certificate: Option<CertificateDer<'static>>,
    /// Given by whoever started the server.
    allowed: Vec<AllowedHost>,
}

impl HostCheck {
    pub(super) fn new(certificate: Option<CertificateDer<'static>>, allowed: Vec<AllowedHost>) -> Self {
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { scheme, certificate, allowed }
    }

    /// Checks `Host` and `Origin`; the answer is the URL the client used.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        target: &Uri,
        arrived: Option<ArrivedAt>,
    ) -> Result<BaseUrl, ApiError> {
        let bad_host = || ApiError::invalid_request("exactly one legal Host header is needed");
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or_else(bad_host)?;
        let seen = url_of(self.scheme, host).filter(|_| hosts.next().is_none()).ok_or_else(bad_host)?;
        if target.authority().is_some_and(|authority| authority.as_str() != host) {
            return Err(bad_host());
        }
        let own = if self.is_own(&seen, arrived) {
            seen
        } else {
            // Plain HTTP stays on this machine, so the client speaks https, to a proxy.
            let outside = url_of("https", host).filter(|url| self.is_allowed(url));
            outside.ok_or_else(|| self.refusal())?
        };
        check_origin(headers, &own)?;
        Ok(BaseUrl(own.as_str().trim_end_matches('/').into()))
    }

    fn is_own(&self, url: &Url, arrived: Option<ArrivedAt>) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        let here = arrived.map(|arrived| arrived.0.to_canonical());
        is_loopback_host(url)
            || address.is_some_and(|address| here == Some(address.to_canonical()))
            || self.is_in_certificate(url)
    }

    /// By the rules of TLS clients (RFC 9525): the alternative names count, and `*` stands for
    /// one label.
    fn is_in_certificate(&self, url: &Url) -> bool {
        let name = match url.host() {
            Some(Host::Ipv4(address)) => Some(ServerName::from(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => Some(ServerName::from(IpAddr::V6(address))),
            Some(Host::Domain(name)) => ServerName::try_from(name).ok(),
            None => None,
        };
        let certificate =
            self.certificate.as_ref().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        certificate
            .zip(name)
            .is_some_and(|(certificate, name)| verify_server_name(&certificate, &name).is_ok())
    }

    fn is_allowed(&self, url: &Url) -> bool {
        self.allowed.iter().any(|allowed| allowed.is_host_of(url))
    }

    fn refusal(&self) -> ApiError {
        let refusal = ApiError::forbidden("this server does not answer to the host name in the request");
        refusal.with_hint(if self.certificate.is_some() {
            "use a name that stands in the server's certificate; for another one, start the server with --allowed-host NAME"
        } else {
            "use http://127.0.0.1:PORT or http://localhost:PORT; behind a proxy, start the server with --allowed-host NAME"
        })
    }
}

/// The last `Host` that was found good on a core: most requests carry the same.
#[derive(Default)]
pub(super) struct LastHost(RefCell<Option<(HeaderValue, Option<ArrivedAt>, BaseUrl)>>);

impl LastHost {
    /// As [`HostCheck::check`] does it; what was found good is not read again.
    pub(super) fn check(
        &self,
        check: &HostCheck,
        headers: &HeaderMap,
        target: &Uri,
        arrived: Option<ArrivedAt>,
    ) -> Result<BaseUrl, ApiError> {
        let mut hosts = headers.get_all(HOST).iter();
        let only = hosts.next().filter(|_| hosts.next().is_none());
        let plain = only.filter(|_| !headers.contains_key(ORIGIN) && target.authority().is_none());
        let Some(host) = plain else { return check.check(headers, target, arrived) };
        let known = self.0.borrow().clone().filter(|(known, at, _)| known == host && *at == arrived);
        if let Some((_, _, base)) = known {
            return Ok(base);
        }
        let base = check.check(headers, target, arrived)?;
        // A copy: the header itself holds on to all that was read with it.
        let host = HeaderValue::from_bytes(host.as_bytes()).ok();
        *self.0.borrow_mut() = host.map(|host| (host, arrived, base.clone()));
        Ok(base)
    }
}

/// The URL of a `Host`, if that is a host with or without a port and nothing else.
fn url_of(scheme: &str, host: &str) -> Option<Url> {
    let url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (bare && !host.contains(['@', '/', '\\'])).then_some(url)
}

/// A browser sends `Origin`; only the server's own is allowed.
fn check_origin(headers: &HeaderMap, own: &Url) -> Result<(), ApiError> {
    for origin in headers.get_all(ORIGIN) {
        let same = origin.to_str().ok().and_then(|text| Url::parse(text).ok()).is_some_and(|url| {
            url.host() == own.host() && url.port_or_known_default() == own.port_or_known_default()
        });
        if !same {
            return Err(ApiError::forbidden("requests from web pages of other origins are refused"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base URL, or the status of the refusal.
    fn asked(check: &HostCheck, host: &str, arrived: &str) -> Result<String, u16> {
        let headers: HeaderMap = [(HOST, host.parse().unwrap())].into_iter().collect();
        let arrived = ArrivedAt(arrived.parse().unwrap());
        let answer = check.check(&headers, &"/healthz".parse().unwrap(), Some(arrived));
        answer.map(|base| base.0.to_string()).map_err(|error| error.status().as_u16())
    }

    fn allowed(names: &[&str]) -> Vec<AllowedHost> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_count_where_the_connection_arrived() {
        let plain = HostCheck::new(None, Vec::new());
        for (host, arrived, base) in [
            ("192.0.2.7:8443", "192.0.2.7", "http://192.0.2.7:8443"),
            ("192.0.2.7", "::ffff:192.0.2.7", "http://192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7", "http://[::ffff:c000:207]:1"),
            ("[2001:DB8::7]:8443", "2001:db8::7", "http://[2001:db8::7]:8443"),
            ("localhost:8443", "192.0.2.7", "http://localhost:8443"),
            ("127.0.0.1:8443", "192.0.2.7", "http://127.0.0.1:8443"),
        ] {
            assert_eq!(asked(&plain, host, arrived), Ok(base.to_owned()), "{host} at {arrived}");
        }
        for (host, arrived) in [
            ("192.0.2.8:8443", "192.0.2.7"),
            ("[2001:db8::8]:8443", "2001:db8::7"),
            ("0.0.0.0:8443", "192.0.2.7"),
            ("[::]:8443", "2001:db8::7"),
            ("192.0.2.7.evil.example", "192.0.2.7"),
            ("mcp.example.com", "192.0.2.7"),
        ] {
            assert_eq!(asked(&plain, host, arrived), Err(403), "{host} at {arrived}");
        }
        for host in ["", "a b", "x@localhost", "localhost/", "localhost?", "localhost:99999", "localhost\\"] {
            assert_eq!(asked(&plain, host, "127.0.0.1"), Err(400), "{host:?}");
        }
    }

    #[test]
    fn names_of_the_certificate() {
        let names = ["mcp.example.com", "*.team.example", "192.0.2.9"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let check = HostCheck::new(Some(made.cert.der().clone()), allowed(&["other.example:8443"]));
        for host in [
            "mcp.example.com",
            "MCP.Example.com.:8443",
            "a.team.example:8443",
            "192.0.2.9:1",
            "localhost:8443",
            "other.example:8443",
        ] {
            let base = format!("https://{}", host.to_lowercase());
            assert_eq!(asked(&check, host, "192.0.2.7"), Ok(base), "{host}");
        }
        for host in [
            "example.com",
            "a.mcp.example.com",
            "team.example",
            "a.b.team.example",
            "mcp.example.com.evil.example",
            "192.0.2.8",
            "other.example",
            "*.team.example",
        ] {
            assert_eq!(asked(&check, host, "192.0.2.7"), Err(403), "{host}");
        }
    }

    #[test]
    fn given_names_are_those_of_a_proxy() {
        let check = HostCheck::new(None, allowed(&["mcp.example.com", "localhost", "other.example:443"]));
        let at = |host| asked(&check, host, "127.0.0.1");
        assert_eq!(at("mcp.example.com"), Ok("https://mcp.example.com".to_owned()));
        assert_eq!(at("mcp.example.com:443"), Ok("https://mcp.example.com".to_owned()));
        assert_eq!(at("mcp.example.com:8443"), Ok("https://mcp.example.com:8443".to_owned()));
        assert_eq!(at("other.example"), Ok("https://other.example".to_owned()));
        assert_eq!(at("localhost:8787"), Ok("http://localhost:8787".to_owned()));
        assert_eq!((at("other.example:80"), at("evil.example")), (Err(403), Err(403)));
    }

    #[test]
    fn a_host_that_was_good_makes_nothing_else_good() {
        let (check, last) = (HostCheck::new(None, Vec::new()), LastHost::default());
        let ask = |host: &str, origin: Option<&str>, target: &str, arrived: &str| {
            let mut headers: HeaderMap =
                host.split_whitespace().map(|one| (HOST, one.parse().unwrap())).collect();
            headers.extend(origin.map(|origin| (ORIGIN, origin.parse().unwrap())));
            let arrived = ArrivedAt(arrived.parse().unwrap());
            let answer = last.check(&check, &headers, &target.parse().unwrap(), Some(arrived));
            answer.map(|base| base.0.to_string()).map_err(|error| error.status().as_u16())
        };
        let good = || ask("192.0.2.7:1", None, "/x", "192.0.2.7");
        for _ in 0..2 {
            assert_eq!(good(), Ok("http://192.0.2.7:1".to_owned()));
            assert_eq!(ask("evil.example", None, "/x", "192.0.2.7"), Err(403));
            assert_eq!(good(), Ok("http://192.0.2.7:1".to_owned()));
            assert_eq!(ask("192.0.2.7:1", None, "/x", "192.0.2.8"), Err(403));
            assert_eq!(ask("192.0.2.7:1", Some("http://evil.example"), "/x", "192.0.2.7"), Err(403));
            assert_eq!(ask("192.0.2.7:1", None, "http://evil.example/x", "192.0.2.7"), Err(400));
            assert_eq!(ask("", None, "/x", "192.0.2.7"), Err(400));
            assert_eq!(ask("192.0.2.7:1 192.0.2.7:1", None, "/x", "192.0.2.7"), Err(400));
            assert_eq!(ask("127.0.0.1:2", None, "/x", "127.0.0.1"), Ok("http://127.0.0.1:2".to_owned()));
        }
    }
}
