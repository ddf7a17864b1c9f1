//! MCP servers: list, add, show, update, remove. None of it contacts an upstream.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use hyper::StatusCode;
use hyper::body::Bytes;
use uuid::Uuid;

use super::{Shared, display_name, find_server, parse, workspace_of};
use crate::api::secrets::InjectionDocument;
use crate::api::servers::{
    AddServerRequest, HealthState, ServerHealth, ServerList, ServerSummary, UpdateServerRequest,
};
use crate::domain::{ServerSlug, UpstreamUrl};
use crate::server::analytics::Health;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::startup::Project;
use crate::server::store::{ServerChange, ServerRow, WriteError};

fn health(project: &Project, row: &ServerRow) -> ServerHealth {
    let known = project.analytics.server(&row.id).map_or(Health::Unknown, |stats| stats.health());
    match known {
        Health::Unknown => ServerHealth::default(),
        Health::Answers => ServerHealth { state: HealthState::Ok, ..ServerHealth::default() },
        Health::Failing(since, reason) => ServerHealth {
            state: HealthState::Failing,
            since: Some(clock::rfc3339(since)),
            reason: Some(reason.to_owned()),
        },
    }
}

fn summary(project: &Project, row: &ServerRow) -> ServerSummary {
    let rule = |secret: &crate::server::store::SecretRow| {
        (secret.name.to_string(), InjectionDocument::from(&secret.rule))
    };
    ServerSummary {
        slug: row.slug.to_string(),
        name: row.name.clone(),
        url: row.url.as_str().to_owned(),
        enabled: row.enabled,
        allow_private_network: row.allow_private_network,
        redact_responses: row.redact_responses,
        secret_count: (row.secrets.len() + row.damaged_secrets.len()) as u64,
        health: health(project, row),
        inject_secrets: row.secrets.iter().map(rule).collect(),
        created_at: clock::rfc3339(row.created_at),
        updated_at: clock::rfc3339(row.updated_at),
        detached: None,
    }
}

fn upstream_url(text: &str) -> Result<UpstreamUrl, ApiError> {
    UpstreamUrl::parse(text).map_err(|problem| ApiError::invalid_value(problem.to_string()))
}

pub(super) async fn list(
    State(project): Shared,
    RawQuery(query): RawQuery,
) -> Result<Json<ServerList>, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let rows = project.store.servers(&workspace.id).await?;
    Ok(Json(ServerList { servers: rows.iter().map(|row| summary(&project, row)).collect() }))
}

pub(super) async fn show(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
) -> Result<Json<ServerSummary>, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    Ok(Json(summary(&project, &find_server(&project, &workspace, &slug).await?)))
}

pub(super) async fn add(
    State(project): Shared,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<(StatusCode, Json<ServerSummary>), ApiError> {
    let request: AddServerRequest = parse(&body, "slug, url, name, allow_private_network, redact_responses")?;
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let slug =
        ServerSlug::parse(&request.slug).map_err(|problem| ApiError::invalid_value(problem.to_string()))?;
    let now = clock::now();
    let row = ServerRow {
        id: Uuid::new_v4().to_string(),
        workspace_id: workspace.id,
        name: request.name.as_deref().map_or_else(|| Ok(slug.to_string()), display_name)?,
        slug,
        url: upstream_url(&request.url)?,
        enabled: true,
        allow_private_network: request.allow_private_network.unwrap_or(false),
        redact_responses: request.redact_responses.unwrap_or(true),
        created_at: now,
        updated_at: now,
        secrets: Vec::new(),
        has_damaged_secret: false,
        damaged_secrets: Vec::new(),
    };
    project.store.add_server(row.clone()).await.map_err(|error| match error {
        WriteError::Exists => ApiError::conflict(format!("the MCP server '{}' exists already", row.slug))
            .with_hint(format!("change it: aerostack mcp update {} --url <URL>", row.slug)),
        other => other.into(),
    })?;
    Ok((StatusCode::CREATED, Json(summary(&project, &row))))
}

pub(super) async fn update(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
    body: Bytes,
) -> Result<Json<ServerSummary>, ApiError> {
    let fields = "url, name, enabled, allow_private_network, redact_responses, detach_secrets";
    let request: UpdateServerRequest = parse(&body, fields)?;
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let server = find_server(&project, &workspace, &slug).await?;
    let change = ServerChange {
        server_id: server.id,
        url: request.url.as_deref().map(upstream_url).transpose()?,
        name: request.name.as_deref().map(display_name).transpose()?,
        enabled: request.enabled,
        allow_private_network: request.allow_private_network,
        redact_responses: request.redact_responses,
        updated_at: clock::now(),
        detach_secrets: request.detach_secrets.unwrap_or(false),
    };
    let detached = project.store.change_server(change).await?;
    let after = find_server(&project, &workspace, &slug).await?;
    let detached = (!detached.is_empty()).then_some(detached);
    Ok(Json(ServerSummary { detached, ..summary(&project, &after) }))
}

pub(super) async fn remove(
    State(project): Shared,
    RawQuery(query): RawQuery,
    Path(slug): Path<String>,
) -> Result<StatusCode, ApiError> {
    let workspace = workspace_of(&project, query.as_deref()).await?;
    let server = find_server(&project, &workspace, &slug).await?;
    project.store.delete_server(&server.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
