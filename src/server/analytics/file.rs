//! The file of recorded calls: beside the database, born with mode 0600, and not needed
//! for anything else. Its form is simple enough to be made anew when it is lost.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::server::store::StoreError;

/// The form of the tables that this program writes.
const FORM: i64 = 1;

/// `outcome` is a word, `micros` the duration in microseconds, `at` milliseconds since 1970.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS calls (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at            INTEGER NOT NULL,
    workspace_id  TEXT NOT NULL,
    token_id      TEXT NOT NULL,
    server        TEXT NOT NULL,
    tool          TEXT NOT NULL,
    micros        INTEGER NOT NULL,
    success       INTEGER NOT NULL CHECK (success IN (0, 1)),
    outcome       TEXT NOT NULL,
    request_id    TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS calls_by_time ON calls (workspace_id, at);
CREATE INDEX IF NOT EXISTS calls_by_token ON calls (workspace_id, token_id);
CREATE INDEX IF NOT EXISTS calls_by_age ON calls (at);
";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileProblem {
    #[error("it is open to other users (mode {0:03o}); run chmod 600 on it")]
    OpenToOthers(u32),
    #[error("it was written by a newer version of aerostack (form {0})")]
    Newer(i64),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for FileProblem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// `<database>.analytics`.
pub(super) fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".analytics");
    name.into()
}

/// Opens the file for writing; makes it, and its tables, where they are missing.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, FileProblem> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(FileProblem::OpenToOthers(mode));
            }
        }
        Err(error) => return Err(error.into()),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    guard(&connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A crash of the program loses nothing that was written; a crash of the machine may lose
    // the last batches, which is the price of never waiting for the disk.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form > FORM {
        return Err(FileProblem::Newer(form));
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", FORM)?;
    Ok(connection)
}

/// Opens the file for one question.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    guard(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn guard(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}
