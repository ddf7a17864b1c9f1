//! What a client can do, as both eras say it: what it can be asked for (its roots, a model's
//! words, a form or a URL for its user), and its extensions. A session of the legacy era says so
//! once, a request of the modern era each time.

use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::{CLIENT_CAPABILITIES, TASKS};
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::member;
use crate::server::gateway::outward::spliced;
use crate::server::gateway::scoped_message::Members;

/// What a client can be asked for.
const ASKED_FOR: [&str; 3] = ["roots", "sampling", "elicitation"];
/// What it can do besides, by names that are not the protocol's.
const FURTHER: [&str; 2] = ["experimental", "extensions"];
/// Longest such part that is told to servers, in bytes.
const FURTHER_LIMIT: usize = 4 << 10;

/// What the client of a session said in its `initialize`, as far as the modern era knows it.
pub(in crate::server::gateway) fn of_initialize(initialize: &Bytes) -> Value {
    let params = Envelope::parse(initialize).ok().and_then(|envelope| envelope.params());
    let said = params.and_then(|params| member(params, "capabilities"));
    said.and_then(|said| serde_json::from_str(said.get()).ok())
        .map_or_else(|| Value::Object(Map::new()), |said| reduced(&said))
}

/// What the client of a request of the modern era says in it, without what may stand in the
/// parts that it can be asked for: so many clients say the same.
pub(in crate::server::gateway) fn declared(envelope: &Envelope<'_>) -> Value {
    let meta = envelope.params().and_then(|params| member(params, "_meta"));
    let said = meta.and_then(|meta| member(meta, CLIENT_CAPABILITIES));
    let said = said.and_then(|said| serde_json::from_str::<Value>(said.get()).ok()).unwrap_or_default();
    let mut known = reduced(&said);
    for part in ASKED_FOR {
        let parts = known.get_mut(part).and_then(Value::as_object_mut);
        for inside in parts.into_iter().flat_map(Map::values_mut) {
            *inside = Value::Object(Map::new());
        }
    }
    known
}

/// Only what both eras have, and only what is of the right type. Tasks are none of it: neither
/// a client of the legacy era nor the route of a workspace could fetch what becomes of one.
pub(in crate::server::gateway) fn reduced(said: &Value) -> Value {
    let parts = |name: &str, known: &[&str]| {
        let said = said.get(name)?.as_object()?;
        let part =
            |part: &&str| Some(((*part).to_owned(), said.get(*part).filter(|it| it.is_object())?.clone()));
        Some((name.to_owned(), Value::Object(known.iter().filter_map(part).collect())))
    };
    let all = [
        parts("roots", &[]),
        parts("sampling", &["context", "tools"]),
        parts("elicitation", &["form", "url"]),
    ];
    let further = FURTHER.iter().filter_map(|name| Some(((*name).to_owned(), further(said.get(name)?)?)));
    Value::Object(all.into_iter().flatten().chain(further).collect())
}

/// Extensions, or what is experimental; `None` if there are none, or too many.
fn further(said: &Value) -> Option<Value> {
    let said = said.as_object()?.iter().filter(|(name, value)| value.is_object() && *name != TASKS);
    let known: Map<String, Value> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
    let known = Value::Object(known);
    (known != Value::Object(Map::new()) && known.to_string().len() <= FURTHER_LIMIT).then_some(known)
}

/// A request on the route of a workspace as servers of the modern era get it: no tasks, which
/// nobody could fetch there. All other bytes stay.
pub(super) fn without_tasks(message: &Bytes) -> Bytes {
    let without = || {
        let meta = member(Envelope::parse(message).ok()?.params()?, "_meta")?;
        let extensions = member(member(meta, CLIENT_CAPABILITIES)?, "extensions")?;
        let left = Members::read(extensions.get())?.without(&[TASKS])?;
        spliced(message, &[(extensions.get(), left)]).map(Bytes::from)
    };
    without().unwrap_or_else(|| message.clone())
}

/// Whether a client with these capabilities can be asked for anything.
pub(super) fn is_any(capabilities: &Value) -> bool {
    ASKED_FOR.iter().any(|part| capabilities.get(part).is_some())
}

