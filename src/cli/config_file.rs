//! What is remembered between commands: `<config dir>/aerostack/config.json` with one
//! workspace for each API origin (`workspace use`), and what was asked once. Written
//! whole, by renaming a finished file. No credential is in it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};
use crate::domain::{Origin, WorkspaceSlug};

/// The file's content. Members that this version does not know are kept.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    #[serde(default)]
    workspaces: BTreeMap<String, String>,
    /// Whether the user was asked about the key of an older command line and said no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    older_key_declined: bool,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// The configuration file of one user.
pub struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// The file in this configuration directory.
    pub fn in_directory(config_dir: &Path) -> Self {
        Self { path: config_dir.join("aerostack").join("config.json") }
    }

    /// The workspace that was chosen for an API.
    ///
    /// # Errors
    /// When the file is there but says nothing sensible: going on with another workspace
    /// than the chosen one would be worse.
    pub fn workspace(&self, origin: &Origin) -> Result<Option<WorkspaceSlug>, Failure> {
        let content = self.read()?;
        let slug = content.workspaces.get(origin.as_str());
        slug.map(|slug| WorkspaceSlug::parse(slug).map_err(|_| self.damaged())).transpose()
    }

    /// Remembers a workspace for an API, or forgets it.
    pub fn set_workspace(&self, origin: &Origin, workspace: Option<&WorkspaceSlug>) -> Result<(), Failure> {
        let mut content = self.read()?;
        match workspace {
            Some(slug) => content.workspaces.insert(origin.as_str().to_owned(), slug.as_str().to_owned()),
            None => content.workspaces.remove(origin.as_str()),
        };
        self.write(&content).with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(())
    }

    /// Whether [`ConfigFile::decline_older_key`] was called before.
    pub fn older_key_declined(&self) -> Result<bool, Failure> {
        Ok(self.read()?.older_key_declined)
    }

    /// Remembers that the key of an older command line is not wanted.
    pub fn decline_older_key(&self) -> Result<(), Failure> {
        let content = Content { older_key_declined: true, ..self.read()? };
        self.write(&content).with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(())
    }

    fn read(&self) -> Result<Content, Failure> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| self.damaged()),
            // Not there, or a home that is no directory.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(Content::default())
            }
            Err(error) => Err(anyhow::Error::new(error).context(self.path.display().to_string()).into()),
        }
    }

    fn damaged(&self) -> Failure {
        Failure::new(FailureKind::Unexpected, format!("{} is damaged", self.path.display())).with_hint(
            "remove the file and run 'aerostack workspace use' again, or name the workspace with -w",
        )
    }

    fn write(&self, content: &Content) -> anyhow::Result<()> {
        let directory = self.path.parent().context("no directory")?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let temporary = directory.join(format!(".config.json.{}", std::process::id()));
        let written = write_new(&temporary, &serde_json::to_vec(content)?)
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        if written.is_err() {
            // The failure that counts is the one above.
            let _ = std::fs::remove_file(&temporary);
        }
        Ok(written?)
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn origin(url: &str) -> Origin {
        crate::domain::UpstreamUrl::parse(url).unwrap().origin().clone()
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("aerostack-config-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_workspace_for_each_origin() {
        let folder = Folder::new("origins");
        let file = ConfigFile::in_directory(&folder.0);
        let (one, other) = (origin("https://one.example"), origin("https://other.example"));
        assert_eq!(file.workspace(&one).unwrap(), None);
        let slug = WorkspaceSlug::parse("team-a").unwrap();
        file.set_workspace(&one, Some(&slug)).unwrap();
        assert_eq!(file.workspace(&one).unwrap(), Some(slug));
        assert_eq!(file.workspace(&other).unwrap(), None);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file.path), mode(file.path.parent().unwrap())), (0o600, 0o700));
        file.set_workspace(&one, None).unwrap();
        assert_eq!(file.workspace(&one).unwrap(), None);
    }

    #[test]
    fn damage_is_not_read_as_nothing_and_unknown_members_stay() {
        let folder = Folder::new("damage");
        let file = ConfigFile::in_directory(&folder.0);
        let one = origin("https://one.example");
        std::fs::create_dir_all(file.path.parent().unwrap()).unwrap();
        for damaged in ["{", "[]", r#"{"workspaces":{"https://one.example:443":"Not A Slug"}}"#] {
            std::fs::write(&file.path, damaged).unwrap();
            assert_eq!(file.workspace(&one).unwrap_err().exit_code(), 1, "{damaged}");
        }
        std::fs::write(&file.path, r#"{"later":1}"#).unwrap();
        file.set_workspace(&one, Some(&WorkspaceSlug::parse("a").unwrap())).unwrap();
        assert!(std::fs::read_to_string(&file.path).unwrap().contains(r#""later":1"#));
    }
}
