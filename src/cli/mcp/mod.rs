//! `aerostack mcp`: one file for each command.

pub mod add;
pub mod list;
pub mod remove;
pub mod update;

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;
use crate::domain::UpstreamUrl;
use crate::domain::origin::UrlProblem;

/// The commands under `mcp`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum McpCommand {
    /// Add an MCP server to the workspace
    Add(add::AddArgs),
    /// List the MCP servers of the workspace
    List(list::ListArgs),
    /// Change the URL, name or state of an MCP server
    Update(update::UpdateArgs),
    /// Remove an MCP server and its secrets
    Remove(remove::RemoveArgs),
}

impl McpCommand {
    pub(super) fn list_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::List(_) => Some(list::FIELDS),
            Self::Add(_) | Self::Update(_) | Self::Remove(_) => None,
        }
    }

    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Add(arguments) => add::run(arguments, context).await,
            Self::List(arguments) => list::run(arguments, context).await,
            Self::Update(arguments) => update::run(arguments, context).await,
            Self::Remove(arguments) => remove::run(arguments, context).await,
        }
    }
}

/// Checks the URL of an MCP server; as a clap parser, its error is shown without the
/// text, which may hold a credential.
fn upstream_url(text: &str) -> Result<UpstreamUrl, UrlProblem> {
    UpstreamUrl::parse(text)
}
