//! `aerostack secrets list`: names, rules and dates, of one server or of all.

use clap::Args;
use serde::Serialize;

use crate::api::secrets::SecretSummary;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::table::{Table, day};
use crate::domain::{ServerSlug, WorkspaceSlug};

/// List names, rules and dates of secrets, never values
///
/// INJECTION is the header in which the secret is sent. LAST UPDATED is the day
/// (UTC) on which its value was last set. A header with an underscore is dropped
/// by nginx, gunicorn and Django: the way out is 'secrets inject' with --header
/// or --mcp-secret.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ListArgs {
    /// MCP server; all servers of the workspace if left out
    #[arg(value_name = "mcp-slug")]
    server: Option<ServerSlug>,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Secrets of one MCP server
  $ aerostack secrets list github-mcp
  # Secrets of all servers of the workspace
  $ aerostack secrets list
  # Names only, for a program
  $ aerostack secrets list github-mcp --json --fields name";

/// Fields of a secret in JSON.
const SECRET_FIELDS: &[&str] = &["name", "injection", "created_at", "updated_at", "version"];
/// Fields of a server in the list of all.
const GROUP_FIELDS: &[&str] = &["slug", "secrets"];

impl ListArgs {
    pub(super) fn fields(&self) -> &'static [&'static str] {
        if self.server.is_some() { SECRET_FIELDS } else { GROUP_FIELDS }
    }
}

pub(super) async fn run(arguments: ListArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    match arguments.server {
        Some(server) => list_one(&workspace, &server, context).await,
        None => list_all(&workspace, context).await,
    }
}

async fn list_one(
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let list = context.api()?.secrets(workspace, server).await?;
    if context.json() {
        return context.print_list("secrets", &list);
    }
    if list.secrets.is_empty() {
        context.terminal.note(&format!("No secrets for {server}."));
        return Ok(());
    }
    context.terminal.data(&table(&list.secrets).text())
}

/// Secrets of one server in the list of all.
#[derive(Serialize)]
struct Group {
    slug: String,
    secrets: Vec<SecretSummary>,
}

#[derive(Serialize)]
struct Groups {
    servers: Vec<Group>,
}

async fn list_all(workspace: &WorkspaceSlug, context: &mut Context<'_>) -> Result<(), Failure> {
    let mut groups = Groups { servers: Vec::new() };
    for server in context.api()?.servers(workspace).await?.servers {
        let secrets = match ServerSlug::parse(&server.slug) {
            Ok(slug) if server.secret_count > 0 => context.api()?.secrets(workspace, &slug).await?.secrets,
            _ => Vec::new(),
        };
        groups.servers.push(Group { slug: server.slug, secrets });
    }
    if context.json() {
        return context.print_list("servers", &groups);
    }
    if groups.servers.is_empty() {
        context.terminal.note(&format!("No MCP servers in the workspace {workspace}."));
    }
    let (full, empty): (Vec<_>, Vec<_>) = groups.servers.iter().partition(|group| !group.secrets.is_empty());
    for group in empty {
        context.terminal.note(&format!("No secrets for {}.", printable::one_line(&group.slug)));
    }
    let blocks: Vec<String> = full.into_iter().map(block).collect();
    if blocks.is_empty() { Ok(()) } else { context.terminal.data(&blocks.join("\n\n")) }
}

fn block(group: &Group) -> String {
    format!("{}\n{}", printable::one_line(&group.slug), table(&group.secrets).text())
}

/// The table of the contract's sample.
pub(super) fn table<'a>(secrets: impl IntoIterator<Item = &'a SecretSummary>) -> Table {
    let mut table = Table::with_gaps(&["SECRET NAME", "INJECTION", "LAST UPDATED"], &[3, 4, 0]);
    for secret in secrets {
        if secret.damaged {
            table.row([secret.name.as_str(), "damaged: delete and set again", "-"]);
        } else {
            table.row([&secret.name, &secret.injection.label(&secret.name), day(&secret.updated_at)]);
        }
    }
    table
}
