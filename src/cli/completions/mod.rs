//! `aerostack completions`, and the answers to the scripts it prints: commands, options and
//! values from the grammar itself; workspaces, servers and secrets from a cache of names.

mod bash_line;
pub mod name_cache;
mod names;
mod scripts;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Command, CommandFactory as _, ValueEnum as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use super::Cli;
use super::failure::Failure;
use super::settings::Settings;
use super::terminal::Terminal;
use bash_line::BashLine;
use names::Names;
pub use scripts::Shell;

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
  # bash, for every new shell
  $ dir=~/.local/share/bash-completion/completions
  $ mkdir -p $dir && aerostack completions bash > $dir/aerostack
  # zsh; in ~/.zshrc, before compinit: fpath=(~/.zfunc $fpath)
  $ mkdir -p ~/.zfunc && aerostack completions zsh > ~/.zfunc/_aerostack
  # fish
  $ dir=~/.config/fish/completions
  $ mkdir -p $dir && aerostack completions fish > $dir/aerostack.fish";

pub(super) fn run(arguments: &CompletionsArgs, terminal: &mut Terminal) -> Result<(), Failure> {
    terminal.data(arguments.shell.script()?.trim_end())
}

/// Whether a script asks: it puts `--` before the words. The variable alone may have got
/// into somebody's environment, and must not keep a command from being run.
pub(super) fn is_question(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|argument| argument == "--")
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
    let words = arguments.get(2..).unwrap_or_default().to_vec();
    let answer = match (shell, &words[..]) {
        (Shell::Bash, [line, replaced]) => for_bash(line, replaced, settings),
        (Shell::Bash, _) | (_, []) => None,
        _ => for_words(shell, words, settings),
    };
    terminal.raw(&answer.unwrap_or_default())
}

/// One candidate a line, in the form in which readline is to put it there.
fn for_bash(line: &OsStr, replaced: &OsStr, settings: &Settings) -> Option<Vec<u8>> {
    let line = BashLine::parse(line.to_str()?, replaced.to_str()?);
    let words = line.words.clone();
    let at = words.len() - 1;
    let mut grammar = with_names(Cli::command(), &Arc::new(Names::new(settings, &words, at)));
    let wants_options = is_option(&words[at]);
    let found = complete(&mut grammar, words, at, Some(Path::new("."))).ok()?;
    let found = found.iter().filter_map(|candidate| candidate.get_value().to_str());
    let found = found.filter(|word| wants_options || !is_option(OsStr::new(word)));
    let lines = found.filter_map(|word| line.replacement(word));
    Some(lines.collect::<Vec<_>>().join("\n").into_bytes())
}

/// In the form that the library's script for the shell takes.
fn for_words(shell: Shell, mut words: Vec<OsString>, settings: &Settings) -> Option<Vec<u8>> {
    // zsh also tells where the cursor is; a word before the last one is completed as well.
    // PowerShell cannot pass on an empty last word.
    let at = settings.completing_at.unwrap_or(words.len() - 1);
    if at == words.len() {
        words.push(OsString::new());
    }
    let wants_options = words.get(at).is_some_and(|word| is_option(word));
    let mut grammar = with_names(Cli::command(), &Arc::new(Names::new(settings, &words, at)));
    let mut answer = Vec::new();
    shell.library().write_complete(&mut grammar, words, Some(Path::new(".")), &mut answer).ok()?;
    Some(if wants_options { answer } else { without_options(&answer) })
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-")
}

/// The answer without options, which would stand between the names. Who begins with `-`
/// gets them.
fn without_options(answer: &[u8]) -> Vec<u8> {
    let lines = answer.split(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines.filter(|line| !line.starts_with(b"-")).collect();
    kept.join(&b'\n')
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
            // Each is taken out and put to the end: the order stays if that is done to all.
            command = command.mut_arg(id, |argument| argument);
            continue;
        };
        let names = Arc::clone(names);
        let completer = ArgValueCompleter::new(move |current: &OsStr| {
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
        ("SLUG" | "slug" | "workspace", "workspace" | "named_workspace" | "slug") => Some(Kind::Workspace),
        _ => None,
    }
}
