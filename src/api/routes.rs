//! Every URL of the contract, once. Constants are the router's patterns; functions
//! build paths from checked slugs and names, so nothing needs escaping.

use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};

/// Beginning of every admin route.
pub const ADMIN_PREFIX: &str = "/api/v1/admin/";
/// Beginning of every gateway route.
pub const GATEWAY_PREFIX: &str = "/ws/";
/// Answers 200 while the process runs.
pub const HEALTHZ: &str = "/healthz";
/// Answers 200 once the server takes requests.
pub const READYZ: &str = "/readyz";
/// Says whose key it is.
pub const VALIDATE: &str = "/api/v1/cli/validate";
/// MCP servers of a workspace.
pub const SERVERS: &str = "/api/v1/admin/mcp-servers";
/// One MCP server.
pub const SERVER: &str = "/api/v1/admin/mcp-servers/{slug}";
/// Secrets of one server.
pub const SECRETS: &str = "/api/v1/admin/mcp-servers/{slug}/secrets";
/// One secret.
pub const SECRET: &str = "/api/v1/admin/mcp-servers/{slug}/secrets/{name}";
/// Many secrets of one server at once. (A secret may have the name `batch`; to delete it is
/// a request to this address too.)
pub const SECRETS_BATCH: &str = "/api/v1/admin/mcp-servers/{slug}/secrets/batch";
/// The injection rule of one secret.
pub const INJECTION: &str = "/api/v1/admin/mcp-servers/{slug}/secrets/{name}/injection";
/// Workspaces of the project.
pub const WORKSPACES: &str = "/api/v1/admin/workspaces";
/// One workspace.
pub const WORKSPACE: &str = "/api/v1/admin/workspaces/{workspace}";
/// Tokens of one workspace.
pub const TOKENS: &str = "/api/v1/admin/workspaces/{workspace}/tokens";
/// One token.
pub const TOKEN: &str = "/api/v1/admin/workspaces/{workspace}/tokens/{token_id}";

/// Calls of a workspace, in groups.
pub const ANALYTICS: &str = "/api/v1/admin/workspaces/{workspace}/analytics";
/// Calls of a workspace, one by one.
pub const ANALYTICS_CALLS: &str = "/api/v1/admin/workspaces/{workspace}/analytics/calls";
/// Counters in Prometheus' text form.
pub const METRICS: &str = "/metrics";

/// Path of one MCP server.
pub fn server(slug: &ServerSlug) -> String {
    format!("{SERVERS}/{slug}")
}

/// Path of a server's test.
pub fn server_test(slug: &ServerSlug) -> String {
    format!("{SERVERS}/{slug}/test")
}

/// The slug in a path of [`server_test`]; it is not checked.
pub fn tested_server(path: &str) -> Option<&str> {
    let slug = path.strip_prefix(SERVERS)?.strip_prefix('/')?.strip_suffix("/test")?;
    (!slug.is_empty() && !slug.contains('/')).then_some(slug)
}

/// Path of a server's secrets.
pub fn secrets(slug: &ServerSlug) -> String {
    format!("{SERVERS}/{slug}/secrets")
}

/// Path of one secret.
pub fn secret(slug: &ServerSlug, name: &SecretName) -> String {
    format!("{SERVERS}/{slug}/secrets/{name}")
}

/// Path for many secrets at once.
pub fn secrets_batch(slug: &ServerSlug) -> String {
    format!("{SERVERS}/{slug}/secrets/batch")
}

/// Whether a path is one of [`SECRETS_BATCH`].
pub fn is_secrets_batch(path: &str) -> bool {
    let slug = path.strip_prefix(SERVERS).and_then(|rest| rest.strip_suffix("/secrets/batch"));
    slug.and_then(|rest| rest.strip_prefix('/')).is_some_and(|slug| !slug.is_empty() && !slug.contains('/'))
}

/// Path of a secret's injection rule.
pub fn injection(slug: &ServerSlug, name: &SecretName) -> String {
    format!("{SERVERS}/{slug}/secrets/{name}/injection")
}

/// Path of one workspace.
pub fn workspace(slug: &WorkspaceSlug) -> String {
    format!("{WORKSPACES}/{slug}")
}

/// Path of a workspace's tokens.
pub fn tokens(slug: &WorkspaceSlug) -> String {
    format!("{WORKSPACES}/{slug}/tokens")
}

/// Path of one token; the id is checked by the caller to be alphanumeric.
pub fn token(slug: &WorkspaceSlug, token_id: &str) -> String {
    format!("{WORKSPACES}/{slug}/tokens/{token_id}")
}

/// Path of a workspace's calls in groups.
pub fn analytics(slug: &WorkspaceSlug) -> String {
    format!("{WORKSPACES}/{slug}/analytics")
}

/// Path of a workspace's calls one by one.
pub fn analytics_calls(slug: &WorkspaceSlug) -> String {
    format!("{WORKSPACES}/{slug}/analytics/calls")
}

/// Path of a workspace's gateway.
pub fn gateway(slug: &WorkspaceSlug) -> String {
    format!("{GATEWAY_PREFIX}{slug}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_and_nothing_beside_it() {
        let slug = ServerSlug::parse("github-mcp").unwrap();
        assert_eq!(tested_server(&server_test(&slug)), Some("github-mcp"));
        for other in ["", "/test", "//test", "/a/test/", "/a/b/test", "/a", "x/test"] {
            assert_eq!(tested_server(&format!("{SERVERS}{other}")), None, "{other}");
        }
    }

    #[test]
    fn the_batch_and_nothing_beside_it() {
        let slug = ServerSlug::parse("github-mcp").unwrap();
        assert!(is_secrets_batch(&secrets_batch(&slug)));
        assert_eq!(SECRETS_BATCH.replace("{slug}", "github-mcp"), secrets_batch(&slug));
        for other in
            ["", "/secrets/batch", "/a/secrets", "/a/b/secrets/batch", "/a/secrets/batch/", "x/secrets/batch"]
        {
            assert!(!is_secrets_batch(&format!("{SERVERS}{other}")), "{other}");
        }
    }
}
