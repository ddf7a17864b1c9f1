//! `aerostack auth logout`: removes the stored API key of one API origin.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::KeySource;
use crate::cli::credentials::keyring_trouble::{KeyringState, KeyringTrouble};
use crate::cli::credentials::os_keyring::OsKeyring;
use crate::cli::credentials::plain_file::PlainFile;
use crate::cli::failure::{Failure, FailureKind};

/// Remove the stored API key for an API
///
/// The key is removed from this machine. It stays valid for the API.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct LogoutArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack auth logout
  $ aerostack auth logout --api-url https://aerostack.example.com";

#[derive(Serialize)]
struct LogoutDocument<'a> {
    origin: &'a str,
    removed: &'a [KeySource],
}

pub(super) fn run(_arguments: &LogoutArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let origin = context.base()?.origin().clone();
    let mut removed = Vec::new();
    let plain = context.settings().config_dir.as_deref().map(PlainFile::in_directory);
    let from_file = plain.map_or(Ok(false), |plain| plain.remove(&origin));
    let from_keyring =
        if context.settings().os_keyring { OsKeyring.remove(&origin) } else { Err(KeyringTrouble::NoBus) };
    if matches!(from_keyring, Ok(true)) {
        removed.push(KeySource::Keyring);
    }
    if matches!(from_file, Ok(true)) {
        removed.push(KeySource::PlainFile);
    }
    let problem = match (from_file, from_keyring) {
        (Err(failure), _) => Some(failure),
        // Without a keyring nothing can be in one. It counts only if there was nothing else.
        (Ok(true), Err(trouble)) if trouble.state() == KeyringState::Missing => None,
        (Ok(_), Err(trouble)) => {
            let message = format!("the system keyring may still hold an API key for {origin}: {trouble}");
            let kind = FailureKind::NotLoggedIn;
            Some(Failure::new(kind, message).with_hint(trouble.way_out_of_logout(&origin)))
        }
        (Ok(_), Ok(_)) => None,
    };
    if let Some(problem) = problem {
        return Err(match removed.first() {
            None => problem,
            Some(KeySource::Keyring) => problem.partly_done("the key was removed from the keyring only"),
            Some(_) => problem.partly_done("the key was removed from the plain-text file only"),
        });
    }
    if context.json() {
        context.terminal.json(&LogoutDocument { origin: origin.as_str(), removed: &removed })?;
    } else if removed.is_empty() {
        context.terminal.data(&format!("No API key is stored for {origin}."))?;
    } else {
        let places = removed.iter().map(|place| match place {
            KeySource::Keyring => "the system keyring",
            _ => "the plain-text file",
        });
        let places = places.collect::<Vec<_>>().join(" and ");
        context.terminal.data(&format!("Logged out of {origin}. The API key was removed from {places}."))?;
    }
    if let Some(variable) = context.settings().variable_with_key() {
        context.terminal.warning(&format!("{variable} is set and goes before any stored key"));
    }
    Ok(())
}
