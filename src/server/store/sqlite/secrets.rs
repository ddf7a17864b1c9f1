//! Statements on secrets. Every write compares the row's MAC with the one that was read,
//! so two writers never lose each other's change in silence.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::domain::{Injection, SealedValue, SecretName, UpstreamUrl};
use crate::server::store::{PutSecret, PutSecrets, RuleChange, SecretRow, WriteError};

/// Reads a secret from the columns id, name, rule type, header, prefix, version, created,
/// updated, sealed, MAC that begin at `first`; `None` if any has an unexpected form.
pub(super) fn read(row: &Row<'_>, first: usize) -> Option<SecretRow> {
    let text = |column: usize| row.get::<_, String>(first + column).ok();
    let rule = match text(2)?.as_str() {
        "name" => Injection::Name,
        "bearer" => Injection::Bearer,
        "header" => Injection::header(&text(3)?, &text(4)?).ok()?,
        _ => return None,
    };
    Some(SecretRow {
        id: text(0)?,
        name: SecretName::parse(&text(1)?).ok()?,
        rule,
        version: u64::try_from(row.get::<_, i64>(first + 5).ok()?).ok()?,
        created_at: row.get(first + 6).ok()?,
        updated_at: row.get(first + 7).ok()?,
        sealed: SealedValue::from_bytes(row.get(first + 8).ok()?).ok()?,
        row_mac: row.get(first + 9).ok()?,
    })
}

fn rule_columns(rule: &Injection) -> (&'static str, Option<&str>, Option<&str>) {
    match rule {
        Injection::Name => ("name", None, None),
        Injection::Header { header, prefix } => ("header", Some(header.as_str()), Some(prefix)),
        Injection::Bearer => ("bearer", None, None),
    }
}

fn current_mac(
    transaction: &Transaction<'_>,
    server_id: &str,
    name: &SecretName,
) -> Result<Option<[u8; 32]>, WriteError> {
    let mut statement = transaction
        .prepare_cached("SELECT row_mac FROM mcp_workspace_secrets WHERE server_id = ?1 AND name = ?2")?;
    Ok(statement.query_row([server_id, name.as_str()], |row| row.get(0)).optional()?)
}

/// Fails if another secret of the server already sends this header.
fn require_free_header(
    transaction: &Transaction<'_>,
    server_id: &str,
    secret: &SecretRow,
    folded: &str,
) -> Result<(), WriteError> {
    let mut statement = transaction.prepare_cached(
        "SELECT count(*) FROM mcp_workspace_secrets WHERE server_id = ?1 AND header_fold = ?2 AND name <> ?3",
    )?;
    let others: i64 = statement.query_row([server_id, folded, secret.name.as_str()], |row| row.get(0))?;
    if others == 0 { Ok(()) } else { Err(WriteError::HeaderTaken) }
}

/// Fails unless the server is there and still has the URL that the caller read.
fn require_url(
    transaction: &Transaction<'_>,
    server_id: &str,
    workspace_id: &str,
    expected: &UpstreamUrl,
) -> Result<(), WriteError> {
    let mut statement =
        transaction.prepare_cached("SELECT url FROM mcp_servers WHERE id = ?1 AND workspace_id = ?2")?;
    let mut rows = statement.query([server_id, workspace_id])?;
    let url: String = rows.next()?.ok_or(WriteError::NotFound)?.get(0)?;
    if url == expected.as_str() { Ok(()) } else { Err(WriteError::Changed) }
}

pub(super) fn put(transaction: &Transaction<'_>, put: &PutSecret) -> Result<(), WriteError> {
    require_url(transaction, &put.server_id, &put.workspace_id, &put.expected_url)?;
    put_row(transaction, &put.workspace_id, &put.server_id, put.expected_mac, &put.secret)
}

/// Writes many rows. What goes is deleted first, so that its headers are free.
pub(super) fn put_many(transaction: &Transaction<'_>, put: &PutSecrets) -> Result<Vec<String>, WriteError> {
    require_url(transaction, &put.server_id, &put.workspace_id, &put.expected_url)?;
    let deleted = if put.prune { delete_others(transaction, put)? } else { Vec::new() };
    for (expected_mac, secret) in &put.secrets {
        put_row(transaction, &put.workspace_id, &put.server_id, *expected_mac, secret)?;
    }
    Ok(deleted)
}

