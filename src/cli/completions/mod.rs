//! `aerostack completions`, and the answers to the scripts it prints: commands, options and
//! values from the grammar itself; workspaces, servers and secrets from a cache of names.

pub mod name_cache;
mod names;

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _, ValueEnum, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use super::Cli;
use super::env_vars;
use super::failure::Failure;
use super::settings::Settings;
use super::terminal::Terminal;
use names::Names;

const VERTICAL_TAB: u8 = 0x0b;
/// Name of the program in the scripts.
const PROGRAM: &str = "aerostack";

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash 4.4 or newer
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// Elvish
    Elvish,
}

impl Shell {
    fn library(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
            Self::PowerShell => &Powershell,
            Self::Elvish => &Elvish,
        }
    }
}

/// Print the completion script of a shell
///
/// Names of servers and secrets come from a cache of names (no values), which the
/// other commands fill. Completion asks the API for at most 0.3 s, and nobody else.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

const EXAMPLES: &str = "\
EXAMPLES
  # bash: for every new shell
  $ aerostack completions bash > ~/.local/share/bash-completion/completions/aerostack
  # zsh: into a folder of $fpath
  $ aerostack completions zsh > ~/.zfunc/_aerostack
  # fish
  $ aerostack completions fish > ~/.config/fish/completions/aerostack.fish";

pub(super) fn run(arguments: &CompletionsArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    terminal.data(script(arguments.shell)?.trim_end())
}

/// The script of a shell.
///
/// # Errors
/// Never, as long as the library writes text.
pub fn script(shell: Shell) -> Result<String, Failure> {
    let mut script = Vec::new();
    let library = shell.library();
    library
        .write_registration(env_vars::COMPLETE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .context("could not write the script")?;
    Ok(String::from_utf8(script).context("the script is not text")?)
}

/// Answers a script's question. What cannot be answered is answered with nothing: a
/// message would land in the middle of what somebody types.
pub(super) fn answer(
    shell: &str,
    arguments: &[OsString],
    settings: &Settings,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let Ok(shell) = Shell::from_str(shell, false) else { return Ok(()) };
    let Some(at) = arguments.iter().position(|argument| argument == "--") else { return Ok(()) };
    let words = arguments[at + 1..].to_vec();
    if words.is_empty() {
        return Ok(());
    }
    // bash and zsh also tell where the cursor is; a word before the last one is completed as well.
    let at = settings.completing_at.unwrap_or(words.len() - 1);
    let wants_options = words.get(at).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    let names = Arc::new(Names::new(settings, &words));
    let mut grammar = with_names(Cli::command(), &names);
    let mut answer = Vec::new();
    let written = shell.library().write_complete(&mut grammar, words, None, &mut answer);
    if written.is_err() {
        return Ok(());
    }
    if !wants_options {
        answer = without_options(&answer);
    }
    terminal.raw(&answer)
}

/// The answer without options, which would stand between the names. Who begins with `-`
/// gets them. The parts end with what the script asked for: a vertical tab or a line end.
fn without_options(answer: &[u8]) -> Vec<u8> {
    let end = if answer.contains(&VERTICAL_TAB) { VERTICAL_TAB } else { b'\n' };
    let parts = answer.split(|byte| *byte == end);
    let kept: Vec<&[u8]> = parts.filter(|part| !part.starts_with(b"-")).collect();
    kept.join(&end)
}

/// Attaches completers by what the arguments are called.
fn with_names(command: Command, names: &Arc<Names>) -> Command {
    let mut command = command;
    // The name of a new server is not one that is there.
    let adds = command.get_name() == "add";
    let ids: Vec<(clap::Id, Option<Kind>)> = command
        .get_arguments()
        .map(|argument| (argument.get_id().clone(), kind(argument).filter(|_| !adds)))
        .collect();
    for (id, kind) in ids {
        let Some(kind) = kind else {
            // Without this, every value would be completed with names of files.
            command = command.mut_arg(id, |argument| match argument.get_value_hint() {
                ValueHint::Unknown if takes_a_word(&argument) => argument.value_hint(ValueHint::Other),
                _ => argument,
            });
            continue;
        };
        let names = Arc::clone(names);
        let completer = ArgValueCompleter::new(move |current: &std::ffi::OsStr| {
            let current = current.to_string_lossy();
            let found = names.of(kind);
            found.iter().filter(|name| name.starts_with(&*current)).map(CompletionCandidate::new).collect()
        });
        command = command.mut_arg(id, |argument| argument.add(completer));
    }
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    below
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |below| with_names(below, names)))
}

fn takes_a_word(argument: &clap::Arg) -> bool {
    let is_file = |name: &clap::builder::Str| name.as_str().contains("FILE");
    argument.get_action().takes_values()
        && !argument.get_value_names().is_some_and(|names| names.iter().any(is_file))
}

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Workspace,
    Server,
    Secret,
}

/// By the value's name in the help, which is the same everywhere.
fn kind(argument: &clap::Arg) -> Option<Kind> {
    let name = argument.get_value_names()?.first()?;
    match (name.as_str(), argument.get_id().as_str()) {
        ("mcp-slug", _) => Some(Kind::Server),
        ("NAME", "name" | "names") if argument.is_positional() => Some(Kind::Secret),
        ("SLUG" | "slug" | "workspace", "workspace" | "slug") => Some(Kind::Workspace),
        _ => None,
    }
}
