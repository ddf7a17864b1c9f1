//! The plain-text file, for those who asked for it with `--insecure-storage`:
//! `<config dir>/aerostack/credentials.json`, 0600 in a 0700 folder. Written whole, by
//! renaming a finished file, while the folder is locked.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, access, fchmod, flock, fstat, fsync,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private_file::{self, Oddity};
use crate::cli::env_vars;
use crate::cli::failure::Failure;
use crate::domain::{ApiKey, Origin};

const FILE: &str = "credentials.json";
/// The finished file before it is renamed. One name, so that a killed process leaves no
/// more than one behind, and the next one clears it away.
const UNFINISHED: &str = ".credentials.json.new";
/// Longest wait for another process that writes.
const LOCK_LIMIT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The file's content. A member that is not known would be lost, so it is refused.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Key by origin.
    api_keys: BTreeMap<String, Zeroizing<String>>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{}: {oddity}", .path.display())]
    Odd { path: PathBuf, oddity: Oddity },
    #[error("{}: other users can read or write it", .0.display())]
    OpenToOthers(PathBuf),
    #[error("{}: its content is not understood", .0.display())]
    Damaged(PathBuf),
    #[error("{}: another process holds it", .0.display())]
    Busy(PathBuf),
}

impl From<Problem> for Failure {
    /// Exit 4: there is no key that may be used.
    fn from(problem: Problem) -> Self {
        let hint = match &problem {
            Problem::Odd { path, oddity: Oddity::System(_) } => {
                format!("look at the rights of {}", path.display())
            }
            Problem::Odd { path, .. } => {
                format!("move {} away, then log in again", path.display())
            }
            Problem::OpenToOthers(path) => format!(
                "'chmod go= {}' closes it; but take its keys for known to the others, and log in with new ones",
                path.display()
            ),
            Problem::Damaged(path) => format!("move {} away, then log in again", path.display()),
            Problem::Busy(_) => "try again".to_owned(),
        };
        Self::not_logged_in(format!("the plain-text key file is not used: {problem}")).with_hint(hint)
    }
}

/// The plain-text file of one user.
#[derive(Debug, Clone)]
pub struct PlainFile {
    folder: PathBuf,
}

impl PlainFile {
    /// The file below this configuration directory.
    pub fn in_directory(config_dir: &Path) -> Self {
        Self { folder: config_dir.join("aerostack") }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The key of an origin, unchecked.
    ///
    /// # Errors
    /// Exit 4 when file or folder could have been made or read by somebody else.
    pub fn read(&self, origin: &Origin) -> Result<Option<Zeroizing<String>>, Failure> {
        if self.is_absent() {
            return Ok(None);
        }
        let Some((folder, writable_by_others)) = self.open_folder()? else { return Ok(None) };
        if writable_by_others {
            return Err(Problem::OpenToOthers(self.folder.clone()).into());
        }
        let (mut content, open_to_others) = self.content(&folder)?;
        let key = content.api_keys.remove(origin.as_str());
        if key.is_some() && open_to_others {
            return Err(Problem::OpenToOthers(self.path()).into());
        }
        Ok(key)
    }

    /// Fails where [`PlainFile::store`] would, as far as can be seen without writing.
    pub fn check_writable(&self) -> Result<(), Failure> {
        if let Some((folder, _)) = self.open_folder()? {
            self.content(&folder)?;
        }
        // Ours to write in, or the nearest folder above that is there.
        let there = self.folder.ancestors().find(|folder| folder.exists()).unwrap_or(&self.folder);
        access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| self.not_written(&error.into()))
    }

    /// Writes the key of an origin; keys of others stay. Answers whether the file was
    /// open to other users until now.
    ///
    /// # Errors
    /// Exit 4 when something else is in the file's place, exit 1 when it cannot be
    /// written. Nothing is lost then.
    pub fn store(&self, origin: &Origin, key: &ApiKey) -> Result<bool, Failure> {
        make_folders(&self.folder).map_err(|error| self.not_written(&error))?;
        let (folder, _) = self.open_folder()?.ok_or_else(|| self.not_written(&Errno::NOENT.into()))?;
        let _lock = self.lock(&folder)?;
        let (mut content, was_open) = self.content(&folder)?;
        content.api_keys.insert(origin.as_str().to_owned(), Zeroizing::new(key.expose().to_owned()));
        self.write(&folder, &content)?;
        Ok(was_open)
    }

