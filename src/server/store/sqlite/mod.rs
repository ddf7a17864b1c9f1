//! The embedded store: one SQLite file, one writer thread, one read connection for each
//! worker thread. Reads run inline (a keyed read costs less than a hop to another
//! thread); nothing is cached, so an acknowledged write holds from the next read on.

mod file;
mod migrations;
mod reader;
mod secrets;
mod servers;
mod start;
mod tokens;
mod workspaces;
mod writer;

use std::path::Path;

use async_trait::async_trait;

pub use file::OpenError;

use super::{
    ApiKeyRow, InternalKey, KeyCheck, NewProject, ProjectRow, PutSecret, PutSecrets, RuleChange,
    ServerChange, ServerRow, Store, StoreError, TokenRow, WorkspaceRow, WriteError,
};
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};
use crate::server::clock::Millis;

/// A project in one SQLite file.
pub struct SqliteStore {
    reader: reader::Reader,
    writer: writer::Writer,
    _lock: file::FileLock,
}

impl SqliteStore {
    /// Opens or creates the file. Before anything is written, `admit` sees the key checks
    /// of an existing project and may refuse.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path, admit: &dyn Fn(&[KeyCheck]) -> bool) -> Result<Self, OpenError> {
        let path = &file::resolve(path)?;
        let lock = file::lock(path)?;
        file::prepare(path)?;
        file::inspect(path, admit)?;
        let mut connection = file::open_for_writing(path)?;
        migrations::run(&mut connection)?;
        Ok(Self {
            reader: reader::Reader::new(path),
            writer: writer::Writer::start(connection)?,
            _lock: lock,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn project(&self) -> Result<Option<ProjectRow>, StoreError> {
        self.reader.read(start::project)
    }

    async fn internal_key(&self, purpose: &str) -> Result<Option<InternalKey>, StoreError> {
        self.reader.read(|connection| start::internal_key(connection, purpose))
    }

    async fn create_project(&self, project: NewProject) -> Result<(), WriteError> {
        self.writer.write(move |transaction| start::create_project(transaction, &project)).await
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        self.reader.read(|connection| start::api_key(connection, id))
    }

    async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.reader.read(workspaces::all)
    }

    async fn workspace(&self, slug: &WorkspaceSlug) -> Result<Option<WorkspaceRow>, StoreError> {
        self.reader.read(|connection| workspaces::one(connection, slug))
    }

    async fn add_workspace(&self, workspace: WorkspaceRow) -> Result<(), WriteError> {
        self.writer.write(move |transaction| workspaces::add(transaction, &workspace)).await
    }

    async fn delete_workspace(&self, id: &str) -> Result<(), WriteError> {
        let id = id.to_owned();
        self.writer.write(move |transaction| workspaces::delete(transaction, &id)).await
    }

    async fn servers(&self, workspace_id: &str) -> Result<Vec<ServerRow>, StoreError> {
        self.reader.read(|connection| servers::all(connection, workspace_id))
    }

    async fn server(&self, workspace_id: &str, slug: &ServerSlug) -> Result<Option<ServerRow>, StoreError> {
        self.reader.read(|connection| servers::one(connection, workspace_id, slug))
    }

    async fn add_server(&self, server: ServerRow) -> Result<(), WriteError> {
        self.writer.write(move |transaction| servers::add(transaction, &server)).await
    }

    async fn change_server(&self, change: ServerChange) -> Result<Vec<String>, WriteError> {
        self.writer.write(move |transaction| servers::change(transaction, &change)).await
    }

    async fn delete_server(&self, server_id: &str) -> Result<(), WriteError> {
        let id = server_id.to_owned();
        self.writer.write(move |transaction| servers::delete(transaction, &id)).await
    }

    async fn put_secret(&self, put: PutSecret) -> Result<(), WriteError> {
        self.writer.write(move |transaction| secrets::put(transaction, &put)).await
    }

    async fn put_secrets(&self, put: PutSecrets) -> Result<Vec<String>, WriteError> {
        let ending = if put.dry_run { writer::Ending::RollBack } else { writer::Ending::Commit };
        self.writer.run(move |transaction| secrets::put_many(transaction, &put), ending).await
    }

    async fn change_rule(&self, change: RuleChange) -> Result<(), WriteError> {
        self.writer.write(move |transaction| secrets::change_rule(transaction, &change)).await
    }

    async fn delete_secret(&self, server_id: &str, name: &SecretName) -> Result<(), WriteError> {
        let (id, name) = (server_id.to_owned(), name.clone());
        self.writer.write(move |transaction| secrets::delete(transaction, &id, &name)).await
    }

    async fn delete_secrets(&self, server_id: &str) -> Result<Vec<String>, WriteError> {
        let id = server_id.to_owned();
        self.writer.write(move |transaction| secrets::delete_all(transaction, &id)).await
    }

    async fn token(&self, id: &str) -> Result<Option<TokenRow>, StoreError> {
        self.reader.read(|connection| tokens::one(connection, id))
    }

    async fn tokens(&self, workspace_id: &str) -> Result<Vec<TokenRow>, StoreError> {
        self.reader.read(|connection| tokens::all(connection, workspace_id))
    }

    async fn add_token(&self, token: TokenRow) -> Result<(), WriteError> {
        self.writer.write(move |transaction| tokens::add(transaction, &token)).await
    }

    async fn revoke_token(&self, workspace_id: &str, id: &str, at: Millis) -> Result<(), WriteError> {
        let (workspace_id, id) = (workspace_id.to_owned(), id.to_owned());
        self.writer.write(move |transaction| tokens::revoke(transaction, &workspace_id, &id, at)).await
    }

    fn note_token_uses(&self, uses: Vec<(String, Millis)>) {
        self.writer.write_unwatched(move |transaction| tokens::note_uses(transaction, &uses));
    }

    fn leave_thread(&self) {
        self.reader.leave_thread();
    }
}

/// SQLite's own error in the store's words: the result code, no statement and no data.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(inner) if inner.code == rusqlite::ErrorCode::DiskFull => Self::Full,
            Some(inner) => Self::Failed(format!("{:?}, code {}", inner.code, inner.extended_code)),
            None => Self::Failed("a row or a parameter has an unexpected form".to_owned()),
        }
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
