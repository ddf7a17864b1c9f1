//! How many connections there may be, in all and from one address, and how long a peer may
//! leave what was written to it unread. Who opens many or reads nothing takes nothing from
//! the others.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a peer may take no byte of what is being sent to it.
const STALL_TIME: Duration = Duration::from_secs(15);
/// How often the log says that connections are refused.
const TELL_INTERVAL: Duration = Duration::from_mins(1);
/// File descriptors for everything but connections.
const OTHER_FILES: u64 = 128;

/// Numbers of connections to the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 4096, per_address: 1024 }
    }
}

impl ConnectionLimits {
    /// Asks the system for as many files as the limits need (a connection may have one to an
    /// upstream beside it), and lowers them to what it gives.
    #[must_use]
    pub(super) fn within_file_limit(self) -> Self {
        let wanted = self.total as u64 * 2 + OTHER_FILES;
        let given = getrlimit(Resource::Nofile);
        let current = given.current.unwrap_or(u64::MAX);
        let raised = wanted.min(given.maximum.unwrap_or(u64::MAX));
        let limit = Rlimit { current: Some(raised), maximum: given.maximum };
        let files =
            if current < raised && setrlimit(Resource::Nofile, limit).is_ok() { raised } else { current };
        let fit = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX).max(1);
        if fit < self.total {
            tracing::warn!(files, connections = fit, "the limit of open files lowers that of connections");
        }
        Self { total: self.total.min(fit), ..self }
    }
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The connections that are open.
pub(super) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    /// When the log last said that one was refused.
    told: Mutex<Option<Instant>>,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, open: Mutex::default(), told: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from this address; `None` if there is none left.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = one_client(address);
        let mut open = self.open();
        let from_there = open.by_address.get(&address).copied().unwrap_or_default();
        if open.total >= self.limits.total || from_there >= self.limits.per_address {
            drop(open);
            self.tell(address, from_there);
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, from_there + 1);
        Some(Place { connections: Arc::clone(self), address })
    }

    /// Says in the log that a connection was refused, now and then.
    fn tell(&self, address: IpAddr, from_there: usize) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() > TELL_INTERVAL) {
            *told = Some(Instant::now());
            tracing::warn!(%address, from_there, "connections over the limits are being closed");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// The address by which a client is counted: with IPv6 one client has a whole network.
fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A socket that is given up when its peer takes nothing for too long.
pub(super) struct StallGuard<S> {
    socket: S,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, limit: STALL_TIME, waiting: None }
    }

    /// Passes on what a write said; a wait that is too long becomes an error.
    fn judge<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.waiting = None;
            return wrote;
        }
        let limit = self.limit;
        let end = || Box::pin(tokio::time::sleep_until(Instant::now() + limit));
        ready!(self.waiting.get_or_insert_with(end).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.judge(wrote, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush that has nothing to do must not end the wait of a write.
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Pending => self.judge(Poll::Pending, context),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.socket).poll_shutdown(context);
        self.judge(done, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.judge(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let connections = Arc::new(Connections::new(ConnectionLimits { total: 3, per_address: 2 }));
        let admit = |text: &str| connections.admit(text.parse().unwrap());
        let (one, two) = (admit("192.0.2.1").unwrap(), admit("::ffff:192.0.2.1").unwrap());
        assert!(admit("192.0.2.1").is_none(), "the address has two");
        let three = admit("192.0.2.2").unwrap();
        assert!(admit("192.0.2.3").is_none(), "three in all");
        drop((one, three));
        let networks = (admit("2001:db8::1").unwrap(), admit("2001:db8::2:1"));
        assert!(networks.1.is_some());
        drop(networks);
        assert!(admit("192.0.2.1").is_some());
        drop(two);
        assert!(connections.open().by_address.is_empty() && connections.open().total == 0);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let key = |text: &str| one_client(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("::1"), key("127.0.0.1"));
    }

    #[tokio::test]
    async fn a_peer_that_reads_is_waited_for_and_one_that_does_not_is_not() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guard = StallGuard { limit: Duration::from_mins(1), ..StallGuard::new(near) };
        let mut some = [0; 8];
        let (wrote, read) = tokio::join!(guard.write_all(&[7; 24]), far.read_exact(&mut some));
        assert!(wrote.is_ok() && read.is_ok());
        assert!(guard.waiting.is_none(), "the wait began anew when a byte was taken");
        guard.limit = Duration::from_millis(50);
        let error = guard.write_all(&[7; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
