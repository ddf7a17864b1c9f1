//! `aerostack workspace token list`: the tokens of a workspace, never the tokens
//! themselves.

use clap::Args;
use jiff::Timestamp;

use crate::api::tokens::TokenSummary;
use crate::cli::age::ago;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::{Table, day};
use crate::domain::WorkspaceSlug;

/// List the tokens of a workspace, never the tokens themselves
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TokenListArgs {
    /// Workspace that the tokens open
    #[arg(id = "named_workspace", value_name = "workspace")]
    workspace: WorkspaceSlug,
}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack workspace token list default";

/// Fields of a token in JSON.
pub(super) const FIELDS: &[&str] =
    &["id", "name", "created_at", "expires_at", "last_used_at", "status", "rate_limit", "servers", "tools"];

pub(super) async fn run(arguments: TokenListArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let workspace = context.named_workspace(arguments.workspace)?;
    let list = context.api()?.tokens(&workspace).await?;
    if context.json() {
        return context.print_list("tokens", &list);
    }
    if list.tokens.is_empty() {
        context.terminal.note(&format!("No tokens for the workspace {workspace}."));
        return Ok(());
    }
    let mut table =
        Table::new(&["ID", "NAME", "CREATED", "EXPIRES", "LAST USED", "STATUS", "CALLS/MIN", "MAY USE"]);
    // Ages are for people, who read on a terminal.
    let now = context.terminal.shows_data().then(Timestamp::now);
    let with_age =
        |time: &str| now.map_or(day(time).to_owned(), |now| format!("{} ({})", day(time), ago(time, now)));
    for token in &list.tokens {
        let expires = token.expires_at.as_deref().map_or("never", day);
        let last_used = token.last_used_at.as_deref().map_or("-".to_owned(), with_age);
        table.row([
            &token.id,
            &token.name,
            &with_age(&token.created_at),
            expires,
            &last_used,
            token.status.as_str(),
            &token.rate_limit.map_or("-".to_owned(), |limit| limit.to_string()),
            &may_use(token),
        ]);
    }
    context.terminal.data(&table.text())
}

/// What a token is limited to.
fn may_use(token: &TokenSummary) -> String {
    let list = |word: &str, patterns: &[String]| format!("{word} {}", patterns.join(","));
    let servers = token.servers.as_deref().map(|patterns| list("servers", patterns));
    let tools = token.tools.as_deref().map(|patterns| list("tools", patterns));
    let parts: Vec<String> = servers.into_iter().chain(tools).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join("; ") }
}
