//! Speaking the modern era to an upstream: each request carries version and capabilities in
//! `_meta`, and headers that mirror the body. There is no session.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::check::{encoded, name_of};
use super::{
    CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, METHOD_HEADER, MODERN_VERSION, NAME_HEADER, PROTOCOL_VERSION,
};
use crate::server::gateway::message::{Envelope, offset_in};
use crate::server::gateway::problem::UpstreamProblem;
use crate::server::gateway::upstream::{Upstream, VERSION_HEADER};
use crate::server::gateway::upstream_body::UpstreamBody;

/// The message with the fields in `params._meta` that a modern request must have. One that has
/// a version there stays as it is. `capabilities` is a JSON object. All other bytes stay.
pub(in crate::server::gateway) fn with_meta(
    message: &[u8],
    capabilities: &str,
    log_level: Option<&str>,
) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Option<&'a RawValue>,
    }
    let envelope = Envelope::parse(message).ok()?;
    let level =
        log_level.map(|level| format!(r#","{LOG_LEVEL}":{}"#, Value::from(level))).unwrap_or_default();
    let fields = format!(
        r#""{PROTOCOL_VERSION}":"{MODERN_VERSION}","{CLIENT_CAPABILITIES}":{capabilities},"{CLIENT_INFO}":{{"name":"aerostack-gateway","version":"{}"}}{level}"#,
        env!("CARGO_PKG_VERSION")
    );
    let Some(params) = envelope.params() else {
        return insert(
            message,
            message.iter().position(|byte| *byte == b'{')?,
            &format!(r#""params":{{"_meta":{{{fields}}}}}"#),
        );
    };
    let Some(meta) = serde_json::from_str::<Params<'_>>(params.get()).ok()?.meta else {
        let start = offset_in(message, params.get().as_bytes())?;
        return insert(message, start, &format!(r#""_meta":{{{fields}}}"#));
    };
    let map: serde_json::Map<String, Value> = serde_json::from_str(meta.get()).ok()?;
    if map.contains_key(PROTOCOL_VERSION) {
        return Some(message.to_vec());
    }
    insert(message, offset_in(message, meta.get().as_bytes())?, &fields)
}

/// Puts members in at the beginning of the object whose `{` stands at `brace`.
pub(in crate::server::gateway) fn insert(message: &[u8], brace: usize, members: &str) -> Option<Vec<u8>> {
    if message.get(brace) != Some(&b'{') {
        return None;
    }
    let rest = &message[brace + 1..];
    let is_empty = rest.trim_ascii_start().first() == Some(&b'}');
    let mut whole = Vec::with_capacity(message.len() + members.len() + 1);
    whole.extend_from_slice(&message[..=brace]);
    whole.extend_from_slice(members.as_bytes());
    if !is_empty {
        whole.push(b',');
    }
    whole.extend_from_slice(rest);
    Some(whole)
}

impl Upstream {
    /// Posts a request that has its `_meta`, with the headers that mirror it and `more`.
    pub(in crate::server::gateway) async fn post_modern(
        &self,
        message: Bytes,
        more: HeaderMap,
        limit: Duration,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let mirrored = mirrored_headers(&message).ok_or(UpstreamProblem::NotMcp)?;
        let mut request = self.build(Method::POST, None, message);
        request.headers_mut().extend(mirrored);
        request.headers_mut().extend(more);
        self.send(request, limit).await
    }
}

/// Version, method and name as headers.
fn mirrored_headers(message: &[u8]) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let envelope = Envelope::parse(message).ok()?;
    let mut headers = vec![
        (HeaderName::from_static(VERSION_HEADER), HeaderValue::from_static(MODERN_VERSION)),
        (HeaderName::from_static(METHOD_HEADER), encoded(envelope.method())?),
    ];
    if let Some(name) = name_of(&envelope) {
        headers.push((HeaderName::from_static(NAME_HEADER), encoded(&name)?));
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta_of(message: &str) -> Value {
        let whole = with_meta(message.as_bytes(), r#"{"roots":{}}"#, Some("debug")).unwrap();
        serde_json::from_slice::<Value>(&whole).unwrap()["params"]["_meta"].clone()
    }

    #[test]
    fn every_request_gets_its_fields() {
        for message in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{ "cursor":"c"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"params":{"_meta":{}},"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"params":{"_meta":{"progressToken":1}},"method":"tools/list"}"#,
        ] {
            let meta = meta_of(message);
            assert_eq!(meta[PROTOCOL_VERSION], MODERN_VERSION, "{message}");
            assert_eq!(meta[CLIENT_CAPABILITIES]["roots"], serde_json::json!({}));
            assert_eq!(meta[LOG_LEVEL], "debug");
            assert_eq!(
                meta["progressToken"],
                if message.contains("progress") { 1.into() } else { Value::Null }
            );
        }
        let own = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(with_meta(own.as_bytes(), "{}", None).unwrap(), own.as_bytes());
        assert_eq!(with_meta(br#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#, "{}", None), None);
    }

    #[test]
    fn names_are_mirrored() {
        let headers = |text: &str| {
            let headers = mirrored_headers(text.as_bytes()).unwrap();
            headers
                .iter()
                .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                .collect::<Vec<_>>()
        };
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u00e9"}}"#;
        let version = "mcp-protocol-version=2026-07-28";
        assert_eq!(headers(call), [version, "mcp-method=tools/call", "mcp-name==?base64?w6k=?="]);
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a://b"}}"#;
        assert_eq!(headers(read), [version, "mcp-method=resources/read", "mcp-name=a://b"]);
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"x"}}"#;
        assert_eq!(headers(list), [version, "mcp-method=tools/list"]);
        let get = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t","name":"x"}}"#;
        assert_eq!(headers(get), [version, "mcp-method=tasks/get", "mcp-name=t"]);
    }
}