    /// Forgets the key of an origin, and the file with its last key. `false` when there
    /// was no key.
    ///
    /// # Errors
    /// As for [`PlainFile::store`].
    pub fn remove(&self, origin: &Origin) -> Result<bool, Failure> {
        if self.is_absent() {
            return Ok(false);
        }
        let Some((folder, _)) = self.open_folder()? else { return Ok(false) };
        let _lock = self.lock(&folder)?;
        let (mut content, _) = self.content(&folder)?;
        if content.api_keys.remove(origin.as_str()).is_none() {
            return Ok(false);
        }
        if content.api_keys.is_empty() {
            unlinkat(&folder, FILE, AtFlags::empty()).map_err(|error| self.not_written(&error.into()))?;
            fsync(&folder).map_err(|error| self.not_written(&error.into()))?;
        } else {
            self.write(&folder, &content)?;
        }
        Ok(true)
    }

    /// Whether there is nothing at all in its place, whatever the folder is.
    fn is_absent(&self) -> bool {
        let found = statat(CWD, self.path(), AtFlags::SYMLINK_NOFOLLOW);
        matches!(found, Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// The folder, if it is there and ours, and whether others can put files into it.
    fn open_folder(&self) -> Result<Option<(OwnedFd, bool)>, Problem> {
        let odd = |oddity: Oddity| Problem::Odd { path: self.folder.clone(), oddity };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(CWD, &self.folder, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return self.not_a_folder(),
            Err(error) => return Err(odd(error.into())),
        };
        let status = fstat(&folder).map_err(|error| odd(error.into()))?;
        if status.st_uid != geteuid().as_raw() {
            return Err(odd(Oddity::ForeignOwner));
        }
        Ok(Some((folder, status.st_mode & 0o022 != 0)))
    }

    /// Tells what else is in its place; a home that is no directory counts as nothing.
    fn not_a_folder<T>(&self) -> Result<Option<T>, Problem> {
        let odd = |oddity: Oddity| Err(Problem::Odd { path: self.folder.clone(), oddity });
        match statat(CWD, &self.folder, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Symlink => {
                odd(Oddity::SymbolicLink)
            }
            Ok(_) => odd(Oddity::NotAFile),
            Err(_) => Ok(None),
        }
    }

    fn content(&self, folder: &OwnedFd) -> Result<(Content, bool), Problem> {
        let found =
            private_file::read(folder, FILE).map_err(|oddity| Problem::Odd { path: self.path(), oddity })?;
        let Some(found) = found else { return Ok((Content::default(), false)) };
        let content = serde_json::from_slice(&found.bytes).map_err(|_| Problem::Damaged(self.path()))?;
        Ok((content, found.open_to_others))
    }

    /// Locks the folder until the answer is dropped.
    fn lock(&self, folder: &OwnedFd) -> Result<OwnedFd, Problem> {
        let busy = || Problem::Busy(self.folder.clone());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let odd = |error: Errno| Problem::Odd { path: self.folder.clone(), oddity: error.into() };
        let lock = openat(folder, ".", flags, Mode::empty()).map_err(odd)?;
        let start = Instant::now();
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if start.elapsed() > LOCK_LIMIT {
                return Err(busy());
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Ok(lock)
    }

    fn write(&self, folder: &OwnedFd, content: &Content) -> Result<(), Failure> {
        // Room enough that the text never moves and leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(128 << 10));
        serde_json::to_writer(&mut *text, content).map_err(|error| self.not_written(&error.into()))?;
        let written = replace(folder, &text);
        if written.is_err() {
            // The failure that counts is the one above.
            let _ = unlinkat(folder, UNFINISHED, AtFlags::empty());
        }
        written.map_err(|error| self.not_written(&error))
    }

    fn not_written(&self, error: &std::io::Error) -> Failure {
        let failure: Failure = anyhow::anyhow!("could not write {}: {error}", self.path().display()).into();
        failure.with_hint(format!(
            "look at the rights, the free space and what else is in {}, or set {}",
            self.folder.display(),
            env_vars::API_KEY
        ))
    }
}

/// Makes the folder and what is missing above it, each 0700 whatever the umask is.
fn make_folders(folder: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => std::fs::set_permissions(folder, Permissions::from_mode(0o700))?,
            // A link to nothing, or another login was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes a new file beside the old one and puts it in its place. The caller holds the
/// lock.
fn replace(folder: &OwnedFd, text: &[u8]) -> std::io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    fchmod(folder, mode | Mode::XUSR)?;
    match unlinkat(folder, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, UNFINISHED, flags, mode)?);
    // Whatever the umask took away.
    fchmod(&file, mode)?;
    file.write_all(text)?;
    file.sync_all()?;
    renameat(folder, UNFINISHED, folder, FILE)?;
    fsync(folder)?;
    Ok(())
}
