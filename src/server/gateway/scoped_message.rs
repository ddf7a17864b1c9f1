//! Messages of tokens that are limited to tools. What the limit is decided on must be what
//! the upstream reads: there are JSON readers to which `Name` is `name`, and which take the
//! last of two. So a message that could be read in two ways is refused.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::message::{Envelope, Kind};
use super::outward::spliced;
use crate::domain::TokenScope;

/// Member of a result: who else may get it from a cache (2026-07-28).
const CACHE_SCOPE: &str = "cacheScope";

/// The members of a JSON object in their order, doubles included.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(members)
            }
        }
        from.deserialize_map(Collect).map(Members)
    }
}

/// A key, borrowed where it stands without escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Reads an object.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The object without members of these names; the values of the others are as they were
    /// written. `None` if there are none of them.
    pub(super) fn without(&self, names: &[&str]) -> Option<String> {
        let stays = |key: &str| !names.contains(&key);
        if self.0.iter().all(|(key, _)| stays(key)) {
            return None;
        }
        let kept = self.0.iter().filter(|(key, _)| stays(key));
        let kept: Vec<String> =
            kept.map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_ref()))).collect();
        Some(format!("{{{}}}", kept.join(",")))
    }

    /// The only member that any reader could take for this name.
    fn only(&self, name: &str) -> Option<&'a RawValue> {
        let mut alike = self.0.iter().filter(|(key, _)| fold(key) == fold(name));
        let (key, value) = alike.next()?;
        (alike.next().is_none() && key == name).then_some(*value)
    }
}

/// Equal for names that differ in case only, by Unicode's rules too (long s, Kelvin sign).
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Whether a message has JSON-RPC's members and no others, so that all readers agree on what it is.
pub(super) fn is_certain(message: &[u8], kind: Kind) -> bool {
    let known: &[&str] = match kind {
        Kind::Request | Kind::Notification => &["jsonrpc", "id", "method", "params"],
        Kind::Response => &["jsonrpc", "id", "result", "error"],
    };
    let members = std::str::from_utf8(message).ok().and_then(Members::read);
    members.is_some_and(|members| members.0.iter().all(|(key, _)| known.contains(&key.as_ref())))
}

/// The name of the tool that `tools/call` names; `None` if readers could disagree.
pub(super) fn certain_tool_name(params: Option<&RawValue>) -> Option<String> {
    let members = Members::read(params?.get())?;
    serde_json::from_str(members.only("name")?.get()).ok()
}

/// Whether a tool of a list, its name prefixed, may be seen.
pub(super) fn may_see(scope: &TokenScope, tool: &str) -> bool {
    let name = Members::read(tool).and_then(|members| name_in(&members));
    name.is_some_and(|name| may_use(scope, &name))
}

/// Whether a tool of this full name may be seen and called.
pub(super) fn may_use(scope: &TokenScope, full_name: &str) -> bool {
    full_name.split_once("__").is_some_and(|(slug, tool)| scope.allows_tool(slug, tool))
}

fn name_in(members: &Members<'_>) -> Option<String> {
    serde_json::from_str(members.only("name")?.get()).ok()
}

/// An answer to `initialize` or `server/discover` that announces tools and log messages only, for
/// there is nothing else for the token; it is not for others to be kept. An error stays as it is;
/// `None` if it is no answer.
pub(super) fn tools_only(message: &[u8]) -> Option<Vec<u8>> {
    let mut answer: serde_json::Value = serde_json::from_slice(message).ok()?;
    if let Some(scope) = answer.get_mut("result").and_then(|result| result.get_mut(CACHE_SCOPE)) {
        *scope = "private".into();
    }
    let capabilities = answer.get_mut("result").and_then(|result| result.get_mut("capabilities"));
    if let Some(capabilities) = capabilities.and_then(serde_json::Value::as_object_mut) {
        capabilities.retain(|name, _| ["tools", "logging"].contains(&name.as_str()));
    }
    serde_json::to_vec(&answer).ok()
}

/// Whether such a token may get what a server says on a stream of its own: no answers, which
/// would be those of an earlier stream, and nothing of prompts and resources.
pub(super) fn may_hear(message: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(message) else { return false };
    let other = ["notifications/prompts/", "notifications/resources/"];
    envelope.kind() != Kind::Response
        && envelope.result().is_none()
        && envelope.error().is_none()
        && !other.iter().any(|prefix| envelope.method().starts_with(prefix))
}

