//! Statements on workspace tokens.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use crate::server::clock::Millis;
use crate::server::store::{StoreError, TokenLimits, TokenRow, WriteError};

const COLUMNS: &str = "SELECT t.id, t.workspace_id, w.slug, t.name, t.token_hash, t.created_at, t.expires_at,
    t.last_used_at, t.revoked_at, t.rate_limit, t.servers, t.tools FROM workspace_tokens t JOIN workspaces w ON w.id = t.workspace_id";

/// Asked at each call.
static ONE: LazyLock<String> = LazyLock::new(|| format!("{COLUMNS} WHERE t.id = ?1"));

fn read(row: &Row<'_>) -> Result<TokenRow, rusqlite::Error> {
    Ok(TokenRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        workspace_slug: row.get(2)?,
        name: row.get(3)?,
        token_hash: row.get(4)?,
        created_at: row.get(5)?,
        expires_at: row.get(6)?,
        last_used_at: row.get(7)?,
        revoked_at: row.get(8)?,
        limits: TokenLimits { rate_limit: row.get(9)?, servers: row.get(10)?, tools: row.get(11)? },
    })
}

pub(super) fn one(connection: &Connection, id: &str) -> Result<Option<TokenRow>, StoreError> {
    let mut statement = connection.prepare_cached(&ONE)?;
    Ok(statement.query_row([id], read).optional()?)
}

pub(super) fn all(connection: &Connection, workspace_id: &str) -> Result<Vec<TokenRow>, StoreError> {
    let sql = format!("{COLUMNS} WHERE t.workspace_id = ?1 ORDER BY t.created_at, t.id");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([workspace_id], read)?.collect::<Result<_, _>>()?)
}

pub(super) fn add(transaction: &Transaction<'_>, token: &TokenRow) -> Result<(), WriteError> {
    let added = transaction.execute(
        "INSERT INTO workspace_tokens (id, workspace_id, name, token_hash, created_at, expires_at,
                rate_limit, servers, tools)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE EXISTS (SELECT 1 FROM workspaces WHERE id = ?2)
            ON CONFLICT (id) DO NOTHING",
        params![
            token.id,
            token.workspace_id,
            token.name,
            token.token_hash,
            token.created_at,
            token.expires_at,
            token.limits.rate_limit,
            token.limits.servers,
            token.limits.tools,
        ],
    )?;
    if added == 0 { Err(WriteError::Changed) } else { Ok(()) }
}

pub(super) fn revoke(
    transaction: &Transaction<'_>,
    workspace_id: &str,
    id: &str,
    at: Millis,
) -> Result<(), WriteError> {
    let changed = transaction.execute(
        "UPDATE workspace_tokens SET revoked_at = coalesce(revoked_at, ?3), token_hash = zeroblob(32)
            WHERE id = ?2 AND workspace_id = ?1",
        params![workspace_id, id, at],
    )?;
    if changed == 0 { Err(WriteError::NotFound) } else { Ok(()) }
}

/// Notes when tokens were last used; one that is gone is left out.
pub(super) fn note_uses(transaction: &Transaction<'_>, uses: &[(String, Millis)]) -> Result<(), WriteError> {
    let mut statement = transaction.prepare_cached(
        "UPDATE workspace_tokens SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE id = ?1",
    )?;
    for (id, at) in uses {
        statement.execute(params![id, at])?;
    }
    Ok(())
}
