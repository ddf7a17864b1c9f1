//! `aerostack workspace list`: the workspaces of the project.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Table;

/// List the workspaces of the project
///
/// The one in use is marked with '*'.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ListArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack workspace list
  # Slugs only, for a program
  $ aerostack workspace list --json --fields slug";

/// Fields of a workspace in JSON.
pub(super) const FIELDS: &[&str] = &["slug", "name", "server_count", "gateway_url", "created_at"];

pub(super) async fn run(_: ListArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let in_use = context.workspace()?;
    let list = context.api()?.workspaces().await?;
    if context.json() {
        return context.print_list("workspaces", &list);
    }
    if list.workspaces.is_empty() {
        context.terminal.note("No workspaces.");
        return Ok(());
    }
    let mut table = Table::with_gaps(&["", "SLUG", "NAME", "SERVERS", "GATEWAY URL"], &[1, 3, 3, 3, 0]);
    for workspace in &list.workspaces {
        let mark = if workspace.slug == in_use.as_str() { "*" } else { "" };
        let servers = workspace.server_count.to_string();
        table.row([mark, &workspace.slug, &workspace.name, &servers, &workspace.gateway_url]);
    }
    context.terminal.data(&table.text())
}
