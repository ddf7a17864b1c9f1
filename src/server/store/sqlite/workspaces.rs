//! Statements on workspaces.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use crate::domain::WorkspaceSlug;
use crate::server::store::{StoreError, WorkspaceRow, WriteError};

const COLUMNS: &str = "SELECT w.id, w.slug, w.name, w.created_at,
    (SELECT count(*) FROM mcp_servers s WHERE s.workspace_id = w.id) FROM workspaces w";

fn read(row: &Row<'_>) -> Result<Option<WorkspaceRow>, rusqlite::Error> {
    let slug: String = row.get(1)?;
    let (id, name, created_at, count) = (row.get(0)?, row.get(2)?, row.get(3)?, row.get::<_, i64>(4)?);
    let server_count = u64::try_from(count).unwrap_or_default();
    let slug = WorkspaceSlug::parse(&slug).ok();
    Ok(slug.map(|slug| WorkspaceRow { id, slug, name, created_at, server_count }))
}

pub(super) fn all(connection: &Connection) -> Result<Vec<WorkspaceRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY w.slug"))?;
    let rows: Vec<Option<WorkspaceRow>> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|row| row.ok_or(StoreError::Damaged("workspaces"))).collect()
}

pub(super) fn one(connection: &Connection, slug: &WorkspaceSlug) -> Result<Option<WorkspaceRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE w.slug = ?1"))?;
    match statement.query_row([slug.as_str()], read).optional()? {
        Some(None) => Err(StoreError::Damaged("workspaces")),
        found => Ok(found.flatten()),
    }
}

pub(super) fn add(transaction: &Transaction<'_>, workspace: &WorkspaceRow) -> Result<(), WriteError> {
    let added = transaction.execute(
        "INSERT INTO workspaces (id, slug, name, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (slug) DO NOTHING",
        (&workspace.id, workspace.slug.as_str(), &workspace.name, workspace.created_at),
    )?;
    if added == 0 { Err(WriteError::Exists) } else { Ok(()) }
}

pub(super) fn delete(transaction: &Transaction<'_>, id: &str) -> Result<(), WriteError> {
    let deleted = transaction.execute("DELETE FROM workspaces WHERE id = ?1", [id])?;
    if deleted == 0 { Err(WriteError::NotFound) } else { Ok(()) }
}
