//! `Host` and `Origin`: a listener on a loopback address answers to loopback names only,
//! so a web page that re-binds its own name to 127.0.0.1 gets nothing (DNS rebinding).

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HOST, ORIGIN};
use url::Url;

use super::error::ApiError;
use crate::domain::origin::is_loopback_host;

/// The server's URL as the client addressed it, for `gateway_url` and `mcp_json`.
#[derive(Debug, Clone)]
pub(super) struct BaseUrl(pub(super) String);

/// Which names this listener answers to.
pub(super) struct HostCheck {
    scheme: &'static str,
    loopback_only: bool,
}

impl HostCheck {
    pub(super) fn new(address: SocketAddr, scheme: &'static str) -> Self {
        Self { scheme, loopback_only: address.ip().to_canonical().is_loopback() }
    }

    /// Checks `Host` and `Origin`; the answer is the URL the client used.
    pub(super) fn check(&self, request: &Request<Incoming>) -> Result<BaseUrl, ApiError> {
        let bad_host = || ApiError::invalid_request("exactly one legal Host header is needed");
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).ok_or_else(bad_host)?;
        let base = format!("{}://{host}", self.scheme);
        let url = Url::parse(&base).ok().filter(|url| {
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !host.contains('@')
        });
        let url = url.filter(|_| hosts.next().is_none()).ok_or_else(bad_host)?;
        if request.uri().authority().is_some_and(|authority| authority.as_str() != host) {
            return Err(bad_host());
        }
        if self.loopback_only && !is_loopback_host(&url) {
            return Err(ApiError::forbidden(
                "this server listens on a loopback address and answers to its names only",
            )
            .with_hint("use http://127.0.0.1:PORT or http://localhost:PORT"));
        }
        check_origin(request.headers(), &url)?;
        Ok(BaseUrl(base))
    }
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
