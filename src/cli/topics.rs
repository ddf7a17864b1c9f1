//! Pages of `aerostack help` that belong to no command, each made from the table that the
//! program itself goes by.

use std::fmt::Write as _;

use clap::Subcommand;

use super::env_vars::{self, EnvVar};
use super::failure::FailureKind;

/// Widest line, in characters.
const WIDTH: usize = 80;
/// Where the text about a variable begins.
const NAME_COLUMN: usize = 29;

/// What stands below the help of the whole program.
pub(super) const AT_THE_END_OF_HELP: &str = "\
EXAMPLES
  $ aerostack secrets set github-mcp GITHUB_TOKEN
  $ aerostack secrets list github-mcp

HELP TOPICS
  aerostack help exit-codes     What each exit code means
  aerostack help environment    The environment variables that are read

No telemetry, no update check: a command connects to the API and nowhere else.";

/// The topics. For clap they are hidden commands whose help is the page.
#[derive(Debug, Subcommand)]
pub(super) enum Topic {
    /// What each exit code means
    #[command(name = "exit-codes", hide = true, override_help = exit_codes())]
    Exits,
    /// The environment variables that are read
    #[command(hide = true, override_help = environment())]
    Environment,
}

impl Topic {
    /// The page.
    pub(super) fn page(&self) -> String {
        match self {
            Self::Exits => exit_codes(),
            Self::Environment => environment(),
        }
    }
}

/// The page on exit codes.
pub fn exit_codes() -> String {
    let mut page = "EXIT CODES\n".to_owned();
    let kinds = FailureKind::ALL.map(|kind| (kind.exit_code(), kind.meaning()));
    for (code, meaning) in [(0, "done")].into_iter().chain(kinds) {
        add(&mut page, &format!("  {code:<5}"), 7, meaning);
    }
    page.push_str("\nWith --json, an error is one JSON document on standard error:\n");
    page.push_str("  {\"error\":{\"code\":...,\"message\":...,\"hint\":...,\"request_id\":...}}\n");
    add(&mut page, "  code", 14, "a word for the kind; the server's own, where it reported the error");
    add(&mut page, "  hint", 14, "what to do next, or null");
    add(
        &mut page,
        "  request_id",
        14,
        "under which the server's log has the request; \"\" if no server reported it",
    );
    page
}

/// The page on environment variables.
pub fn environment() -> String {
    let mut page = "ENVIRONMENT\n".to_owned();
    for var in env_vars::COMMAND_LINE {
        add_variable(&mut page, var);
    }
    #[cfg(feature = "server")]
    {
        page.push_str("\nTHE COMPANION SERVER ('serve', 'mock', 'demo')\n");
        for var in env_vars::SERVER {
            add_variable(&mut page, var);
        }
    }
    page.push_str("\nA variable that is set but empty counts as not set. An option goes before its\n");
    page.push_str("variable. http to this machine never goes through a proxy; HTTP_PROXY and\n");
    page.push_str("ALL_PROXY are not read.\n");
    page
}

fn add_variable(page: &mut String, var: &EnvVar) {
    add(page, &format!("  {}", var.name), NAME_COLUMN, var.meaning);
    let option = var.option.map(|option| format!("option: {option}"));
    let default = var.default.map(|default| format!("default: {default}"));
    let notes: Vec<_> = option.into_iter().chain(default).collect();
    if !notes.is_empty() {
        add(page, "", NAME_COLUMN, &format!("[{}]", notes.join("; ")));
    }
}

/// Adds a label and its text, which is broken into lines and begins at this column.
fn add(page: &mut String, label: &str, column: usize, text: &str) {
    let mut line = format!("{label:<column$}");
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() > WIDTH {
            let _ = writeln!(page, "{}", line.trim_end());
            line = " ".repeat(column);
        }
        line.push_str(word);
        line.push(' ');
    }
    let _ = writeln!(page, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit_on_a_screen_of_80_columns() {
        for page in [exit_codes(), environment(), AT_THE_END_OF_HELP.to_owned()] {
            assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        }
    }
}
