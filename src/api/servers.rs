//! MCP servers on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secrets::InjectionDocument;

/// POST `/mcp-servers`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddServerRequest {
    /// Slug, unique in the workspace.
    pub slug: String,
    /// The upstream's MCP endpoint.
    pub url: String,
    /// Display name; the slug if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the upstream may lie on a loopback or private address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_private_network: Option<bool>,
    /// Whether the server's secrets are taken out of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact_responses: Option<bool>,
}

/// PATCH `/mcp-servers/{slug}`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateServerRequest {
    /// New endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// New display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the gateway serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the upstream may lie on a loopback or private address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_private_network: Option<bool>,
    /// Whether the server's secrets are taken out of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact_responses: Option<bool>,
    /// Delete the secrets when the origin changes, instead of refusing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_secrets: Option<bool>,
}

/// What the last tool calls say of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// The last call was answered.
    Ok,
    /// The last calls were not answered.
    Failing,
    /// No call has come since the companion server started.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whether a server answers, as far as members' calls have shown since the companion server
/// started. Nobody asks it for this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerHealth {
    /// In a word.
    pub state: HealthState,
    /// Since when it has been failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why its last call failed, in a word such as `timed_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One MCP server, as admins see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerSummary {
    /// Slug.
    pub slug: String,
    /// Display name.
    pub name: String,
    /// Endpoint.
    pub url: String,
    /// Whether the gateway serves it.
    pub enabled: bool,
    /// Whether private addresses are allowed.
    pub allow_private_network: bool,
    /// Whether the server's secrets are taken out of its answers. An older companion server
    /// does not say it, and does not do it.
    #[serde(default)]
    pub redact_responses: bool,
    /// Number of secrets.
    pub secret_count: u64,
    /// Which secret goes out by which rule.
    pub inject_secrets: BTreeMap<String, InjectionDocument>,
    /// What its last tool calls say of it.
    #[serde(default)]
    pub health: ServerHealth,
    /// When it was added.
    pub created_at: String,
    /// Last change of the server itself.
    pub updated_at: String,
    /// Secrets that a change of URL deleted; only in the answer to that PATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<Vec<String>>,
}

/// GET `/mcp-servers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerList {
    /// By slug.
    pub servers: Vec<ServerSummary>,
}