/// Whether a client with these capabilities may get this request.
pub(in crate::server::gateway) fn allow(capabilities: &Value, method: &str, params: &Value) -> bool {
    match method {
        "roots/list" => capabilities.get("roots").is_some(),
        "sampling/createMessage" => capabilities.get("sampling").is_some(),
        "elicitation/create" => {
            capabilities.get("elicitation").and_then(Value::as_object).is_some_and(|modes| {
                match params.get("mode").and_then(Value::as_str) {
                    // No modes at all mean forms.
                    None | Some("form") => modes.is_empty() || modes.contains_key("form"),
                    Some(mode) => modes.contains_key(mode),
                }
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_modern_era_knows() {
        let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {
            "roots": {"listChanged": true}, "sampling": {"tools": {}, "x": {}}, "elicitation": {"form": {"a": 1}, "url": 7},
            "tasks": {}, "experimental": {"y": {"z": 1.5}}, "extensions": {"a/b": {"c": [1]}, TASKS: {}, "d/e": 7},
        }}});
        let known = json!({
            "roots": {}, "sampling": {"tools": {}}, "elicitation": {"form": {"a": 1}},
            "experimental": {"y": {"z": 1.5}}, "extensions": {"a/b": {"c": [1]}},
        });
        assert_eq!(of_initialize(&initialize.to_string().into()), known);
        for none in [json!({}), json!({"capabilities": []}), json!({"capabilities": {"roots": true}})] {
            let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": none});
            assert_eq!(of_initialize(&initialize.to_string().into()), json!({}));
        }
    }

    #[test]
    fn a_request_says_what_its_client_can_do() {
        let said = |capabilities: Value| {
            let meta = json!({CLIENT_CAPABILITIES: capabilities});
            let message =
                json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": meta}});
            declared(&Envelope::parse(message.to_string().as_bytes()).unwrap())
        };
        let known = json!({"roots": {}, "elicitation": {"form": {}, "url": {}}});
        let more = json!({"roots": {"x": 1}, "elicitation": {"url": {"y": 2}, "form": {}}, "extensions": {TASKS: {}}});
        assert_eq!((said(more), said(known.clone())), (known.clone(), known));
        assert_eq!((said(json!({})), said(json!([]))), (json!({}), json!({})));
        let far = json!({"extensions": {"a/ui": {"types": ["html"]}}, "experimental": {"x": {}}});
        assert_eq!(said(far.clone()), far);
        assert!(!is_any(&far) && is_any(&json!({"roots": {}})));
        assert_eq!(said(json!({"extensions": {"a/b": {"x": "y".repeat(FURTHER_LIMIT)}}})), json!({}));
    }

    #[test]
    fn a_workspace_has_no_tasks() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"roots" : {},"extensions":{"a/b":{"n":1.50},"io.modelcontextprotocol/tasks":{}}}},"name":"t"}}"#;
        let plain = call.replace(r#","io.modelcontextprotocol/tasks":{}"#, "");
        assert_eq!(without_tasks(&call.to_owned().into()), plain);
        assert_eq!(without_tasks(&plain.clone().into()), plain);
    }

    #[test]
    fn what_was_not_declared_is_not_asked_for() {
        let (form, url) = (json!({"mode": "form"}), json!({"mode": "url"}));
        let (implicit, both) = (json!({"elicitation": {}}), json!({"elicitation": {"form": {}, "url": {}}}));
        for (capabilities, method, params, allowed) in [
            (&implicit, "elicitation/create", &json!({}), true),
            (&implicit, "elicitation/create", &form, true),
            (&implicit, "elicitation/create", &url, false),
            (&both, "elicitation/create", &url, true),
            (&json!({"elicitation": {"url": {}}}), "elicitation/create", &form, false),
            (&both, "elicitation/create", &json!({"mode": "other"}), false),
            (&both, "sampling/createMessage", &form, false),
            (&json!({"sampling": {}, "roots": {}}), "sampling/createMessage", &form, true),
            (&json!({"sampling": {}, "roots": {}}), "roots/list", &json!({}), true),
            (&json!({"sampling": {}, "roots": {}}), "ping", &json!({}), false),
        ] {
            assert_eq!(allow(capabilities, method, params), allowed, "{capabilities} {method} {params}");
        }
    }
}
