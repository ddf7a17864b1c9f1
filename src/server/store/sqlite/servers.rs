//! Statements on MCP servers. A server and its secrets come in one read, so a call never
//! sees half of a change.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::secrets;
use crate::domain::{SecretName, ServerSlug, UpstreamUrl};
use crate::server::store::{ServerChange, ServerRow, StoreError, WriteError};

const WITH_SECRETS: &str =
    "SELECT s.id, s.workspace_id, s.slug, s.name, s.url, s.enabled, s.allow_private_network,
    s.created_at, s.updated_at, s.redact_responses, k.id, k.name, k.rule_type, k.rule_header, k.rule_prefix, k.version,
    k.created_at, k.updated_at, k.sealed, k.row_mac
    FROM mcp_servers s
    LEFT JOIN mcp_workspace_secrets k ON k.server_id = s.id AND k.workspace_id = s.workspace_id
    WHERE s.workspace_id = ?1";
/// Asked at each call.
static ONE: LazyLock<String> = LazyLock::new(|| format!("{WITH_SECRETS} AND s.slug = ?2 ORDER BY k.name"));
/// The first column that belongs to the secret.
const FIRST_SECRET_COLUMN: usize = 10;

pub(super) fn all(connection: &Connection, workspace_id: &str) -> Result<Vec<ServerRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{WITH_SECRETS} ORDER BY s.slug, k.name"))?;
    collect(statement.query([workspace_id])?)
}

pub(super) fn one(
    connection: &Connection,
    workspace_id: &str,
    slug: &ServerSlug,
) -> Result<Option<ServerRow>, StoreError> {
    let mut statement = connection.prepare_cached(&ONE)?;
    Ok(collect(statement.query([workspace_id, slug.as_str()])?)?.pop())
}

fn collect(mut rows: rusqlite::Rows<'_>) -> Result<Vec<ServerRow>, StoreError> {
    let mut servers: Vec<ServerRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str().map_err(|_| StoreError::Damaged("mcp_servers"))?;
        if servers.last().is_none_or(|last| last.id != id) {
            servers.push(read_server(row)?);
        }
        let has_secret = !matches!(row.get_ref(FIRST_SECRET_COLUMN)?, rusqlite::types::ValueRef::Null);
        if let (true, Some(server)) = (has_secret, servers.last_mut()) {
            if let Some(secret) = secrets::read(row, FIRST_SECRET_COLUMN) {
                server.secrets.push(secret);
            } else {
                server.has_damaged_secret = true;
                let name = row.get::<_, String>(FIRST_SECRET_COLUMN + 1).ok();
                server.damaged_secrets.extend(name.and_then(|name| SecretName::parse(&name).ok()));
            }
        }
    }
    Ok(servers)
}

fn read_server(row: &Row<'_>) -> Result<ServerRow, StoreError> {
    let damaged = || StoreError::Damaged("mcp_servers");
    let (slug, url): (String, String) = (row.get(2)?, row.get(4)?);
    Ok(ServerRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        slug: ServerSlug::parse(&slug).map_err(|_| damaged())?,
        name: row.get(3)?,
        url: UpstreamUrl::parse(&url).map_err(|_| damaged())?,
        enabled: row.get(5)?,
        allow_private_network: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
        redact_responses: row.get(9)?,
        secrets: Vec::new(),
        has_damaged_secret: false,
        damaged_secrets: Vec::new(),
    })
}

pub(super) fn add(transaction: &Transaction<'_>, server: &ServerRow) -> Result<(), WriteError> {
    let workspaces: i64 = transaction.query_row(
        "SELECT count(*) FROM workspaces WHERE id = ?1",
        [&server.workspace_id],
        |row| row.get(0),
    )?;
    if workspaces == 0 {
        return Err(WriteError::NotFound);
    }
    let added = transaction.execute(
        "INSERT INTO mcp_servers (id, workspace_id, slug, name, url, enabled, allow_private_network, created_at,
            updated_at, redact_responses) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (workspace_id, slug) DO NOTHING",
        params![
            server.id,
            server.workspace_id,
            server.slug.as_str(),
            server.name,
            server.url.as_str(),
            server.enabled,
            server.allow_private_network,
            server.created_at,
            server.updated_at,
            server.redact_responses
        ],
    )?;
    if added == 0 { Err(WriteError::Exists) } else { Ok(()) }
}

/// Looks at the stored URL inside the transaction: when the origin changes, the secrets
/// go, or their presence refuses the change.
pub(super) fn change(
    transaction: &Transaction<'_>,
    change: &ServerChange,
) -> Result<Vec<String>, WriteError> {
    let id = &change.server_id;
    let mut statement = transaction.prepare_cached("SELECT url FROM mcp_servers WHERE id = ?1")?;
    let stored: String =
        statement.query_row([id], |row| row.get(0)).optional()?.ok_or(WriteError::NotFound)?;
    let mut detached = Vec::new();
    if let Some(url) = &change.url
        && UpstreamUrl::parse(&stored).ok().as_ref().map(UpstreamUrl::origin) != Some(url.origin())
    {
        if !change.detach_secrets && secrets::count(transaction, id)? > 0 {
            return Err(WriteError::HasSecrets);
        }
        detached = secrets::delete_all(transaction, id)?;
    }
    transaction.execute(
        "UPDATE mcp_servers SET name = coalesce(?2, name), url = coalesce(?3, url), enabled = coalesce(?4, enabled),
            allow_private_network = coalesce(?5, allow_private_network), updated_at = ?6,
            redact_responses = coalesce(?7, redact_responses) WHERE id = ?1",
        params![
            id,
            change.name,
            change.url.as_ref().map(UpstreamUrl::as_str),
            change.enabled,
            change.allow_private_network,
            change.updated_at,
            change.redact_responses
        ],
    )?;
    Ok(detached)
}

pub(super) fn delete(transaction: &Transaction<'_>, server_id: &str) -> Result<(), WriteError> {
    let deleted = transaction.execute("DELETE FROM mcp_servers WHERE id = ?1", [server_id])?;
    if deleted == 0 { Err(WriteError::NotFound) } else { Ok(()) }
}
