//! Looking into JSON-RPC messages without rebuilding them: method, id and tool name are
//! found where they stand in the bytes, and everything else stays as it was written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::modern::PROTOCOL_VERSION;

/// The outside of a JSON-RPC message.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` from an absent member.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// Is one.
    Response,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageProblem {
    /// Not JSON.
    NotJson,
    /// JSON, but not one JSON-RPC 2.0 message (an array of them included).
    NotAMessage,
    /// Nested too deep to be given to anybody.
    TooDeep,
}

impl<'a> Envelope<'a> {
    /// Reads the outside of one message.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, MessageProblem> {
        // serde would take an array in the order of the fields for a struct.
        let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => MessageProblem::NotAMessage,
            _ => MessageProblem::NotJson,
        })?;
        let version = envelope.jsonrpc.as_deref() == Some("2.0");
        let is_error = envelope.error.is_some_and(|error| error.get().starts_with('{'));
        let answer = envelope.result.is_some() || is_error;
        let id_is_legal = envelope.id.is_none_or(|id| {
            let null_in_answer = answer && id.get() == "null";
            null_in_answer || !id.get().starts_with(['{', '[', 't', 'f', 'n'])
        });
        if is_object && version && id_is_legal && (envelope.method.is_some() != answer) {
            Ok(envelope)
        } else {
            Err(MessageProblem::NotAMessage)
        }
    }

    /// What it is.
    pub(super) fn kind(&self) -> Kind {
        match (&self.method, self.id) {
            (None, _) => Kind::Response,
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
        }
    }

    /// The method, empty for an answer.
    pub(super) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// The id as it was written, `null` for none.
    pub(super) fn id(&self) -> &str {
        self.id.map_or("null", RawValue::get)
    }

    /// The parameters as they were written.
    pub(super) fn params(&self) -> Option<&'a RawValue> {
        self.params
    }

    /// The error as it was written.
    pub(super) fn error(&self) -> Option<&'a RawValue> {
        self.error
    }

    /// The result as it was written.
    pub(super) fn result(&self) -> Option<&'a RawValue> {
        self.result
    }

    /// Whether the request belongs to the modern era (2026-07-28): it carries the version.
    pub(super) fn is_modern(&self) -> bool {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, rename = "_meta")]
            meta: Option<&'a RawValue>,
        }
        if self.method() == "server/discover" {
            return true;
        }
        let meta = self.params.and_then(|params| serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta);
        let meta = meta.and_then(|meta| serde_json::from_str::<serde_json::Map<_, _>>(meta.get()).ok());
        meta.is_some_and(|meta: serde_json::Map<String, serde_json::Value>| {
            meta.contains_key(PROTOCOL_VERSION)
        })
    }
}

/// Where `part`, a slice of `whole`, begins.
pub(super) fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (start + part.len() <= whole.len()).then_some(start)
}

/// The messages of a batch; none if it is no array of messages.
pub(super) fn messages_of_batch(data: &[u8]) -> Vec<&RawValue> {
    let messages: Vec<&RawValue> = serde_json::from_slice(data).unwrap_or_default();
    let are_messages = messages.iter().all(|message| Envelope::parse(message.get().as_bytes()).is_ok());
    if are_messages { messages } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Result<Kind, MessageProblem> {
        Envelope::parse(text.as_bytes()).map(|envelope| envelope.kind())
    }

    #[test]
    fn kinds() {
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), Ok(Kind::Request));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), Ok(Kind::Notification));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#), Ok(Kind::Response));
        for not_a_message in [
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"["2.0",1,"ping",null,null,null]"#,
            r#"["2.0",1,"ping"]"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
            "7",
        ] {
            assert_eq!(kind(not_a_message), Err(MessageProblem::NotAMessage), "{not_a_message}");
        }
        assert_eq!(kind(r#"{"jsonrpc":"2.0","#), Err(MessageProblem::NotJson));
    }

    #[test]
    fn eras() {
        let modern = |text: &str| Envelope::parse(text.as_bytes()).unwrap().is_modern();
        assert!(modern(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#
        ));
        assert!(modern(r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#));
        assert!(!modern(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":1}}}"#
        ));
    }
}
