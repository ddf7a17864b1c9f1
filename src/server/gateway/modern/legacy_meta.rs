//! What of a modern request is not for a server of the legacy era: its version and what the
//! client can do, which are told in the session. Servers that speak both eras take them for a
//! request of the modern one, and refuse it inside a session.

use hyper::body::Bytes;

use super::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION};
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::member;
use crate::server::gateway::outward::spliced;
use crate::server::gateway::scoped_message::Members;

/// Members of `_meta` that only the modern era has.
const MODERN_ONLY: [&str; 4] = [PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL];

/// The message with another id, and without what only the modern era has in `_meta`. All other
/// bytes stay.
pub(super) fn for_legacy(message: &[u8], id: &str) -> Option<Bytes> {
    let envelope = Envelope::parse(message).ok()?;
    let mut edits = vec![(envelope.id(), id.to_owned())];
    if let Some(meta) = envelope.params().and_then(|params| member(params, "_meta"))
        && let Some(left) = Members::read(meta.get()).and_then(|meta| meta.without(&MODERN_ONLY))
    {
        edits.push((meta.get(), left));
    }
    spliced(message, &edits).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_eras_have_stays_as_it_was_written() {
        let message = r#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"_meta":{"progressToken":1.50,"io.modelcontextprotocol/protocolVersion":"2026-07-28","a/b":{"n": 2.0},"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/logLevel":"debug","traceparent":"t"},"name":"x", "n":1e2}}"#;
        let expected = r#"{"jsonrpc":"2.0","id":"own","method":"m","params":{"_meta":{"progressToken":1.50,"a/b":{"n": 2.0},"traceparent":"t"},"name":"x", "n":1e2}}"#;
        assert_eq!(for_legacy(message.as_bytes(), "\"own\"").unwrap(), expected);
        for same in [
            r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"a" : 1}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[ ]}"#,
        ] {
            assert_eq!(for_legacy(same.as_bytes(), "1").unwrap(), same);
        }
    }
}
