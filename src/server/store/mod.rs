//! The store: rows in, rows out. It sees sealed values and hashes only, never a
//! plaintext, and its words are the domain's. One trait, so that every store tells the
//! same story.

pub mod rows;
pub mod sqlite;

use async_trait::async_trait;

use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};
use crate::server::clock::Millis;
pub use rows::{
    ApiKeyRow, InternalKey, KeyCheck, NewProject, ProjectRow, PutSecret, PutSecrets, RuleChange, SecretRow,
    ServerChange, ServerRow, TokenLimits, TokenRow, WorkspaceRow,
};

/// The store itself failed. Its text is for the log, never for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room left.
    #[error("the disk or the database is full")]
    Full,
    /// A row does not have the form this program writes.
    #[error("a row of table {0} is damaged")]
    Damaged(&'static str),
    /// Anything else the database says; SQLite's result code, no statement and no data.
    #[error("the database failed: {0}")]
    Failed(String),
}

/// Why a write was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The thing to change is not there.
    #[error("not found")]
    NotFound,
    /// The name is taken.
    #[error("it exists")]
    Exists,
    /// Somebody else changed it since it was read.
    #[error("it was changed meanwhile")]
    Changed,
    /// Another secret of the server already uses the header.
    #[error("the header is taken")]
    HeaderTaken,
    /// Secrets are in the way.
    #[error("the server has secrets")]
    HasSecrets,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rows of one project. A read sees every write that was acknowledged before it began.
#[async_trait]
pub trait Store: Send + Sync {
    /// The project; `None` before the first start is complete.
    async fn project(&self) -> Result<Option<ProjectRow>, StoreError>;
    /// One of the server's own keys.
    async fn internal_key(&self, purpose: &str) -> Result<Option<InternalKey>, StoreError>;
    /// Writes everything a new project begins with, in one transaction.
    async fn create_project(&self, project: NewProject) -> Result<(), WriteError>;
    /// An API key by its public id.
    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRow>, StoreError>;

    /// All workspaces, by slug.
    async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError>;
    /// One workspace.
    async fn workspace(&self, slug: &WorkspaceSlug) -> Result<Option<WorkspaceRow>, StoreError>;
    /// Adds a workspace; [`WriteError::Exists`] if its slug is taken.
    async fn add_workspace(&self, workspace: WorkspaceRow) -> Result<(), WriteError>;
    /// Deletes a workspace with its servers, secrets and tokens.
    async fn delete_workspace(&self, id: &str) -> Result<(), WriteError>;

    /// All servers of a workspace with their secrets, by slug, in one read.
    async fn servers(&self, workspace_id: &str) -> Result<Vec<ServerRow>, StoreError>;
    /// One server with its secrets, in one read.
    async fn server(&self, workspace_id: &str, slug: &ServerSlug) -> Result<Option<ServerRow>, StoreError>;
    /// Adds a server (without secrets); [`WriteError::Exists`] if its slug is taken.
    async fn add_server(&self, server: ServerRow) -> Result<(), WriteError>;
    /// Changes a server; the answer names the secrets that were detached.
    async fn change_server(&self, change: ServerChange) -> Result<Vec<String>, WriteError>;
    /// Deletes a server with its secrets.
    async fn delete_server(&self, server_id: &str) -> Result<(), WriteError>;

    /// Writes a sealed value, if server and secret are still as they were read.
    async fn put_secret(&self, put: PutSecret) -> Result<(), WriteError>;
    /// Writes many sealed values, if server and secrets are still as they were read. The
    /// answer names the secrets that were deleted, sorted.
    async fn put_secrets(&self, put: PutSecrets) -> Result<Vec<String>, WriteError>;
    /// Changes a rule, if the secret is still as it was read.
    async fn change_rule(&self, change: RuleChange) -> Result<(), WriteError>;
    /// Deletes one secret.
    async fn delete_secret(&self, server_id: &str, name: &SecretName) -> Result<(), WriteError>;
    /// Deletes all secrets of a server; the answer names them, sorted.
    async fn delete_secrets(&self, server_id: &str) -> Result<Vec<String>, WriteError>;

    /// A workspace token by its public id, with the slug of its workspace.
    async fn token(&self, id: &str) -> Result<Option<TokenRow>, StoreError>;
    /// All tokens of a workspace, oldest first.
    async fn tokens(&self, workspace_id: &str) -> Result<Vec<TokenRow>, StoreError>;
    /// Adds a token.
    async fn add_token(&self, token: TokenRow) -> Result<(), WriteError>;
    /// Revokes a token for good: its hash is overwritten. A second time changes nothing.
    async fn revoke_token(&self, workspace_id: &str, id: &str, at: Millis) -> Result<(), WriteError>;

    /// Notes when tokens were last used. Does not wait, and what fails is in the log only.
    fn note_token_uses(&self, uses: Vec<(String, Millis)>);

    /// Closes what the calling thread holds open for reading, if it will not read again.
    fn leave_thread(&self);
}
