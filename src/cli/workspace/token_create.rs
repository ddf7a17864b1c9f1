//! `aerostack workspace token create`: a token for one member, shown once.

use clap::Args;

use crate::api::tokens::{CreateTokenRequest, RateLimit, Unlimited};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::problem::{Rule, not_blank};
use crate::domain::workspace_token::MAX_CALLS_A_MINUTE;
use crate::domain::{TokenScope, WorkspaceSlug};

/// Create a workspace token and show it once
///
/// Standard output gets the token and nothing else; standard error gets the block
/// for an MCP client's configuration.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TokenCreateArgs {
    /// Workspace that the token opens
    #[arg(id = "named_workspace", value_name = "workspace")]
    workspace: WorkspaceSlug,
    /// For whom or what the token is
    #[arg(long, value_name = "NAME", value_parser = not_blank)]
    name: String,
    /// Life of the token in seconds; without it, it does not expire
    #[arg(long, value_name = "SECONDS", value_parser = life)]
    expires_in: Option<u64>,
    /// Tool calls a minute, or none for no limit; 120 without it
    #[arg(long, value_name = "N|none", value_parser = rate_limit)]
    rate_limit: Option<RateLimit>,
    /// Servers that the token may use; * stands for any characters
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    servers: Option<Vec<String>>,
    /// Tools that it may use, as <server>__<tool>; * stands for any characters
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    tools: Option<Vec<String>>,
}

const EXAMPLES: &str = "\
EXAMPLES
  # A token for a colleague
  $ aerostack workspace token create default --name anna
  # One for a day, into a variable
  $ TOKEN=$(aerostack workspace token create default --name ci \\
      --expires-in 86400)
  # One that can read and nothing else
  $ aerostack workspace token create default --name reader \\
      --tools 'github-mcp__get_*,github-mcp__list_*'";

fn life(text: &str) -> Result<u64, Rule> {
    text.parse().ok().filter(|seconds| *seconds > 0).ok_or(Rule("a life is a whole number of seconds from 1"))
}

fn rate_limit(text: &str) -> Result<RateLimit, Rule> {
    if text == "none" {
        return Ok(RateLimit::Unlimited(Unlimited::None));
    }
    let calls = text.parse().ok().filter(|calls| (1..=MAX_CALLS_A_MINUTE).contains(calls));
    calls
        .map(RateLimit::PerMinute)
        .ok_or(Rule("a rate limit is a number of tool calls a minute from 1 to 1000000, or none"))
}

pub(super) async fn run(arguments: TokenCreateArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let TokenCreateArgs { workspace, name, expires_in, rate_limit, servers, tools } = arguments;
    let workspace = context.named_workspace(workspace)?;
    // Checked before anything is sent, so that a slip in a pattern costs no connection.
    TokenScope::parse(servers.as_deref(), tools.as_deref())
        .map_err(|problem| Failure::usage(problem.to_string()))?;
    let request = CreateTokenRequest { name, expires_in, rate_limit, servers, tools };
    let created = context.api()?.create_token(&workspace, &request).await?;
    let printed = if context.json() {
        context.terminal.json_once(&created)
    } else {
        context.terminal.data_once(&created.secret)
    };
    // A token that nobody saw should not stay.
    let id = crate::cli::printable::one_line(&created.token.id);
    printed.map_err(|failure| {
        failure.with_context(&format!("the token {id} was created but could not be shown")).with_hint(
            format!("revoke it and create another: aerostack workspace token revoke {workspace} {id}"),
        )
    })?;
    context.terminal.note("This token is shown once. For an MCP client's configuration:");
    let block = serde_json::to_string_pretty(&created.mcp_json).map_err(anyhow::Error::new)?;
    context.terminal.note(&crate::cli::printable::json(&block));
    Ok(())
}