/// Deletes the server's secrets that are not among those to write.
fn delete_others(transaction: &Transaction<'_>, put: &PutSecrets) -> Result<Vec<String>, WriteError> {
    let kept: HashSet<&str> = put.secrets.iter().map(|(_, secret)| secret.name.as_str()).collect();
    let mut statement = transaction
        .prepare_cached("SELECT name FROM mcp_workspace_secrets WHERE server_id = ?1 ORDER BY name")?;
    let mut names: Vec<String> =
        statement.query_map([&put.server_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.retain(|name| !kept.contains(name.as_str()));
    let mut statement =
        transaction.prepare_cached("DELETE FROM mcp_workspace_secrets WHERE server_id = ?1 AND name = ?2")?;
    for name in &names {
        statement.execute([&put.server_id, name])?;
    }
    Ok(names)
}

fn put_row(
    transaction: &Transaction<'_>,
    workspace_id: &str,
    server_id: &str,
    expected_mac: Option<[u8; 32]>,
    secret: &SecretRow,
) -> Result<(), WriteError> {
    if current_mac(transaction, server_id, &secret.name)? != expected_mac {
        return Err(WriteError::Changed);
    }
    let folded = secret.rule.folded_header(&secret.name);
    require_free_header(transaction, server_id, secret, &folded)?;
    let (kind, header, prefix) = rule_columns(&secret.rule);
    let mut statement = transaction.prepare_cached(
        "INSERT INTO mcp_workspace_secrets (id, workspace_id, server_id, name, version, rule_type, rule_header,
            rule_prefix, header_fold, created_at, updated_at, key_id, iv, sealed, row_mac)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (workspace_id, server_id, name) DO UPDATE SET version = excluded.version,
            rule_type = excluded.rule_type, rule_header = excluded.rule_header, rule_prefix = excluded.rule_prefix,
            header_fold = excluded.header_fold, updated_at = excluded.updated_at, key_id = excluded.key_id,
            iv = excluded.iv, sealed = excluded.sealed, row_mac = excluded.row_mac",
    )?;
    statement.execute(params![
        secret.id,
        workspace_id,
        server_id,
        secret.name.as_str(),
        i64::try_from(secret.version).unwrap_or(i64::MAX),
        kind,
        header,
        prefix,
        folded,
        secret.created_at,
        secret.updated_at,
        secret.sealed.key_id().0,
        secret.sealed.iv(),
        secret.sealed.as_bytes(),
        secret.row_mac
    ])?;
    Ok(())
}

pub(super) fn change_rule(transaction: &Transaction<'_>, change: &RuleChange) -> Result<(), WriteError> {
    let secret = &change.secret;
    match current_mac(transaction, &change.server_id, &secret.name)? {
        None => return Err(WriteError::NotFound),
        Some(mac) if mac != change.expected_mac => return Err(WriteError::Changed),
        Some(_) => {}
    }
    let folded = secret.rule.folded_header(&secret.name);
    require_free_header(transaction, &change.server_id, secret, &folded)?;
    let (kind, header, prefix) = rule_columns(&secret.rule);
    transaction.execute(
        "UPDATE mcp_workspace_secrets SET rule_type = ?3, rule_header = ?4, rule_prefix = ?5, header_fold = ?6,
            row_mac = ?7 WHERE server_id = ?1 AND name = ?2",
        params![change.server_id, secret.name.as_str(), kind, header, prefix, folded, secret.row_mac],
    )?;
    Ok(())
}

pub(super) fn count(transaction: &Transaction<'_>, server_id: &str) -> Result<i64, WriteError> {
    let sql = "SELECT count(*) FROM mcp_workspace_secrets WHERE server_id = ?1";
    Ok(transaction.query_row(sql, [server_id], |row| row.get(0))?)
}

pub(super) fn delete(
    transaction: &Transaction<'_>,
    server_id: &str,
    name: &SecretName,
) -> Result<(), WriteError> {
    let sql = "DELETE FROM mcp_workspace_secrets WHERE server_id = ?1 AND name = ?2";
    let deleted = transaction.execute(sql, [server_id, name.as_str()])?;
    if deleted == 0 { Err(WriteError::NotFound) } else { Ok(()) }
}

pub(super) fn delete_all(transaction: &Transaction<'_>, server_id: &str) -> Result<Vec<String>, WriteError> {
    let mut statement =
        transaction.prepare("DELETE FROM mcp_workspace_secrets WHERE server_id = ?1 RETURNING name")?;
    let mut names: Vec<String> =
        statement.query_map([server_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.sort();
    Ok(names)
}
