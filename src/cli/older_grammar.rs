//! `secrets set KEY value`, as an older command line took it, without an MCP server. It is
//! answered with the right form; neither word is repeated, because one is the value.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;
use super::problem;
use crate::domain::{SecretName, ServerSlug};

/// The answer, if the arguments are of that form. Options may stand anywhere, also those that
/// only the older command line had.
pub(super) fn answer(
    error: &clap::Error,
    program: &clap::Command,
    arguments: &[OsString],
    usage: &str,
) -> Option<Failure> {
    let about_slug = matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name == "<mcp-slug>");
    let possible = match error.kind() {
        ErrorKind::ValueValidation => about_slug,
        ErrorKind::UnknownArgument => true,
        _ => false,
    };
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or("-")).collect();
    let place = words.iter().position(|word| *word == "secrets")? + 1;
    let verb = *words.get(place).filter(|word| ["set", "rotate", "delete"].contains(word))?;
    let given = positionals(&words[place + 1..], &problem::deepest(program, arguments));
    let key = given.first()?.split('=').next()?;
    let is_key = SecretName::parse(key).is_ok() && ServerSlug::parse(given[0]).is_err();
    if !possible || given.len() > 2 || !is_key {
        return None;
    }
    let old = if verb == "delete" { "delete KEY" } else { "set KEY value" };
    let more = if verb == "delete" { "" } else { " (it asks for the value, or reads standard input)" };
    Some(
        Failure::usage(format!(
            "the MCP server is missing: 'secrets {old}' is the form of an older command line"
        ))
        .with_hint(format!(
            "now it is: aerostack secrets {verb} <mcp-slug> <NAME>{more}; 'aerostack mcp list' shows the slugs; {usage}"
        )),
    )
}

/// Adds the right form to a failure that may come from the older one, if only two words were
/// given: the first might be a slug.
pub(super) fn perhaps(failure: Failure, verb: &str, two_words: bool) -> Failure {
    if !two_words {
        return failure;
    }
    failure.with_more_hint(&format!(
        "'secrets set KEY value' is the form of an older command line, now it is: aerostack secrets {verb} <mcp-slug> <NAME>"
    ))
}

/// The words that are neither options nor their values. An option that is not known counts as
/// one with a value.
fn positionals<'a>(words: &[&'a str], command: &clap::Command) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if word == "--" {
            found.extend(words);
            break;
        }
        if !word.starts_with('-') || word == "-" {
            found.push(word);
        } else if takes_next(word, command) {
            words.next();
        }
    }
    found
}

/// Whether the value of this option is the next word.
fn takes_next(option: &str, command: &clap::Command) -> bool {
    let is_it = |argument: &&clap::Arg| match option.strip_prefix("--") {
        Some(name) => argument.get_long() == Some(name),
        // Of short ones that stand together the last may have a value.
        None => argument.get_short() == option.chars().next_back(),
    };
    let known = command.get_arguments().find(is_it);
    match known {
        Some(argument) => argument.get_action().takes_values(),
        None => option.starts_with("--") && !option.contains('='),
    }
}
