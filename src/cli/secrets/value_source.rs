//! Where a secret's value comes from: the argument, a variable, a file, standard input to
//! its end, or a hidden prompt. It is checked here, before anything is sent.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use zeroize::Zeroizing;

use super::value_form::{Source, ValueForm, only_outer_line_ends, way_out};
use crate::cli::bounded_input::read_bounded;
use crate::cli::context::Context;
use crate::cli::env_vars;
use crate::cli::failure::Failure;
use crate::cli::hidden_input::HiddenLine;
use crate::cli::older_grammar;
use crate::domain::secret_value::SHORTEST_REDACTED_VALUE;
use crate::domain::{SecretName, SecretValue, ServerSlug, ValueProblem};

/// Most bytes that are read: enough to tell how long a value of reasonable length is.
const MAX_INPUT_BYTES: usize = 1 << 20;

/// Fewest bytes of a line that is hidden in a workflow's log, if it is one of several.
const SHORTEST_HIDDEN_LINE: usize = 4;

/// Where the value comes from and what is done with it.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub(super) struct ValueArgs {
    /// Value; '-' reads standard input
    #[arg(value_name = "VALUE", value_parser = value_parser!(OsString))]
    value: Option<OsString>,
    /// Take the value from a file, as it is
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    value_file: Option<PathBuf>,
    /// Take it from an environment variable
    #[arg(long, value_name = "VAR", conflicts_with_all = ["value", "value_file"])]
    from_env: Option<OsString>,
    /// Ask for it, whatever standard input is
    #[arg(long, conflicts_with_all = ["value", "value_file", "from_env"])]
    prompt: bool,
    #[command(flatten)]
    form: ValueForm,
}

/// For which secret the value is.
pub(super) struct For<'a> {
    /// `set` or `rotate`.
    pub command: &'static str,
    pub server: &'a ServerSlug,
    pub name: &'a SecretName,
}

/// A value that may be sent.
#[derive(Debug)]
pub(super) struct GivenValue {
    /// The value.
    pub value: SecretValue,
    changes: Vec<String>,
}

impl GivenValue {
    /// Says what is stored that is not what came in: `stored 40 bytes; removed the trailing
    /// newline`; and what that means for the MCP server's answers, if the value is very short.
    pub(super) fn report(&self, context: &mut Context<'_>) {
        if !self.changes.is_empty() {
            let (length, changes) = (self.value.byte_length(), self.changes.join(", "));
            context.terminal.note(&format!("stored {length} bytes; {changes}"));
        }
        if !self.value.is_redactable() {
            context.terminal.caution(&too_short_for_redaction("this value"));
        }
    }
}

impl ValueArgs {
    /// The VALUE argument, for tests of the grammar.
    #[cfg(test)]
    pub(super) fn value(&self) -> Option<&OsStr> {
        self.value.as_deref()
    }

    /// Whether somebody is going to be asked.
    pub(super) fn asks(&self, context: &Context<'_>) -> bool {
        match self.source() {
            Source::Prompt => context.can_ask_hidden(),
            Source::Input => self.is_open() && context.can_ask(),
            _ => false,
        }
    }

    /// Whether nothing says where the value comes from.
    fn is_open(&self) -> bool {
        self.value.is_none() && self.value_file.is_none()
    }

    /// Whether slug and name are all the words there are.
    pub(super) fn two_words(&self) -> bool {
        self.value.is_none()
    }

    fn source(&self) -> Source {
        let is_dash = |text: &OsStr| text == "-";
        match (&self.value, &self.value_file) {
            _ if self.prompt => Source::Prompt,
            _ if self.from_env.is_some() => Source::Environment,
            (Some(value), _) if !is_dash(value) => Source::Argument,
            (None, Some(path)) if !is_dash(path.as_os_str()) => Source::File,
            _ => Source::Input,
        }
    }

    /// Gets the value.
    pub(super) fn obtain(self, wanted: &For<'_>, context: &mut Context<'_>) -> Result<GivenValue, Failure> {
        let (mut source, open, form) = (self.source(), self.is_open(), self.form);
        if source == Source::Input && open && context.terminal.reads_from_terminal() {
            source = Source::Prompt;
        }
        let bytes = match source {
            Source::Argument => from_argument(self.value.unwrap_or_default(), wanted, context)?,
            Source::Environment => from_environment(&self.from_env.unwrap_or_default(), context)?,
            Source::File => from_file(&self.value_file.unwrap_or_default())?,
            Source::Prompt => from_prompt(wanted, context)?,
            Source::Input => from_standard_input(context)?,
        };
        let original = hides(source, context).then(|| bytes.clone());
        let formed = form.apply(bytes, source)?;
        let text = formed.bytes;
        let only_outer = only_outer_line_ends(&text);
        if original.is_some_and(|original| original != text) {
            mask(&text, context);
        }
        let value = checked(text).map_err(|problem| {
            let nothing_piped = open && source == Source::Input && problem == ValueProblem::Empty;
            let failure = refused(problem, source, only_outer);
            older_grammar::perhaps(failure, wanted.command, nothing_piped)
        })?;
        Ok(GivenValue { value, changes: formed.changes })
    }
}

