//! What is wrong with the arguments, said without repeating any of them: a value may
//! stand where a name or an option belongs. Argument names and usage lines are ours
//! and safe to show; what the user typed is not.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;
use super::{older_grammar, other_words};
use crate::domain::origin::UrlProblem;
use crate::domain::secret_name::NameProblem;
use crate::domain::server_slug::SlugProblem;
use crate::domain::{AllowedHostProblem, PeriodProblem};

/// The rule that an argument broke, in fixed words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rule(pub &'static str);

/// Turns clap's error into ours.
pub(super) fn failure(error: &clap::Error, command: &clap::Command, arguments: &[OsString]) -> Failure {
    if let Some(answer) = older_grammar::answer(error, command, arguments, &usage_line(command, arguments)) {
        return answer;
    }
    let argument = safe_argument(error);
    let message = match error.kind() {
        ErrorKind::UnknownArgument => {
            "there is an argument or option that this command does not take".to_owned()
        }
        ErrorKind::InvalidSubcommand => "there is no such command".to_owned(),
        ErrorKind::InvalidValue => match strings(error, ContextKind::ValidValue) {
            known if known.is_empty() => format!("{argument} needs a value"),
            known => format!("the value of {argument} is not one of: {}", known.join(", ")),
        },
        ErrorKind::ValueValidation => {
            let empty = strings(error, ContextKind::InvalidValue).iter().any(String::is_empty);
            let told = if empty { "is empty" } else { "is not accepted" };
            format!("the value of {argument} {told}: {}", broken_rule(error))
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = strings(error, ContextKind::InvalidArg);
            // Where several may be named, all of them can be meant.
            let all = deepest(command, arguments).get_arguments().any(|one| one.get_long() == Some("all"));
            let or_all =
                if all && missing.iter().any(|name| name == "<NAME>...") { " (or --all)" } else { "" };
            format!("an argument is missing: {}{or_all}", missing.join(", "))
        }
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        ErrorKind::ArgumentConflict => match strings(error, ContextKind::PriorArg) {
            prior if prior.is_empty() || prior == [argument.clone()] => format!("{argument} is given twice"),
            prior => format!("{argument} cannot be used with {}", prior.join(", ")),
        },
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{argument} has the wrong number of values")
        }
        ErrorKind::NoEquals => format!("{argument} needs '=' before its value"),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8 text".to_owned(),
        _ => "the arguments are not understood".to_owned(),
    };
    Failure::usage(message).with_hint(hint(error, command, arguments))
}

/// The argument's own name, where clap names one of ours and not what was typed.
fn safe_argument(error: &clap::Error) -> String {
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => String::new(),
        _ => strings(error, ContextKind::InvalidArg).join(", "),
    }
}

/// The rule's text if it is one of ours; a library's text may repeat the input.
fn broken_rule(error: &clap::Error) -> String {
    let source = error.source();
    let rule = source.and_then(|source| source.downcast_ref::<Rule>().map(ToString::to_string));
    let slug = source.and_then(|source| source.downcast_ref::<SlugProblem>().map(ToString::to_string));
    let name = source.and_then(|source| source.downcast_ref::<NameProblem>().map(ToString::to_string));
    let url = source.and_then(|source| source.downcast_ref::<UrlProblem>().map(ToString::to_string));
    let host = source.and_then(|source| source.downcast_ref::<AllowedHostProblem>().map(ToString::to_string));
    let period = source.and_then(|source| source.downcast_ref::<PeriodProblem>().map(ToString::to_string));
    rule.or(slug)
        .or(name)
        .or(url)
        .or(host)
        .or(period)
        .unwrap_or_else(|| "it does not have the right form".to_owned())
}

fn hint(error: &clap::Error, command: &clap::Command, arguments: &[OsString]) -> String {
    // Suggestions are names of ours; the text they are near to is left out.
    let near = match error.kind() {
        ErrorKind::InvalidSubcommand => strings(error, ContextKind::SuggestedSubcommand),
        ErrorKind::UnknownArgument => strings(error, ContextKind::SuggestedArg),
        _ => Vec::new(),
    };
    let mut usage = usage_line(command, arguments);
    if error.kind() == ErrorKind::UnknownArgument && usage.contains("[VALUE]") {
        usage.push_str(
            "; if it is a value that begins with '-', put '--' before it or pass it on standard input",
        );
    }
    let word = unknown_command(error).unwrap_or_default();
    if let Some(meant) = other_words::meant(deepest(command, arguments).get_name(), word) {
        let between = if meant.ends_with('?') { "" } else { ";" };
        return format!("{meant}{between} {usage}");
    }
    // clap puts the most similar one last.
    match near.last() {
        Some(name) => format!("did you mean '{name}'? {usage}"),
        None => usage,
    }
}

fn strings(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// The word that stands where a command belongs and is none.
pub(super) fn unknown_command(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => Some(word),
        _ => None,
    }
}

/// `usage: aerostack secrets set ...` of the deepest command that was named.
fn usage_line(command: &clap::Command, arguments: &[OsString]) -> String {
    let usage = deepest(command, arguments).render_usage().to_string();
    let words: Vec<_> = usage.trim_start_matches("Usage:").split_whitespace().collect();
    format!("usage: {}", words.join(" "))
}

/// The deepest command that was named.
pub(super) fn deepest(command: &clap::Command, arguments: &[OsString]) -> clap::Command {
    let mut found = command.clone();
    found.build();
    for argument in arguments.iter().skip(1).map(OsString::as_os_str) {
        if argument == OsStr::new("--") {
            break;
        }
        if let Some(deeper) = argument.to_str().and_then(|name| found.find_subcommand(name)) {
            found = deeper.clone();
        }
    }
    found
}

/// Whether an option stands among the raw arguments, for errors that come before the
/// arguments are understood.
pub(super) fn has_flag(arguments: &[OsString], flag: &str) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == flag)
}

/// The value of an option among the raw arguments, for the same errors: `--name value` or
/// `--name=value`.
pub(super) fn option_value<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a str> {
    let mut texts =
        arguments.iter().skip(1).take_while(|argument| *argument != "--").filter_map(|a| a.to_str());
    let text = texts.find(|text| {
        text.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })?;
    text.split_once('=').map(|(_, value)| value).or_else(|| texts.next())
}

/// Accepts a name to show: not blank, no control characters.
pub(super) fn not_blank(text: &str) -> Result<String, Rule> {
    let legal = !text.trim().is_empty() && !text.chars().any(char::is_control);
    if legal { Ok(text.to_owned()) } else { Err(Rule("a name is not empty and has no control characters")) }
}
