//! Opens a project: the store, the key check, the server's own keys; makes everything at
//! the first start. A wrong key is refused before a byte is written.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::analytics::{Analytics, AnalyticsSettings};
use super::auth::{Authenticator, CredentialHasher, PEPPER_PURPOSE, new_api_key};
use super::clock;
use super::randomness::{RandomnessFailed, fill_random};
use super::store::sqlite::{OpenError, SqliteStore};
use super::store::{
    ApiKeyRow, InternalKey, KeyCheck, NewProject, ProjectRow, Store, StoreError, WorkspaceRow, WriteError,
};
use super::vault::{DerivationFailed, Keyring, SecretsKey, Vault, VaultError};
use crate::domain::{ApiKey, WorkspaceSlug};

/// The workspace every project begins with.
pub const DEFAULT_WORKSPACE: &str = "default";

/// Why the project cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The wrong key.
    #[error("WORKFLOW_SECRETS_KEY is not the key this database was made with; nothing was changed")]
    WrongKey,
    /// The database lacks what every database has.
    #[error("the database is incomplete: {0} is missing; restore it from a backup")]
    Incomplete(&'static str),
    /// The file.
    #[error(transparent)]
    Open(OpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The crypto library.
    #[error(transparent)]
    Derivation(#[from] DerivationFailed),
    /// No random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessFailed),
    /// No thread or socket.
    #[error("{0}")]
    System(String),
}

/// An open project.
pub struct Project {
    /// Its tool calls. Dropped first: it writes what is left while the database is still held.
    pub analytics: Analytics,
    /// Its row.
    pub row: ProjectRow,
    /// Its rows.
    pub store: Arc<dyn Store>,
    /// The holder of its key.
    pub vault: Arc<Vault>,
    /// Its credentials.
    pub authenticator: Arc<Authenticator>,
    /// Taken by changes that read a row, seal and write it back, so that in this process
    /// they wait for each other instead of refusing each other.
    pub turn: tokio::sync::Mutex<()>,
}

/// Opens the project in a SQLite file. At the first start `announce` gets the new API key
/// just before it is committed, so that no committed key is ever unknown.
///
/// # Errors
/// [`StartError`]; with a wrong key nothing was changed.
pub async fn open_project(
    path: &Path,
    key: &SecretsKey,
    analytics: AnalyticsSettings,
    announce: &mut dyn FnMut(&ApiKey),
) -> Result<Project, StartError> {
    let keyring = Keyring::new(key)?;
    let admit = |checks: &[KeyCheck]| {
        let own = checks.iter().find(|check| check.key_id == keyring.active_id());
        own.is_some_and(|check| keyring.matches(&check.key_check).unwrap_or(false))
    };
    let store = SqliteStore::open(path, &admit).map_err(|error| match error {
        OpenError::Refused => StartError::WrongKey,
        other => StartError::Open(other),
    })?;
    let vault = Vault::new(keyring);
    if store.project().await?.is_none() {
        create(&store, &vault, announce).await?;
    }
    let row = store.project().await?.ok_or(StartError::Incomplete("the project"))?;
    let pepper =
        store.internal_key(PEPPER_PURPOSE).await?.ok_or(StartError::Incomplete("the token pepper"))?;
    let pepper = vault.open_internal(&row.id, PEPPER_PURPOSE, &pepper.sealed)?;
    let store: Arc<dyn Store> = Arc::new(store);
    let authenticator = Authenticator::new(Arc::clone(&store), CredentialHasher::new(&pepper));
    Ok(Project {
        analytics: Analytics::start(path, analytics, Arc::clone(&store)),
        row,
        store,
        vault: Arc::new(vault),
        authenticator: Arc::new(authenticator),
        turn: tokio::sync::Mutex::default(),
    })
}

async fn create(
    store: &SqliteStore,
    vault: &Vault,
    announce: &mut dyn FnMut(&ApiKey),
) -> Result<(), StartError> {
    let project = ProjectRow { id: Uuid::new_v4().to_string(), name: "local".to_owned() };
    let mut pepper = Zeroizing::new([0; 32]);
    fill_random(pepper.as_mut_slice())?;
    let key = new_api_key()?;
    let hasher = CredentialHasher::new(pepper.as_slice());
    let now = clock::now();
    let id = key.public_id().unwrap_or_default().to_owned();
    let new = NewProject {
        key_check: KeyCheck { key_id: vault.keyring().active_id(), key_check: vault.keyring().key_check()? },
        internal_keys: vec![InternalKey {
            purpose: PEPPER_PURPOSE.to_owned(),
            sealed: vault.seal_internal(&project.id, PEPPER_PURPOSE, pepper.as_slice())?,
        }],
        workspace: WorkspaceRow {
            id: Uuid::new_v4().to_string(),
            slug: WorkspaceSlug::from_name(DEFAULT_WORKSPACE)
                .map_err(|_| StartError::Incomplete("the default workspace"))?,
            name: DEFAULT_WORKSPACE.to_owned(),
            created_at: now,
            server_count: 0,
        },
        api_key: ApiKeyRow { id, key_hash: hasher.api_key(&key), created_at: now },
        project,
    };
    announce(&key);
    Ok(store.create_project(new).await?)
}
