//! Connections to upstreams. A connection is driven from the task of the request that
//! uses it (no task of its own), and rests in a pool of its core between requests, by
//! server and origin. One that has anything left over is not used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;

use super::address_policy::AddressPolicy;
use super::peekable_socket::PeekableSocket;
use super::problem::UpstreamProblem;
use crate::domain::UpstreamUrl;
use crate::server::tls;

/// How long a connection may take to be made, DNS and TLS included.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// How long a resting connection is kept.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Resting connections of one server on one core.
const MAX_IDLE: usize = 32;

/// A stream on a socket, plain or TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}
type Io = TokioIo<Box<dyn Stream>>;

/// A connection with one request at a time.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<http1::Connection<Io, Full<Bytes>>>>,
    /// Whether the driver has come to its end; it must not be polled again.
    ended: bool,
    /// The socket under it all, to see whether anything has arrived unasked.
    socket: PeekableSocket,
    resting_since: Instant,
}

/// Why a request got no answer.
pub(super) enum SendProblem {
    /// It was not sent; it may be sent again on another connection.
    NotSent(Box<Request<Full<Bytes>>>),
    /// It may have been sent.
    Broken,
}

impl Connection {
    /// Connects, to an address that the policy permits.
    pub(super) async fn open(
        url: &UpstreamUrl,
        policy: AddressPolicy,
        allow_private: bool,
    ) -> Result<Self, UpstreamProblem> {
        let opening = async {
            let socket = PeekableSocket::new(connect(url, policy, allow_private).await?);
            let stream = secure(url, socket.clone()).await?;
            let (sender, driver) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|_| UpstreamProblem::Unreachable)?;
            Ok(Self { sender, driver: Box::pin(driver), ended: false, socket, resting_since: Instant::now() })
        };
        tokio::time::timeout(CONNECT_TIME, opening).await.unwrap_or(Err(UpstreamProblem::TimedOut))
    }

    /// Sends a request and waits for the head of the answer, driving the connection.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendProblem> {
        let mut sending = std::pin::pin!(self.sender.try_send_request(request));
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let answer = poll_fn(|context| {
            *ended = *ended || driver.as_mut().poll(context).is_ready();
            sending.as_mut().poll(context)
        });
        answer.await.map_err(|mut error| match error.take_message() {
            Some(request) => SendProblem::NotSent(Box::new(request)),
            None => SendProblem::Broken,
        })
    }

    /// Whether it can take another request: still open, nothing left over. The socket is
    /// asked itself: what arrived since the runtime last looked is not known to it yet.
    async fn is_usable(&mut self) -> bool {
        if self.resting_since.elapsed() > IDLE_TIME || !self.socket.is_silent() {
            return false;
        }
        let ended = poll_fn(|context| Poll::Ready(drive(self, context))).await;
        !ended && self.sender.is_ready()
    }
}

async fn connect(
    url: &UpstreamUrl,
    policy: AddressPolicy,
    allow_private: bool,
) -> Result<TcpStream, UpstreamProblem> {
    let port = url.url().port_or_known_default().ok_or(UpstreamProblem::Unreachable)?;
    let found: Vec<SocketAddr> = match url.url().host() {
        Some(Host::Ipv4(address)) => vec![(IpAddr::V4(address), port).into()],
        Some(Host::Ipv6(address)) => vec![(IpAddr::V6(address), port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map_err(|_| UpstreamProblem::Unreachable)?.collect()
        }
        None => return Err(UpstreamProblem::Unreachable),
    };
    let permits = |address: &&SocketAddr| policy.permits(address.ip(), allow_private);
    let permitted: Vec<&SocketAddr> = found.iter().filter(permits).collect();
    // A first address that swallows packets must not use up the time of the others.
    let share = CONNECT_TIME / u32::try_from(permitted.len().max(1)).unwrap_or(1);
    let mut problem =
        if found.is_empty() { UpstreamProblem::Unreachable } else { UpstreamProblem::AddressRefused };
    for address in permitted {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "an upstream refused the connection");
                problem = UpstreamProblem::Unreachable;
            }
            Err(_) => problem = UpstreamProblem::TimedOut,
        }
    }
    if problem == UpstreamProblem::AddressRefused {
        let origin = url.origin();
        tracing::warn!(%origin, "the address is loopback, private or reserved (see mcp add --allow-private-network)");
    }
    Err(problem)
}

