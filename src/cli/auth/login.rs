//! `aerostack auth login`: checks an API key and stores it for one API origin.

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::workspaces::KeySummary;
use crate::cli::context::Context;
use crate::cli::credentials::keyring_trouble::{KeyringState, KeyringTrouble};
use crate::cli::credentials::older_cli::OlderKey;
use crate::cli::credentials::os_keyring::{OsKeyring, PROMPT_LIMIT, WAITING};
use crate::cli::credentials::plain_file::PlainFile;
use crate::cli::credentials::{login_command, without_surroundings};
use crate::cli::env_vars;
use crate::cli::failure::{Failure, FailureKind};
use crate::domain::workspace_token::WORKSPACE_TOKEN_PREFIX;
use crate::domain::{ApiKey, Origin};

/// Most bytes that are read from standard input.
const MAX_INPUT_BYTES: usize = 64 << 10;

/// Store the API key for an API in the system keyring
///
/// Asks for the key without showing it, or reads it from standard input. The key is
/// checked with the API before it is stored, and is sent to that API only.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct LoginArgs {
    /// Read the key from standard input
    #[arg(long)]
    with_token: bool,
    /// Keep the key in a plain-text file (mode 0600), not in the keyring
    #[arg(long)]
    insecure_storage: bool,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Ask for the key, without showing it
  $ aerostack auth login
  # Take it from another program
  $ pass aerostack/key | aerostack auth login --with-token
  # For another API than the hosted one
  $ aerostack auth login --api-url https://aerostack.example.com";

pub(super) async fn run(arguments: LoginArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let origin = context.base()?.origin().clone();
    let storage = Storage::choose(arguments.insecure_storage, context)?;
    // Before anything is typed: a key that cannot be stored need not be asked for.
    let may_ask = storage.check(&origin, context)?;
    let (key, older) = obtain(&arguments, &origin, context)?;
    let project = validate(&key, &origin, context).await.map_err(|failure| match &older {
        Some(_) if failure.kind() == FailureKind::NotLoggedIn => {
            failure.with_hint("to type another key, answer 'n' the next time")
        }
        _ => failure,
    })?;
    storage.store(&origin, &key, may_ask, context)?;
    storage.forget_other_copy(&origin, context);
    if let Some(older) = older {
        remove_older_file(&older, context);
    }
    report(&storage, &origin, &project, context)?;
    if let Some(variable) = context.settings().variable_with_key() {
        context.terminal.warning(&format!("{variable} is set and goes before the stored key"));
    }
    Ok(())
}

/// Where the key is to be kept.
enum Storage {
    Keyring,
    PlainFile(PlainFile),
}

impl Storage {
    fn choose(insecure: bool, context: &Context<'_>) -> Result<Self, Failure> {
        if !insecure {
            return Ok(Self::Keyring);
        }
        let folder = context.settings().config_dir.as_deref().ok_or_else(|| {
            Failure::not_logged_in("there is no home directory to keep the key in").with_hint(format!(
                "set {}, or name a file in {}",
                env_vars::API_KEY,
                env_vars::API_KEY_FILE
            ))
        })?;
        Ok(Self::PlainFile(PlainFile::in_directory(folder)))
    }

    /// Fails where the key could not be stored; answers whether the keyring has to ask for
    /// its password.
    fn check(&self, origin: &Origin, context: &Context<'_>) -> Result<bool, Failure> {
        match self {
            Self::PlainFile(file) => file.check_writable().map(|()| false),
            Self::Keyring if !context.settings().os_keyring => {
                Err(KeyringTrouble::NoBus.into_failure(origin))
            }
            Self::Keyring => match OsKeyring.check_writable(origin) {
                Ok(asks) if !asks || context.can_wait_for_window() => Ok(asks),
                Ok(_) => Err(KeyringTrouble::Locked.into_failure(origin)),
                Err(trouble) => Err(trouble.into_failure(origin)),
            },
        }
    }

    fn store(
        &self,
        origin: &Origin,
        key: &ApiKey,
        may_ask: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Keyring => {
                if may_ask {
                    context.terminal.talk(&format!("{WAITING} (Up to {} s.)", PROMPT_LIMIT.as_secs()));
                }
                match OsKeyring.store(origin, key, may_ask) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(self.did_not_keep()),
                    Err(KeyringTrouble::NotUnlocked) => Err(KeyringTrouble::NotUnlocked.into_failure(origin)),
                    Err(trouble) => Err(Failure::not_logged_in(format!(
                        "{trouble}; the API key may be stored in it all the same"
                    ))
                    .with_hint("look with 'aerostack auth status'; 'aerostack auth logout' removes it")),
                }
            }
            Self::PlainFile(file) => {
                let path = file.path();
                let path = path.display();
                context.terminal.warning(&format!(
                    "the API key is now written in plain text to {path}; whoever can read that file can use it"
                ));
                if file.store(origin, key)? {
                    context.terminal.warning(&format!(
                        "other users could read {path} until now; take the keys that were in it for known to them"
                    ));
                }
                let stored = file.read(origin)?;
                if stored.is_some_and(|text| text.as_str() == key.expose()) {
                    Ok(())
                } else {
                    Err(self.did_not_keep())
                }
            }
        }
    }

    fn did_not_keep(&self) -> Failure {
        Failure::new(FailureKind::Unexpected, format!("{} did not keep the API key", self.name()))
            .with_hint("try again, or use another way: 'aerostack auth login --help'")
    }

    /// The last login counts: a copy elsewhere would win, or lie around.
    fn forget_other_copy(&self, origin: &Origin, context: &mut Context<'_>) {
        match self {
            Self::Keyring => {
                let folder = context.settings().config_dir.as_deref();
                match folder.map(|folder| PlainFile::in_directory(folder).remove(origin)) {
                    Some(Ok(true)) => context.terminal.note("Removed the plain-text copy of the older key."),
                    Some(Err(failure)) => context.terminal.warning(failure.message()),
                    _ => {}
                }
            }
            Self::PlainFile(_) if !context.settings().os_keyring => {}
            Self::PlainFile(_) => match OsKeyring.remove(origin) {
                Ok(true) => context.terminal.note("Removed the older key from the system keyring."),
                Ok(false) => {}
                Err(trouble) if trouble.state() == KeyringState::Missing => {}
                Err(trouble) => context
                    .terminal
                    .warning(&format!("{trouble}; if it holds a key for this address, that one goes first")),
            },
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Keyring => "the system keyring".to_owned(),
            Self::PlainFile(file) => format!("{} (plain text)", file.path().display()),
        }
    }
}

