//! `aerostack mcp list`: the MCP servers of the workspace.

use clap::Args;

use super::add;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Table;

/// List the MCP servers of the workspace
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ListArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  # Servers of the workspace in use
  $ aerostack mcp list
  # Servers of another workspace
  $ aerostack mcp list -w team-a";

/// Fields of a server in JSON.
pub(super) const FIELDS: &[&str] = &[
    "slug",
    "name",
    "url",
    "enabled",
    "allow_private_network",
    "secret_count",
    "inject_secrets",
    "created_at",
    "updated_at",
];

pub(super) async fn run(_: ListArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    let list = context.api()?.servers(&workspace).await?;
    if context.json() {
        return context.print_list("servers", &list);
    }
    if list.servers.is_empty() {
        context.terminal.note(&format!("No MCP servers in the workspace {workspace}."));
        return Ok(());
    }
    let mut table = Table::new(&["SLUG", "NAME", "URL", "ENABLED", "SECRETS"]);
    for server in &list.servers {
        let enabled = if server.enabled { "yes" } else { "no" };
        table.row([&server.slug, &server.name, &server.url, enabled, &server.secret_count.to_string()]);
    }
    context.terminal.data(&table.text())?;
    for server in &list.servers {
        if let Some(warning) = add::long_name_warning(&workspace, &server.slug) {
            context.terminal.warning(&warning);
        }
    }
    Ok(())
}
