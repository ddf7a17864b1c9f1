//! The companion server: the admin API, the gateway, and what they stand on. `Server::bind`
//! returns when it listens; `start` takes requests until it is stopped.

mod access_log;
mod admin;
pub mod analytics;
pub mod auth;
mod body;
pub mod clock;
mod connections;
pub mod demo_upstream;
pub mod error;
mod followed_body;
pub mod gateway;
mod head_tap;
mod health;
mod host_check;
mod listener;
pub mod logging;
mod metrics;
pub mod provisioning;
pub mod randomness;
mod response;
mod router;
pub mod settings;
pub mod startup;
pub mod store;
pub mod tls;
pub mod vault;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

pub use connections::ConnectionLimits;
pub use settings::ServerSettings;
pub use startup::{Project, StartError};

use crate::domain::{AllowedHost, ApiKey};
use gateway::address_policy::AddressPolicy;

/// A server that listens and does not take requests yet.
pub struct Server {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<tls::ListenerTls>,
    allowed_hosts: Vec<AllowedHost>,
    project: Project,
    policy: AddressPolicy,
    patience: Duration,
    connections: ConnectionLimits,
}

impl Server {
    /// Takes the port, then opens the project. `announce` gets the API key of a new project.
    ///
    /// # Errors
    /// [`StartError`]: the port is taken, TLS files do not fit, the key is wrong, ...
    pub fn bind(settings: &ServerSettings, announce: &mut dyn FnMut(&ApiKey)) -> Result<Self, StartError> {
        let tls = settings.tls.as_ref().map(tls::listener_tls).transpose()?;
        let socket = listener::bind(settings.listen)?;
        let address = socket.local_addr().map_err(|error| StartError::System(error.to_string()))?;
        let runtime = listener::current_thread_runtime()?;
        let opening = startup::open_project(&settings.database, &settings.key, settings.analytics, announce);
        let project = runtime.block_on(opening)?;
        let policy = AddressPolicy { loopback_always: settings.loopback_upstreams };
        let patience = settings.upstream_patience;
        let allowed_hosts = settings.allowed_hosts.clone();
        let connections = settings.connections;
        Ok(Self { socket, address, tls, allowed_hosts, project, policy, patience, connections })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its URL on this machine, without a trailing slash.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        if self.address.ip().is_unspecified() {
            return format!("{scheme}://localhost:{}", self.address.port());
        }
        format!("{scheme}://{}", self.address)
    }

    /// The open project, for what `mock` and `demo` set up before the first request.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Takes requests from now on, on one runtime for each core.
    ///
    /// # Errors
    /// [`StartError::System`] when threads cannot be started.
    pub fn start(self) -> Result<RunningServer, StartError> {
        self.project.store.leave_thread();
        let (stop, stopping) = watch::channel(false);
        let address = self.address;
        let (tls, leaf) = self.tls.map(|tls| (tls.config, tls.leaf)).unzip();
        let hosts = host_check::HostCheck::new(leaf, self.allowed_hosts);
        let shared = Arc::new(router::Shared::new(self.project, self.policy, self.patience, tls, hosts));
        let limits = self.connections.within_file_limit();
        let acceptor = listener::start(self.socket, &shared, limits, stopping)?;
        Ok(RunningServer { stop, acceptor: Some(acceptor), address })
    }
}

/// A server that takes requests. Dropping it stops it.
pub struct RunningServer {
    stop: watch::Sender<bool>,
    acceptor: Option<JoinHandle<()>>,
    address: SocketAddr,
}

impl RunningServer {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections, lets the running requests end within a bound, and waits.
    pub fn stop(mut self) {
        self.stop_and_wait();
    }

    fn stop_and_wait(&mut self) {
        let _ = self.stop.send(true);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop_and_wait();
    }
}
