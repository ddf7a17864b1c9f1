//! The rows that a store keeps, in the domain's words.

use crate::domain::{
    Injection, KeyId, Origin, SealedValue, SecretName, ServerSlug, UpstreamUrl, WorkspaceSlug,
};
use crate::server::clock::Millis;

/// The project.
#[derive(Debug, Clone)]
pub struct ProjectRow {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// Which master key sealed here, and a value derived from it by which a wrong one is told.
#[derive(Debug, Clone)]
pub struct KeyCheck {
    /// Id of the key.
    pub key_id: KeyId,
    /// The derived value.
    pub key_check: [u8; 32],
}

/// One of the server's own keys, sealed.
#[derive(Debug, Clone)]
pub struct InternalKey {
    /// What it is for.
    pub purpose: String,
    /// The sealed key.
    pub sealed: SealedValue,
}

/// What the first start writes.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The project.
    pub project: ProjectRow,
    /// The master key's check.
    pub key_check: KeyCheck,
    /// The server's own keys.
    pub internal_keys: Vec<InternalKey>,
    /// The first workspace.
    pub workspace: WorkspaceRow,
    /// The first API key.
    pub api_key: ApiKeyRow,
}

/// An API key, as a hash.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    /// Public id.
    pub id: String,
    /// HMAC under the pepper.
    pub key_hash: [u8; 32],
    /// When it was made.
    pub created_at: Millis,
}

/// A workspace.
#[derive(Debug, Clone)]
pub struct WorkspaceRow {
    /// Id.
    pub id: String,
    /// Slug.
    pub slug: WorkspaceSlug,
    /// Display name.
    pub name: String,
    /// When it was made.
    pub created_at: Millis,
    /// Number of MCP servers; not written.
    pub server_count: u64,
}

/// An MCP server with its secrets.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing of its own, most are columns")]
pub struct ServerRow {
    /// Id.
    pub id: String,
    /// Id of its workspace.
    pub workspace_id: String,
    /// Slug.
    pub slug: ServerSlug,
    /// Display name.
    pub name: String,
    /// Endpoint.
    pub url: UpstreamUrl,
    /// Whether the gateway serves it.
    pub enabled: bool,
    /// Whether private addresses are allowed.
    pub allow_private_network: bool,
    /// Whether its secrets are taken out of its answers.
    pub redact_responses: bool,
    /// When it was added.
    pub created_at: Millis,
    /// Last change.
    pub updated_at: Millis,
    /// Its secrets, by name.
    pub secrets: Vec<SecretRow>,
    /// Whether a secret's row could not be read; such a server is not called.
    pub has_damaged_secret: bool,
    /// The names of such rows, as far as they can be read: they can be deleted.
    pub damaged_secrets: Vec<SecretName>,
}

impl ServerRow {
    /// The origin its secrets are bound to.
    pub fn origin(&self) -> &Origin {
        self.url.origin()
    }

    /// One of its secrets.
    pub fn secret(&self, name: &SecretName) -> Option<&SecretRow> {
        self.secrets.iter().find(|secret| secret.name == *name)
    }
}

/// A secret, sealed.
#[derive(Debug, Clone)]
pub struct SecretRow {
    /// Id.
    pub id: String,
    /// Name.
    pub name: SecretName,
    /// Rule.
    pub rule: Injection,
    /// Counts the `set`s.
    pub version: u64,
    /// First `set`.
    pub created_at: Millis,
    /// Last `set`.
    pub updated_at: Millis,
    /// The sealed value.
    pub sealed: SealedValue,
    /// MAC over the row.
    pub row_mac: [u8; 32],
}

/// A sealed value to write.
#[derive(Debug, Clone)]
pub struct PutSecret {
    /// Id of the workspace.
    pub workspace_id: String,
    /// Id of the server.
    pub server_id: String,
    /// The server's URL when the value was sealed; if it changed, the write fails.
    pub expected_url: UpstreamUrl,
    /// MAC of the row that is replaced; `None` for a new secret.
    pub expected_mac: Option<[u8; 32]>,
    /// The new row.
    pub secret: SecretRow,
}

/// Sealed values to write together: all of them or none.
#[derive(Debug, Clone)]
pub struct PutSecrets {
    /// Id of the workspace.
    pub workspace_id: String,
    /// Id of the server.
    pub server_id: String,
    /// The server's URL when the values were sealed; if it changed, the write fails.
    pub expected_url: UpstreamUrl,
    /// The new rows, each with the MAC of the row that it replaces; `None` for a new secret.
    pub secrets: Vec<(Option<[u8; 32]>, SecretRow)>,
    /// Whether the server's other secrets are deleted.
    pub prune: bool,
    /// Whether all of it is undone at the end.
    pub dry_run: bool,
}

/// A new rule to write.
#[derive(Debug, Clone)]
pub struct RuleChange {
    /// Id of the server.
    pub server_id: String,
    /// MAC of the row when it was read.
    pub expected_mac: [u8; 32],
    /// The row with the new rule and its MAC.
    pub secret: SecretRow,
}

/// A change of a server. Fields that are not named stay as they are in the store, so two
/// changes at the same time are both done.
#[derive(Debug, Clone)]
pub struct ServerChange {
    /// Id of the server.
    pub server_id: String,
    /// New endpoint; `None` leaves it, here and below.
    pub url: Option<UpstreamUrl>,
    /// New display name.
    pub name: Option<String>,
    /// Whether the gateway serves it.
    pub enabled: Option<bool>,
    /// Whether private addresses are allowed.
    pub allow_private_network: Option<bool>,
    /// Whether its secrets are taken out of its answers.
    pub redact_responses: Option<bool>,
    /// When.
    pub updated_at: Millis,
    /// Whether the secrets are deleted if the origin changes; otherwise their presence refuses it.
    pub detach_secrets: bool,
}

/// A workspace token, as a hash.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Public id.
    pub id: String,
    /// Id of its workspace.
    pub workspace_id: String,
    /// Slug of its workspace; not written.
    pub workspace_slug: String,
    /// For whom or what it is.
    pub name: String,
    /// HMAC under the pepper; zeros once revoked.
    pub token_hash: [u8; 32],
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// Last call, if known.
    pub last_used_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
    /// What it may do.
    pub limits: TokenLimits,
}

/// What a token may do, as it stands in its row and goes into its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Tool calls a minute: `None` for the default, 0 for no limit.
    pub rate_limit: Option<u32>,
    /// Patterns of servers with commas between them; `None` for all.
    pub servers: Option<String>,
    /// Patterns of tools with commas between them; `None` for all.
    pub tools: Option<String>,
}
