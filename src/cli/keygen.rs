//! `aerostack keygen`: prints a fresh master key.

use clap::Args;

use super::failure::{Failure, FailureKind};
use super::terminal::Terminal;
use crate::server::vault::SecretsKey;

/// Print a fresh WORKFLOW_SECRETS_KEY
///
/// 32 random bytes as base64. Keep it apart from the database: whoever has both can
/// read every secret, and without it nobody can.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::doc_markdown, reason = "the texts are the help, where backticks would show")]
pub(super) struct KeygenArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  # Make a key file that only you can read
  $ (umask 077; aerostack keygen > workflow-secrets.key)
  $ WORKFLOW_SECRETS_KEY_FILE=workflow-secrets.key \\
      aerostack serve --database sqlite:aerostack.db";

pub(super) fn run(_: &KeygenArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    let key =
        SecretsKey::generate().map_err(|error| Failure::new(FailureKind::Unexpected, error.to_string()))?;
    terminal.data(&key.to_base64())
}
