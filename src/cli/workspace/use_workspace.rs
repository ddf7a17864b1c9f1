//! `aerostack workspace use`: remembers the workspace that commands work in.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::env_vars;
use crate::cli::failure::{Failure, FailureKind};
use crate::cli::printable;
use crate::domain::{WorkspaceSlug, suggestion};

/// Choose the workspace that commands work in
///
/// The choice is kept for each API address. -w and AEROSTACK_WORKSPACE go before it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would show")]
pub(in crate::cli) struct UseArgs {
    /// Workspace to use
    #[arg(value_name = "slug")]
    slug: WorkspaceSlug,
}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack workspace use team-a
  # Back to the workspace that every project has
  $ aerostack workspace use default";

pub(super) async fn run(arguments: UseArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let slug = arguments.slug;
    let file = context.config_file().ok_or_else(|| {
        Failure::new(FailureKind::Unexpected, "there is no home directory to remember the workspace in")
            .with_hint(format!("set {} instead", env_vars::WORKSPACE))
    })?;
    let origin = context.base()?.origin().clone();
    let list = context.api()?.workspaces().await?;
    let Some(found) = list.workspaces.iter().find(|workspace| workspace.slug == slug.as_str()) else {
        let slugs = list.workspaces.iter().map(|workspace| workspace.slug.as_str());
        let hint = suggestion::hint(slug.as_str(), slugs, "'aerostack workspace list' shows them");
        return Err(
            Failure::not_found(format!("there is no workspace {slug}")).with_hint(printable::one_line(&hint))
        );
    };
    file.set_workspace(&origin, Some(&slug))?;
    if context.json() {
        context.terminal.json(found)?;
    } else {
        context.terminal.data(&format!("Workspace in use: {slug}"))?;
    }
    if context.settings().workspace.as_deref().is_some_and(|other| other != slug.as_str()) {
        let variable = env_vars::WORKSPACE;
        context
            .terminal
            .warning(&format!("{variable} is set to another workspace and goes before this choice"));
    }
    Ok(())
}
