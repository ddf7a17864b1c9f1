//! Tool calls on the wire: in groups, and one by one. No arguments, no results.

use serde::{Deserialize, Serialize};

/// Calls that have something in common. The members by which they were not put together
/// are absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallGroup {
    /// Slug of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tool, as the server calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// For whom or what the token is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// How many.
    pub calls: u64,
    /// How many of them did not succeed.
    pub failures: u64,
    /// Mean duration in milliseconds.
    pub mean_ms: f64,
    /// The shortest duration that at least 95 of 100 calls did not exceed, in milliseconds.
    pub p95_ms: f64,
}

/// GET `/workspaces/{workspace}/analytics`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallGroups {
    /// Calls that ended then or later.
    pub since: String,
    /// Most calls first.
    pub groups: Vec<CallGroup>,
    /// Whether there are more groups than the answer holds.
    pub truncated: bool,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoggedCall {
    /// When it ended.
    pub time: String,
    /// Id of the token.
    pub token: String,
    /// For whom or what the token is.
    pub token_name: Option<String>,
    /// Slug of the server.
    pub server: String,
    /// The tool, as the server calls it.
    pub tool: String,
    /// Whether the member got a result that is no error.
    pub success: bool,
    /// How it ended: `success`, `tool_error`, `rpc_error`, `client_left`, or why there was no answer.
    pub outcome: String,
    /// How long it took until its answer had ended, in milliseconds.
    pub ms: f64,
    /// Id of the request, as the access log and the header `X-Request-Id` have it.
    pub request_id: String,
}

/// GET `/workspaces/{workspace}/analytics/calls`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallLog {
    /// Newest first.
    pub calls: Vec<LoggedCall>,
    /// What `after` has to be for the calls before these; `null` if there are none.
    pub next: Option<String>,
}
