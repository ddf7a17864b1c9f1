//! The server's settings, and the only place of the server that reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::analytics::AnalyticsSettings;
use super::connections::ConnectionLimits;
use super::vault::SecretsKey;
use super::vault::keyring::KeyProblem;
use crate::domain::AllowedHost;

/// The master key.
pub const SECRETS_KEY: &str = "WORKFLOW_SECRETS_KEY";
/// A file that holds the master key.
pub const SECRETS_KEY_FILE: &str = "WORKFLOW_SECRETS_KEY_FILE";
/// The log's filter, for example `info` or `aerostack=trace`.
pub const LOG: &str = "AEROSTACK_LOG";
/// The same, by the name Rust programs share.
pub const RUST_LOG: &str = "RUST_LOG";

/// What a server is started with.
pub struct ServerSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Certificate chain and key in PEM; without them the listener speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Names it answers to beside its own address, loopback names and those of its certificate.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The SQLite file.
    pub database: PathBuf,
    /// The master key.
    pub key: SecretsKey,
    /// Whether every upstream may lie on a loopback address (`mock`, `demo`).
    pub loopback_upstreams: bool,
    /// How long an upstream may be silent while it works on a request.
    pub upstream_patience: Duration,
    /// How many connections are taken.
    pub connections: ConnectionLimits,
    /// How tool calls are kept.
    pub analytics: AnalyticsSettings,
}

/// How long an upstream may be silent while it works on a request, unless set otherwise.
pub const UPSTREAM_PATIENCE: Duration = Duration::from_mins(5);

/// Files of the listener's TLS.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeySettingProblem {
    /// Neither variable is set.
    #[error("WORKFLOW_SECRETS_KEY is not set")]
    Missing,
    /// Both are.
    #[error("WORKFLOW_SECRETS_KEY and WORKFLOW_SECRETS_KEY_FILE are both set; keep one")]
    Both,
    /// The file cannot be read.
    #[error("the file named by WORKFLOW_SECRETS_KEY_FILE cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The text is not a key.
    #[error(transparent)]
    Malformed(#[from] KeyProblem),
}

#[expect(clippy::disallowed_methods, reason = "this is the server's settings.rs")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Reads the master key from the environment or the file it names.
///
/// # Errors
/// [`KeySettingProblem`] when there is none, or not exactly one, or it is malformed.
pub fn secrets_key() -> Result<SecretsKey, KeySettingProblem> {
    match (variable(SECRETS_KEY), variable(SECRETS_KEY_FILE)) {
        (Some(_), Some(_)) => Err(KeySettingProblem::Both),
        (Some(text), None) => Ok(SecretsKey::parse(&zeroize::Zeroizing::new(text))?),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(KeySettingProblem::Unreadable)?;
            Ok(SecretsKey::parse(&zeroize::Zeroizing::new(text))?)
        }
        (None, None) => Err(KeySettingProblem::Missing),
    }
}

/// The log's filter, if the environment sets one.
pub fn log_filter() -> Option<String> {
    variable(LOG).or_else(|| variable(RUST_LOG))
}
