//! The question before something is deleted. Without a terminal nobody answers for the
//! user: then `--yes` is needed, or nothing happens.

use clap::Args;

use super::context::Context;
use super::failure::Failure;

/// `-y`, on commands that delete.
#[derive(Debug, Clone, Args)]
pub struct Confirmation {
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

impl Confirmation {
    /// Fails when nobody could be asked; called before anything is sent.
    pub fn check_possible(&self, context: &Context<'_>) -> Result<(), Failure> {
        if self.yes || context.can_ask() {
            return Ok(());
        }
        Err(Failure::usage(
            "this has to be confirmed, and there is no terminal to ask on; nothing was changed",
        )
        .with_hint("pass --yes to go on without being asked"))
    }

    /// Shows what is at stake and asks `[y/N]`.
    pub fn ask(&self, context: &mut Context<'_>, at_stake: &str, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !at_stake.is_empty() {
            context.terminal.talk(at_stake);
        }
        let answer = context.terminal.ask(&format!("{question} [y/N]"))?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(refused())
        }
    }

    /// Shows what is at stake and asks for a word to be typed.
    pub fn ask_for_word(
        &self,
        context: &mut Context<'_>,
        at_stake: &str,
        question: &str,
        word: &str,
    ) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        context.terminal.talk(at_stake);
        let answer = context.terminal.ask(&format!("{question} Type '{word}' to confirm:"))?;
        if answer.trim() == word { Ok(()) } else { Err(refused()) }
    }
}

fn refused() -> Failure {
    Failure::usage("not confirmed; nothing was changed")
}
