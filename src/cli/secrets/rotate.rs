//! `aerostack secrets rotate`: `set` for a secret that must exist, with the day of the old
//! value.

use clap::Args;
use serde::Serialize;

use super::delete::check_present;
use super::set::secrets_of;
use super::value_source::{For, ValueArgs};
use crate::api::secrets::{SecretSummary, SetSecretSummary};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::table::day;
use crate::client::secrets::SetOptions;
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};

/// Replace the value of a secret that exists
///
/// It is 'secrets set' that never creates: a mistyped name is an error (exit 3). The
/// rule stays. The old value is gone; it was last set on the day that is printed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RotateArgs {
    /// MCP server that the secret belongs to
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Name of the secret
    #[arg(value_name = "NAME")]
    name: SecretName,
    #[command(flatten)]
    value: ValueArgs,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Ask for the new value, without showing it
  $ aerostack secrets rotate github-mcp GITHUB_TOKEN
  # Take it from another program
  $ new-token | aerostack secrets rotate github-mcp GITHUB_TOKEN
  # Take it from a CI variable
  $ aerostack secrets rotate github-mcp GITHUB_TOKEN --from-env NEW_TOKEN";

/// The API's answer, and when the value that was replaced had been set.
#[derive(Serialize)]
struct Rotated<'a> {
    #[serde(flatten)]
    answer: &'a SetSecretSummary,
    replaced_at: Option<&'a str>,
}

pub(super) async fn run(arguments: RotateArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let RotateArgs { server, name, value } = arguments;
    let workspace = context.workspace()?;
    let two_words = value.two_words();
    let wanted = For { command: "rotate", server: &server, name: &name };
    let (given, before) = if value.asks(context) {
        // For a secret that is not there, nobody need type the value.
        let before = present(&workspace, &server, &name, two_words, context).await?;
        (value.obtain(&wanted, context)?, before)
    } else {
        (value.obtain(&wanted, context)?, present(&workspace, &server, &name, two_words, context).await?)
    };
    let options = SetOptions { must_exist: true, ..SetOptions::default() };
    let answer = context.api()?.set_secret(&workspace, &server, &name, &given.value, options).await?;
    print(&answer, &before, context)?;
    given.report(context);
    Ok(())
}

async fn present(
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    name: &SecretName,
    two_words: bool,
    context: &mut Context<'_>,
) -> Result<SecretSummary, Failure> {
    let list = secrets_of(workspace, server, "rotate", two_words, context).await?;
    check_present(name, server, &list, "stored").cloned()
}

fn print(
    answer: &SetSecretSummary,
    before: &SecretSummary,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    // If somebody else set it in between, that is not the value that was replaced.
    let is_old = before.version + 1 == answer.secret.version;
    let replaced_at = is_old.then_some(before.updated_at.as_str());
    if context.json() {
        return context.terminal.json(&Rotated { answer, replaced_at });
    }
    let old = replaced_at.map_or_else(String::new, |time| {
        format!(" The old value was set {}.", printable::one_line(day(time)))
    });
    context.terminal.data(&format!("Secret rotated.{old} Takes effect on next tool call."))
}
