//! Workspaces: list, create, delete.

use axum::Extension;
use axum::Json;
use axum::extract::{Path, State};
use hyper::StatusCode;
use hyper::body::Bytes;
use uuid::Uuid;

use super::{Shared, display_name, find_workspace, parse};
use crate::api::routes;
use crate::api::workspaces::{CreateWorkspaceRequest, WorkspaceList, WorkspaceSummary};
use crate::domain::WorkspaceSlug;
use crate::server::clock;
use crate::server::error::ApiError;
use crate::server::host_check::BaseUrl;
use crate::server::startup::DEFAULT_WORKSPACE;
use crate::server::store::{WorkspaceRow, WriteError};

fn summary(row: &WorkspaceRow, base: &BaseUrl) -> WorkspaceSummary {
    WorkspaceSummary {
        slug: row.slug.to_string(),
        name: row.name.clone(),
        server_count: row.server_count,
        gateway_url: format!("{}{}", base.0, routes::gateway(&row.slug)),
        created_at: clock::rfc3339(row.created_at),
    }
}

pub(super) async fn list(
    State(project): Shared,
    Extension(base): Extension<BaseUrl>,
) -> Result<Json<WorkspaceList>, ApiError> {
    let rows = project.store.workspaces().await?;
    Ok(Json(WorkspaceList { workspaces: rows.iter().map(|row| summary(row, &base)).collect() }))
}

pub(super) async fn create(
    State(project): Shared,
    Extension(base): Extension<BaseUrl>,
    body: Bytes,
) -> Result<(StatusCode, Json<WorkspaceSummary>), ApiError> {
    let request: CreateWorkspaceRequest = parse(&body, "name")?;
    let name = display_name(&request.name)?;
    let slug = WorkspaceSlug::from_name(&name).map_err(|_| {
        ApiError::invalid_value("the name holds no letter a-z or digit, of which a slug could be made")
    })?;
    let row = WorkspaceRow {
        id: Uuid::new_v4().to_string(),
        slug,
        name,
        created_at: clock::now(),
        server_count: 0,
    };
    project.store.add_workspace(row.clone()).await.map_err(|error| match error {
        WriteError::Exists => ApiError::conflict(format!("the workspace '{}' exists already", row.slug)),
        other => other.into(),
    })?;
    Ok((StatusCode::CREATED, Json(summary(&row, &base))))
}

pub(super) async fn delete(State(project): Shared, Path(slug): Path<String>) -> Result<StatusCode, ApiError> {
    let workspace = find_workspace(&project, &slug).await?;
    if workspace.slug.as_str() == DEFAULT_WORKSPACE {
        return Err(ApiError::conflict("the default workspace cannot be deleted")
            .with_hint("remove its servers and revoke its tokens instead"));
    }
    project.store.delete_workspace(&workspace.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
