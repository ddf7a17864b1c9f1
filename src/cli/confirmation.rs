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
        let why = if context.terminal.can_ask() {
            "--no-input forbids to ask"
        } else {
            "there is no terminal to ask on"
        };
        Err(Failure::usage(format!("this has to be confirmed, and {why}; nothing was changed"))
            .with_hint("pass --yes to go on without being asked"))
    }

    /// Shows what is at stake and asks `[y/N]`.
    pub fn ask(&self, context: &mut Context<'_>, at_stake: &str, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let answer = context.terminal.ask(at_stake, &format!("{question} [y/N]"))?.unwrap_or_default();
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
        let answer = context.terminal.ask(at_stake, &format!("{question} Type '{word}' to confirm:"))?;
        if answer.unwrap_or_default().trim() == word { Ok(()) } else { Err(refused()) }
    }
}

fn refused() -> Failure {
    Failure::usage("not confirmed; nothing was changed")
}
