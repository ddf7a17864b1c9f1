//! `aerostack secrets list`: names, rules and dates, of one server or of all.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::staleness::Staleness;
use crate::api::secrets::SecretSummary;
use crate::cli::age::ago;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, FailureKind};
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
    /// Only what was not set for so long: 90d (or s, m, h, w)
    #[arg(long, value_name = "TIME")]
    stale: Option<Staleness>,
    /// With --stale, end with exit 6 if there is any
    #[arg(long, requires = "stale")]
    fail: bool,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Secrets of one MCP server
  $ aerostack secrets list github-mcp
  # Secrets of all servers of the workspace
  $ aerostack secrets list
  # For CI: fail if a secret is due for rotation
  $ aerostack secrets list --stale 90d --fail
  # Names and dates only, for a program
  $ aerostack secrets list --json --fields name,updated_at";

/// Fields of a secret in JSON.
const SECRET_FIELDS: &[&str] = &["name", "injection", "created_at", "updated_at", "version", "damaged"];
/// Fields in the list of all: those of a server, and those of its secrets.
const GROUP_FIELDS: &[&str] =
    &["slug", "secrets", "name", "injection", "created_at", "updated_at", "version", "damaged"];

impl ListArgs {
    pub(super) fn fields(&self) -> &'static [&'static str] {
        if self.server.is_some() { SECRET_FIELDS } else { GROUP_FIELDS }
    }
}

pub(super) async fn run(arguments: ListArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let ListArgs { server, stale, fail } = arguments;
    let workspace = context.workspace()?;
    let count = match server {
        Some(server) => list_one(&workspace, &server, stale.as_ref(), context).await?,
        None => list_all(&workspace, stale.as_ref(), context).await?,
    };
    match stale {
        Some(stale) if fail && count > 0 => Err(too_old(count, &stale)),
        _ => Ok(()),
    }
}

fn too_old(count: usize, stale: &Staleness) -> Failure {
    let were = if count == 1 { "secret was" } else { "secrets were" };
    Failure::new(FailureKind::Conflict, format!("{count} {were} not set for {}", stale.text()))
        .with_hint("set a new value with: aerostack secrets rotate <mcp-slug> <NAME>")
}

/// Keeps what is stale, if that is asked for.
fn keep(secrets: &mut Vec<SecretSummary>, stale: Option<&Staleness>) {
    if let Some(stale) = stale {
        let now = Timestamp::now();
        secrets.retain(|secret| stale.applies_to(secret, now));
    }
}

/// Answers how many secrets were listed.
async fn list_one(
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    stale: Option<&Staleness>,
    context: &mut Context<'_>,
) -> Result<usize, Failure> {
    let mut list = context.api()?.secrets(workspace, server).await?;
    let there_are_any = !list.secrets.is_empty();
    keep(&mut list.secrets, stale);
    let count = list.secrets.len();
    if context.json() {
        context.print_list("secrets", &list)?;
    } else if count > 0 {
        let now = ages(context);
        context.terminal.data(&table(&list.secrets, now).text())?;
    } else {
        context.terminal.note(&match stale {
            Some(stale) if there_are_any => format!("No secret of {server} is older than {}.", stale.text()),
            _ => format!("No secrets for {server}."),
        });
    }
    Ok(count)
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

/// Answers how many secrets were listed.
async fn list_all(
    workspace: &WorkspaceSlug,
    stale: Option<&Staleness>,
    context: &mut Context<'_>,
) -> Result<usize, Failure> {
    let servers = context.api()?.servers(workspace).await?.servers;
    let there_are_any = !servers.is_empty();
    let mut groups = Groups { servers: Vec::new() };
    for server in servers {
        let mut secrets = match ServerSlug::parse(&server.slug) {
            Ok(slug) if server.secret_count > 0 => context.api()?.secrets(workspace, &slug).await?.secrets,
            _ => Vec::new(),
        };
        keep(&mut secrets, stale);
        if stale.is_none() || !secrets.is_empty() {
            groups.servers.push(Group { slug: server.slug, secrets });
        }
    }
    let count = groups.servers.iter().map(|group| group.secrets.len()).sum();
    if context.json() {
        context.print_groups("servers", "secrets", &groups)?;
        return Ok(count);
    }
    match stale {
        _ if !there_are_any => {
            context.terminal.note(&format!("No MCP servers in the workspace {workspace}."));
        }
        Some(stale) if count == 0 => {
            let told = format!("No secret in the workspace {workspace} is older than {}.", stale.text());
            context.terminal.note(&told);
        }
        _ => {}
    }
    print_blocks(&groups, context)?;
    Ok(count)
}

fn print_blocks(groups: &Groups, context: &mut Context<'_>) -> Result<(), Failure> {
    let (full, empty): (Vec<_>, Vec<_>) = groups.servers.iter().partition(|group| !group.secrets.is_empty());
    for group in empty {
        context.terminal.note(&format!("No secrets for {}.", printable::one_line(&group.slug)));
    }
    let now = ages(context);
    let blocks: Vec<String> = full.into_iter().map(|group| block(group, now)).collect();
    if blocks.is_empty() { Ok(()) } else { context.terminal.data(&blocks.join("\n\n")) }
}

fn block(group: &Group, now: Option<Timestamp>) -> String {
    format!("{}\n{}", printable::one_line(&group.slug), table(&group.secrets, now).text())
}

/// The time by which to tell ages: on a terminal only, where nobody takes lines apart.
fn ages(context: &Context<'_>) -> Option<Timestamp> {
    context.terminal.shows_data().then(Timestamp::now)
}

/// The table of the contract's sample; with a time, the age stands beside each date.
fn table<'a>(secrets: impl IntoIterator<Item = &'a SecretSummary>, now: Option<Timestamp>) -> Table {
    let mut table = Table::with_gaps(&["SECRET NAME", "INJECTION", "LAST UPDATED"], &[3, 4, 0]);
    for secret in secrets {
        if secret.damaged {
            table.row([secret.name.as_str(), "damaged: delete and set again", "-"]);
        } else {
            let day = day(&secret.updated_at);
            let when = now.map_or(day.to_owned(), |now| format!("{day} ({})", ago(&secret.updated_at, now)));
            table.row([&secret.name, &secret.injection.label(&secret.name), &when]);
        }
    }
    table
}
