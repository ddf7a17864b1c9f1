//! `Mcp-Param-*`: arguments that a tool's schema marks with `x-mcp-header` are mirrored into
//! headers. A client of the modern era sends them itself; for a client of the legacy era the
//! gateway does, from the schemas that the server lists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderName};
use serde_json::{Map, Number, Value};

use super::check::encoded;

/// How header names begin.
pub(in crate::server::gateway) const PARAM_PREFIX: &str = "mcp-param-";
/// How long a server's schemas are believed, unless it refuses a call because of a header.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// How long it is remembered that they could not be read.
const FAILED_FOR: Duration = Duration::from_secs(30);
/// Servers that are remembered.
const CAPACITY: usize = 1024;
/// Deepest property that is looked at.
const MAX_DEPTH: usize = 16;
/// The largest integer that a header may carry: 2^53 - 1.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_991.0;

/// One marked argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: Vec<String>,
    header: HeaderName,
}

/// The marks of one tool's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::server::gateway) struct ParamHeaders(Vec<Mark>);

impl ParamHeaders {
    /// Reads a tool's input schema.
    ///
    /// # Errors
    /// In words, why the marks are against the specification; such a tool is not to be offered.
    pub(in crate::server::gateway) fn of_schema(schema: &Value) -> Result<Self, &'static str> {
        let mut found = Self::default();
        let mut marks_seen = 0;
        found.collect(schema, &mut Vec::new(), &mut marks_seen)?;
        // A mark that is not reachable over `properties` alone is not legal.
        if count_marks(schema, 0) > marks_seen {
            return Err("x-mcp-header stands where it is not reachable through properties");
        }
        Ok(found)
    }

    /// Whether a tool as it is listed may be offered; if not, the log says why.
    pub(in crate::server::gateway) fn allow(slug: &str, tool: &str) -> bool {
        if !tool.contains("x-mcp-header") {
            return true;
        }
        let schema = serde_json::from_str::<Value>(tool).unwrap_or_default();
        let reason = Self::of_schema(schema.get("inputSchema").unwrap_or(&Value::Null)).err();
        if let Some(reason) = reason {
            let tool = schema.get("name").and_then(Value::as_str).unwrap_or_default();
            tracing::warn!(server = %slug, ?tool, reason, "a tool is left out of the list");
        }
        reason.is_none()
    }

    fn collect(
        &mut self,
        schema: &Value,
        path: &mut Vec<String>,
        seen: &mut usize,
    ) -> Result<(), &'static str> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
        if path.len() >= MAX_DEPTH {
            return Ok(());
        }
        for (name, property) in properties {
            path.push(name.clone());
            if let Some(mark) = property.as_object().and_then(|property| property.get("x-mcp-header")) {
                *seen += 1;
                self.add(mark, property, path)?;
            }
            self.collect(property, path, seen)?;
            path.pop();
        }
        Ok(())
    }

    fn add(&mut self, mark: &Value, property: &Value, path: &[String]) -> Result<(), &'static str> {
        let text = mark.as_str().filter(|text| !text.is_empty()).ok_or("x-mcp-header is not a text")?;
        let header = HeaderName::from_bytes(format!("{PARAM_PREFIX}{text}").as_bytes());
        let header = header.map_err(|_| "x-mcp-header is not a legal header name")?;
        let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "string" | "integer" | "boolean") {
            return Err("x-mcp-header stands on a property that is neither string, integer nor boolean");
        }
        if self.0.iter().any(|one| one.header == header) {
            return Err("two properties have the same x-mcp-header");
        }
        self.0.push(Mark { path: path.to_vec(), header });
        Ok(())
    }

    /// The headers for the arguments of a call.
    pub(in crate::server::gateway) fn headers(&self, arguments: Option<&Value>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for mark in &self.0 {
            let value =
                arguments.and_then(|all| mark.path.iter().try_fold(all, |value, name| value.get(name)));
            let text = match value {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(yes)) => yes.to_string(),
                Some(Value::Number(number)) => match whole(number) {
                    Some(whole) => whole,
                    None => continue,
                },
                _ => continue,
            };
            if let Some(value) = encoded(&text) {
                headers.insert(mark.header.clone(), value);
            }
        }
        headers
    }
}

/// An integer as a header says it, however it was written: `42.0` and `1e2` are integers too.
/// `None` if it is none, or too large.
fn whole(number: &Number) -> Option<String> {
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= LARGEST_INTEGER)?;
    // Zero has no sign.
    Some(format!("{:.0}", value + 0.0))
}

/// Marks anywhere in a schema, but those in example values.
fn count_marks(schema: &Value, depth: usize) -> usize {
    if depth > 4 * MAX_DEPTH {
        return 0;
    }
    match schema {
        Value::Array(items) => items.iter().map(|item| count_marks(item, depth + 1)).sum(),
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "default" | "examples" | "enum" | "const"))
            .map(|(name, member)| {
                let mark = usize::from(name == "x-mcp-header" && !is_property_map(member));
                mark + count_marks(member, depth + 1)
            })
            .sum(),
        _ => 0,
    }
}

