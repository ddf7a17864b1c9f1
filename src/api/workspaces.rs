//! Workspaces and the key check on the wire.

use serde::{Deserialize, Serialize};

/// POST `/workspaces`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspaceRequest {
    /// Display name; the slug is made from it and never changes.
    pub name: String,
}

/// One workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkspaceSummary {
    /// Slug.
    pub slug: String,
    /// Display name.
    pub name: String,
    /// Number of MCP servers.
    pub server_count: u64,
    /// Where MCP clients connect.
    pub gateway_url: String,
    /// When it was made.
    pub created_at: String,
}

/// GET `/workspaces`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkspaceList {
    /// By slug.
    pub workspaces: Vec<WorkspaceSummary>,
}

/// POST `/api/v1/cli/validate`: whose key it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySummary {
    /// `project`.
    pub key_type: String,
    /// Id of the project.
    pub project_id: String,
    /// Its name.
    pub project_name: String,
    /// Its slug.
    pub slug: String,
    /// Its API.
    pub url: String,
}
