//! Names for one question of a shell: from the cache, or, where that is old, from the API
//! within a fixed time. Nobody is asked for anything, the keyring's password included.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use clap::{Command, CommandFactory as _, value_parser};

use super::name_cache::{NameCache, SeenNames};
use super::{Kind, kind};
use crate::cli::Cli;
use crate::cli::config_file::ConfigFile;
use crate::cli::credentials::Lookup;
use crate::cli::global_options::DEFAULT_API_URL;
use crate::cli::network;
use crate::cli::settings::Settings;
use crate::client::names_seen::NamesSeen;
use crate::client::{ApiBase, ApiClient};
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};

/// Longest time for keyring and network together.
const LIMIT: Duration = Duration::from_millis(250);

/// What the words on the command line say, and the names that go with it.
pub(super) struct Names {
    place: Option<Place>,
    workspaces: OnceLock<Vec<String>>,
    servers: OnceLock<Vec<String>>,
    secrets: OnceLock<Vec<String>>,
}

/// Where the names are.
#[derive(Clone)]
struct Place {
    settings: Settings,
    base: ApiBase,
    /// Not there where something else than a slug was typed.
    workspace: Option<WorkspaceSlug>,
    server: Option<ServerSlug>,
    ca_cert: Option<PathBuf>,
    /// Whether the API may be asked. One that is only being typed does not get the key.
    may_ask: bool,
}

impl Names {
    /// The names for these words, of which the one at `at` is being typed.
    pub(super) fn new(settings: &Settings, words: &[OsString], at: usize) -> Self {
        Self {
            place: Place::of(settings, &Typed::new(words, at)),
            workspaces: OnceLock::new(),
            servers: OnceLock::new(),
            secrets: OnceLock::new(),
        }
    }

    /// All names of a kind; empty where none are known.
    pub(super) fn of(&self, kind: Kind) -> &[String] {
        let Some(place) = &self.place else { return &[] };
        let known = match kind {
            Kind::Workspace => &self.workspaces,
            Kind::Server => &self.servers,
            Kind::Secret => &self.secrets,
        };
        known.get_or_init(|| place.names(kind))
    }
}

impl Place {
    fn of(settings: &Settings, typed: &Typed) -> Option<Self> {
        let url = typed.api_url.as_deref().or(settings.api_url.as_deref()).unwrap_or(DEFAULT_API_URL);
        let base = ApiBase::parse(url).ok()?;
        let chosen = || {
            let file = settings.config_dir.as_deref().map(ConfigFile::in_directory)?;
            file.workspace(base.origin()).ok().flatten()
        };
        let workspace = match typed.workspace.as_deref().or(settings.workspace.as_deref()) {
            Some(slug) => WorkspaceSlug::parse(slug).ok(),
            None => chosen().or_else(|| WorkspaceSlug::parse("default").ok()),
        };
        Some(Self {
            settings: settings.clone(),
            workspace,
            server: typed.server.as_deref().and_then(|slug| ServerSlug::parse(slug).ok()),
            ca_cert: typed.ca_cert.as_ref().map(PathBuf::from),
            may_ask: typed.api_url.is_none(),
            base,
        })
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        let cache_dir = self.settings.cache_dir.clone();
        let cache = cache_dir.as_deref().map(NameCache::read).unwrap_or_default();
        let (origin, workspace) =
            (self.base.origin(), self.workspace.as_ref().map_or("", WorkspaceSlug::as_str));
        let known = match kind {
            Kind::Workspace => cache.workspaces(origin),
            Kind::Server => cache.servers(origin, workspace),
            Kind::Secret => {
                self.server.as_ref().and_then(|server| cache.secrets(origin, workspace, server.as_str()))
            }
        };
        if let Some(known) = known.filter(|known| known.is_fresh()) {
            return legal(kind, known.names.clone());
        }
        match self.ask(kind) {
            Some(names) => legal(kind, names),
            None => legal(kind, known.map(|known: &SeenNames| known.names.clone()).unwrap_or_default()),
        }
    }

    /// Asks the API. A thread that goes on longer ends with the process.
    fn ask(&self, kind: Kind) -> Option<Vec<String>> {
        if !self.may_ask {
            return None;
        }
        let (answer, answered) = sync_channel(1);
        let place = self.clone();
        thread::spawn(move || {
            let _ = answer.send(place.fetch(kind));
        });
        let seen = answered.recv_timeout(LIMIT).ok()??;
        let names = match &seen {
            NamesSeen::Workspaces(names)
            | NamesSeen::Servers { slugs: names, .. }
            | NamesSeen::Secrets { names, .. } => names.clone(),
            NamesSeen::SecretSet { .. } | NamesSeen::WorkspacesChanged | NamesSeen::Changed(_) => {
                return None;
            }
        };
        if let Some(cache_dir) = &self.settings.cache_dir {
            NameCache::record(cache_dir, self.base.origin(), vec![seen]);
        }
        Some(names)
    }

