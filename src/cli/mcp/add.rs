//! `aerostack mcp add`: adds an MCP server to the workspace.

use clap::Args;

use super::upstream_url;
use crate::api::servers::AddServerRequest;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::problem::not_blank;
use crate::domain::{ServerSlug, UpstreamUrl, WorkspaceSlug};

/// Characters that widespread MCP clients allow for a tool's whole name.
const MAX_TOOL_NAME: usize = 64;
/// Characters that should be left for a tool's own name.
const WANTED_FOR_TOOL: usize = 20;

/// Add an MCP server to the workspace
///
/// The URL is stored, not contacted. Secrets are bound to its scheme, host and port.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AddArgs {
    /// Short name: a-z, 0-9 and '-'
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// The server's MCP endpoint
    #[arg(long, value_name = "URL", value_parser = upstream_url)]
    url: UpstreamUrl,
    /// Name to show; the slug if left out
    #[arg(long, value_name = "NAME", value_parser = not_blank)]
    name: Option<String>,
    /// Allow an address of a private network or of this machine
    #[arg(long)]
    allow_private_network: bool,
    /// Leave the server's secrets in its answers, should they be there
    #[arg(long)]
    no_redaction: bool,
}

const EXAMPLES: &str = "\
EXAMPLES
  # A server on the internet
  $ aerostack mcp add github-mcp --url https://mcp.example.com/mcp
  # A server on this machine
  $ aerostack mcp add my-api --url http://127.0.0.1:3000/mcp \\
      --allow-private-network";

pub(super) async fn run(arguments: AddArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let AddArgs { server, url, name, allow_private_network, no_redaction } = arguments;
    let workspace = context.workspace()?;
    let request = AddServerRequest {
        slug: server.as_str().to_owned(),
        url: url.as_str().to_owned(),
        name,
        allow_private_network: allow_private_network.then_some(true),
        redact_responses: no_redaction.then_some(false),
    };
    let answer = context.api()?.add_server(&workspace, &request).await?;
    if context.json() {
        context.terminal.json(&answer)?;
    } else {
        context.terminal.data(&format!("MCP server added: {}", printable::one_line(&answer.slug)))?;
    }
    if let Some(warning) = long_name_warning(&workspace, server.as_str()) {
        context.terminal.warning(&warning);
    }
    Ok(())
}

/// Clients put workspace and server before each tool's name, and some break when the
/// whole is too long.
pub(super) fn long_name_warning(workspace: &WorkspaceSlug, server: &str) -> Option<String> {
    let taken = format!("mcp__{workspace}__{server}__").len();
    (taken > MAX_TOOL_NAME - WANTED_FOR_TOOL).then(|| {
        format!(
            "clients put mcp__{workspace}__{server}__ before each tool's name and some allow {MAX_TOOL_NAME} \
             characters in all: that leaves {}. A shorter slug is safer.",
            MAX_TOOL_NAME.saturating_sub(taken)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_warned_of() {
        let workspace = WorkspaceSlug::parse("default").unwrap();
        // mcp__ + default + __ + slug + __ = 16 + slug
        let warning = |length| long_name_warning(&workspace, &"a".repeat(length));
        assert!(warning(28).is_none());
        assert!(warning(29).unwrap().contains("that leaves 19."));
        assert!(warning(63).unwrap().contains("that leaves 0."));
    }
}