async fn secure(url: &UpstreamUrl, socket: PeekableSocket) -> Result<Box<dyn Stream>, UpstreamProblem> {
    if url.url().scheme() != "https" {
        return Ok(Box::new(socket));
    }
    let config = tls::upstream_config().ok_or(UpstreamProblem::Unreachable)?;
    let host = url.url().host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| UpstreamProblem::Unreachable)?;
    match TlsConnector::from(config).connect(name, socket).await {
        Ok(socket) => Ok(Box::new(socket)),
        Err(error) => {
            let problem = tls::told(&error);
            tracing::warn!(origin = %url.origin(), %problem, "TLS with an upstream failed");
            Err(UpstreamProblem::Unreachable)
        }
    }
}

/// By what a resting connection is found again. Tokens do not share connections, so an
/// upstream that gets its answers out of step cannot give one member another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// Id of the server.
    pub(super) server_id: String,
    /// Its origin.
    pub(super) origin: String,
    /// Whether private addresses were allowed when the connection was made.
    pub(super) allow_private: bool,
    /// Id of the token.
    pub(super) token_id: String,
}

/// The resting connections of one core.
#[derive(Default)]
pub struct UpstreamPool(RefCell<HashMap<PoolKey, Vec<Connection>>>);

impl UpstreamPool {
    /// A usable connection, if one rests here.
    pub(super) async fn take(&self, key: &PoolKey) -> Option<Connection> {
        loop {
            let mut connection = self.0.borrow_mut().get_mut(key)?.pop()?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Lets a connection rest. Old ones of all servers go, so nothing piles up.
    pub(super) fn put(&self, key: PoolKey, mut connection: Connection) {
        connection.resting_since = Instant::now();
        let mut resting = self.0.borrow_mut();
        resting.retain(|_, connections| {
            connections.retain(|connection| connection.resting_since.elapsed() <= IDLE_TIME);
            !connections.is_empty()
        });
        let connections = resting.entry(key).or_default();
        if connections.len() < MAX_IDLE {
            connections.push(connection);
        }
    }
}

/// Drives a connection once; whether it has ended.
pub(super) fn drive(connection: &mut Connection, context: &mut Context<'_>) -> bool {
    connection.ended = connection.ended || connection.driver.as_mut().poll(context).is_ready();
    connection.ended
}

/// Whether a connection whose answer has been read whole can rest.
pub(super) fn can_rest(connection: &mut Connection, context: &mut Context<'_>) -> bool {
    !drive(connection, context) && matches!(connection.sender.poll_ready(context), Poll::Ready(Ok(())))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn bytes_that_arrived_unasked_are_seen_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = UpstreamUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let policy = AddressPolicy { loopback_always: true };
        let mut connection = Connection::open(&url, policy, false).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert!(connection.is_usable().await);
        // Nothing is awaited from here on, so the runtime has no chance to notice.
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        while connection.socket.is_silent() {
            std::hint::spin_loop();
        }
        assert!(!connection.is_usable().await);
    }

    #[tokio::test]
    async fn a_closed_connection_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = UpstreamUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let policy = AddressPolicy { loopback_always: true };
        let mut connection = Connection::open(&url, policy, false).await.unwrap();
        drop(listener.accept().unwrap());
        while connection.socket.is_silent() {
            std::hint::spin_loop();
        }
        assert!(!connection.is_usable().await);
    }
}
