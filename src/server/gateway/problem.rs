//! What can go wrong between gateway and upstream, and the JSON-RPC error that a member
//! gets for it: no address, no header, no secret's name in it.

use serde_json::json;

use super::redaction::{self, Unfilterable};

/// Why an upstream gave no answer that could be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UpstreamProblem {
    /// A secret is missing its integrity; nothing was sent.
    #[error(
        "a secret of this MCP server cannot be used, so the server was not called; ask a workspace admin"
    )]
    SecretUnavailable,
    /// No such host, refused, TLS failed.
    #[error("the MCP server cannot be reached")]
    Unreachable,
    /// It lies on an address that is not allowed.
    #[error("the MCP server's address is not allowed; ask a workspace admin")]
    AddressRefused,
    /// Too slow.
    #[error("the MCP server did not answer in time")]
    TimedOut,
    /// The connection broke while it may already have been at work; not tried again.
    #[error("the connection to the MCP server broke before its answer was complete")]
    Cut,
    /// 3xx. Never followed with a secret in hand.
    #[error("the MCP server answered with a redirect, which is not followed; ask a workspace admin")]
    Redirect,
    /// 401 or 403.
    #[error("the MCP server refused its credential; ask a workspace admin to set it again")]
    CredentialRefused,
    /// Another HTTP status.
    #[error("the MCP server answered with HTTP status {0}")]
    Status(u16),
    /// Not the protocol.
    #[error("the MCP server's answer is not MCP over Streamable HTTP")]
    NotMcp,
    /// It is JSON no more since a secret was taken out of it.
    #[error(
        "the MCP server's answer held a secret in a place where taking it out broke the answer, so it is not passed on; ask a workspace admin"
    )]
    Redacted,
    /// Its secrets, rules or URL changed after this request read them; nothing was sent.
    #[error("the MCP server's settings changed just now and the call was not made; try again")]
    Outdated,
    /// They changed while it was answering; a server repeats new ones on old streams, too.
    #[error(
        "the MCP server's settings changed while it was answering, so the answer was cut off; the call may have been made"
    )]
    SecretsChanged,
    /// It chose a version of the protocol that is not known here.
    #[error("the MCP server speaks a version of MCP that this gateway does not know")]
    UnknownVersion,
    /// It is not served any more.
    #[error("the MCP server was taken away while the call was running; ask a workspace admin")]
    Removed,
    /// It failed lately, and is not asked again yet.
    #[error("the MCP server failed lately and is asked again in a moment")]
    Resting,
    /// The client took the call back.
    #[error("the call was cancelled")]
    Cancelled,
    /// The client did not give what the server wanted to know.
    #[error("the client answered a question of the MCP server with an error, so the call ended")]
    InputRefused,
    /// It did not answer at all.
    #[error("the client did not answer a question of the MCP server in time, so the call ended")]
    InputMissing,
    /// Too many rounds, or something that the client did not offer.
    #[error("the MCP server asked the client more often, or for other things, than it may")]
    InputExcessive,
    /// More than can be kept for clients that have to come back.
    #[error(
        "the MCP server said more than is kept for clients that have to come back, so the call was given up; it may have been made"
    )]
    TooMuch,
    /// `initialize` was answered with an error.
    #[error("the MCP server refused to open a session")]
    NotInitialized,
}

impl From<Unfilterable> for UpstreamProblem {
    fn from(_: Unfilterable) -> Self {
        Self::NotMcp
    }
}

impl UpstreamProblem {
    /// Why this is no message of MCP.
    pub(super) fn of_no_message(message: &[u8]) -> Self {
        if redaction::is_broken(message) { Self::Redacted } else { Self::NotMcp }
    }

    /// Why the data of an event cannot be passed on.
    pub(super) fn of_event(data: &[u8]) -> Option<Self> {
        match std::str::from_utf8(data) {
            // Who takes it for the answer would get another one at the end.
            Err(_) => Some(Self::NotMcp),
            Ok(_) => redaction::is_broken(data).then_some(Self::Redacted),
        }
    }

    /// Whether it says that the server is down: then it is asked less often, for whomever.
    pub(super) fn is_of_a_dead_server(self) -> bool {
        matches!(self, Self::Unreachable | Self::TimedOut | Self::Cut | Self::Status(500..=599))
    }

    /// Whether the server said no, and will again: then it is asked less often for that token. What a
    /// client's own request may have brought about must not hide a server from the others.
    pub(super) fn is_a_refusal(self) -> bool {
        matches!(
            self,
            Self::Redirect
                | Self::CredentialRefused
                | Self::Status(_)
                | Self::NotMcp
                | Self::UnknownVersion
                | Self::NotInitialized
        )
    }

