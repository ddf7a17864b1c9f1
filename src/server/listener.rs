//! Our own accept loop: one acceptor hands sockets to one current-thread runtime per
//! core in turn. Each connection has a header-read timer and size limits; at shutdown the
//! running requests end within a bound.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use super::connections::{ConnectionLimits, Connections, Place, StallGuard};
use super::head_tap::{HEAD_BYTES, HeadTap};
use super::host_check::ArrivedAt;
use super::metrics::Peer;
use super::router::{self, Core, Shared};
use super::startup::StartError;

/// How long a client may take to send a request's headers, or to begin the next request.
const HEADER_READ_TIME: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// How long running requests get at shutdown.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// A runtime that waits for nothing earlier than this need not be woken for a new time limit: it does
/// that with a system call, which each call of a tool would make, and then finds nothing to do.
const TICK: Duration = Duration::from_secs(1);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

fn system(error: impl std::fmt::Display) -> StartError {
    StartError::System(error.to_string())
}

/// Takes the port; a second server on it fails.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let taken = |error: std::io::Error| StartError::System(format!("cannot listen on {address}: {error}"));
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(taken)?;
    // Lets a restarted server take the port while old connections time out (not two at once).
    socket.set_reuse_address(true).map_err(taken)?;
    socket.bind(&address.into()).map_err(taken)?;
    socket.listen(BACKLOG).map_err(taken)?;
    socket.set_nonblocking(true).map_err(taken)?;
    Ok(socket.into())
}

/// A runtime of one thread.
pub(super) fn current_thread_runtime() -> Result<Runtime, StartError> {
    Builder::new_current_thread().enable_all().build().map_err(system)
}

type Accepted = mpsc::UnboundedSender<(TcpStream, Place)>;

/// Starts the workers and the acceptor.
pub(super) fn start(
    socket: TcpListener,
    shared: &Arc<Shared>,
    limits: ConnectionLimits,
    stopping: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let connections = Arc::new(Connections::new(limits));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut workers = Vec::with_capacity(cores);
    for number in 0..cores {
        let (sender, sockets) = mpsc::unbounded_channel();
        let (shared, stopping) = (Arc::clone(shared), stopping.clone());
        workers.push((sender, start_worker(number, shared, sockets, stopping)?));
    }
    let runtime = current_thread_runtime()?;
    let run = move || {
        let (senders, threads): (Vec<Accepted>, Vec<JoinHandle<()>>) = workers.into_iter().unzip();
        runtime.block_on(accept(socket, senders, &connections, stopping));
        for thread in threads {
            let _ = thread.join();
        }
    };
    thread::Builder::new().name("acceptor".to_owned()).spawn(run).map_err(system)
}

/// Starts one core's thread; its runtime is made there, because it never leaves it.
fn start_worker(
    number: usize,
    shared: Arc<Shared>,
    sockets: mpsc::UnboundedReceiver<(TcpStream, Place)>,
    stopping: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let (ready, made) = std::sync::mpsc::channel();
    let run = move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => {
            let _ = ready.send(Ok(()));
            runtime.block_on(work(shared, sockets, stopping));
            // A name lookup that hangs must not hold up the end.
            runtime.shutdown_background();
        }
        Err(error) => drop(ready.send(Err(error))),
    };
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(run).map_err(system)?;
    made.recv().map_err(system)?.map_err(system)?;
    Ok(thread)
}

/// Accepts until the server stops; dropping the senders then tells the workers.
async fn accept(
    socket: TcpListener,
    workers: Vec<Accepted>,
    connections: &Arc<Connections>,
    mut stopping: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the listener failed"),
    };
    let mut turn = 0_usize;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => {
                let Some(place) = connections.admit(peer.ip()) else {
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let _ = workers[turn % workers.len()].send((stream, place));
                turn = turn.wrapping_add(1);
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One core: serves its connections until the acceptor is gone, then drains.
async fn work(
    shared: Arc<Shared>,
    mut sockets: mpsc::UnboundedReceiver<(TcpStream, Place)>,
    stopping: watch::Receiver<bool>,
) {
    let core = Rc::new(Core::new(shared));
    let mut connections = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    // Seconds without a connection are not made up for.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            socket = sockets.recv() => {
                let Some((socket, place)) = socket else { break };
                let (core, stopping) = (Rc::clone(&core), stopping.clone());
                connections.spawn_local(async move {
                    serve_socket(core, socket, stopping).await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
            _ = tick.tick(), if !connections.is_empty() => {}
        }
    }
    core.shared.gateway.stop_listening();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!("some requests were still running at shutdown and were cut off");
    }
    drop(connections);
    core.shared.project.store.leave_thread();
}

async fn serve_socket(core: Rc<Core>, socket: TcpStream, stopping: watch::Receiver<bool>) {
    let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { return };
    let Ok(peer) = socket.peer_addr().map(|address| Peer(address.ip())) else { return };
    let Ok(arrived) = socket.local_addr().map(|address| ArrivedAt(address.ip())) else { return };
    let ends = (peer, arrived);
    let Some(config) = core.shared.tls.clone() else {
        return serve(core, socket, ends, stopping).await;
    };
    let handshake = TlsAcceptor::from(config).accept(socket);
    match tokio::time::timeout(HANDSHAKE_TIME, handshake).await {
        Ok(Ok(socket)) => serve(core, socket, ends, stopping).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve<S>(
    core: Rc<Core>,
    socket: S,
    (peer, arrived): (Peer, ArrivedAt),
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (socket, heads) = HeadTap::new(StallGuard::new(socket));
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(arrived);
        let (core, head) = (Rc::clone(&core), heads.check());
        async move { Ok::<_, Infallible>(router::answer(&core, head, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIME)
        // Of the read buffer: it takes longer heads, too, which are refused by the tap.
        .max_buf_size(HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.wait_for(|stop| *stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
