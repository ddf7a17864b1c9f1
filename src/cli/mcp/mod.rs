//! `aerostack mcp`: one file for each command.

mod add;
mod list;
mod remove;
mod test;
mod update;

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;
use crate::domain::UpstreamUrl;
use crate::domain::origin::UrlProblem;

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack mcp add github-mcp --url https://mcp.example.com/
  $ aerostack mcp list";

/// The commands under `mcp`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = EXAMPLES)]
pub(super) enum McpCommand {
    Add(add::AddArgs),
    List(list::ListArgs),
    Update(update::UpdateArgs),
    Remove(remove::RemoveArgs),
    Test(test::TestArgs),
}

impl McpCommand {
    pub(super) fn list_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::List(_) => Some(list::FIELDS),
            Self::Add(_) | Self::Update(_) | Self::Remove(_) | Self::Test(_) => None,
        }
    }

    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => add::run(arguments, context).await,
            Self::List(arguments) => list::run(arguments, context).await,
            Self::Update(arguments) => update::run(arguments, context).await,
            Self::Remove(arguments) => remove::run(arguments, context).await,
            Self::Test(arguments) => test::run(arguments, context).await,
        }
    }
}

/// Checks the URL of an MCP server; as a clap parser, its error is shown without the
/// text, which may hold a credential.
fn upstream_url(text: &str) -> Result<UpstreamUrl, UrlProblem> {
    UpstreamUrl::parse(text)
}
