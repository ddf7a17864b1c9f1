//! Names for one question of a shell: from the cache, or, where that is old, from the API
//! within a fixed time. Nobody is asked for anything, the keyring's password included.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::Kind;
use super::name_cache::{NameCache, SeenNames};
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
}

impl Names {
    pub(super) fn new(settings: &Settings, words: &[OsString]) -> Self {
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        Self {
            place: Place::of(settings, &words),
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
    fn of(settings: &Settings, words: &[&str]) -> Option<Self> {
        let url = option(words, &["--api-url"]).or(settings.api_url.as_deref()).unwrap_or(DEFAULT_API_URL);
        let base = ApiBase::parse(url).ok()?;
        let chosen = || {
            let file = settings.config_dir.as_deref().map(ConfigFile::in_directory)?;
            file.workspace(base.origin()).ok().flatten()
        };
        let named = option(words, &["-w", "--workspace"]).or(settings.workspace.as_deref());
        let workspace = match named {
            Some(slug) => WorkspaceSlug::parse(slug).ok(),
            None => chosen().or_else(|| WorkspaceSlug::parse("default").ok()),
        };
        Some(Self { settings: settings.clone(), workspace, server: server(words), base })
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
            NamesSeen::SecretSet { .. } | NamesSeen::Changed(_) => return None,
        };
        if let Some(cache_dir) = &self.settings.cache_dir {
            NameCache::record(cache_dir, self.base.origin(), vec![seen]);
        }
        Some(names)
    }

    fn fetch(&self, kind: Kind) -> Option<NamesSeen> {
        let (key, _) = Lookup::run_within(LIMIT, &self.settings, self.base.origin()).found?;
        let network = network::around(&self.base, None, &self.settings).ok()?;
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

/// The value of an option: `--name value` or `--name=value`.
fn option<'a>(words: &[&'a str], names: &[&str]) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| {
        if names.contains(word) {
            return words.get(at + 1).copied();
        }
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
    })
}

/// The MCP server: the first word after the command that can be one.
fn server(words: &[&str]) -> Option<ServerSlug> {
    let after_secrets = words.iter().position(|word| *word == "secrets")? + 2;
    let mut skip = false;
    for word in words.get(after_secrets..)? {
        if std::mem::take(&mut skip) {
            continue;
        }
        match *word {
            "-w" | "--workspace" | "--api-url" | "--timeout" | "--ca-cert" | "--color" | "--fields" => {
                skip = true;
            }
            word if word.starts_with('-') => {}
            word => return ServerSlug::parse(word).ok(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_where_the_names_are() {
        let words = ["aerostack", "-w", "team", "secrets", "set", "--api-url=https://x.example", "a-b", ""];
        assert_eq!(option(&words, &["-w", "--workspace"]), Some("team"));
        assert_eq!(option(&words, &["--api-url"]), Some("https://x.example"));
        assert_eq!(server(&words).unwrap().as_str(), "a-b");
        assert!(server(&["aerostack", "secrets", "set", "--timeout", "5"]).is_none());
        assert!(server(&["aerostack", "mcp", "remove", "x"]).is_none());
    }

    #[test]
    fn what_the_grammar_does_not_take_is_left_out() {
        let names = ["GOOD", "bad name", "$(rm)", "a\nb"].map(str::to_owned).to_vec();
        assert_eq!(legal(Kind::Secret, names), ["GOOD"]);
    }
}
