//! The names that completions offer: `<cache dir>/aerostack/names.json`, 0600. Names of
//! workspaces, servers and secrets by API origin; values are in no answer and so not here.
//! It may be lost or damaged at any time: then it is as good as empty.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::client::names_seen::NamesSeen;
use crate::domain::Origin;

/// How long names count as those of now.
const FRESH: Duration = Duration::from_mins(1);
/// How often and after which pause the folder's lock is tried: half a second together.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Most bytes that are read.
const MAX_BYTES: u64 = 8 << 20;

/// Names, and when they were seen.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct SeenNames {
    /// Seconds since 1970.
    seen: u64,
    /// The names.
    pub names: Vec<String>,
}

impl SeenNames {
    /// Whether nobody needs to be asked again.
    pub fn is_fresh(&self) -> bool {
        now().checked_sub(self.seen).is_some_and(|age| age < FRESH.as_secs())
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct OfOrigin {
    workspaces: SeenNames,
    servers: BTreeMap<String, SeenNames>,
    secrets: BTreeMap<String, BTreeMap<String, SeenNames>>,
}

/// All that is known.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NameCache {
    origins: BTreeMap<String, OfOrigin>,
}

impl NameCache {
    /// Reads it.
    pub fn read(cache_dir: &Path) -> Self {
        let path = path(cache_dir);
        let small = path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES);
        let bytes = if small { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Takes in what a command has seen.
    pub fn record(cache_dir: &Path, origin: &Origin, seen: Vec<NamesSeen>) {
        // Without a home there is nothing to keep them in, and it is not ours to make one.
        if seen.is_empty() || !cache_dir.parent().is_some_and(Path::is_dir) {
            return;
        }
        // Another command that ends now would otherwise lose what this one has seen.
        let _lock = lock(cache_dir);
        let mut cache = Self::read(cache_dir);
        let of_origin = cache.origins.entry(origin.as_str().to_owned()).or_default();
        for seen in seen {
            of_origin.take_in(seen);
        }
        // Completions then ask the API themselves.
        let _ = cache.write(cache_dir);
    }

    /// Workspaces of an API.
    pub fn workspaces(&self, origin: &Origin) -> Option<&SeenNames> {
        self.origins.get(origin.as_str()).map(|of_origin| &of_origin.workspaces)
    }

    /// MCP servers of a workspace.
    pub fn servers(&self, origin: &Origin, workspace: &str) -> Option<&SeenNames> {
        self.origins.get(origin.as_str())?.servers.get(workspace)
    }

    /// Secrets of an MCP server.
    pub fn secrets(&self, origin: &Origin, workspace: &str, server: &str) -> Option<&SeenNames> {
        self.origins.get(origin.as_str())?.secrets.get(workspace)?.get(server)
    }

    fn write(&self, cache_dir: &Path) -> std::io::Result<()> {
        let path = path(cache_dir);
        let folder = path.parent().unwrap_or(cache_dir);
        let temporary = folder.join(format!(".names.json.{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&serde_json::to_vec(self)?))
            .and_then(|()| std::fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

impl OfOrigin {
    fn take_in(&mut self, seen: NamesSeen) {
        match seen {
            NamesSeen::Workspaces(names) => self.workspaces = fresh(names),
            NamesSeen::Servers { workspace, slugs } => {
                self.servers.insert(workspace.as_str().to_owned(), fresh(slugs));
            }
            NamesSeen::Secrets { workspace, server, names } => {
                let of_workspace = self.secrets.entry(workspace.as_str().to_owned()).or_default();
                of_workspace.insert(server, fresh(names));
            }
            NamesSeen::SecretSet { workspace, server, name } => {
                let of_workspace = self.secrets.entry(workspace.as_str().to_owned()).or_default();
                let known = of_workspace.entry(server).or_default();
                if !known.names.contains(&name) {
                    known.names.push(name);
                    known.names.sort();
                }
            }
            NamesSeen::WorkspacesChanged => self.workspaces.seen = 0,
            NamesSeen::Changed(workspace) => {
                let servers = self.servers.get_mut(workspace.as_str());
                let secrets = self.secrets.get_mut(workspace.as_str());
                let known = servers.into_iter().chain(secrets.into_iter().flat_map(BTreeMap::values_mut));
                known.for_each(|known| known.seen = 0);
            }
        }
    }
}

/// Locks the folder until the answer is dropped. Who holds it for long is not waited for:
/// names are a convenience.
fn lock(cache_dir: &Path) -> Option<File> {
    let path = path(cache_dir);
    let folder = path.parent()?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
    let folder = File::open(folder).ok()?;
    for _ in 0..LOCK_TRIES {
        if folder.try_lock().is_ok() {
            return Some(folder);
        }
        thread::sleep(LOCK_PAUSE);
    }
    None
}

fn path(cache_dir: &Path) -> PathBuf {
    cache_dir.join("aerostack").join("names.json")
}

fn fresh(names: Vec<String>) -> SeenNames {
    SeenNames { seen: now(), names }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{UpstreamUrl, WorkspaceSlug};

    fn origin() -> Origin {
        UpstreamUrl::parse("https://api.example.com").unwrap().origin().clone()
    }

    #[test]
    fn nothing_is_lost_between_several_at_once() {
        let folder = std::env::temp_dir().join(format!("aerostack-lock-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let record = |slug: String| {
            let workspace = WorkspaceSlug::parse("default").unwrap();
            let seen = NamesSeen::Secrets { workspace, server: slug, names: vec!["A".to_owned()] };
            NameCache::record(&folder, &origin(), vec![seen]);
        };
        let (threads, each) = (0..4, 0..5);
        thread::scope(|scope| {
            for thread in threads.clone() {
                let (record, each) = (&record, each.clone());
                scope.spawn(move || each.for_each(|number| record(format!("s-{thread}-{number}"))));
            }
        });
        let cache = NameCache::read(&folder);
        for (thread, number) in threads.flat_map(|thread| each.clone().map(move |number| (thread, number))) {
            let slug = format!("s-{thread}-{number}");
            assert!(cache.secrets(&origin(), "default", &slug).is_some(), "{slug}");
        }
        // Somebody who never lets go is not waited for.
        let _held = lock(&folder).unwrap();
        record("late".to_owned());
        assert!(NameCache::read(&folder).secrets(&origin(), "default", "late").is_some());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_was_seen_is_known_and_a_change_makes_it_old() {
        let folder = std::env::temp_dir().join(format!("aerostack-names-{}", std::process::id()));
        NameCache::record(&folder.join("no-home/.cache"), &origin(), vec![NamesSeen::Workspaces(Vec::new())]);
        assert!(!folder.exists(), "a home was made");
        let (origin, workspace) = (origin(), WorkspaceSlug::parse("default").unwrap());
        let record = |seen: NamesSeen| NameCache::record(&folder, &origin, vec![seen]);
        record(NamesSeen::Servers { workspace: workspace.clone(), slugs: vec!["a".to_owned()] });
        let (server, name) = ("a".to_owned(), "TOKEN".to_owned());
        record(NamesSeen::SecretSet { workspace: workspace.clone(), server, name });
        let cache = NameCache::read(&folder);
        assert!(cache.servers(&origin, "default").unwrap().is_fresh());
        let secrets = cache.secrets(&origin, "default", "a").unwrap();
        assert_eq!(secrets.names, ["TOKEN"]);
        assert!(!secrets.is_fresh(), "one name is not all names");
        record(NamesSeen::Changed(workspace));
        let cache = NameCache::read(&folder);
        assert!(!cache.servers(&origin, "default").unwrap().is_fresh());
        std::fs::write(path(&folder), "{").unwrap();
        assert!(NameCache::read(&folder).servers(&origin, "default").is_none());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