/// The key that was given, and the older command line's file if it is from there.
fn obtain(
    arguments: &LoginArgs,
    origin: &Origin,
    context: &mut Context<'_>,
) -> Result<(ApiKey, Option<OlderKey>), Failure> {
    let nothing = |message: &str| {
        let storage = if arguments.insecure_storage { " --insecure-storage" } else { "" };
        let login = login_command(origin);
        Failure::usage(format!("{message}; nothing was stored"))
            .with_hint(format!("give the key on standard input: {login} --with-token{storage} < FILE"))
    };
    let from_terminal = context.terminal.reads_from_terminal();
    if arguments.with_token && !from_terminal {
        let input = context.terminal.read_to_end(MAX_INPUT_BYTES)?;
        let input = input.ok_or_else(|| nothing("standard input is longer than any API key"))?;
        return Ok((parse(&input)?, None));
    }
    if !context.can_ask() {
        return Err(nothing(if from_terminal {
            "with --no-input, the API key is not asked for"
        } else {
            "there is no terminal to ask for the API key on"
        }));
    }
    if !arguments.with_token
        && let Some(older) = offer_older_key(origin, context)?
    {
        let key = ApiKey::parse(older.key.expose()).map_err(|_| nothing("no API key was found"))?;
        return Ok((key, Some(older)));
    }
    let typed = context.terminal.ask_hidden(&format!("API key for {origin} (not shown):"))?;
    Ok((parse(&typed)?, None))
}

fn parse(input: &Zeroizing<Vec<u8>>) -> Result<ApiKey, Failure> {
    let input = without_surroundings(input);
    if input.is_empty() {
        return Err(Failure::usage("no API key was given; nothing was stored")
            .with_hint("an API key begins with 'ak_'"));
    }
    let text = std::str::from_utf8(input).unwrap_or_default();
    ApiKey::parse(text).map_err(|problem| {
        if text.starts_with(WORKSPACE_TOKEN_PREFIX) {
            return Failure::invalid_value("this is a workspace token, for the gateway; nothing was stored")
                .with_hint("give an API key (ak_...)");
        }
        Failure::invalid_value("this is not an API key; nothing was stored")
            .with_hint(format!("{problem}; check what was copied"))
    })
}

async fn validate(key: &ApiKey, origin: &Origin, context: &mut Context<'_>) -> Result<KeySummary, Failure> {
    let checked = context.api_with(key)?.validate().await;
    checked.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() != FailureKind::NotLoggedIn {
            return failure.with_context("the API key could not be checked, so nothing was stored");
        }
        failure
            .with_context(&format!("{origin} does not accept this API key; nothing was stored"))
            .with_hint("check what was copied, and that --api-url names the key's own server")
    })
}

/// Asks once whether the key of the older command line is wanted.
fn offer_older_key(origin: &Origin, context: &mut Context<'_>) -> Result<Option<OlderKey>, Failure> {
    let Some(older) = context.settings().home.as_deref().and_then(OlderKey::find) else { return Ok(None) };
    let Some(memory) = context.config_file() else { return Ok(None) };
    // A damaged memory is no reason not to log in.
    if memory.older_key_declined().unwrap_or(true) {
        return Ok(None);
    }
    let path = older.path.display().to_string();
    let found = format!("An older version left an API key in plain text in {path}.");
    let question = format!("Use it for {origin}, and remove that file? [y/N]");
    let Some(answer) = context.terminal.ask(&found, &question)? else { return Ok(None) };
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(Some(older));
    }
    match memory.decline_older_key() {
        Ok(()) => context.terminal.note("It stays where it is, and this is not asked again."),
        Err(failure) => context.terminal.warning(failure.message()),
    }
    Ok(None)
}

fn remove_older_file(older: &OlderKey, context: &mut Context<'_>) {
    let path = older.path.display();
    match older.remove_file() {
        Ok(()) => context.terminal.note(&format!("Removed {path}.")),
        Err(error) => context.terminal.warning(&format!("could not remove {path}: {error}")),
    }
}

#[derive(Serialize)]
struct LoginDocument<'a> {
    origin: &'a str,
    storage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    project: &'a str,
}

fn report(
    storage: &Storage,
    origin: &Origin,
    project: &KeySummary,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    if context.json() {
        let (storage, path) = match storage {
            Storage::Keyring => ("keyring", None),
            Storage::PlainFile(file) => ("plain_file", Some(file.path().display().to_string())),
        };
        let project = &project.project_name;
        return context.terminal.json(&LoginDocument { origin: origin.as_str(), storage, path, project });
    }
    let (project, place) = (&project.project_name, storage.name());
    context.terminal.data(&format!("Logged in to {origin}, project {project}."))?;
    context.terminal.data(&format!("The API key is stored in {place}."))
}
