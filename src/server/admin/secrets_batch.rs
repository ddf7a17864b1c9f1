//! POST `.../secrets/batch`: many values in one transaction, all of them or none. Every
//! entry is looked at before the answer, so that all problems are told at once.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use hyper::StatusCode;
use hyper::body::Bytes;

use super::secrets::{self, MAX_ATTEMPTS};
use super::set_secret::sealed_row;
use super::{Shared, find_server, parse, workspace_of};
use crate::api::error::ErrorCode;
use crate::api::secrets_batch::{
    BatchEntry, EntryProblem, EntryProblemCode, MAX_BATCH_ENTRIES, SecretsBatchRequest, SecretsBatchSummary,
};
use crate::domain::{Injection, SecretName, SecretValue};
use crate::server::error::ApiError;
use crate::server::startup::Project;
use crate::server::store::{PutSecrets, SecretRow, ServerRow, WriteError};
use crate::server::vault::{Binding, RowFacts, VaultError};

const FIELDS: &str = "secrets (a list of objects with name and value), prune, dry_run";
/// After so many seals other requests of this core get their turn.
const SEALS_IN_A_ROW: usize = 32;

/// An entry with a legal name that stands in no entry before it.
struct Entry {
    index: usize,
    name: SecretName,
    /// `None` if it is not legal; that is among the problems already.
    value: Option<SecretValue>,
}

pub(super) async fn store(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
    body: Bytes,
) -> Result<Json<SecretsBatchSummary>, ApiError> {
    let request: SecretsBatchRequest = parse(&body, FIELDS)?;
    check_count(&request)?;
    let (entries, problems) = checked(&request.secrets);
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let _turn = project.turn.lock().await;
    let mut origin = None;
    for _ in 0..MAX_ATTEMPTS {
        let server = find_server(&project, &workspace, &slug).await?;
        if origin.get_or_insert_with(|| server.origin().clone()) != server.origin() {
            return Err(ApiError::conflict("the server's URL was changed meanwhile; nothing was changed")
                .with_hint("check the URL with aerostack mcp list, then do it again"));
        }
        let mut problems = problems.clone();
        problems.extend(found_in_the_way(&project, &server, &entries, request.prune)?);
        refuse(problems, request.secrets.len())?;
        let (put, mut summary) = sealed(&project, &server, &entries, &request).await?;
        match project.store.put_secrets(put).await {
            Ok(deleted) => {
                summary.deleted = deleted;
                return Ok(Json(summary));
            }
            Err(WriteError::Changed) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(WriteError::Changed.into())
}

/// DELETE of one secret that has the name `batch`: its address is the one of this file.
pub(super) async fn delete(
    project: Shared,
    query: RawQuery,
    Path(slug): Path<String>,
) -> Result<StatusCode, ApiError> {
    secrets::delete(project, query, Path((slug, "batch".to_owned()))).await
}

fn check_count(request: &SecretsBatchRequest) -> Result<(), ApiError> {
    if request.secrets.len() > MAX_BATCH_ENTRIES {
        return Err(ApiError::invalid_value(format!(
            "the list has more than {MAX_BATCH_ENTRIES} secrets; nothing was changed"
        ))
        .with_hint("send them in several requests"));
    }
    if request.secrets.is_empty() && !request.prune {
        return Err(ApiError::invalid_value("the list is empty; nothing was changed")
            .with_hint("with \"prune\": true an empty list deletes every secret of the server"));
    }
    Ok(())
}

/// What can be said without knowing what is stored.
fn checked(list: &[BatchEntry]) -> (Vec<Entry>, Vec<EntryProblem>) {
    let (mut entries, mut problems) = (Vec::with_capacity(list.len()), Vec::new());
    let mut seen = HashSet::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let name = SecretName::parse(&entry.name).ok();
        // A name that is not legal may be a value in the wrong place: it is not repeated.
        let mut problem = |code| {
            let name = name.as_ref().map(ToString::to_string);
            problems.push(EntryProblem { index, name, code });
        };
        let value = entry.value.check().map_err(|found| problem(found.into())).ok();
        match &name {
            None => problem(EntryProblemCode::InvalidName),
            Some(name) if !seen.insert(name.clone()) => problem(EntryProblemCode::DuplicateName),
            Some(name) => entries.push(Entry { index, name: name.clone(), value }),
        }
    }
    (entries, problems)
}

/// What the stored secrets say against the entries.
fn found_in_the_way(
    project: &Project,
    server: &ServerRow,
    entries: &[Entry],
    prune: bool,
) -> Result<Vec<EntryProblem>, ApiError> {
    let listed: HashSet<&SecretName> = entries.iter().map(|entry| &entry.name).collect();
    let stay = server.secrets.iter().filter(|secret| !prune || listed.contains(&secret.name));
    let mut headers: HashSet<String> = stay.map(|secret| secret.rule.folded_header(&secret.name)).collect();
    let mut problems = Vec::new();
    for Entry { index, name, .. } in entries {
        let code = if server.damaged_secrets.contains(name) {
            Some(EntryProblemCode::Damaged)
        } else if let Some(before) = server.secret(name) {
            verify(project, server, before)?
        } else if Injection::Name.check_for(name).is_err() {
            Some(EntryProblemCode::ReservedName)
        } else if !headers.insert(Injection::Name.folded_header(name)) {
            Some(EntryProblemCode::HeaderTaken)
        } else {
            None
        };
        let name = Some(name.to_string());
        problems.extend(code.map(|code| EntryProblem { index: *index, name, code }));
    }
    Ok(problems)
}

/// A stored rule is kept only if its row verifies.
fn verify(
    project: &Project,
    server: &ServerRow,
    before: &SecretRow,
) -> Result<Option<EntryProblemCode>, ApiError> {
    let binding = Binding::of(&project.row.id, server, before);
    match project.vault.verify_row(&binding, &RowFacts::of(before), &before.row_mac) {
        Ok(()) => Ok(None),
        Err(VaultError::Tampered | VaultError::UnknownKey) => Ok(Some(EntryProblemCode::Damaged)),
        Err(other) => Err(other.into()),
    }
}

fn refuse(mut problems: Vec<EntryProblem>, count: usize) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by_key(|problem| problem.index);
    let bad: HashSet<usize> = problems.iter().map(|problem| problem.index).collect();
    let only_conflicts = problems.iter().all(|problem| problem.code.is_conflict());
    let code = if only_conflicts { ErrorCode::Conflict } else { ErrorCode::InvalidValue };
    let message = format!("{} of {count} secrets cannot be stored; nothing was changed", bad.len());
    Err(ApiError::new(code, message)
        .with_hint("'problems' tells for each its index, which begins with 0, and what is wrong")
        .with_problems(problems))
}

