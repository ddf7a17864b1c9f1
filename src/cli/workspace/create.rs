//! `aerostack workspace create`: a new workspace with a gateway of its own.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::problem::Rule;
use crate::domain::WorkspaceSlug;

/// Create a workspace
///
/// The slug is made from the name and never changes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct CreateArgs {
    /// Name to show
    #[arg(value_name = "name", value_parser = workspace_name)]
    name: String,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Prints the slug and where MCP clients connect
  $ aerostack workspace create \"Team A\"";

/// Accepts a name that a slug can be made of.
fn workspace_name(text: &str) -> Result<String, Rule> {
    if text.chars().any(char::is_control) {
        return Err(Rule("a name has no control characters"));
    }
    WorkspaceSlug::from_name(text).map_err(|_| Rule("a name needs a letter a-z or a digit"))?;
    Ok(text.to_owned())
}

pub(super) async fn run(arguments: CreateArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let answer = context.api()?.create_workspace(&arguments.name).await?;
    if context.json() {
        return context.terminal.json(&answer);
    }
    let (slug, url) = (printable::one_line(&answer.slug), printable::one_line(&answer.gateway_url));
    context.terminal.data(&format!("Workspace created: {slug}\nGateway URL: {url}"))
}