    fn fetch(&self, kind: Kind) -> Option<NamesSeen> {
        let (key, _) = Lookup::run_within(LIMIT, &self.settings, self.base.origin()).found?;
        let network = network::around(&self.base, self.ca_cert.as_deref(), &self.settings, LIMIT).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let mut client = ApiClient::new(self.base.clone(), &key, network, LIMIT).ok()?;
        runtime
            .block_on(async {
                match (kind, &self.workspace, &self.server) {
                    (Kind::Workspace, ..) => client.workspaces().await.map(|_| ()),
                    (Kind::Server, Some(workspace), _) => client.servers(workspace).await.map(|_| ()),
                    (Kind::Secret, Some(workspace), Some(server)) => {
                        client.secrets(workspace, server).await.map(|_| ())
                    }
                    _ => Ok(()),
                }
            })
            .ok()?;
        client.take_names_seen().pop()
    }
}

/// Only what the grammar takes gets into somebody's command line.
fn legal(kind: Kind, names: Vec<String>) -> Vec<String> {
    let mut names = names;
    names.retain(|name| match kind {
        Kind::Workspace => WorkspaceSlug::parse(name).is_ok(),
        Kind::Server => ServerSlug::parse(name).is_ok(),
        Kind::Secret => SecretName::parse(name).is_ok(),
    });
    names
}

/// What the words say about the place, unchecked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    api_url: Option<String>,
    workspace: Option<String>,
    ca_cert: Option<String>,
    server: Option<String>,
}

impl Typed {
    /// Lets the grammar itself read the words without the one that is being typed.
    fn new(words: &[OsString], at: usize) -> Self {
        let before_and_after = words.iter().enumerate().filter(|(index, _)| *index != at);
        let words = before_and_after.map(|(_, word)| word);
        let grammar = lenient(Cli::command()).ignore_errors(true);
        let Ok(matches) = grammar.clone().try_get_matches_from(words) else { return Self::default() };
        let mut deepest = (&grammar, &matches);
        while let Some((name, matches)) = deepest.1.subcommand() {
            let Some(command) = deepest.0.find_subcommand(name) else { break };
            deepest = (command, matches);
        }
        let (command, matches) = deepest;
        let value = |id: &str| {
            let mut values = matches.try_get_raw(id).ok().flatten()?;
            values.next_back()?.to_str().map(str::to_owned)
        };
        let server = command.get_arguments().find(|argument| kind(argument) == Some(Kind::Server));
        Self {
            api_url: value("api_url"),
            workspace: value("workspace"),
            ca_cert: value("ca_cert"),
            server: server.and_then(|argument| value(argument.get_id().as_str())),
        }
    }
}

/// The grammar with every value allowed: one that is not must not hide the others.
fn lenient(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = command.mut_args(|argument| {
        if argument.get_action().takes_values() {
            argument.value_parser(value_parser!(OsString))
        } else {
            argument
        }
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, lenient))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Typed {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Typed::new(&words, words.len() - 1)
    }

    #[test]
    fn words_say_where_the_names_are() {
        let set = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            let typed = typed(&words);
            (typed.workspace.unwrap_or_default(), typed.server.unwrap_or_default())
        };
        let both = ("team".to_owned(), "a-b".to_owned());
        for words in [
            "aerostack -w team secrets set a-b ",
            "aerostack secrets -w team set a-b ",
            "aerostack secrets set -w team a-b G",
            "aerostack secrets set a-b --workspace=team ",
            "aerostack secrets set -wteam a-b ",
            "aerostack secrets set -qwteam --header X-K a-b ",
            "aerostack --timeout 5 secrets --color never set --value-file f a-b -w team ",
            "aerostack --timeout x secrets set -w team a-b ",
            "aerostack secrets delete -w team a-b A B ",
        ] {
            assert_eq!(set(words), both, "{words}");
        }
        let none = (String::new(), String::new());
        for words in ["aerostack secrets set --timeout 5 ", "aerostack ", "aerostack secrets set a-b"] {
            assert_eq!(set(words), none, "{words}");
        }
        let given =
            typed(&["aerostack", "--ca-cert", "f", "secrets", "list", "--api-url=https://x.example", ""]);
        assert_eq!(
            (given.ca_cert.as_deref(), given.api_url.as_deref()),
            (Some("f"), Some("https://x.example"))
        );
    }

    #[test]
    fn what_the_grammar_does_not_take_is_left_out() {
        let names = ["GOOD", "bad name", "$(rm)", "a\nb"].map(str::to_owned).to_vec();
        assert_eq!(legal(Kind::Secret, names), ["GOOD"]);
    }
}
