//! `aerostack demo`: the whole story against an embedded server, step by step. Each step
//! is the command a person would type, run by the same code, and its real output.

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::Args;
use zeroize::Zeroizing;

use super::demo_client::DemoClient;
use super::failure::{Failure, FailureKind};
use super::mock::Mock;
use super::run_arguments;
use super::serve::start_failure;
use super::settings::Settings;
use super::terminal::Terminal;
use crate::server::demo_upstream::hash_prefix;
use crate::server::logging;

/// Show the whole flow against an embedded server
///
/// Sets a secret, maps it to a header, calls a tool, rotates, calls again, deletes,
/// and calls once more. Needs no set-up, leaves nothing behind.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  # The whole story, in a second
  $ aerostack demo";

const FIRST: &str = "ghp_first_demo_value";
const SECOND: &str = "ghp_second_demo_value";

pub(super) fn run(_: &DemoArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    logging::start("error", terminal.talks_to_terminal());
    let mock = Mock::start(SocketAddr::from(([127, 0, 0, 1], 0)), false, &[])
        .map_err(|error| start_failure(&error))?;
    let settings = Settings {
        api_url: Some(mock.base_url.clone()),
        api_key: Some(Zeroizing::new(mock.api_key.expose().to_owned())),
        ..Settings::default()
    };
    let mut demo = Demo { terminal, settings, client: DemoClient::new(&mock)?, step: 0 };
    demo.terminal.data(&format!(
        "A companion server now runs inside this process at {}, with the MCP server demo-mcp.\n\
         AEROSTACK_API_URL, AEROSTACK_API_KEY, AEROSTACK_WORKSPACE_URL and AEROSTACK_TOKEN are set for it.",
        mock.base_url
    ))?;
    demo.story()?;
    demo.terminal.data("\nThat was all of it. Your own: aerostack mock, or aerostack serve --help")?;
    mock.server.stop();
    Ok(())
}

struct Demo<'a> {
    terminal: &'a mut Terminal,
    settings: Settings,
    client: DemoClient,
    step: usize,
}

impl Demo<'_> {
    fn story(&mut self) -> Result<(), Failure> {
        self.heading("An admin sets a secret, once. It is encrypted before it reaches the database.")?;
        self.command(&["secrets", "set", "demo-mcp", "GITHUB_TOKEN", FIRST])?;
        self.heading("Names, rules and dates can be listed. Values never.")?;
        self.command(&["secrets", "list", "demo-mcp"])?;
        self.heading("The server wants it as a bearer token.")?;
        self.command(&["secrets", "inject", "demo-mcp", "GITHUB_TOKEN", "--bearer"])?;
        self.command(&["secrets", "list", "demo-mcp"])?;

        self.heading("A team member's MCP client connects to the gateway with a workspace token...")?;
        let request = DemoClient::initialize_command();
        self.terminal.data(&format!("$ {request}"))?;
        let answer = self.client.initialize()?;
        self.terminal.data(&answer)?;
        self.heading("...and calls a tool. 'whoami' answers which headers reached the MCP server, hashed.")?;
        self.call(Some(FIRST))?;

        self.heading("Rotation is one command.")?;
        self.command(&["secrets", "set", "demo-mcp", "GITHUB_TOKEN", SECOND])?;
        self.heading("The next call already carries the new value; the client did nothing.")?;
        self.call(Some(SECOND))?;

        self.heading("Deleting takes the secret out of the store...")?;
        self.command(&["secrets", "delete", "demo-mcp", "GITHUB_TOKEN", "--yes"])?;
        self.heading("...and the next call goes without it.")?;
        self.call(None)
    }

    fn heading(&mut self, text: &str) -> Result<(), Failure> {
        self.step += 1;
        self.terminal.data(&format!("\n{:>2}. {text}", self.step))
    }

    /// Shows a command and runs it, as `main` would.
    fn command(&mut self, arguments: &[&str]) -> Result<(), Failure> {
        self.terminal.data(&format!("$ aerostack {}", arguments.join(" ")))?;
        let all = ["aerostack"].iter().chain(arguments).map(OsString::from);
        run_arguments(all, &self.settings, self.terminal)
    }

    /// Calls `whoami` through the gateway and compares what arrived with what was set.
    fn call(&mut self, value: Option<&str>) -> Result<(), Failure> {
        let request = DemoClient::whoami_command();
        self.terminal.data(&format!("$ {request}"))?;
        let (answer, seen) = self.client.whoami()?;
        self.terminal.data(&answer)?;
        let expected = value.map(|value| format!("Bearer {value}"));
        if let Some(header) = &expected {
            let hash = hash_prefix(header.as_bytes());
            self.terminal.data(&format!("$ printf %s '{header}' | sha256sum | cut -c1-16\n{hash}"))?;
        }
        if seen == expected.as_ref().map(|header| hash_prefix(header.as_bytes())) {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Unexpected, "the MCP server did not receive what was set"))
    }
}
