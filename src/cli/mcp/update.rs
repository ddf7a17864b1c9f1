//! `aerostack mcp update`: changes an MCP server. A change of its origin takes its
//! secrets away, because they were set for the old one.

use clap::{Args, ValueEnum};

use super::upstream_url;
use crate::api::servers::{ServerSummary, UpdateServerRequest};
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::problem::not_blank;
use crate::domain::{ServerSlug, UpstreamUrl, WorkspaceSlug};

/// Change the URL, name or state of an MCP server
///
/// Secrets belong to the scheme, host and port of the server's URL. To move a server
/// that has secrets elsewhere, add --detach-secrets: they are deleted and have to be
/// set again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(in crate::cli) struct UpdateArgs {
    /// MCP server to change
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    #[command(flatten)]
    changes: Changes,
    /// Delete the secrets if the URL leads elsewhere
    #[arg(long, requires = "url")]
    detach_secrets: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// At least one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// New MCP endpoint
    #[arg(long, value_name = "URL", value_parser = upstream_url)]
    url: Option<UpstreamUrl>,
    /// New name to show
    #[arg(long, value_name = "NAME", value_parser = not_blank)]
    name: Option<String>,
    /// Let the gateway serve it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Keep it, but do not let the gateway serve it
    #[arg(long)]
    disable: bool,
    /// Allow an address of a private network or of this machine
    #[arg(long, value_name = "true|false")]
    allow_private_network: Option<bool>,
    /// Whether its secrets are taken out of its answers
    #[arg(long, value_name = "on|off")]
    redaction: Option<Switch>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

const USAGE: &str = "\
aerostack mcp update <mcp-slug> [--url <URL> [--detach-secrets]]
    [--name <NAME>] [--enable|--disable] [--allow-private-network true|false]
    [--redaction on|off]";

const EXAMPLES: &str = "\
EXAMPLES
  # Another path on the same host: the secrets stay
  $ aerostack mcp update github-mcp --url https://mcp.example.com/v2
  # Another host: the secrets are deleted
  $ aerostack mcp update github-mcp --url https://new.example.com/mcp \\
      --detach-secrets
  # Stop serving it for now
  $ aerostack mcp update github-mcp --disable";

pub(super) async fn run(arguments: UpdateArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    if arguments.detach_secrets {
        confirm_detaching(&arguments, &workspace, context).await?;
    }
    let request = arguments.changes.request(arguments.detach_secrets);
    let answer = context.api()?.update_server(&workspace, &arguments.server, &request).await?;
    if context.json() {
        return context.terminal.json(&answer);
    }
    context.terminal.data(&report(&request, &answer))
}

async fn confirm_detaching(
    arguments: &UpdateArgs,
    workspace: &WorkspaceSlug,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    arguments.confirmation.check_possible(context)?;
    if arguments.confirmation.yes {
        return Ok(());
    }
    let server = context.api()?.server(workspace, &arguments.server).await?;
    let names: Vec<_> = server.inject_secrets.keys().map(|name| printable::one_line(name)).collect();
    let at_stake = if names.is_empty() {
        format!("{} has no secrets.", arguments.server)
    } else {
        format!("Secrets that are deleted if the URL leads elsewhere: {}", names.join(", "))
    };
    arguments.confirmation.ask(context, &at_stake, &format!("Change the URL of {}?", arguments.server))
}

impl Changes {
    fn request(&self, detach_secrets: bool) -> UpdateServerRequest {
        UpdateServerRequest {
            url: self.url.as_ref().map(|url| url.as_str().to_owned()),
            name: self.name.clone(),
            enabled: (self.enable || self.disable).then_some(self.enable),
            allow_private_network: self.allow_private_network,
            redact_responses: self.redaction.map(|switch| switch == Switch::On),
            detach_secrets: detach_secrets.then_some(true),
        }
    }
}

/// A switch in words.
pub(super) fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// One line for each thing that was changed, as the server now has it.
fn report(request: &UpdateServerRequest, answer: &ServerSummary) -> String {
    let mut lines = vec![format!("MCP server updated: {}", printable::one_line(&answer.slug))];
    if request.url.is_some() {
        lines.push(format!("URL: {}", printable::one_line(&answer.url)));
    }
    if request.name.is_some() {
        lines.push(format!("Name: {}", printable::one_line(&answer.name)));
    }
    if request.enabled.is_some() {
        lines.push(format!("Enabled: {}", if answer.enabled { "yes" } else { "no" }));
    }
    if request.allow_private_network.is_some() {
        lines.push(format!(
            "Private network: {}",
            if answer.allow_private_network { "allowed" } else { "refused" }
        ));
    }
    if request.redact_responses.is_some() {
        lines.push(format!("Redaction: {}", on_or_off(answer.redact_responses)));
    }
    if let Some(detached) = answer.detached.as_ref().filter(|names| !names.is_empty()) {
        let names: Vec<_> = detached.iter().map(|name| printable::one_line(name)).collect();
        lines.push(format!("Secrets deleted, set them again: {}", names.join(", ")));
    }
    lines.join("\n")
}
