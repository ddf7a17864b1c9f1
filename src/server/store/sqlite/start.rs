//! What the server reads and writes when it starts: project, key checks, its own keys,
//! API keys.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::workspaces;
use crate::domain::{KeyId, SealedValue};
use crate::server::clock;
use crate::server::store::{
    ApiKeyRow, InternalKey, KeyCheck, NewProject, ProjectRow, StoreError, WriteError,
};

/// The key checks; `None` if the file holds no project yet.
pub(super) fn key_checks(connection: &Connection) -> Result<Option<Vec<KeyCheck>>, StoreError> {
    let tables: i64 =
        connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'project'", [], |row| row.get(0))?;
    if tables == 0 || project(connection)?.is_none() {
        return Ok(None);
    }
    let mut statement = connection.prepare("SELECT key_id, key_check FROM key_checks")?;
    let checks =
        statement.query_map([], |row| Ok(KeyCheck { key_id: KeyId(row.get(0)?), key_check: row.get(1)? }))?;
    Ok(Some(checks.collect::<Result<_, _>>()?))
}

pub(super) fn project(connection: &Connection) -> Result<Option<ProjectRow>, StoreError> {
    let read = |row: &Row<'_>| Ok(ProjectRow { id: row.get(0)?, name: row.get(1)? });
    Ok(connection.query_row("SELECT id, name FROM project", [], read).optional()?)
}

pub(super) fn internal_key(
    connection: &Connection,
    purpose: &str,
) -> Result<Option<InternalKey>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT sealed FROM internal_keys WHERE purpose = ?1")?;
    let Some(bytes) = statement.query_row([purpose], |row| row.get::<_, Vec<u8>>(0)).optional()? else {
        return Ok(None);
    };
    let sealed = SealedValue::from_bytes(bytes).map_err(|_| StoreError::Damaged("internal_keys"))?;
    Ok(Some(InternalKey { purpose: purpose.to_owned(), sealed }))
}

pub(super) fn create_project(transaction: &Transaction<'_>, new: &NewProject) -> Result<(), WriteError> {
    if project(transaction)?.is_some() {
        return Err(WriteError::Exists);
    }
    let now = clock::now();
    transaction.execute(
        "INSERT INTO project (only_row, id, name, created_at) VALUES (1, ?1, ?2, ?3)",
        (&new.project.id, &new.project.name, now),
    )?;
    transaction.execute(
        "INSERT INTO key_checks (key_id, key_check, created_at) VALUES (?1, ?2, ?3)",
        (new.key_check.key_id.0, new.key_check.key_check, now),
    )?;
    for key in &new.internal_keys {
        transaction.execute(
            "INSERT INTO internal_keys (purpose, sealed) VALUES (?1, ?2)",
            (&key.purpose, key.sealed.as_bytes()),
        )?;
    }
    workspaces::add(transaction, &new.workspace)?;
    transaction.execute(
        "INSERT INTO api_keys (id, key_hash, created_at) VALUES (?1, ?2, ?3)",
        (&new.api_key.id, new.api_key.key_hash, new.api_key.created_at),
    )?;
    Ok(())
}

pub(super) fn api_key(connection: &Connection, id: &str) -> Result<Option<ApiKeyRow>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT id, key_hash, created_at FROM api_keys WHERE id = ?1")?;
    let read =
        |row: &Row<'_>| Ok(ApiKeyRow { id: row.get(0)?, key_hash: row.get(1)?, created_at: row.get(2)? });
    Ok(statement.query_row([id], read).optional()?)
}
