//! `aerostack serve`: the companion server with a durable store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::{Failure, FailureKind};
use super::terminal::Terminal;
use super::{env_vars, problem::Rule};
use crate::domain::{AllowedHost, Period};
use crate::server::analytics::AnalyticsSettings;
use crate::server::settings::{self, KeySettingProblem, ServerSettings, TlsFiles};
use crate::server::{ConnectionLimits, RunningServer, Server, StartError, logging};

/// Run the companion server with a durable store
///
/// The master key comes from WORKFLOW_SECRETS_KEY, or from the file that
/// WORKFLOW_SECRETS_KEY_FILE names; aerostack keygen makes one. The first start
/// creates the tables and prints an API key, this once. AEROSTACK_LOG sets the
/// log's level (error, warn, info, debug, trace). SIGTERM and Ctrl-C end it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::doc_markdown, reason = "the texts are the help, where backticks would show")]
pub(super) struct ServeArgs {
    /// Address and port; TLS unless loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787", value_parser = listen_address)]
    listen: SocketAddr,
    /// Where to store, as sqlite:PATH
    #[arg(long, value_name = "URL", value_parser = sqlite_path)]
    database: PathBuf,
    /// Certificate chain in PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Host name to answer to as well; repeatable
    #[arg(long = "allowed-host", value_name = "NAME")]
    allowed_hosts: Vec<AllowedHost>,
    /// Connections that are open at the same time
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = connections)]
    max_connections: usize,
    /// The same from one address; behind a proxy all have the proxy's
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = connections)]
    max_connections_per_address: usize,
    /// How long an MCP server may be silent in a request
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = value_parser!(u64).range(1..=86_400))]
    upstream_timeout: u64,
    /// How long tool calls are kept, as 30d (or s, m, h, w)
    #[arg(long, value_name = "TIME", default_value = "30d")]
    analytics_retention: Period,
    /// How many tool calls are kept; the oldest go first
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(1..))]
    analytics_max_rows: u64,
    /// Form of the log
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: LogFormat,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One line for each event
    Text,
    /// One JSON document for each event, on a line of its own
    Json,
}

const EXAMPLES: &str = "\
EXAMPLES
  # On this machine only
  $ export WORKFLOW_SECRETS_KEY=$(aerostack keygen)
  $ aerostack serve --database sqlite:aerostack.db
  # For a team
  $ aerostack serve --listen 0.0.0.0:8443 --database sqlite:aerostack.db \\
      --tls-cert fullchain.pem --tls-key privkey.pem";

pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Rule> {
    text.parse().map_err(|_| Rule("an address has the form 127.0.0.1:8787 or [::1]:8787"))
}

fn connections(text: &str) -> Result<usize, Rule> {
    let number = text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
    number.ok_or(Rule("a number of connections is from 1 to 1000000"))
}

fn sqlite_path(text: &str) -> Result<PathBuf, Rule> {
    match text.split_once(':') {
        Some(("sqlite", path)) if path.starts_with("//") => {
            Err(Rule("give sqlite:PATH without '//': sqlite:data.db or sqlite:/var/lib/data.db"))
        }
        Some(("sqlite", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
        Some(("postgres" | "postgresql", _)) => {
            Err(Rule("this version stores in SQLite only; give sqlite:PATH"))
        }
        _ => Err(Rule("a database has the form sqlite:PATH")),
    }
}

pub(super) fn run(arguments: ServeArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    let tls =
        arguments.tls_cert.zip(arguments.tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
    require_tls(arguments.listen, tls.is_some())?;
    let key = settings::secrets_key().map_err(|problem| key_failure(&problem))?;
    match arguments.log_format {
        LogFormat::Text => logging::start("info", terminal.talks_to_terminal()),
        LogFormat::Json => logging::start_json("info"),
    }
    let stop = StopSignal::listen()?;
    let settings = ServerSettings {
        listen: arguments.listen,
        tls,
        allowed_hosts: arguments.allowed_hosts,
        database: arguments.database,
        key,
        loopback_upstreams: false,
        upstream_patience: Duration::from_secs(arguments.upstream_timeout),
        connections: ConnectionLimits {
            total: arguments.max_connections,
            per_address: arguments.max_connections_per_address,
        },
        analytics: AnalyticsSettings {
            retention: Duration::from_secs(arguments.analytics_retention.seconds()),
            max_rows: arguments.analytics_max_rows,
            ..AnalyticsSettings::default()
        },
    };
    let mut shown = Ok(());
    let server = Server::bind(&settings, &mut |key| {
        terminal.note("A new project. This is its API key; it is shown this once, so keep it now:");
        shown = terminal.data(&format!("export {}={}", env_vars::API_KEY, key.expose()));
    })
    .map_err(|error| start_failure(&error))?;
    shown?;
    let base_url = server.base_url();
    let running = server.start().map_err(|error| start_failure(&error))?;
    terminal.data(&format!("export {}={base_url}", env_vars::API_URL))?;
    if arguments.listen.ip().is_unspecified() {
        terminal.note("From other machines, use a host name that stands in the certificate.");
    }
    stop.stop_on_signal(running);
    Ok(())
}

/// Plain HTTP leaves this machine never.
pub(super) fn require_tls(listen: SocketAddr, has_tls: bool) -> Result<(), Failure> {
    if has_tls || listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Failure::usage("a listener that is not on a loopback address needs TLS")
        .with_hint("add --tls-cert and --tls-key, or listen on 127.0.0.1"))
}

fn key_failure(problem: &KeySettingProblem) -> Failure {
    let failure = Failure::usage(problem.to_string());
    match problem {
        KeySettingProblem::Both => failure,
        _ => failure.with_hint("make a key with: aerostack keygen"),
    }
}

/// Why the server did not start, with what to do.
pub(super) fn start_failure(error: &StartError) -> Failure {
    let failure = Failure::new(FailureKind::Unexpected, error.to_string());
    match error {
        StartError::WrongKey => {
            failure.with_hint("start it with the key it was first started with (WORKFLOW_SECRETS_KEY)")
        }
        _ => failure,
    }
}

/// Listens for SIGTERM, Ctrl-C and the end of the terminal (SIGHUP) from its creation on.
pub(super) struct StopSignal {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignal {
    /// To be made before the first line is printed: whoever reads it may send a signal.
    pub(super) fn listen() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(FailureKind::Unexpected, format!("no signals: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let inside = runtime.enter();
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let hangup = signal(SignalKind::hangup()).map_err(failed)?;
        drop(inside);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Waits for a signal, then lets the server drain.
    pub(super) fn stop_on_signal(mut self, running: RunningServer) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hangup.recv() => {}
            }
        });
        running.stop();
    }
}
