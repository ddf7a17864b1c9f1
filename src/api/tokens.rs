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
