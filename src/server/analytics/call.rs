//! One tool call as it is recorded: who, which tool, how long, with what end.

use std::time::Duration;

use crate::server::clock::Millis;

/// Longest tool name that is kept, in bytes: the names come from members.
const TOOL_NAME_BYTES: usize = 128;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Success,
    /// With an early end of the stream, after which the client asks for the rest itself. It
    /// counts as a success and says nothing of the server's health.
    GoesOn,
    /// With a result that says `isError`.
    ToolError,
    /// With a JSON-RPC error of the server's.
    RpcError,
    /// Without an answer, for the reason that this word names.
    Upstream(&'static str),
    /// Before its answer was complete: the client left (or was cut off).
    ClientLeft,
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success | Self::GoesOn => "success",
            Self::ToolError => "tool_error",
            Self::RpcError => "rpc_error",
            Self::Upstream(reason) => reason,
            Self::ClientLeft => "client_left",
        }
    }

    /// Whether the member got a result that is no error.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::GoesOn)
    }
}

/// A call that has ended.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it ended.
    pub at: Millis,
    /// Id of the workspace.
    pub workspace_id: String,
    /// Public id of the token.
    pub token_id: String,
    /// Id of the server.
    pub server_id: String,
    /// Slug of the server.
    pub server: String,
    /// The tool, as the server calls it.
    pub tool: String,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Id of the request.
    pub request_id: String,
}

/// The beginning of a tool's name, as much as is kept.
pub fn bounded_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(TOOL_NAME_BYTES)]
}

#[cfg(test)]
impl Call {
    /// A call of which nothing is known.
    pub(super) fn nothing() -> Self {
        let text = String::new;
        let (workspace_id, token_id, server_id, server) = (text(), text(), text(), text());
        let (tool, request_id, duration, outcome) = (text(), text(), Duration::ZERO, Outcome::Success);
        Self { at: 0, workspace_id, token_id, server_id, server, tool, duration, outcome, request_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(bounded_name("get_me"), "get_me");
        assert_eq!(bounded_name(&"a".repeat(129)).len(), 128);
        assert_eq!(bounded_name(&"é".repeat(100)), "é".repeat(64));
        assert_eq!(bounded_name(&format!("a{}", "é".repeat(100))).len(), 127);
    }
}
