//! `aerostack secrets`: one file for each command.

mod compact_json;
mod delete;
mod entries;
mod env_file;
mod import;
mod import_source;
mod inject;
mod json_file;
mod list;
mod rotate;
mod rule_args;
mod set;
mod staleness;
mod text_encoding;
mod value_form;
mod value_source;

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;

const EXAMPLES: &str = "\
EXAMPLES
  # Set a secret, choose the header it is sent in, look
  $ aerostack secrets set github-mcp GITHUB_TOKEN
  $ aerostack secrets inject github-mcp GITHUB_TOKEN --bearer
  $ aerostack secrets list github-mcp";

/// The commands under `secrets`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = EXAMPLES)]
pub(super) enum SecretsCommand {
    Set(set::SetArgs),
    Rotate(rotate::RotateArgs),
    Inject(inject::InjectArgs),
    List(list::ListArgs),
    Delete(delete::DeleteArgs),
    Import(import::ImportArgs),
}

impl SecretsCommand {
    pub(super) fn list_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::List(arguments) => Some(arguments.fields()),
            Self::Set(_) | Self::Rotate(_) | Self::Inject(_) | Self::Delete(_) | Self::Import(_) => None,
        }
    }

    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Set(arguments) => set::run(arguments, context).await,
            Self::Rotate(arguments) => rotate::run(arguments, context).await,
            Self::Inject(arguments) => inject::run(arguments, context).await,
            Self::List(arguments) => list::run(arguments, context).await,
            Self::Delete(arguments) => delete::run(arguments, context).await,
            Self::Import(arguments) => import::run(arguments, context).await,
        }
    }
}
