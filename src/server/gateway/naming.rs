//! Names on the route of a workspace. Tools and prompts are `<slug>__<name>`, resources and
//! templates `<slug>+<uri>`. A slug has neither `_` nor `+` in it, so the first separator
//! ends it. Only the bytes of the name change; all others stay as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::message::offset_in;

/// What stands between the slug and the name of a tool or prompt.
const NAME_SEPARATOR: &str = "__";
/// What stands between the slug and a URI.
const URI_SEPARATOR: &str = "+";

/// How a thing is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// `<slug>__<name>`: tools and prompts.
    Name,
    /// `<slug>+<uri>`: resources and their templates.
    Uri,
}

impl Naming {
    fn separator(self) -> &'static str {
        match self {
            Self::Name => NAME_SEPARATOR,
            Self::Uri => URI_SEPARATOR,
        }
    }

    /// The name as clients of the workspace see it.
    pub(super) fn join(self, slug: &str, name: &str) -> String {
        format!("{slug}{}{name}", self.separator())
    }

    /// Slug and own name; whether there is such a server is for the caller to find out.
    pub(super) fn split(self, full: &str) -> Option<(&str, &str)> {
        full.split_once(self.separator())
    }
}

/// A string in a message, and where it stands.
#[derive(Debug)]
pub(super) struct NameInMessage<'a> {
    /// The string, unescaped.
    pub(super) text: Cow<'a, str>,
    raw: &'a str,
}

impl<'a> NameInMessage<'a> {
    /// The string at a path of member names below `object`. `None` if it is not there, is no
    /// string, or a member on the way is there twice.
    pub(super) fn find(object: &'a RawValue, path: &[&str]) -> Option<Self> {
        let value = path.iter().try_fold(object, |value, name| member(value, name))?;
        let text: Cow<'a, str> = serde_json::from_str::<Text<'a>>(value.get()).ok()?.0;
        Some(Self { text, raw: value.get() })
    }

    /// The message with another string in this place. `message` is what the name was found in.
    pub(super) fn replaced(&self, message: &[u8], text: &str) -> Option<Vec<u8>> {
        let start = offset_in(message, self.raw.as_bytes())?;
        let mut spliced = Vec::with_capacity(message.len());
        spliced.extend_from_slice(&message[..start]);
        serde_json::to_writer(&mut spliced, text).ok()?;
        spliced.extend_from_slice(&message[start + self.raw.len()..]);
        Some(spliced)
    }

    /// The message with the slug put before the string, which stays as it was written.
    pub(super) fn prefixed(&self, message: &[u8], naming: Naming, slug: &str) -> Option<Vec<u8>> {
        let inside = offset_in(message, self.raw.as_bytes())? + 1;
        let prefix = naming.join(slug, "");
        let mut spliced = Vec::with_capacity(message.len() + prefix.len());
        spliced.extend_from_slice(&message[..inside]);
        spliced.extend_from_slice(prefix.as_bytes());
        spliced.extend_from_slice(&message[inside..]);
        Some(spliced)
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One member of an object as it was written; `None` too if it is there twice.
pub(super) fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let mut reader = serde_json::Deserializer::from_str(object.get());
    Member(name).deserialize(&mut reader).ok()?
}

struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn names_are_split_at_the_first_separator() {
        for (full, slug, name) in [
            ("github-mcp__get", "github-mcp", "get"),
            ("gitlab___ping", "gitlab", "_ping"),
            ("a__b__c", "a", "b__c"),
            ("a__", "a", ""),
        ] {
            assert_eq!(Naming::Name.split(full), Some((slug, name)));
            assert_eq!(Naming::Name.join(slug, name), full);
        }
        assert_eq!(Naming::Name.split("plain"), None);
        assert_eq!(Naming::Uri.split("git+git+ssh://h/a+b"), Some(("git", "git+ssh://h/a+b")));
        assert_eq!(Naming::Uri.split("file:///a"), None);
    }

    #[test]
    fn only_the_name_changes() {
        let message =
            r#"{ "id": 1.50, "params": {"arguments":{"name":"a__b","x":1e400}, "name" : "a\u005f_b" } }"#;
        let name = NameInMessage::find(raw(message), &["params", "name"]).unwrap();
        assert_eq!(name.text, "a__b");
        let spliced = name.replaced(message.as_bytes(), "b\"").unwrap();
        let expected = message.replace(r#""a\u005f_b""#, r#""b\"""#);
        assert_eq!(String::from_utf8(spliced).unwrap(), expected);
        let prefixed = name.prefixed(message.as_bytes(), Naming::Uri, "s").unwrap();
        let expected = message.replace(r#""a\u005f_b""#, r#""s+a\u005f_b""#);
        assert_eq!(String::from_utf8(prefixed).unwrap(), expected);
    }

    #[test]
    fn what_is_no_name() {
        let find =
            |text: &str| NameInMessage::find(raw(text), &["a", "b"]).map(|name| name.text.into_owned());
        assert_eq!(find(r#"{"a":{"b":"x"}}"#).as_deref(), Some("x"));
        assert_eq!(find(r#"{"\u0061":{"b":"x"}}"#).as_deref(), Some("x"));
        for none in [
            r#"{"a":{"b":5}}"#,
            r#"{"a":{"b":null}}"#,
            r#"{"a":{}}"#,
            r#"{"a":[]}"#,
            r#"{"a":"b"}"#,
            "{}",
            r#"{"a":{"b":"x","b":"y"}}"#,
            r#"{"a":{"b":"x"},"a":{"b":"y"}}"#,
        ] {
            assert_eq!(find(none), None, "{none}");
        }
    }
}
