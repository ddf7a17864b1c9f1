//! `aerostack mcp list`: the MCP servers of the workspace.

use clap::Args;

use super::{add, update};
use crate::api::servers::{HealthState, ServerHealth};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Table;

/// List the MCP servers of the workspace
///
/// HEALTH is what the last tool calls, lists, handshakes and tests have shown since the
/// companion server started. It contacts no MCP server; 'mcp test' does.
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
    "redact_responses",
    "secret_count",
    "inject_secrets",
    "health",
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
    let mut columns = vec!["SLUG", "NAME", "URL", "ENABLED", "SECRETS", "HEALTH"];
    // Shown where it is not as usual.
    let shows_redaction = list.servers.iter().any(|server| !server.redact_responses);
    columns.extend(shows_redaction.then_some("REDACTION"));
    let mut table = Table::new(&columns);
    for server in &list.servers {
        let enabled = if server.enabled { "yes" } else { "no" };
        let (secrets, health) = (server.secret_count.to_string(), health(&server.health));
        let redaction = update::on_or_off(server.redact_responses);
        let row = [&server.slug, &server.name, &server.url, enabled, &secrets, &health, redaction];
        table.cells(&row.map(str::to_owned)[..columns.len()]);
    }
    context.terminal.data(&table.text())?;
    for server in &list.servers {
        if let Some(warning) = add::long_name_warning(&workspace, &server.slug) {
            context.terminal.warning(&warning);
        }
    }
    Ok(())
}

/// What the last calls say, in a few words.
fn health(health: &ServerHealth) -> String {
    match (health.state, &health.since) {
        (HealthState::Ok, _) => "ok".to_owned(),
        (HealthState::Unknown, _) => "unknown".to_owned(),
        (HealthState::Failing, since) => {
            let since = since.as_deref().map(|since| format!(" since {since}")).unwrap_or_default();
            let reason = health.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("failing{since}{reason}")
        }
    }
}
