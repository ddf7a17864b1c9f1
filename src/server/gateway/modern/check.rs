//! What a request of the modern era must have, before anything is done with it: version and
//! capabilities in `_meta`, and headers that say the same as the body (2026-07-28,
//! "Streamable HTTP", Server Validation).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{CLIENT_CAPABILITIES, LOG_LEVEL, METHOD_HEADER, MODERN_VERSION, NAME_HEADER, PROTOCOL_VERSION};
use crate::server::body::AnswerBody;
use crate::server::gateway::inward::LOG_LEVELS;
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::{NameInMessage, member};
use crate::server::gateway::problem::INVALID_PARAMS;
use crate::server::gateway::upstream::VERSION_HEADER;
use crate::server::response::json_answer;

/// MCP: a header and the body differ.
pub(in crate::server::gateway) const HEADER_MISMATCH: i32 = -32020;
/// MCP: the version is not served.
pub(super) const UNSUPPORTED_VERSION: i32 = -32022;
/// How a header's value begins that is not plain ASCII.
const ENCODED_START: &str = "=?base64?";
/// How it ends.
const ENCODED_END: &str = "?=";

/// Why a request is not served.
#[derive(Debug, PartialEq)]
pub(in crate::server::gateway) struct Fault {
    code: i32,
    message: String,
    data: Option<Value>,
}

impl Fault {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Whether it is that the version is not served.
    pub(super) fn is_of_version(&self) -> bool {
        self.code == UNSUPPORTED_VERSION
    }

    /// The answer: always status 400.
    pub(in crate::server::gateway) fn answer(&self, id: &str) -> Response<AnswerBody> {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
        json_answer(StatusCode::BAD_REQUEST, body)
    }
}

