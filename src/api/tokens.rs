//! Workspace tokens on the wire. The raw token stands in one answer only, the one to
//! its creation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// POST `/workspaces/{workspace}/tokens`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// For whom or what it is.
    pub name: String,
    /// Life in seconds; without it the token does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Tool calls a minute; without it the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Servers that it may use, by slug, with `*` for any characters; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    /// Tools that it may use, as `<server>__<tool>`, with `*` for any characters; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
}

/// How many tool calls a token may make in a minute: a number, or `"none"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateLimit {
    /// So many.
    PerMinute(u32),
    /// Without a limit.
    Unlimited(Unlimited),
}

/// The word for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unlimited {
    /// No limit.
    #[serde(rename = "none")]
    None,
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerMinute(calls) => write!(f, "{calls}"),
            Self::Unlimited(_) => f.write_str("none"),
        }
    }
}

/// Whether a token is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    /// Accepted.
    Active,
    /// Its time is over.
    Expired,
    /// Revoked by an admin.
    Revoked,
}

impl TokenStatus {
    /// The word as it stands in JSON and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// One token, without the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenSummary {
    /// The 12 characters after `mwt_`.
    pub id: String,
    /// For whom or what it is.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    pub expires_at: Option<String>,
    /// Last call, if known.
    pub last_used_at: Option<String>,
    /// Whether it is accepted.
    pub status: TokenStatus,
    /// Tool calls a minute; absent if the server is of a time before there were limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Servers that it may use; `None` for all.
    #[serde(default)]
    pub servers: Option<Vec<String>>,
    /// Tools that it may use; `None` for all.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
}

/// GET `/workspaces/{workspace}/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenList {
    /// Newest last.
    pub tokens: Vec<TokenSummary>,
}

/// Answer to the creation.
#[derive(Serialize, Deserialize)]
pub struct CreatedTokenSummary {
    /// The token's row.
    pub token: TokenSummary,
    /// The raw token, shown this once.
    pub secret: String,
    /// The block to paste into an MCP client's configuration.
    pub mcp_json: McpClientConfiguration,
}

/// What MCP clients read: `{"mcpServers":{"<workspace>":{"url","headers"}}}`.
#[derive(Serialize, Deserialize)]
pub struct McpClientConfiguration {
    /// One entry, by workspace.
    #[serde(rename = "mcpServers")]
    pub mcp_servers: BTreeMap<String, McpClientEntry>,
}

/// Where to connect, and with which headers.
#[derive(Serialize, Deserialize)]
pub struct McpClientEntry {
    /// The gateway.
    pub url: String,
    /// `Authorization: Bearer mwt_...`.
    pub headers: BTreeMap<String, String>,
}
