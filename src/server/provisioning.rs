//! What `mock` and `demo` set up before the first request: the demo MCP server and a
//! workspace token. (Everything else goes through the admin API.)

use uuid::Uuid;

use super::admin::tokens;
use super::clock;
use super::demo_upstream::DEMO_SLUG;
use super::startup::{DEFAULT_WORKSPACE, Project, StartError};
use super::store::{ServerRow, TokenLimits};
use crate::domain::{ServerSlug, UpstreamUrl, WorkspaceSlug, WorkspaceToken};

/// Registers the demo MCP server in the default workspace and issues a token for it.
///
/// # Errors
/// [`StartError`] when the store refuses.
pub async fn add_demo(project: &Project, url: &str) -> Result<WorkspaceToken, StartError> {
    let bug = |what: &'static str| move |_| StartError::Incomplete(what);
    let slug = WorkspaceSlug::from_name(DEFAULT_WORKSPACE).map_err(|_| StartError::Incomplete("its slug"))?;
    let workspace =
        project.store.workspace(&slug).await?.ok_or(StartError::Incomplete("the default workspace"))?;
    let now = clock::now();
    let server = ServerRow {
        id: Uuid::new_v4().to_string(),
        workspace_id: workspace.id.clone(),
        slug: ServerSlug::parse(DEMO_SLUG).map_err(|_| StartError::Incomplete("the demo's slug"))?,
        name: "Demo server".to_owned(),
        url: UpstreamUrl::parse(url).map_err(|_| StartError::Incomplete("the demo's URL"))?,
        enabled: true,
        allow_private_network: false,
        redact_responses: true,
        created_at: now,
        updated_at: now,
        secrets: Vec::new(),
        has_damaged_secret: false,
        damaged_secrets: Vec::new(),
    };
    project.store.add_server(server).await?;
    // Whoever tries things out here is not to be counted.
    let limits = TokenLimits { rate_limit: Some(0), ..TokenLimits::default() };
    let (token, _) =
        tokens::issue(project, &workspace, "mock".to_owned(), None, limits).await.map_err(bug("a token"))?;
    Ok(token)
}