/// A property that happens to be called `x-mcp-header` has a schema, which is an object.
fn is_property_map(member: &Value) -> bool {
    member.is_object()
}

/// The marks of all tools of the servers that were asked.
#[derive(Default)]
pub(in crate::server::gateway) struct KnownSchemas(Mutex<HashMap<String, Known>>);

struct Known {
    fingerprint: [u8; 32],
    until: Instant,
    tools: Arc<Map<String, Value>>,
}

impl KnownSchemas {
    /// The input schemas of a server's tools by name, if they are known.
    pub(in crate::server::gateway) fn find(
        &self,
        server_id: &str,
        fingerprint: &[u8; 32],
    ) -> Option<Arc<Map<String, Value>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&Known| known.fingerprint == *fingerprint && Instant::now() < known.until;
        known.get(server_id).filter(fits).map(|known| Arc::clone(&known.tools))
    }

    /// Keeps them.
    pub(in crate::server::gateway) fn keep(
        &self,
        server_id: &str,
        fingerprint: [u8; 32],
        tools: Arc<Map<String, Value>>,
    ) {
        self.keep_until(server_id, fingerprint, tools, Instant::now() + KEPT_FOR);
    }

    /// Remembers that they could not be read, so that not each call waits for them.
    pub(in crate::server::gateway) fn keep_none(&self, server_id: &str, fingerprint: [u8; 32]) {
        self.keep_until(server_id, fingerprint, Arc::default(), Instant::now() + FAILED_FOR);
    }

    fn keep_until(
        &self,
        server_id: &str,
        fingerprint: [u8; 32],
        tools: Arc<Map<String, Value>>,
        until: Instant,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.retain(|_, one| Instant::now() < one.until);
        }
        if known.len() < CAPACITY {
            known.insert(server_id.to_owned(), Known { fingerprint, until, tools });
        }
    }

    /// Forgets a server's.
    pub(in crate::server::gateway) fn forget(&self, server_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(server_id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Deep-N"}}},
            "on": {"type": "boolean", "x-mcp-header": "On"},
            "x-mcp-header": {"type": "string"},
            "plain": {"type": "string"},
        }})
    }

    #[test]
    fn marked_arguments_become_headers() {
        let marks = ParamHeaders::of_schema(&schema()).unwrap();
        let arguments = json!({"region": "Z\u{fc}rich", "deep": {"n": -7}, "on": true, "plain": "x"});
        let headers = marks.headers(Some(&arguments));
        assert_eq!(headers["mcp-param-region"], "=?base64?WsO8cmljaA==?=");
        assert_eq!(headers["mcp-param-deep-n"], "-7");
        assert_eq!(headers["mcp-param-on"], "true");
        assert_eq!(headers.len(), 3);
        assert!(marks.headers(Some(&json!({"region": null, "deep": 5}))).is_empty());
        assert!(marks.headers(None).is_empty());
    }

    #[test]
    fn integers_however_they_are_written() {
        let marks = ParamHeaders::of_schema(&schema()).unwrap();
        let header = |text: &str| {
            let arguments = serde_json::from_str(&format!(r#"{{"deep":{{"n":{text}}}}}"#)).unwrap();
            let headers = marks.headers(Some(&arguments));
            headers.get("mcp-param-deep-n").map(|value| value.to_str().unwrap().to_owned())
        };
        for (written, said) in [
            ("42.0", "42"),
            ("1e2", "100"),
            ("-7", "-7"),
            ("-0.0", "0"),
            ("9007199254740991", "9007199254740991"),
            ("-9007199254740991", "-9007199254740991"),
        ] {
            assert_eq!(header(written).as_deref(), Some(said), "{written}");
        }
        for none in ["0.5", "1e300", "9007199254740992", "18446744073709551615"] {
            assert_eq!(header(none), None, "{none}");
        }
    }

    #[test]
    fn marks_against_the_rules() {
        let property =
            |mark: Value, kind: &str| json!({"properties": {"a": {"type": kind, "x-mcp-header": mark}}});
        for bad in [
            property(json!(""), "string"),
            property(json!("a b"), "string"),
            property(json!("a\r\nb"), "string"),
            property(json!(5), "string"),
            property(json!("A"), "number"),
            property(json!("A"), "object"),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "X"}, "b": {"type": "string", "x-mcp-header": "x"}}}),
            json!({"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "X"}}}}),
            json!({"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "X"}}}]}),
        ] {
            assert!(ParamHeaders::of_schema(&bad).is_err(), "{bad}");
        }
        assert_eq!(ParamHeaders::of_schema(&json!({"type": "object"})), Ok(ParamHeaders::default()));
    }
}
