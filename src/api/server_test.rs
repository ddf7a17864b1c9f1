//! What a test of an MCP server found, on the wire. Words of ours only: nothing that the
//! server said, and no values.

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// Tools of this server cannot be used.
    Error,
    /// Something may not work, or not everywhere.
    Warning,
}

/// One thing that was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub level: FindingLevel,
    /// A word for programs, such as `dns_failed`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// POST `/mcp-servers/{slug}/test`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerTestReport {
    /// Slug of the server.
    pub server: String,
    /// Whether its tools could be listed.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The protocol version that the server chose.
    pub protocol: Option<String>,
    /// `legacy` (2024-11-05 to 2025-11-25) or `modern` (from 2026-07-28 on).
    pub era: Option<String>,
    /// Number of its tools.
    pub tools: Option<u64>,
    /// What was found; empty if all is well.
    pub findings: Vec<Finding>,
}