    /// Whether the gateway does not wait any longer: then the server is told so.
    pub(super) fn is_given_up(self) -> bool {
        matches!(self, Self::TimedOut | Self::TooMuch)
    }

    /// Whether the server may be at work on the request nevertheless: 408, 502 to 504 and 52x are
    /// the words of what stands before it.
    pub(super) fn may_still_run(self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Cut
                | Self::SecretsChanged
                | Self::Removed
                | Self::Cancelled
                | Self::TooMuch
                | Self::Status(408 | 502..=504 | 520..=529)
        )
    }

    /// A word for programs.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::SecretUnavailable => "secret_unavailable",
            Self::Unreachable => "unreachable",
            Self::AddressRefused => "address_refused",
            Self::TimedOut => "timed_out",
            Self::Cut => "cut",
            Self::Redirect => "redirect",
            Self::CredentialRefused => "credential_refused",
            Self::Status(_) => "http_status",
            Self::NotMcp => "not_mcp",
            Self::Redacted => "redacted",
            Self::Outdated => "outdated",
            Self::SecretsChanged => "secrets_changed",
            Self::UnknownVersion => "unknown_version",
            Self::Removed => "removed",
            Self::Resting => "resting",
            Self::Cancelled => "cancelled",
            Self::InputRefused => "input_refused",
            Self::InputMissing => "input_missing",
            Self::InputExcessive => "input_excessive",
            Self::TooMuch => "too_much",
            Self::NotInitialized => "not_initialized",
        }
    }
}

/// The words of [`UpstreamProblem::reason`].
const REASONS: [&str; 21] = [
    "secret_unavailable",
    "unreachable",
    "address_refused",
    "timed_out",
    "cut",
    "redirect",
    "credential_refused",
    "http_status",
    "not_mcp",
    "redacted",
    "unknown_version",
    "outdated",
    "secrets_changed",
    "removed",
    "resting",
    "cancelled",
    "input_refused",
    "input_missing",
    "input_excessive",
    "too_much",
    "not_initialized",
];

/// The reason in an error document of [`upstream_error`], wherever in an answer it stands.
pub(super) fn reason_in(error: &str) -> Option<&'static str> {
    #[derive(serde::Deserialize)]
    struct Error {
        data: Data,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        reason: String,
    }
    let reason = serde_json::from_str::<Error>(error).ok()?.data.reason;
    REASONS.into_iter().find(|known| *known == reason)
}

/// JSON-RPC: not JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: not a request that is served.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: no such method.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: no such tool, or bad parameters.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// JSON-RPC: it should have worked.
pub(super) const INTERNAL_ERROR: i32 = -32603;
/// MCP: no such resource.
pub(super) const RESOURCE_NOT_FOUND: i32 = -32002;
/// MCP: the session is unknown or ended.
pub(super) const SESSION_NOT_FOUND: i32 = -32001;

/// A JSON-RPC error document. `id` is the request's id as it was written, `null` for none.
pub(super) fn rpc_error(id: &str, code: i32, message: &str) -> Vec<u8> {
    let error = json!({"code": code, "message": message});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes()
}

/// The error document for an upstream's problem.
pub(super) fn upstream_error(id: &str, server: &str, problem: UpstreamProblem) -> Vec<u8> {
    let data = json!({"server": server, "reason": problem.reason()});
    let error = json!({"code": INTERNAL_ERROR, "message": problem.to_string(), "data": data});
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::UpstreamProblem::{
        AddressRefused, Cancelled, CredentialRefused, Cut, InputExcessive, InputMissing, InputRefused,
        NotInitialized, NotMcp, Outdated, Redacted, Redirect, Removed, Resting, SecretUnavailable,
        SecretsChanged, Status, TimedOut, TooMuch, UnknownVersion, Unreachable,
    };
    use super::*;

    #[test]
    fn every_reason_is_found_again() {
        let problems = [
            SecretUnavailable,
            Unreachable,
            AddressRefused,
            TimedOut,
            Cut,
            Redirect,
            CredentialRefused,
            Status(503),
            NotMcp,
            Redacted,
            UnknownVersion,
            Outdated,
            SecretsChanged,
            Removed,
            Resting,
            Cancelled,
            InputRefused,
            InputMissing,
            InputExcessive,
            TooMuch,
            NotInitialized,
        ];
        assert_eq!(problems.map(UpstreamProblem::reason), REASONS);
        assert_eq!(reason_in(r#"{"code":1,"data":{"reason":"cut"}}"#), Some("cut"));
        for other in [r#"{"code":1}"#, r#"{"data":{"reason":"any"}}"#, r#"{"data":"cut"}"#, "{}"] {
            assert_eq!(reason_in(other), None, "{other}");
        }
    }
}