/// An answer to `tools/list` with the tools that may be seen; their bytes and all others stay,
/// but that the list is not for other tokens, whoever says that it may be kept for all. An error stays as it is. `None` if it is no list.
pub(super) fn visible_list(scope: &TokenScope, slug: &str, message: &str) -> Option<String> {
    let envelope = Envelope::parse(message.as_bytes()).ok()?;
    if envelope.error().is_some() {
        return Some(message.to_owned());
    }
    let result = Members::read(envelope.result()?.get())?;
    let list = result.only("tools")?.get();
    let tools: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let visible = |tool: &&&RawValue| {
        let name = Members::read(tool.get()).and_then(|members| name_in(&members));
        name.is_some_and(|name| scope.allows_tool(slug, &name))
    };
    let kept: Vec<&str> = tools.iter().filter(visible).map(|tool| tool.get()).collect();
    let mut edits = vec![(list, format!("[{}]", kept.join(",")))];
    let scopes = result.0.iter().filter(|(key, _)| fold(key) == fold(CACHE_SCOPE));
    edits.extend(scopes.map(|(_, value)| (value.get(), r#""private""#.to_owned())));
    String::from_utf8(spliced(message.as_bytes(), &edits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(params: &str) -> Option<String> {
        certain_tool_name(Some(serde_json::from_str::<&RawValue>(params).unwrap()))
    }

    #[test]
    fn one_name_to_all_readers() {
        for good in [r#"{"name":"a","arguments":{"Name":"b"}}"#, r#"{"n\u0061me":"\u0061"}"#] {
            assert_eq!(name_of(good).as_deref(), Some("a"), "{good}");
        }
        for bad in [
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a","Name":"b"}"#,
            r#"{"Name":"a"}"#,
            r#"{"name":"a","n\u0041me":"b"}"#,
            r#"{"name":5}"#,
            r#"{"name":"\ud800"}"#,
            "{}",
            r#"["a"]"#,
        ] {
            assert_eq!(name_of(bad), None, "{bad}");
        }
        assert_eq!(fold("param\u{17f}"), fold("params"));
    }

    #[test]
    fn one_message_to_all_readers() {
        assert!(is_certain(br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1}}"#, Kind::Request));
        assert!(is_certain(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response));
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        ] {
            assert!(!is_certain(bad.as_bytes(), Kind::Request), "{bad}");
        }
        assert!(!is_certain(br#"{"jsonrpc":"2.0","id":1,"result":{},"Method":"x"}"#, Kind::Response));
    }

    #[test]
    fn what_a_server_may_say_unasked() {
        for good in [
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#,
        ] {
            assert!(may_hear(good.as_bytes()), "{good}");
        }
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
            "[]",
            "no JSON",
        ] {
            assert!(!may_hear(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn only_tools_are_announced() {
        let message = br#"{"jsonrpc":"2.0","id":7,"result":{"cacheScope":"public","capabilities":{"tools":{},"logging":{},"prompts":{},"extensions":{"a/b":{}}}}}"#;
        let only: serde_json::Value = serde_json::from_slice(&tools_only(message).unwrap()).unwrap();
        let expected =
            serde_json::json!({"cacheScope": "private", "capabilities": {"tools": {}, "logging": {}}});
        assert_eq!(only["result"], expected);
    }

    #[test]
    fn the_bytes_that_stay_are_not_touched() {
        let scope = TokenScope::parse(None, Some(&["s__get_*"])).unwrap();
        let message = r#"{ "jsonrpc":"2.0", "id": 7, "result": {"x":1.50,"tools": [ {"name":"get_a" ,"n":2.0}, {"name":"del"},{"name":"get_b"},{"Name":"get_c"}, 5 ] ,"nextCursor":"c"} }"#;
        let kept = r#"{ "jsonrpc":"2.0", "id": 7, "result": {"x":1.50,"tools": [{"name":"get_a" ,"n":2.0},{"name":"get_b"}] ,"nextCursor":"c"} }"#;
        assert_eq!(visible_list(&scope, "s", message).as_deref(), Some(kept));
        let public = message.replace("\"x\":1.50", "\"cacheScope\" : \"public\"");
        let private = kept.replace("\"x\":1.50", "\"cacheScope\" : \"private\"");
        assert_eq!(visible_list(&scope, "s", &public).as_deref(), Some(private.as_str()));
        let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#;
        assert_eq!(visible_list(&scope, "s", error).as_deref(), Some(error));
        for bad in [
            "{}",
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"tools":{}}}"#,
        ] {
            assert_eq!(visible_list(&scope, "s", bad), None, "{bad}");
        }
        assert!(may_see(&scope, r#"{"name":"s__get_a"}"#) && !may_see(&scope, r#"{"name":"s__del"}"#));
    }
}
