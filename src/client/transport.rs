//! How requests travel: TLS, certificate authorities, proxy and time limits of the HTTP
//! client. Redirects are never followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Certificate, redirect};

use super::api_base::ApiBase;
use super::connected::Connected;
use super::error::ClientError;
use super::proxy::Proxy;

/// Longest time for one connection to come up.
pub(super) const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);

/// What a client needs to know about the network around it.
#[derive(Default)]
pub struct Network {
    /// Certificate authorities to trust instead of the system's.
    pub authorities: Option<Vec<Certificate>>,
    /// The proxy to go through.
    pub proxy: Option<Proxy>,
}

/// Builds the HTTP client.
pub(super) fn http_client(
    base: &ApiBase,
    network: Network,
    time_limit: Duration,
    connected: &Connected,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("aerostack/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(MAX_CONNECT_TIME.min(time_limit))
        .https_only(base.is_https())
        .connector_layer(connected.clone());
    if let Some(proxy) = network.proxy {
        builder = builder.proxy(proxy.for_https()?);
    }
    if let Some(host @ ("localhost" | "localhost.")) = base.url().host_str() {
        // A resolver that sends `localhost` elsewhere must not get the key.
        let local = |address: IpAddr| SocketAddr::new(address, 0);
        builder = builder
            .resolve_to_addrs(host, &[local(Ipv4Addr::LOCALHOST.into()), local(Ipv6Addr::LOCALHOST.into())]);
    }
    // The system's authorities are loaded for https only: it takes milliseconds.
    match network.authorities {
        _ if !base.is_https() => builder = builder.tls_certs_only([]),
        Some(authorities) => builder = builder.tls_certs_only(authorities),
        None => {}
    }
    builder.build().map_err(|_| ClientError::NoTls)
}
