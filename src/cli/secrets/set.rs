//! `aerostack secrets set`: creates a secret or replaces its value.

use std::ffi::OsString;

use clap::{Args, value_parser};

use super::value_source;
use crate::api::secrets::SetStatus;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::domain::{SecretName, ServerSlug};

/// Create a secret or replace its value
///
/// Without VALUE the value is read from standard input to its end, or asked for
/// without being shown. A VALUE on the command line can be seen in the shell's
/// history and in the list of processes. The old value cannot be read again.
///
/// The secret is sent in a header of its own name. A name with an underscore makes
/// a header that nginx, gunicorn and Django drop: if the MCP server stands behind
/// one of them, use 'secrets inject' with --header or --mcp-secret.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SetArgs {
    /// MCP server that gets the secret
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Name of the secret: letters, digits and '_'
    #[arg(value_name = "NAME")]
    name: SecretName,
    /// Value; '-' reads standard input
    #[arg(value_name = "VALUE", value_parser = value_parser!(OsString))]
    value: Option<OsString>,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Ask for the value, without showing it
  $ aerostack secrets set github-mcp GITHUB_TOKEN
  # Take it from another program
  $ pass github/token | aerostack secrets set github-mcp GITHUB_TOKEN
  # Take it from the command line
  $ aerostack secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\"";

pub(super) async fn run(arguments: SetArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let SetArgs { server, name, value } = arguments;
    let workspace = context.workspace()?;
    if value.is_none() && context.can_ask() {
        // Without a key, nobody need type the value.
        context.api()?;
    }
    let given = value_source::obtain(value, &format!("Value of {name} for {server} (not shown):"), context)?;
    let answer = context.api()?.set_secret(&workspace, &server, &name, &given.value).await?;
    if context.json() {
        context.terminal.json(&answer)?;
    } else {
        context.terminal.data(match answer.status {
            SetStatus::Created => "Secret created. Takes effect on next tool call.",
            SetStatus::Updated => "Secret updated. Takes effect on next tool call.",
        })?;
    }
    if given.lost_newline {
        let length = given.value.byte_length();
        context.terminal.note(&format!("stored {length} bytes; removed the trailing newline"));
    }
    Ok(())
}

#[cfg(test)]
impl SetArgs {
    /// The VALUE argument, for tests of the grammar.
    pub(in crate::cli) fn value(&self) -> Option<&std::ffi::OsStr> {
        self.value.as_deref()
    }
}
