//! The limits of a new token, checked: a rate that can be kept, patterns that can match,
//! and servers that are there.

use crate::api::tokens::{CreateTokenRequest, RateLimit, Unlimited};
use crate::domain::workspace_token::MAX_CALLS_A_MINUTE;
use crate::domain::{TokenScope, suggestion};
use crate::server::error::ApiError;
use crate::server::startup::Project;
use crate::server::store::{TokenLimits, WorkspaceRow};

/// Reads the limits of a request.
///
/// # Errors
/// 422 for a rate or a pattern that is none, 404 for a server that the workspace has not.
pub(super) async fn read(
    project: &Project,
    workspace: &WorkspaceRow,
    request: &CreateTokenRequest,
) -> Result<TokenLimits, ApiError> {
    let rate_limit = request.rate_limit.map(rate_limit).transpose()?;
    let (servers, tools) = (request.servers.as_deref(), request.tools.as_deref());
    TokenScope::parse(servers, tools).map_err(|problem| ApiError::invalid_value(problem.to_string()))?;
    let exact = exact_servers(servers, tools);
    if !exact.is_empty() {
        let rows = project.store.servers(&workspace.id).await?;
        let known: Vec<&str> = rows.iter().map(|row| row.slug.as_str()).collect();
        if let Some(unknown) = exact.iter().find(|name| !known.contains(name)) {
            let message = format!("no MCP server '{unknown}' in workspace '{}'", workspace.slug);
            let otherwise = "list them: aerostack mcp list; a pattern with '*' may name servers to come";
            return Err(ApiError::not_found(message).with_hint(suggestion::hint(unknown, known, otherwise)));
        }
    }
    let text = |list: Option<&[String]>| list.map(|list| list.join(","));
    Ok(TokenLimits { rate_limit, servers: text(servers), tools: text(tools) })
}

/// The servers that are named in full; a slip in one would be a token for nothing.
fn exact_servers<'a>(servers: Option<&'a [String]>, tools: Option<&'a [String]>) -> Vec<&'a str> {
    let of_tools = tools.into_iter().flatten().filter_map(|tool| Some(tool.split_once("__")?.0));
    let named = servers.into_iter().flatten().map(String::as_str).chain(of_tools);
    named.filter(|name| !name.contains('*')).collect()
}

fn rate_limit(limit: RateLimit) -> Result<u32, ApiError> {
    match limit {
        RateLimit::Unlimited(Unlimited::None) => Ok(0),
        RateLimit::PerMinute(calls) if (1..=MAX_CALLS_A_MINUTE).contains(&calls) => Ok(calls),
        RateLimit::PerMinute(_) => Err(ApiError::invalid_value(
            "rate_limit is a number of tool calls a minute from 1 to 1000000, or \"none\"",
        )),
    }
}
