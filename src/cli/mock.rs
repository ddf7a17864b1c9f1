//! `aerostack mock`: the companion server with a throw-away store, a generated key and a
//! demo MCP server. Nothing in it is pretended: it stores, encrypts, authenticates and
//! forwards as `serve` does.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::env_vars;
use super::failure::{Failure, FailureKind};
use super::serve::{StopSignal, listen_address, require_tls, start_failure};
use super::terminal::Terminal;
use crate::api::routes;
use crate::domain::{AllowedHost, ApiKey, WorkspaceToken};
use crate::server::analytics::AnalyticsSettings;
use crate::server::demo_upstream::DemoUpstream;
use crate::server::settings::{ServerSettings, TlsFiles, UPSTREAM_PATIENCE};
use crate::server::vault::SecretsKey;
use crate::server::{ConnectionLimits, RunningServer, Server, StartError, logging, provisioning, tls};

/// Run a throw-away companion server with a demo MCP server
///
/// Prints the variables that the other commands need. AEROSTACK_LOG sets the log's
/// level (error, warn, info, debug, trace). Ctrl-C ends it and deletes its store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::doc_markdown, reason = "the texts are the help, where backticks would show")]
pub(super) struct MockArgs {
    /// Address and port; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787", value_parser = listen_address)]
    listen: SocketAddr,
    /// Host name to answer to as well; repeatable
    #[arg(long = "allowed-host", value_name = "NAME")]
    allowed_hosts: Vec<AllowedHost>,
    /// Also write the variables to this file (mode 0600)
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Speak https with a certificate made for this run
    #[arg(long)]
    tls: bool,
}

const EXAMPLES: &str = "\
EXAMPLES
  # In one terminal
  $ aerostack mock --env-file mock.env
  # In another
  $ . ./mock.env
  $ aerostack secrets set demo-mcp GITHUB_TOKEN ghp_xxx
  $ aerostack secrets list demo-mcp";

pub(super) fn run(arguments: &MockArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    require_tls(arguments.listen, arguments.tls)?;
    logging::start("info", terminal.talks_to_terminal());
    let stop = StopSignal::listen()?;
    let mock = Mock::start(arguments.listen, arguments.tls, &arguments.allowed_hosts)
        .map_err(|error| start_failure(&error))?;
    let lines = mock.variables();
    if let Some(path) = &arguments.env_file {
        write_private(path, lines.as_bytes()).map_err(|error| {
            let message = format!("the file {} was not written: {error}", path.display());
            Failure::new(FailureKind::Unexpected, message)
        })?;
    }
    terminal.data(lines.trim_end())?;
    terminal.note("Listening. Ctrl-C ends it and deletes what it stored.");
    stop.stop_on_signal(mock.server);
    Ok(())
}

/// A running mock. Its folder is deleted when it is dropped.
pub(super) struct Mock {
    pub(super) server: RunningServer,
    pub(super) base_url: String,
    pub(super) api_key: ApiKey,
    pub(super) token: WorkspaceToken,
    authority: Option<PathBuf>,
    _demo: DemoUpstream,
    _folder: TempDir,
}

impl Mock {
    /// Starts server and demo upstream; they take requests when this returns.
    pub(super) fn start(
        listen: SocketAddr,
        with_tls: bool,
        allowed_hosts: &[AllowedHost],
    ) -> Result<Self, StartError> {
        let failed = |error: std::io::Error| StartError::System(format!("no temporary folder: {error}"));
        let folder = tempfile::Builder::new()
            .prefix("aerostack-mock-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(failed)?;
        let certificate = with_tls.then(|| tls::make_loopback_certificate(folder.path())).transpose()?;
        let (tls, authority): (Option<TlsFiles>, Option<PathBuf>) = certificate.unzip();
        let demo = DemoUpstream::start()?;
        let settings = ServerSettings {
            listen,
            tls,
            allowed_hosts: allowed_hosts.to_vec(),
            database: folder.path().join("mock.db"),
            key: SecretsKey::generate()?,
            loopback_upstreams: true,
            upstream_patience: UPSTREAM_PATIENCE,
            connections: ConnectionLimits::default(),
            analytics: AnalyticsSettings::default(),
        };
        let mut api_key = None;
        let mut keep = |key: &ApiKey| api_key = ApiKey::parse(key.expose()).ok();
        let server = Server::bind(&settings, &mut keep)?;
        let api_key = api_key.ok_or(StartError::Incomplete("the API key"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let token = runtime.block_on(provisioning::add_demo(server.project(), &demo.url()))?;
        let base_url = server.base_url();
        let server = server.start()?;
        Ok(Self { server, base_url, api_key, token, authority, _demo: demo, _folder: folder })
    }

    /// The gateway of the default workspace.
    pub(super) fn gateway_url(&self) -> String {
        format!("{}{}default", self.base_url, routes::GATEWAY_PREFIX)
    }

    /// The lines to be sourced by a shell.
    fn variables(&self) -> Zeroizing<String> {
        let mut lines = Zeroizing::new(format!(
            "export {}={}\nexport {}={}\nexport AEROSTACK_WORKSPACE_URL={}\nexport AEROSTACK_TOKEN={}\n",
            env_vars::API_URL,
            self.base_url,
            env_vars::API_KEY,
            self.api_key.expose(),
            self.gateway_url(),
            self.token.expose(),
        ));
        if let Some(authority) = &self.authority {
            for part in
                ["export ", env_vars::CA_CERT, "=", &shell_word(&authority.display().to_string()), "\n"]
            {
                lines.push_str(part);
            }
        }
        lines
    }
}

/// Quotes a word for the shell if it needs it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".aerostack-").tempfile_in(folder)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_when_they_must_be() {
        assert_eq!(shell_word("/tmp/a-b/ca.pem"), "/tmp/a-b/ca.pem");
        assert_eq!(shell_word("/tmp/a b/it's"), r"'/tmp/a b/it'\''s'");
    }
}
