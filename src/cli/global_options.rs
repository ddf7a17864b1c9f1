//! Options that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::problem::Rule;
use super::settings::Settings;
use super::terminal::{Style, Terminal};
use crate::domain::WorkspaceSlug;

/// The hosted API.
pub const DEFAULT_API_URL: &str = "https://api.aerostack.dev";
/// Time limit when none is given, in seconds.
const DEFAULT_TIMEOUT: u64 = 30;
/// Longest time limit, in seconds: a day.
const MAX_TIMEOUT: u64 = 86_400;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise
    Auto,
    /// In any case
    Always,
    /// Not at all
    Never,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is one option of the command line")]
#[expect(clippy::doc_markdown, reason = "the texts are the help, where backticks would show")]
pub struct GlobalOptions {
    /// Base URL of the API [env: AEROSTACK_API_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub api_url: Option<String>,
    /// Workspace to work in [env: AEROSTACK_WORKSPACE]
    #[arg(short, long, global = true, value_name = "SLUG")]
    pub workspace: Option<WorkspaceSlug>,
    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// With --json, print these fields of a list only
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub fields: Option<Vec<String>>,
    /// Leave out notes on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show each request on standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Never ask; fail where an answer is needed
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Time limit for the network, in seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = DEFAULT_TIMEOUT, value_parser = timeout)]
    pub timeout: u64,
    /// Trust only this PEM file [env: AEROSTACK_CA_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// Colour: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorChoice,
}

impl Default for GlobalOptions {
    /// No option given.
    fn default() -> Self {
        Self {
            api_url: None,
            workspace: None,
            json: false,
            fields: None,
            quiet: false,
            verbose: false,
            no_input: false,
            timeout: DEFAULT_TIMEOUT,
            ca_cert: None,
            color: ColorChoice::Auto,
        }
    }
}

fn timeout(text: &str) -> Result<u64, Rule> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_TIMEOUT).contains(seconds));
    seconds.ok_or(Rule("a time limit is 1 to 86400 seconds"))
}

/// How to talk, before and after the arguments are understood.
pub(super) fn style(
    color: ColorChoice,
    quiet: bool,
    json: bool,
    settings: &Settings,
    terminal: &Terminal,
) -> Style {
    let color = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if settings.no_color => false,
        ColorChoice::Auto if settings.force_color => true,
        ColorChoice::Auto => terminal.talks_to_terminal() && !settings.dumb_terminal,
    };
    Style { color, quiet, json, dumb: settings.dumb_terminal }
}

#[cfg(test)]
mod tests {
    use super::ColorChoice::{Always, Auto, Never};
    use super::*;

    #[test]
    fn colour_follows_option_then_environment_then_terminal() {
        let color = |choice, no_color, force_color, dumb_terminal, tty| {
            let settings = Settings { no_color, force_color, dumb_terminal, ..Settings::default() };
            style(choice, false, false, &settings, &Terminal::captured(tty)).color
        };
        assert!(color(Auto, false, false, false, true));
        assert!(!color(Auto, false, false, false, false));
        assert!(!color(Auto, false, false, true, true));
        assert!(!color(Auto, true, true, false, true));
        assert!(color(Auto, false, true, false, false));
        assert!(color(Always, true, false, false, false));
        assert!(!color(Never, false, true, false, true));
    }

    #[test]
    fn time_limits() {
        assert_eq!(timeout("1").ok(), Some(1));
        for bad in ["", "0", "-1", "1.5", "86401", "canary"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }
}
