//! The admin API: one file per resource. Requests are authenticated before they get
//! here; values come in and never go out.

mod analytics;
mod secrets;
mod secrets_batch;
mod servers;
mod set_secret;
mod token_limits;
pub(super) mod tokens;
mod validate;
mod workspaces;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::startup::{DEFAULT_WORKSPACE, Project};
use super::store::{ServerRow, WorkspaceRow};
use crate::api::error::ErrorCode;
use crate::api::object::Object;
use crate::api::routes;
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug, suggestion};

type Shared = axum::extract::State<Arc<Project>>;

/// All admin routes.
pub(super) fn router(project: Arc<Project>) -> Router {
    Router::new()
        .route(routes::VALIDATE, post(validate::validate))
        .route(routes::WORKSPACES, get(workspaces::list).post(workspaces::create))
        .route(routes::WORKSPACE, delete(workspaces::delete))
        .route(routes::TOKENS, get(tokens::list).post(tokens::create))
        .route(routes::TOKEN, delete(tokens::revoke))
        // Those above take no query; those below look at theirs themselves.
        .route_layer(middleware::from_fn(without_query))
        .route(routes::SERVERS, get(servers::list).post(servers::add))
        .route(routes::SERVER, get(servers::show).patch(servers::update).delete(servers::remove))
        .route(routes::SECRETS, get(secrets::list).post(set_secret::set).delete(secrets::delete_all))
        .route(routes::SECRET, delete(secrets::delete))
        .route(routes::SECRETS_BATCH, post(secrets_batch::store).delete(secrets_batch::delete))
        .route(routes::INJECTION, put(secrets::change_rule))
        .route(routes::ANALYTICS, get(analytics::groups))
        .route(routes::ANALYTICS_CALLS, get(analytics::calls))
        .fallback(async || ApiError::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || ApiError::not_found("this address does not take that method"))
        // The router in front has read the body within its limit already.
        .layer(DefaultBodyLimit::disable())
        .with_state(project)
}

/// Reads a JSON body. The error tells the place, and nothing of the text.
fn parse<T: DeserializeOwned>(body: &[u8], fields: &str) -> Result<T, ApiError> {
    if std::str::from_utf8(body).is_err() {
        return Err(ApiError::invalid_value("the body is not UTF-8 text; nothing was stored")
            .with_hint("encode binary values with base64 first"));
    }
    serde_json::from_slice(body).map(|Object(request)| request).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let problem = match error.classify() {
            serde_json::error::Category::Data => {
                "a field is missing, unknown, given twice or of the wrong type"
            }
            _ => "the body is not valid JSON",
        };
        ApiError::invalid_request(format!("{problem} ({place})"))
            .with_hint(format!("the fields are: {fields}"))
    })
}

/// The workspace that `?workspace=` names, `default` if it is absent. Nothing else may stand
/// in the query: `?dry_run=true` would look as if it were obeyed.
async fn workspace_of(project: &Project, query: Option<&str>) -> Result<WorkspaceRow, ApiError> {
    let mut slug = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key != "workspace" {
            return Err(unknown_parameter().with_hint("the only parameter is: workspace"));
        }
        if slug.replace(value.into_owned()).is_some() {
            return Err(ApiError::invalid_request("more than one workspace in the query"));
        }
    }
    find_workspace(project, slug.as_deref().unwrap_or(DEFAULT_WORKSPACE)).await
}

async fn without_query(request: Request, next: Next) -> Result<Response, ApiError> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        return Err(unknown_parameter().with_hint("this address takes no parameters"));
    }
    Ok(next.run(request).await)
}

fn unknown_parameter() -> ApiError {
    ApiError::invalid_request(
        "the query has a parameter that this address does not take; nothing was changed",
    )
}

/// The server that a request is about, and its workspace.
pub(super) async fn addressed_server(
    project: &Project,
    query: Option<&str>,
    slug: &str,
) -> Result<(WorkspaceRow, ServerRow), ApiError> {
    let workspace = workspace_of(project, query).await?;
    let server = find_server(project, &workspace, slug).await?;
    Ok((workspace, server))
}

async fn find_workspace(project: &Project, slug: &str) -> Result<WorkspaceRow, ApiError> {
    let found = match WorkspaceSlug::parse(slug) {
        Ok(parsed) => project.store.workspace(&parsed).await?,
        Err(_) => None,
    };
    if let Some(workspace) = found {
        return Ok(workspace);
    }
    let known = project.store.workspaces().await?;
    let hint = suggestion::hint(
        slug,
        known.iter().map(|row| row.slug.as_str()),
        "list them: aerostack workspace list",
    );
    Err(ApiError::not_found("no such workspace").with_hint(hint))
}

async fn find_server(project: &Project, workspace: &WorkspaceRow, slug: &str) -> Result<ServerRow, ApiError> {
    let found = match ServerSlug::parse(slug) {
        Ok(parsed) => project.store.server(&workspace.id, &parsed).await?,
        Err(_) => None,
    };
    if let Some(server) = found {
        return Ok(server);
    }
    let known = project.store.servers(&workspace.id).await?;
    let otherwise = "list them: aerostack mcp list; add one: aerostack mcp add <slug> --url <URL>";
    let hint = suggestion::hint(slug, known.iter().map(|row| row.slug.as_str()), otherwise);
    Err(ApiError::not_found(format!("no such MCP server in workspace '{}'", workspace.slug)).with_hint(hint))
}

fn no_such_secret(server: &ServerRow, name: &str) -> ApiError {
    let known = server.secrets.iter().map(|secret| secret.name.as_str());
    let hint = suggestion::hint(name, known, &format!("list them: aerostack secrets list {}", server.slug));
    ApiError::not_found(format!("no such secret on '{}'", server.slug)).with_hint(hint)
}

fn secret_name(text: &str) -> Result<SecretName, ApiError> {
    SecretName::parse(text).map_err(|problem| ApiError::invalid_value(problem.to_string()))
}

/// A display name: 1 to 100 characters, none of them a control character.
fn display_name(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err(ApiError::new(
            ErrorCode::InvalidValue,
            "a display name is 1 to 100 characters without control characters",
        ));
    }
    Ok(text.to_owned())
}
