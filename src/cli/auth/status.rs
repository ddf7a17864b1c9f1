//! `aerostack auth status`: which API key would be used, where it comes from, and whether
//! the API accepts it.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::credentials::keyring_trouble::KeyringState;
use crate::cli::credentials::{KeySource, Lookup, login_command};
use crate::cli::env_vars;
use crate::cli::failure::{Failure, FailureKind};
use crate::domain::{ApiKey, Origin};

/// Show which API key is used, where it comes from and whether it is accepted
///
/// Exit code 0: accepted; 4: no key, or not accepted; 7: the API was not reached or
/// gave no clear answer; 8: too many requests.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct StatusArgs {}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack auth status
  # For scripts: is there a key that works?
  $ aerostack auth status --json";

/// What the API said about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Accepted,
    Rejected,
    NotReachable,
    /// There is no key.
    NoKey,
    /// The source holds something that is no key or must not be used as one.
    Unusable,
    /// An answer that says nothing about the key.
    Unknown,
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    origin: &'a str,
    status: Verdict,
    source: Option<KeySource>,
    plain_text: bool,
    key_last_four: Option<&'a str>,
    project: Option<&'a str>,
    keyring: KeyringDocument,
}

#[derive(Serialize)]
struct KeyringDocument {
    state: KeyringState,
    message: Option<String>,
    hint: Option<String>,
}

pub(super) async fn run(_arguments: &StatusArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let origin = context.base()?.origin().clone();
    let mut lookup = Lookup::run(context.settings(), &origin);
    for warning in std::mem::take(&mut lookup.warnings) {
        context.terminal.warning(&warning);
    }
    let checked = match &lookup.found {
        Some((key, source)) => {
            let checked = context.api_with(key)?.validate().await.map_err(Failure::from);
            checked.map_err(|failure| with_way_out(failure, *source, &origin))
        }
        None => Err(lookup.no_key(&origin)),
    };
    let verdict = match &checked {
        Ok(_) => Verdict::Accepted,
        Err(_) if lookup.unusable.is_some() => Verdict::Unusable,
        Err(_) if lookup.found.is_none() => Verdict::NoKey,
        Err(failure) => match failure.kind() {
            FailureKind::NotLoggedIn => Verdict::Rejected,
            FailureKind::Network => Verdict::NotReachable,
            _ => Verdict::Unknown,
        },
    };
    let project = checked.as_ref().ok().map(|summary| summary.project_name.as_str());
    if context.json() {
        context.terminal.json(&document(&lookup, &origin, verdict, project))?;
    } else {
        for line in lines(&lookup, &origin, verdict, project) {
            context.terminal.data(&line)?;
        }
        if lookup.found.is_some() && lookup.source() == Some(KeySource::PlainFile) {
            context.terminal.warning(&match lookup.keyring_state() {
                KeyringState::Available => {
                    let login = login_command(&origin);
                    format!("the API key lies in plain text; '{login}' moves it into the system keyring")
                }
                _ => "the API key lies in plain text".to_owned(),
            });
        }
    }
    // Whatever kept the key from being checked, it is one exit code; a script that is told to
    // come back later gets its own.
    checked.map(|_| ()).map_err(|failure| match (verdict, failure.kind()) {
        (Verdict::Unknown, FailureKind::RateLimited) => failure,
        (Verdict::Unknown, _) => failure.with_kind(FailureKind::Network),
        _ => failure,
    })
}

/// What to do about a key that is not accepted depends on where it comes from.
fn with_way_out(failure: Failure, source: KeySource, origin: &Origin) -> Failure {
    if failure.kind() != FailureKind::NotLoggedIn {
        return failure;
    }
    failure.with_hint(match source {
        KeySource::Environment => format!("set {} to a key of this API", env_vars::API_KEY),
        KeySource::File => {
            format!("put a key of this API into the file that {} names", env_vars::API_KEY_FILE)
        }
        KeySource::Keyring | KeySource::PlainFile => {
            format!("run '{}' with another key", login_command(origin))
        }
    })
}

fn document<'a>(
    lookup: &'a Lookup,
    origin: &'a Origin,
    status: Verdict,
    project: Option<&'a str>,
) -> StatusDocument<'a> {
    let (found, source) = (lookup.found.as_ref(), lookup.source());
    StatusDocument {
        origin: origin.as_str(),
        status,
        source,
        plain_text: source == Some(KeySource::PlainFile),
        key_last_four: found.and_then(|(key, _)| key.last_four()),
        project,
        keyring: KeyringDocument {
            state: lookup.keyring_state(),
            message: lookup.trouble.as_ref().map(ToString::to_string),
            hint: lookup.trouble.as_ref().map(|trouble| trouble.way_out(origin)),
        },
    }
}

fn lines(lookup: &Lookup, origin: &Origin, verdict: Verdict, project: Option<&str>) -> Vec<String> {
    let mut lines = vec![format!("API      {origin}")];
    let shown = |key: &ApiKey| key.last_four().map_or_else(|| "****".to_owned(), |end| format!("****{end}"));
    let key = match (&lookup.found, lookup.source_text()) {
        (Some((key, _)), Some(source)) => format!("{}, from {source}", shown(key)),
        (None, Some(source)) => format!("unusable, from {source}"),
        _ => "none".to_owned(),
    };
    lines.push(format!("API key  {key}"));
    if let Some(trouble) = &lookup.trouble {
        lines.push(format!("Keyring  {trouble}"));
    }
    let status = match (verdict, project) {
        (Verdict::Accepted, Some(project)) => format!("accepted, project {project}"),
        (Verdict::Accepted, None) => "accepted".to_owned(),
        (Verdict::Rejected, _) => "not accepted".to_owned(),
        (Verdict::NotReachable, _) => "not checked: the API was not reachable".to_owned(),
        (Verdict::Unknown, _) => "not checked: the API gave no clear answer".to_owned(),
        (Verdict::NoKey | Verdict::Unusable, _) => return lines,
    };
    lines.push(format!("Status   {status}"));
    lines
}
