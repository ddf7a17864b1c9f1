//! Why an upstream cannot be reached, step by step: name, address policy, connection, TLS.
//! Nothing is sent but the handshake; the gateway's own errors say less, because members
//! read them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::address_policy::{AddressPolicy, is_never_allowed};
use super::certificate_problem::CertificateProblem;
use crate::domain::UpstreamUrl;
use crate::server::tls;

/// How long one step may take.
const STEP_TIME: Duration = Duration::from_secs(3);

/// The step that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectProblem {
    /// The name has no address.
    Dns,
    /// No address is one that may be used.
    AddressRefused,
    /// The same, and no setting changes it.
    AddressNeverAllowed,
    /// Nothing listens there.
    Refused,
    /// The network says no, in another way.
    Unreachable,
    /// No answer to the connection.
    TimedOut,
    /// The TLS handshake fails, or would have been needed.
    Tls(TlsProblem),
    /// It can be reached, and gives up or says something that is not HTTP.
    Closed,
}

/// What is wrong between connection and HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsProblem {
    /// There are no certificate authorities to check with.
    NoAuthorities,
    /// The certificate is not accepted, for this reason.
    Certificate(CertificateProblem),
    /// What listens there does not speak TLS.
    NotTls,
    /// The connection is there, and nobody answers the handshake.
    TimedOut,
    /// The connection is closed in the midst of the handshake.
    Closed,
    /// The handshake failed in another way.
    Failed,
    /// It is TLS where the URL says plain HTTP.
    Unasked,
}

/// Tries to connect; `None` if that works.
pub(super) async fn diagnose(
    url: &UpstreamUrl,
    policy: AddressPolicy,
    allow_private: bool,
) -> Option<ConnectProblem> {
    let socket = match connect(url, policy, allow_private).await {
        Ok(socket) => socket,
        Err(problem) => return Some(problem),
    };
    if url.url().scheme() != "https" {
        return None;
    }
    secure(url, socket).await.err().map(ConnectProblem::Tls)
}

/// Why a connection broke before there was an answer.
pub(super) async fn diagnose_cut(
    url: &UpstreamUrl,
    policy: AddressPolicy,
    allow_private: bool,
) -> ConnectProblem {
    if let Some(problem) = diagnose(url, policy, allow_private).await {
        return problem;
    }
    let is_tls = speaks_tls(url, policy, allow_private).await;
    if is_tls { ConnectProblem::Tls(TlsProblem::Unasked) } else { ConnectProblem::Closed }
}

/// Whether TLS is spoken where the URL says plain HTTP: any answer in TLS will do, also a
/// refusal or a certificate that is not accepted.
pub(super) async fn speaks_tls(url: &UpstreamUrl, policy: AddressPolicy, allow_private: bool) -> bool {
    if url.url().scheme() == "https" {
        return false;
    }
    let Ok(socket) = connect(url, policy, allow_private).await else { return false };
    let shaken = secure(url, socket).await;
    matches!(shaken, Ok(()) | Err(TlsProblem::Certificate(_) | TlsProblem::Failed))
}

async fn connect(
    url: &UpstreamUrl,
    policy: AddressPolicy,
    allow_private: bool,
) -> Result<TcpStream, ConnectProblem> {
    let port = url.url().port_or_known_default().ok_or(ConnectProblem::Unreachable)?;
    let found: Vec<SocketAddr> = match url.url().host().ok_or(ConnectProblem::Dns)? {
        Host::Ipv4(address) => vec![(IpAddr::V4(address), port).into()],
        Host::Ipv6(address) => vec![(IpAddr::V6(address), port).into()],
        Host::Domain(name) => {
            let looking = tokio::time::timeout(STEP_TIME, tokio::net::lookup_host((name, port)));
            looking.await.ok().and_then(Result::ok).ok_or(ConnectProblem::Dns)?.collect()
        }
    };
    let mut problem = if found.is_empty() {
        ConnectProblem::Dns
    } else if found.iter().all(|address| is_never_allowed(address.ip())) {
        ConnectProblem::AddressNeverAllowed
    } else {
        ConnectProblem::AddressRefused
    };
    for address in found.iter().filter(|address| policy.permits(address.ip(), allow_private)) {
        problem = match tokio::time::timeout(STEP_TIME, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                ConnectProblem::Refused
            }
            Ok(Err(_)) => ConnectProblem::Unreachable,
            Err(_) => ConnectProblem::TimedOut,
        };
    }
    Err(problem)
}

async fn secure(url: &UpstreamUrl, socket: TcpStream) -> Result<(), TlsProblem> {
    let config = tls::upstream_config().ok_or(TlsProblem::NoAuthorities)?;
    let host = url.url().host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsProblem::Failed)?;
    let handshake = tokio::time::timeout(STEP_TIME, TlsConnector::from(config).connect(name, socket));
    let error = match handshake.await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => return Err(TlsProblem::TimedOut),
    };
    Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(problem)) => TlsProblem::Certificate(problem.into()),
        Some(TlsError::InvalidMessage(_)) => TlsProblem::NotTls,
        Some(_) => TlsProblem::Failed,
        None => TlsProblem::Closed,
    })
}
