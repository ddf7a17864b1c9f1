//! `aerostack auth`: the API key of this user for an API, one file for each command.
//! `login`, `logout` and `whoami` are the same at the top level.

mod login;
mod logout;
mod status;

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;

pub(super) use login::LoginArgs;
pub(super) use logout::LogoutArgs;
pub(super) use status::StatusArgs;

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack auth login
  $ aerostack auth status";

/// The commands under `auth`.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true, after_help = EXAMPLES)]
pub(super) enum AuthCommand {
    Login(LoginArgs),
    Logout(LogoutArgs),
    Status(StatusArgs),
}

impl AuthCommand {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Login(arguments) => login::run(arguments, context).await,
            Self::Logout(arguments) => logout::run(&arguments, context),
            Self::Status(arguments) => status::run(&arguments, context).await,
        }
    }
}
