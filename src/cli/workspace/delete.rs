//! `aerostack workspace delete`: a workspace with its servers, secrets and tokens.

use clap::Args;

use crate::api::secrets::DeletedList;
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::domain::WorkspaceSlug;

/// Delete a workspace with everything in it
///
/// Its MCP servers, their secrets and its workspace tokens go with it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DeleteArgs {
    /// Workspace to delete
    #[arg(value_name = "slug")]
    slug: WorkspaceSlug,
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # See what goes with it, and confirm
  $ aerostack workspace delete team-a";

pub(super) async fn run(arguments: DeleteArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let DeleteArgs { slug, confirmation } = arguments;
    confirmation.check_possible(context)?;
    if !confirmation.yes {
        let servers = context.api()?.servers(&slug).await?.servers;
        let secrets: u64 = servers.iter().map(|server| server.secret_count).sum();
        let at_stake =
            format!("MCP servers: {}, secrets: {secrets}, and all workspace tokens.", servers.len());
        let question = format!("Delete the workspace {slug}?");
        confirmation.ask_for_word(context, &at_stake, &question, slug.as_str())?;
    }
    context.api()?.delete_workspace(&slug).await?;
    if forget(&slug, context)? {
        context.terminal.note("It was the one in use: the commands work on 'default' from now on.");
    }
    if context.json() {
        return context.terminal.json(&DeletedList { deleted: vec![slug.as_str().to_owned()] });
    }
    context.terminal.data(&format!("Workspace deleted: {slug}"))
}

/// A deleted workspace is not in use any more; whether it was.
fn forget(slug: &WorkspaceSlug, context: &Context<'_>) -> Result<bool, Failure> {
    let Some(file) = context.config_file() else { return Ok(false) };
    let base = context.base()?;
    match file.workspace(base.origin()) {
        Ok(Some(chosen)) if chosen == *slug => file.set_workspace(base.origin(), None).map(|()| true),
        _ => Ok(false),
    }
}