/// Seals every value for its place, on what is stored now.
async fn sealed(
    project: &Project,
    server: &ServerRow,
    entries: &[Entry],
    request: &SecretsBatchRequest,
) -> Result<(PutSecrets, SecretsBatchSummary), ApiError> {
    let mut put = PutSecrets {
        workspace_id: server.workspace_id.clone(),
        server_id: server.id.clone(),
        expected_url: server.url.clone(),
        secrets: Vec::with_capacity(entries.len()),
        prune: request.prune,
        dry_run: request.dry_run,
    };
    let (mut created, mut updated) = (Vec::new(), Vec::new());
    for (number, entry) in entries.iter().enumerate() {
        if number % SEALS_IN_A_ROW == SEALS_IN_A_ROW - 1 {
            tokio::task::yield_now().await;
        }
        // Without a value the batch was refused before.
        let Some(value) = &entry.value else { continue };
        let before = server.secret(&entry.name);
        let rule = before.map_or(Injection::Name, |before| before.rule.clone());
        let row = sealed_row(project, server, before, &entry.name, rule, value)?;
        put.secrets.push((before.map(|before| before.row_mac), row));
        let names = if before.is_some() { &mut updated } else { &mut created };
        names.push(entry.name.to_string());
    }
    created.sort();
    updated.sort();
    Ok((put, SecretsBatchSummary { created, updated, deleted: Vec::new() }))
}
