//! Who is asking: API keys on the admin API, workspace tokens on the gateway. Both are
//! found by their public id and compared in constant time as an HMAC-SHA-256 under the
//! pepper; unknown, wrong, expired and revoked answer alike.

use std::sync::Arc;

use aws_lc_rs::hmac;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::clock::{self, Millis};
use super::error::ApiError;
use super::randomness::{RandomnessFailed, random_base62};
use super::store::{Store, StoreError, TokenLimits, TokenRow};
use crate::domain::workspace_token::{DEFAULT_CALLS_A_MINUTE, TOKEN_ID_CHARS, TOKEN_RANDOM_CHARS};
use crate::domain::{ApiKey, TokenScope, WorkspaceToken, api_key};

/// Purpose of the pepper among the server's own keys.
pub const PEPPER_PURPOSE: &str = "token-pepper";
/// Header that may carry an API key instead of `Authorization`.
pub const API_KEY_HEADER: &str = "x-api-key";

/// Hashes credentials. Holds the pepper.
pub struct CredentialHasher(hmac::Key);

impl CredentialHasher {
    /// A hasher with this pepper.
    pub fn new(pepper: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, pepper))
    }

    /// Hash of an API key.
    pub fn api_key(&self, key: &ApiKey) -> [u8; 32] {
        self.hash(&[b"api-key", key.expose().as_bytes()])
    }

    /// Hash of a workspace token. Workspace, expiry and limits go into it, so a row that was
    /// moved to another workspace or given more time or rights is not accepted. Without
    /// limits it is the hash of the time before there were any.
    pub fn workspace_token(
        &self,
        token: &str,
        workspace_id: &str,
        expires_at: Option<Millis>,
        limits: &TokenLimits,
    ) -> [u8; 32] {
        let expiry = expires_at.unwrap_or(Millis::MAX).to_be_bytes();
        let (token, workspace_id) = (token.as_bytes(), workspace_id.as_bytes());
        if *limits == TokenLimits::default() {
            return self.hash(&[b"workspace-token", token, workspace_id, &expiry]);
        }
        // An absent field and an empty one must not look alike.
        let present = [limits.rate_limit.is_some(), limits.servers.is_some(), limits.tools.is_some()];
        self.hash(&[
            b"workspace-token-with-limits",
            token,
            workspace_id,
            &expiry,
            &present.map(u8::from),
            &limits.rate_limit.unwrap_or_default().to_be_bytes(),
            limits.servers.as_deref().unwrap_or_default().as_bytes(),
            limits.tools.as_deref().unwrap_or_default().as_bytes(),
        ])
    }

    fn hash(&self, fields: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}

/// Makes a fresh API key.
///
/// # Errors
/// [`RandomnessFailed`] when the system gives no random bytes.
pub fn new_api_key() -> Result<ApiKey, RandomnessFailed> {
    let (id, random) = (random_base62(TOKEN_ID_CHARS)?, random_base62(TOKEN_RANDOM_CHARS)?);
    api_key::assemble(&id, &random).map_err(|_| RandomnessFailed)
}

/// Makes a fresh workspace token.
///
/// # Errors
/// [`RandomnessFailed`] when the system gives no random bytes.
pub fn new_workspace_token() -> Result<WorkspaceToken, RandomnessFailed> {
    let (id, random) = (random_base62(TOKEN_ID_CHARS)?, random_base62(TOKEN_RANDOM_CHARS)?);
    WorkspaceToken::assemble(&id, &random).map_err(|_| RandomnessFailed)
}

/// A team member whose token was accepted for a workspace. The default has no limits.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Public id of the token.
    pub token_id: String,
    /// The workspace.
    pub workspace_id: String,
    /// What the token may see and call.
    pub scope: Arc<TokenScope>,
    /// Tool calls a minute; `None` for no limit.
    pub calls_a_minute: Option<u32>,
}