/// That a value stays in answers; `which` says whose it is.
pub(super) fn too_short_for_redaction(which: &str) -> String {
    format!(
        "under {SHORTEST_REDACTED_VALUE} bytes, too short to be redacted from the MCP server's answers: {which}"
    )
}

fn checked(mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretValue, ValueProblem> {
    SecretValue::parse(std::mem::take(&mut *bytes))
}

fn refused(problem: ValueProblem, source: Source, only_outer: Option<&'static str>) -> Failure {
    let told = match (problem, only_outer) {
        (ValueProblem::LineBreak, Some(place)) => {
            format!("the value has more than one line: it {place} with a line end")
        }
        (problem, _) => problem.to_string(),
    };
    Failure::invalid_value(format!("{told}; nothing was stored")).with_hint(way_out(
        problem,
        source,
        only_outer.is_some(),
    ))
}

fn from_argument(
    argument: OsString,
    wanted: &For<'_>,
    context: &mut Context<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = Zeroizing::new(argument.into_encoded_bytes());
    if hides(Source::Argument, context) {
        mask(&bytes, context);
    }
    let For { command, server, name } = wanted;
    let safe = context.in_workspace(&format!("aerostack secrets {command} {server} {}", name.shown()));
    if context.settings().no_argv_secrets {
        let variable = env_vars::NO_ARGV_SECRETS;
        return Err(Failure::usage(format!(
            "{variable} is set, so no value is taken from the command line; nothing was stored"
        ))
        .with_hint(format!("pipe it in, or leave it out to be asked: {safe}")));
    }
    if context.terminal.talks_to_terminal() {
        context.terminal.note(&format!("The shell's history now has that value. Safer, it asks: {safe}"));
    }
    Ok(bytes)
}

fn from_environment(name: &OsStr, context: &mut Context<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // The name is not repeated: a value may stand in its place.
    let bytes = context.settings().variable(name).ok_or_else(|| {
        Failure::usage("the variable that --from-env names is not set, or empty; nothing was stored")
            .with_hint("give the variable's name, without '$', and export it")
    })?;
    if hides(Source::Environment, context) {
        mask(&bytes, context);
    }
    Ok(bytes)
}

fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("could not read the file of --value-file: {error}; nothing was stored"))
            .with_hint("give the path of a file that you can read")
    };
    let mut file = File::open(path).map_err(unreadable)?;
    read_bounded(&mut file, MAX_INPUT_BYTES).map_err(unreadable)?.ok_or_else(|| too_much("the file"))
}

fn from_standard_input(context: &mut Context<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if context.terminal.reads_from_terminal() {
        context.terminal.note("Reading the value from the terminal, where it can be seen. Ctrl-D ends it.");
    }
    context.terminal.read_to_end(MAX_INPUT_BYTES)?.ok_or_else(|| too_much("standard input"))
}

fn from_prompt(wanted: &For<'_>, context: &mut Context<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if !context.can_ask_hidden() {
        return Err(Failure::usage("there is no value, and nobody can be asked for it; nothing was stored")
            .with_hint("give it on standard input, or leave out --no-input to be asked on a terminal"));
    }
    let For { command, server, name } = wanted;
    let new = if *command == "rotate" { "New value" } else { "Value" };
    let typed =
        context.terminal.ask_hidden(&format!("{new} of {} for {server} (not shown):", name.shown()))?;
    if HiddenLine::is_begin_of_key(&typed) && !typed.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(Failure::invalid_value("that is the first line of a key of several; nothing was stored")
            .with_hint(
                "name its file with --value-file; --base64 encodes it, if the MCP server takes that, and --compact-json is for JSON",
            ));
    }
    Ok(typed)
}

/// Whether a workflow's log is told to hide it. That comes before anything is refused: what
/// is refused is in the workflow all the same.
fn hides(source: Source, context: &Context<'_>) -> bool {
    context.settings().github_actions && matches!(source, Source::Argument | Source::Environment)
}

/// Hides a value, or each of its lines, since the log has lines: short ones (a brace alone)
/// would blacken everything.
fn mask(value: &[u8], context: &mut Context<'_>) {
    let lines = value.split(|byte| matches!(byte, b'\r' | b'\n'));
    let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
    if let [line] = lines[..] {
        return context.terminal.mask_in_workflow_log(line);
    }
    for line in lines.into_iter().map(<[u8]>::trim_ascii) {
        if line.len() >= SHORTEST_HIDDEN_LINE {
            context.terminal.mask_in_workflow_log(line);
        }
    }
}

fn too_much(source: &str) -> Failure {
    Failure::invalid_value(format!(
        "{source} holds more than 1 MiB, and a value at most 16384 bytes; nothing was stored"
    ))
    .with_hint(ValueProblem::TooLong(0).way_out())
}

#[cfg(test)]
mod tests;
