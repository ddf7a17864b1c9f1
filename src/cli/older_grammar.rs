//! `secrets set KEY value`, as an older command line took it, without an MCP server. It is
//! answered with the right form; neither word is repeated, because one is the value.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;
use crate::domain::SecretName;

/// The answer, if the arguments are of that form.
pub(super) fn answer(error: &clap::Error, arguments: &[OsString], usage: &str) -> Option<Failure> {
    let about_slug = matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if name == "<mcp-slug>");
    if error.kind() != ErrorKind::ValueValidation || !about_slug {
        return None;
    }
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or("-")).collect();
    let command = words.iter().position(|word| *word == "secrets")? + 1;
    let verb = *words.get(command).filter(|word| ["set", "rotate", "delete"].contains(word))?;
    let given: Vec<&str> =
        words[command + 1..].iter().copied().filter(|word| !word.starts_with('-')).collect();
    let key = given.first()?.split('=').next()?;
    if given.len() > 2 || SecretName::parse(key).is_err() {
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
