//! `aerostack workspace` and `aerostack workspace token`: one file for each command.

mod create;
mod delete;
mod list;
mod token_create;
mod token_list;
mod token_revoke;
mod use_workspace;

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack workspace create \"Team A\"
  $ aerostack workspace use team-a";

const TOKEN_EXAMPLES: &str = "\
EXAMPLES
  $ aerostack workspace token create team-a --name anna
  $ aerostack workspace token list team-a";

/// The commands under `workspace`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = EXAMPLES)]
pub(super) enum WorkspaceCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Use(use_workspace::UseArgs),
    Delete(delete::DeleteArgs),
    /// Create, list and revoke workspace tokens
    #[command(subcommand)]
    Token(TokenCommand),
}

/// The commands under `workspace token`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = TOKEN_EXAMPLES)]
pub(in crate::cli) enum TokenCommand {
    Create(token_create::TokenCreateArgs),
    List(token_list::TokenListArgs),
    Revoke(token_revoke::TokenRevokeArgs),
}

impl WorkspaceCommand {
    pub(super) fn list_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::List(_) => Some(list::FIELDS),
            Self::Token(TokenCommand::List(_)) => Some(token_list::FIELDS),
            _ => None,
        }
    }

    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create::run(arguments, context).await,
            Self::List(arguments) => list::run(arguments, context).await,
            Self::Use(arguments) => use_workspace::run(arguments, context).await,
            Self::Delete(arguments) => delete::run(arguments, context).await,
            Self::Token(TokenCommand::Create(arguments)) => token_create::run(arguments, context).await,
            Self::Token(TokenCommand::List(arguments)) => token_list::run(arguments, context).await,
            Self::Token(TokenCommand::Revoke(arguments)) => token_revoke::run(arguments, context).await,
        }
    }
}