impl Member {
    /// `None` if the limits cannot be read; such a token is not accepted.
    fn of(row: TokenRow) -> Option<Self> {
        let list = |text: &Option<String>| {
            text.as_ref().map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>())
        };
        let (servers, tools) = (list(&row.limits.servers), list(&row.limits.tools));
        let scope = TokenScope::parse(servers.as_deref(), tools.as_deref()).ok()?;
        let calls = row.limits.rate_limit.unwrap_or(DEFAULT_CALLS_A_MINUTE);
        let calls_a_minute = (calls > 0).then_some(calls);
        let scope = Arc::new(scope);
        Some(Self { token_id: row.id, workspace_id: row.workspace_id, scope, calls_a_minute })
    }
}

/// Checks credentials against the store, afresh on each request.
pub struct Authenticator {
    store: Arc<dyn Store>,
    hasher: CredentialHasher,
}

impl Authenticator {
    /// An authenticator on a store.
    pub fn new(store: Arc<dyn Store>, hasher: CredentialHasher) -> Self {
        Self { store, hasher }
    }

    /// The hasher, for issuing tokens.
    pub fn hasher(&self) -> &CredentialHasher {
        &self.hasher
    }

    /// Checks an admin's API key.
    ///
    /// # Errors
    /// 401 for no key or one that is not accepted, 403 for a workspace token.
    pub async fn admin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let credential = admin_credential(headers)?;
        if credential.starts_with(crate::domain::workspace_token::WORKSPACE_TOKEN_PREFIX) {
            return Err(ApiError::forbidden("a workspace token (mwt_) may not use the admin API")
                .with_hint("use an API key (ak_)"));
        }
        let refused = || ApiError::unauthorized("the API key is not accepted");
        let key = ApiKey::parse(credential).map_err(|_| refused())?;
        let row = match key.public_id() {
            Some(id) => self.store.api_key(id).await?,
            None => None,
        };
        let stored = row.as_ref().map_or([0; 32], |row| row.key_hash);
        let same = self.hasher.api_key(&key).ct_eq(&stored);
        if row.is_some() && bool::from(same) { Ok(()) } else { Err(refused()) }
    }

    /// Checks a member's token for a workspace; `None` if it is not accepted.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub async fn member(&self, headers: &HeaderMap, workspace: &str) -> Result<Option<Member>, StoreError> {
        let Some(token) = bearer(headers).and_then(|text| WorkspaceToken::parse(text).ok()) else {
            return Ok(None);
        };
        let row = self.store.token(token.id()).await?;
        let none = TokenLimits::default();
        let (workspace_id, expires_at, limits) = row
            .as_ref()
            .map_or(("", None, &none), |row| (row.workspace_id.as_str(), row.expires_at, &row.limits));
        let hash = self.hasher.workspace_token(token.expose(), workspace_id, expires_at, limits);
        let stored = row.as_ref().map_or([0; 32], |row| row.token_hash);
        let same = bool::from(hash.ct_eq(&stored));
        let accepted = row.filter(|row| same && is_alive(row) && row.workspace_slug == workspace);
        Ok(accepted.and_then(Member::of))
    }

    /// Whether a token that was accepted before still is: not revoked, expired or deleted
    /// since, on this replica or on another.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub async fn still_accepts(&self, member: &Member) -> Result<bool, StoreError> {
        let row = self.store.token(&member.token_id).await?;
        Ok(row.is_some_and(|row| is_alive(&row) && row.workspace_id == member.workspace_id))
    }
}

fn is_alive(row: &TokenRow) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|end| clock::now() < end)
}

/// The text after `Bearer ` in the only `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim_matches(' '))
}

fn admin_credential(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing =
        || ApiError::unauthorized("an API key is needed").with_hint("send Authorization: Bearer ak_...");
    let own_header = headers.get(API_KEY_HEADER);
    match (headers.contains_key(AUTHORIZATION), own_header) {
        (true, None) => bearer(headers).ok_or_else(missing),
        (false, Some(value)) => value.to_str().map_err(|_| missing()),
        (true, Some(_)) => Err(ApiError::unauthorized("two credentials in one request")
            .with_hint("send either Authorization or X-API-Key")),
        (false, None) => Err(missing()),
    }
}
