//! Workspace tokens: create (the one time the token is shown), list, revoke.

use std::collections::BTreeMap;

use axum::Extension;
use axum::Json;
use axum::extract::{Path, State};
use hyper::StatusCode;
use hyper::body::Bytes;

use super::{Shared, display_name, find_workspace, parse, token_limits};
use crate::api::routes;
use crate::api::tokens::{
    CreateTokenRequest, CreatedTokenSummary, McpClientConfiguration, McpClientEntry, RateLimit, TokenList,
    TokenStatus, TokenSummary, Unlimited,
};
use crate::domain::WorkspaceToken;
use crate::domain::workspace_token::DEFAULT_CALLS_A_MINUTE;
use crate::server::auth::new_workspace_token;
use crate::server::clock::{self, Millis};
use crate::server::error::ApiError;
use crate::server::host_check::BaseUrl;
use crate::server::startup::Project;
use crate::server::store::{TokenLimits, TokenRow, WorkspaceRow, WriteError};

/// Longest life of a token, in seconds: ten years.
const MAX_LIFE_SECONDS: u64 = 315_360_000;

fn summary(row: &TokenRow) -> TokenSummary {
    let expired = row.expires_at.is_some_and(|end| end <= clock::now());
    let status = match (row.revoked_at, expired) {
        (Some(_), _) => TokenStatus::Revoked,
        (None, true) => TokenStatus::Expired,
        (None, false) => TokenStatus::Active,
    };
    TokenSummary {
        id: row.id.clone(),
        name: row.name.clone(),
        created_at: clock::rfc3339(row.created_at),
        expires_at: row.expires_at.map(clock::rfc3339),
        last_used_at: row.last_used_at.map(clock::rfc3339),
        status,
        rate_limit: Some(match row.limits.rate_limit.unwrap_or(DEFAULT_CALLS_A_MINUTE) {
            0 => RateLimit::Unlimited(Unlimited::None),
            calls => RateLimit::PerMinute(calls),
        }),
        servers: row.limits.servers.as_deref().map(patterns),
        tools: row.limits.tools.as_deref().map(patterns),
    }
}

fn patterns(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Issues a token and stores its hash.
///
/// # Errors
/// [`ApiError`] when the store or the random source fails.
pub(in crate::server) async fn issue(
    project: &Project,
    workspace: &WorkspaceRow,
    name: String,
    expires_at: Option<Millis>,
    limits: TokenLimits,
) -> Result<(WorkspaceToken, TokenRow), ApiError> {
    let token = new_workspace_token()?;
    let hasher = project.authenticator.hasher();
    let row = TokenRow {
        id: token.id().to_owned(),
        workspace_id: workspace.id.clone(),
        workspace_slug: workspace.slug.to_string(),
        name,
        token_hash: hasher.workspace_token(token.expose(), &workspace.id, expires_at, &limits),
        created_at: clock::now(),
        expires_at,
        last_used_at: None,
        revoked_at: None,
        limits,
    };
    project.store.add_token(row.clone()).await?;
    Ok((token, row))
}

pub(super) async fn create(
    State(project): Shared,
    Extension(base): Extension<BaseUrl>,
    Path(slug): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<CreatedTokenSummary>), ApiError> {
    let request: CreateTokenRequest = parse(&body, "name, expires_in, rate_limit, servers, tools")?;
    let name = display_name(&request.name)?;
    let expires_at = request.expires_in.map(expiry).transpose()?;
    let workspace = find_workspace(&project, &slug).await?;
    let limits = token_limits::read(&project, &workspace, &request).await?;
    let (token, row) = issue(&project, &workspace, name, expires_at, limits).await?;
    let url = format!("{}{}", base.0, routes::gateway(&workspace.slug));
    let authorization = format!("Bearer {}", token.expose());
    let headers = BTreeMap::from([("Authorization".to_owned(), authorization)]);
    let entry = (workspace.slug.to_string(), McpClientEntry { url, headers });
    let document = CreatedTokenSummary {
        token: summary(&row),
        secret: token.expose().to_owned(),
        mcp_json: McpClientConfiguration { mcp_servers: BTreeMap::from([entry]) },
    };
    Ok((StatusCode::CREATED, Json(document)))
}

fn expiry(seconds: u64) -> Result<Millis, ApiError> {
    if seconds == 0 || seconds > MAX_LIFE_SECONDS {
        return Err(ApiError::invalid_value(
            "expires_in is a number of seconds from 1 to 315360000 (ten years)",
        ));
    }
    let millis = Millis::try_from(seconds * 1000).unwrap_or(Millis::MAX);
    Ok(clock::now().saturating_add(millis))
}

pub(super) async fn list(
    State(project): Shared,
    Path(slug): Path<String>,
) -> Result<Json<TokenList>, ApiError> {
    let workspace = find_workspace(&project, &slug).await?;
    let rows = project.store.tokens(&workspace.id).await?;
    Ok(Json(TokenList { tokens: rows.iter().map(summary).collect() }))
}

pub(super) async fn revoke(
    State(project): Shared,
    Path((slug, token_id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let workspace = find_workspace(&project, &slug).await?;
    project.store.revoke_token(&workspace.id, &token_id, clock::now()).await.map_err(
        |error| match error {
            WriteError::NotFound => {
                ApiError::not_found(format!("no such token in workspace '{}'", workspace.slug))
                    .with_hint(format!("list them: aerostack workspace token list {}", workspace.slug))
            }
            other => other.into(),
        },
    )?;
    Ok(StatusCode::NO_CONTENT)
}
