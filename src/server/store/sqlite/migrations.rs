//! Numbered SQL files, each applied once in a transaction, with its SHA-256 on record:
//! a database that was written by a newer or an altered program is refused.

use aws_lc_rs::digest;
use rusqlite::{Connection, TransactionBehavior};

use crate::server::clock;
use crate::server::store::StoreError;

const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_first_tables.sql")),
    (2, include_str!("../migrations/0002_response_redaction.sql")),
    (3, include_str!("../migrations/0003_token_limits.sql")),
];

/// Why the tables cannot be brought up to date. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// Written by a newer program.
    #[error("the database is of a newer version of aerostack (schema {0}); use that version or a newer one")]
    Newer(i64),
    /// A migration on record is not the one this program has.
    #[error("schema {0} of the database differs from this program's; use the version that wrote it")]
    Altered(i64),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

const RECORD_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, applied_at INTEGER NOT NULL) STRICT";

/// Applies what is missing, all in one transaction.
pub(super) fn run(connection: &mut Connection) -> Result<(), MigrationError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(RECORD_TABLE)?;
    let applied: Vec<(i64, Vec<u8>)> = transaction
        .prepare("SELECT number, sha256 FROM schema_migrations ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (number, recorded) in &applied {
        let (_, sql) =
            MIGRATIONS.iter().find(|(known, _)| known == number).ok_or(MigrationError::Newer(*number))?;
        if sha256(sql) != *recorded {
            return Err(MigrationError::Altered(*number));
        }
    }
    for (number, sql) in
        MIGRATIONS.iter().filter(|(number, _)| !applied.iter().any(|(done, _)| done == number))
    {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (number, sha256, applied_at) VALUES (?1, ?2, ?3)",
            (number, sha256(sql), clock::now()),
        )?;
    }
    transaction.commit()?;
    Ok(())
}

fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applied_once_and_guarded() {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection).unwrap();
        run(&mut connection).unwrap();
        let count: i64 =
            connection.query_row("SELECT count(*) FROM schema_migrations", [], |row| row.get(0)).unwrap();
        assert_eq!(count, i64::try_from(MIGRATIONS.len()).unwrap());

        connection.execute("INSERT INTO schema_migrations VALUES (999, x'00', 0)", []).unwrap();
        assert_eq!(run(&mut connection), Err(MigrationError::Newer(999)));
        connection.execute("DELETE FROM schema_migrations WHERE number = 999", []).unwrap();
        connection.execute("UPDATE schema_migrations SET sha256 = x'00' WHERE number = 1", []).unwrap();
        assert_eq!(run(&mut connection), Err(MigrationError::Altered(1)));
    }
}
