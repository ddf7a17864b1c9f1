//! POST `.../secrets`: the value is checked, sealed for its place and written, if server
//! and secret are still as they were read. A URL that changes meanwhile makes it fail.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use hyper::StatusCode;
use hyper::body::Bytes;
use uuid::Uuid;

use super::secrets::{MAX_ATTEMPTS, summary};
use super::{Shared, find_server, no_such_secret, parse, secret_name, workspace_of};
use crate::api::secrets::{SetSecretRequest, SetSecretSummary, SetStatus};
use crate::domain::{Injection, SealedValue, SecretName, SecretValue};
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::startup::Project;
use crate::server::store::{PutSecret, SecretRow, ServerRow, WriteError};
use crate::server::vault::{Binding, RowFacts, VaultError};

const FIELDS: &str = "name, value, injection, must_exist, must_not_exist";

pub(super) async fn set(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<SetSecretSummary>), ApiError> {
    let request: SetSecretRequest = parse(&body, FIELDS)?;
    let name = secret_name(&request.name)?;
    let value = request.value.check().map_err(|problem| {
        ApiError::invalid_value(format!("{problem}; nothing was stored")).with_hint(problem.way_out())
    })?;
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let _turn = project.turn.lock().await;
    let mut origin = None;
    for _ in 0..MAX_ATTEMPTS {
        let server = find_server(&project, &workspace, &slug).await?;
        if origin.get_or_insert_with(|| server.origin().clone()) != server.origin() {
            return Err(ApiError::conflict("the server's URL was changed meanwhile; nothing was stored")
                .with_hint("check the URL with aerostack mcp list, then set the secret again"));
        }
        let (status, put) = prepare(&project, &server, &name, &value, &request)?;
        let document = SetSecretSummary { status, secret: summary(&put.secret) };
        match project.store.put_secret(put).await {
            Ok(()) => {
                let code = if status == SetStatus::Created { StatusCode::CREATED } else { StatusCode::OK };
                return Ok((code, Json(document)));
            }
            Err(WriteError::Changed) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(WriteError::Changed.into())
}

/// Builds the new row on what is stored now.
fn prepare(
    project: &Project,
    server: &ServerRow,
    name: &SecretName,
    value: &SecretValue,
    request: &SetSecretRequest,
) -> Result<(SetStatus, PutSecret), ApiError> {
    if server.damaged_secrets.contains(name) {
        return Err(VaultError::Tampered.into());
    }
    let before = server.secret(name);
    if request.must_exist && before.is_none() {
        return Err(no_such_secret(server, name.as_str()));
    }
    if request.must_not_exist && before.is_some() {
        return Err(ApiError::conflict(format!("the secret {name} exists already; it was not changed"))
            .with_hint("to replace its value use: aerostack secrets rotate"));
    }
    let rule = rule_for(project, server, before, name, request)?;
    let secret = sealed_row(project, server, before, name, rule, value)?;
    let status = if before.is_some() { SetStatus::Updated } else { SetStatus::Created };
    let put = PutSecret {
        workspace_id: server.workspace_id.clone(),
        server_id: server.id.clone(),
        expected_url: server.url.clone(),
        expected_mac: before.map(|before| before.row_mac),
        secret,
    };
    Ok((status, put))
}

/// The row of a value with this rule, sealed for its place; it replaces `before`.
pub(super) fn sealed_row(
    project: &Project,
    server: &ServerRow,
    before: Option<&SecretRow>,
    name: &SecretName,
    rule: Injection,
    value: &SecretValue,
) -> Result<SecretRow, VaultError> {
    let now = clock::now();
    let (id, version, created_at) = match before {
        Some(before) => (before.id.clone(), before.version + 1, before.created_at),
        None => (Uuid::new_v4().to_string(), 1, now),
    };
    // A placeholder that is replaced in the next lines: the binding needs the row's fields.
    let empty = SealedValue::assemble(project.vault.keyring().active_id(), &[0; 12], &[]);
    let name = name.clone();
    let mut secret =
        SecretRow { id, name, rule, version, created_at, updated_at: now, sealed: empty, row_mac: [0; 32] };
    secret.sealed = project.vault.seal(&Binding::of(&project.row.id, server, &secret), value)?;
    secret.row_mac =
        project.vault.row_mac(&Binding::of(&project.row.id, server, &secret), &RowFacts::of(&secret))?;
    Ok(secret)
}

/// The rule asked for, else the one the secret has, else the default. A stored rule is
/// kept only if its row verifies.
fn rule_for(
    project: &Project,
    server: &ServerRow,
    before: Option<&SecretRow>,
    name: &SecretName,
    request: &SetSecretRequest,
) -> Result<Injection, ApiError> {
    if let Some(document) = &request.injection {
        return document
            .check(name)
            .map_err(|problem| ApiError::invalid_value(format!("{problem}; nothing was stored")));
    }
    if let Some(before) = before {
        project.vault.verify_row(
            &Binding::of(&project.row.id, server, before),
            &RowFacts::of(before),
            &before.row_mac,
        )?;
        return Ok(before.rule.clone());
    }
    Injection::Name.check_for(name).map_err(|problem| {
        ApiError::invalid_value(format!(
            "by default the secret's name becomes a header, and {problem}; nothing was stored"
        ))
        .with_hint(format!(
            "say in which header it is sent: aerostack secrets set {} <NAME> --header <HEADER>",
            server.slug
        ))
    })?;
    Ok(Injection::Name)
}