/// The member of `params` that says what a request of this method is about, and that has a header
/// of its own.
fn named_by(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        // Of the extension `io.modelcontextprotocol/tasks`.
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// What a request is about.
pub(super) fn name_of(envelope: &Envelope<'_>) -> Option<String> {
    let name = NameInMessage::find(envelope.params()?, &[named_by(envelope.method())?])?;
    Some(name.text.into_owned())
}

/// Checks a request's `_meta` and headers.
///
/// # Errors
/// [`Fault`]: what is missing or differs.
pub(in crate::server::gateway) fn check(envelope: &Envelope<'_>, headers: &HeaderMap) -> Result<(), Fault> {
    let meta = envelope.params().and_then(|params| member(params, "_meta"));
    let meta = meta.and_then(|meta| serde_json::from_str::<Value>(meta.get()).ok());
    let field = |key: &str| meta.as_ref().and_then(|meta| meta.get(key));
    let version = field(PROTOCOL_VERSION).and_then(Value::as_str).ok_or_else(|| {
        Fault::new(INVALID_PARAMS, format!("params._meta needs {PROTOCOL_VERSION}, a string"))
    })?;
    same(headers, VERSION_HEADER, version)?;
    if version != MODERN_VERSION {
        return Err(unsupported(version));
    }
    if !field(CLIENT_CAPABILITIES).is_some_and(Value::is_object) {
        let message = format!("params._meta needs {CLIENT_CAPABILITIES}, an object");
        return Err(Fault::new(INVALID_PARAMS, message));
    }
    same(headers, METHOD_HEADER, envelope.method())?;
    if field(LOG_LEVEL).is_some_and(|level| !level.as_str().is_some_and(|level| LOG_LEVELS.contains(&level)))
    {
        return Err(Fault::new(INVALID_PARAMS, format!("{LOG_LEVEL} is none of the log levels")));
    }
    if named_by(envelope.method()).is_none() {
        return Ok(());
    }
    let Some(name) = name_of(envelope) else {
        let message = "the name, uri or taskId in params is missing or not a string";
        return Err(Fault::new(INVALID_PARAMS, message));
    };
    same(headers, NAME_HEADER, &name)
}

fn unsupported(version: &str) -> Fault {
    let data = json!({"supported": [MODERN_VERSION], "requested": version});
    Fault { data: Some(data), ..Fault::new(UNSUPPORTED_VERSION, "unsupported protocol version") }
}

/// Whether exactly one header of that name says what the body says. Its text is not repeated.
fn same(headers: &HeaderMap, name: &'static str, wanted: &str) -> Result<(), Fault> {
    let mut values = headers.get_all(name).iter();
    let fault = |what: &str| Err(Fault::new(HEADER_MISMATCH, format!("header mismatch: {name} {what}")));
    match (values.next(), values.next()) {
        (None, _) => fault("is missing"),
        (Some(_), Some(_)) => fault("is there twice"),
        // Names only may be encoded.
        (Some(value), None) if name != NAME_HEADER && value.as_bytes() == wanted.as_bytes() => Ok(()),
        (Some(value), None) if name == NAME_HEADER && decoded(value).as_deref() == Some(wanted) => Ok(()),
        (Some(_), None) => fault("does not say what the body says"),
    }
}

/// The text of a header value, decoded if it is marked as encoded; `None` if it is illegal.
fn decoded(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    match text.strip_prefix(ENCODED_START).and_then(|rest| rest.strip_suffix(ENCODED_END)) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

/// A value as a header carries it: as it is if it is plain ASCII, else encoded.
pub(in crate::server::gateway) fn encoded(value: &str) -> Option<HeaderValue> {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let looks_encoded = value.starts_with(ENCODED_START) && value.ends_with(ENCODED_END);
    if plain && !value.starts_with(' ') && !value.ends_with(' ') && !looks_encoded {
        return HeaderValue::from_str(value).ok();
    }
    HeaderValue::from_str(&format!("{ENCODED_START}{}{ENCODED_END}", STANDARD.encode(value))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(method: &str, params: &Value, headers: &[(&'static str, &str)]) -> Result<(), i32> {
        let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        let map = headers.iter().map(|(name, value)| {
            (hyper::header::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        check(&envelope, &map.collect()).map_err(|fault| fault.code)
    }

    fn params(version: &str) -> Value {
        json!({"name": "a\u{e9}", "_meta": {PROTOCOL_VERSION: version, CLIENT_CAPABILITIES: {}}})
    }

    const VERSION: (&str, &str) = (VERSION_HEADER, MODERN_VERSION);
    const METHOD: (&str, &str) = (METHOD_HEADER, "tools/call");
    const NAME: (&str, &str) = (NAME_HEADER, "=?base64?YcOp?=");

    #[test]
    fn headers_must_say_what_the_body_says() {
        let good = params(MODERN_VERSION);
        assert_eq!(result("tools/call", &good, &[VERSION, METHOD, NAME]), Ok(()));
        for headers in [
            vec![METHOD, NAME],
            vec![VERSION, NAME],
            vec![VERSION, METHOD],
            vec![VERSION, METHOD, (NAME_HEADER, "a")],
            vec![VERSION, METHOD, (NAME_HEADER, "=?base64?***?=")],
            vec![VERSION, METHOD, NAME, NAME],
            vec![VERSION, (METHOD_HEADER, "Tools/call"), NAME],
            vec![(VERSION_HEADER, "2025-11-25"), METHOD, NAME],
            // These are not encoded.
            vec![VERSION, (METHOD_HEADER, "=?base64?dG9vbHMvY2FsbA==?="), NAME],
            vec![(VERSION_HEADER, "=?base64?MjAyNi0wNy0yOA==?="), METHOD, NAME],
        ] {
            assert_eq!(result("tools/call", &good, &headers), Err(HEADER_MISMATCH), "{headers:?}");
        }
    }

    #[test]
    fn versions_and_fields() {
        let other = [(VERSION_HEADER, "1900-01-01"), METHOD, NAME];
        assert_eq!(result("tools/call", &params("1900-01-01"), &other), Err(UNSUPPORTED_VERSION));
        let bare = json!({"_meta": {PROTOCOL_VERSION: MODERN_VERSION}});
        let list = [VERSION, (METHOD_HEADER, "tools/list")];
        assert_eq!(result("tools/list", &bare, &list), Err(INVALID_PARAMS));
        assert_eq!(result("tools/list", &json!({}), &list), Err(INVALID_PARAMS));
        let nameless = json!({"_meta": {PROTOCOL_VERSION: MODERN_VERSION, CLIENT_CAPABILITIES: {}}});
        assert_eq!(result("tools/call", &nameless, &[VERSION, METHOD]), Err(INVALID_PARAMS));
        assert_eq!(result("tools/list", &nameless, &list), Ok(()));
        for (level, expected) in
            [(json!("debug"), Ok(())), (json!("loud"), Err(INVALID_PARAMS)), (json!(7), Err(INVALID_PARAMS))]
        {
            let mut params = nameless.clone();
            params["_meta"][LOG_LEVEL] = level;
            assert_eq!(result("tools/list", &params, &list), expected, "{params}");
        }
    }

    #[test]
    fn a_task_is_named_too() {
        let mut task = params(MODERN_VERSION);
        task["taskId"] = json!("t-1");
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let method = (METHOD_HEADER, method);
            let with = |name: &'static [(&'static str, &'static str)]| {
                result(method.1, &task, &[&[VERSION, method], name].concat())
            };
            assert_eq!(with(&[(NAME_HEADER, "t-1")]), Ok(()));
            assert_eq!(with(&[(NAME_HEADER, "t-2")]), Err(HEADER_MISMATCH));
            assert_eq!(with(&[]), Err(HEADER_MISMATCH));
        }
    }

    #[test]
    fn values_that_are_not_plain_are_encoded() {
        let text = |value: &str| encoded(value).unwrap().to_str().unwrap().to_owned();
        assert_eq!(text("us-west1"), "us-west1");
        assert_eq!(text("Hello, \u{4e16}\u{754c}"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
        assert_eq!(text(" padded "), "=?base64?IHBhZGRlZCA=?=");
        assert_eq!(text("line1\nline2"), "=?base64?bGluZTEKbGluZTI=?=");
        assert_eq!(text("=?base64?literal?="), "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
        for value in ["", "a b", "\u{e9}", "=?base64?x?="] {
            assert_eq!(decoded(&encoded(value).unwrap()).as_deref(), Some(value));
        }
    }
}
