//! The database file: one process at a time, born with mode 0600, looked at before
//! anything is written, then opened with the settings that durability asks for.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrations::MigrationError;
use super::start;
use crate::server::store::{KeyCheck, StoreError};

/// Why the file cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another aerostack server")]
    InUse(PathBuf),
    /// Others may read or write it.
    #[error("{path} is open to other users (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another program's.
    #[error("{0} belongs to another program; give the path of an aerostack database or of a new file")]
    NotOurs(PathBuf),
    /// `admit` refused.
    #[error("the key does not belong to this database")]
    Refused,
    /// The file system refuses.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The database refuses, or the file is no database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration does not fit.
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The one absolute path of a file, whatever links lead to it: SQLite puts its WAL beside
/// the file itself, and there must be one lock for it.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |error| OpenError::Io(path.to_owned(), error);
    if path.symlink_metadata().is_ok() {
        return std::fs::canonicalize(path).map_err(failed);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    Ok(std::fs::canonicalize(folder).map_err(failed)?.join(name))
}

/// Holds the lock until it is dropped, or the process ends in any way.
pub(super) struct FileLock(File);

impl Drop for FileLock {
    /// Frees it by name: a child that another thread has just forked may still hold a copy
    /// of the file, and closing ours alone would then leave it locked for a moment.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes `<path>.lock` for this process.
pub(super) fn lock(path: &Path) -> Result<FileLock, OpenError> {
    let lock_path = with_suffix(path, ".lock");
    let failed = |error| OpenError::Io(lock_path.clone(), error);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(FileLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Creates a missing file with mode 0600 (SQLite gives its WAL the same mode); refuses
/// one that others may use.
pub(super) fn prepare(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Io(path.to_owned(), error);
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all().map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(OpenError::OpenToOthers { path: path.to_owned(), mode });
            }
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// Reads the key checks of an existing project without writing a byte and lets `admit`
/// decide. A database of another program is refused.
pub(super) fn inspect(path: &Path, admit: &dyn Fn(&[KeyCheck]) -> bool) -> Result<(), OpenError> {
    let connection = open_for_looking(path)?;
    connection.pragma_update(None, "query_only", true)?;
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let is_database = count("SELECT count(*) FROM sqlite_schema");
    if is_database.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::NotADatabase)) {
        return Err(OpenError::NotOurs(path.to_owned()));
    }
    // Other tools call a table of theirs schema_migrations too; its columns tell.
    let record = "SELECT count(*) FROM pragma_table_info('schema_migrations')
        WHERE name IN ('number', 'sha256', 'applied_at')";
    if is_database? > 0 && count(record)? != 3 {
        return Err(OpenError::NotOurs(path.to_owned()));
    }
    match start::key_checks(&connection)? {
        Some(checks) if !admit(&checks) => Err(OpenError::Refused),
        _ => Ok(()),
    }
}

/// After a clean end there is one file, and looking at it must not make a WAL beside it.
/// After a crash the WAL has to be read, and is left as it is: closing does not fold it.
fn open_for_looking(path: &Path) -> Result<Connection, OpenError> {
    let has_wal = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0);
    if !has_wal && let Some(uri) = immutable_uri(path) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | no_mutex();
        return Ok(Connection::open_with_flags(uri, flags)?);
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | no_mutex())?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn immutable_uri(path: &Path) -> Option<String> {
    let url = url::Url::from_file_path(path).ok()?;
    Some(format!("{url}?immutable=1"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the one connection that writes.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | no_mutex())?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    guard(&connection)?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | no_mutex())?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    guard(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Settings of every connection that stays open.
fn guard(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Without it the bundled library (built with STAT4) plans a cached statement anew
    // whenever a parameter is bound: more than half of a call's CPU.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn no_mutex() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_durability_and_secrecy_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        prepare(&path).unwrap();
        let connection = open_for_writing(&path).unwrap();
        let number =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("synchronous"), 2, "FULL");
        assert_eq!((number("secure_delete"), number("foreign_keys"), number("trusted_schema")), (1, 1, 0));
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        connection.execute_batch("CREATE TABLE t (a)").unwrap();
        for file in ["x.db", "x.db-wal", "x.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{file}");
        }
        let reader = open_for_reading(&path).unwrap();
        assert!(reader.execute_batch("CREATE TABLE u (a)").is_err());
    }
}
