//! `aerostack mcp remove`: removes an MCP server and its secrets.

use clap::Args;

use crate::api::secrets::DeletedList;
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::domain::ServerSlug;

/// Remove an MCP server and its secrets
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RemoveArgs {
    /// MCP server to remove
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # See how many secrets go with it, and confirm
  $ aerostack mcp remove github-mcp
  # In a script
  $ aerostack mcp remove github-mcp --yes";

pub(super) async fn run(arguments: RemoveArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let RemoveArgs { server, confirmation } = arguments;
    confirmation.check_possible(context)?;
    let workspace = context.workspace()?;
    let summary = context.api()?.server(&workspace, &server).await?;
    let secrets = match summary.secret_count {
        0 => "no secrets".to_owned(),
        1 => "1 secret".to_owned(),
        count => format!("{count} secrets"),
    };
    let at_stake = format!("{server} ({}) has {secrets}.", printable::one_line(&summary.url));
    confirmation.ask(context, &at_stake, &format!("Remove {server} and all that belongs to it?"))?;
    context.api()?.remove_server(&workspace, &server).await?;
    if context.json() {
        return context.terminal.json(&DeletedList { deleted: vec![server.as_str().to_owned()] });
    }
    context.terminal.data(&format!("MCP server removed: {server}, with {secrets}"))
}
