//! Secrets: list, change of the rule, delete. (The value's way in is `set_secret`.)

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use hyper::StatusCode;
use hyper::body::Bytes;

use super::{Shared, find_server, no_such_secret, parse, secret_name, workspace_of};
use crate::api::secrets::{DeletedList, InjectionDocument, SecretDocument, SecretList, SecretSummary};
use crate::domain::SecretName;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::store::{RuleChange, SecretRow, WriteError};
use crate::server::vault::{Binding, RowFacts, VaultError};

/// How often a change is tried again when another process was faster.
pub(super) const MAX_ATTEMPTS: usize = 8;

pub(super) fn summary(row: &SecretRow) -> SecretSummary {
    SecretSummary {
        name: row.name.to_string(),
        injection: InjectionDocument::from(&row.rule),
        created_at: clock::rfc3339(row.created_at),
        updated_at: clock::rfc3339(row.updated_at),
        version: row.version,
        damaged: false,
    }
}

fn damaged_summary(name: &SecretName) -> SecretSummary {
    let (injection, never) = (InjectionDocument::Name {}, clock::rfc3339(0));
    let (created_at, updated_at) = (never.clone(), never);
    SecretSummary { name: name.to_string(), injection, created_at, updated_at, version: 0, damaged: true }
}

pub(super) async fn list(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
) -> Result<Json<SecretList>, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let server = find_server(&project, &workspace, &slug).await?;
    let damaged = server.damaged_secrets.iter().map(damaged_summary);
    Ok(Json(SecretList { secrets: server.secrets.iter().map(summary).chain(damaged).collect() }))
}

pub(super) async fn change_rule(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path((slug, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<SecretDocument>, ApiError> {
    let request: InjectionDocument = parse(&body, "type (name, header or bearer), header, prefix")?;
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let _turn = project.turn.lock().await;
    for _ in 0..MAX_ATTEMPTS {
        let server = find_server(&project, &workspace, &slug).await?;
        let parsed = SecretName::parse(&name).ok();
        if parsed.as_ref().is_some_and(|name| server.damaged_secrets.contains(name)) {
            return Err(VaultError::Tampered.into());
        }
        let known = parsed.and_then(|name| server.secret(&name));
        let before = known.ok_or_else(|| no_such_secret(&server, &name))?;
        let rule = request
            .check(&before.name)
            .map_err(|problem| ApiError::invalid_value(format!("{problem}; nothing was changed")))?;
        // A row that somebody tampered with must not get a fresh MAC.
        project.vault.verify_row(
            &Binding::of(&project.row.id, &server, before),
            &RowFacts::of(before),
            &before.row_mac,
        )?;
        let mut secret = SecretRow { rule, ..before.clone() };
        secret.row_mac =
            project.vault.row_mac(&Binding::of(&project.row.id, &server, &secret), &RowFacts::of(&secret))?;
        let answer = summary(&secret);
        let change = RuleChange { server_id: server.id.clone(), expected_mac: before.row_mac, secret };
        match project.store.change_rule(change).await {
            Ok(()) => return Ok(Json(SecretDocument { secret: answer })),
            Err(WriteError::Changed) => {}
            Err(WriteError::NotFound) => return Err(no_such_secret(&server, &name)),
            Err(other) => return Err(other.into()),
        }
    }
    Err(WriteError::Changed.into())
}

pub(super) async fn delete(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path((slug, name)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let server = find_server(&project, &workspace, &slug).await?;
    let parsed = secret_name(&name).map_err(|_| no_such_secret(&server, &name))?;
    match project.store.delete_secret(&server.id, &parsed).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(WriteError::NotFound) => Err(no_such_secret(&server, &name)),
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn delete_all(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
) -> Result<Json<DeletedList>, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let server = find_server(&project, &workspace, &slug).await?;
    let deleted = project.store.delete_secrets(&server.id).await?;
    Ok(Json(DeletedList { deleted }))
}
