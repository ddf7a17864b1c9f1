//! What a server says that it can do, in its answer to `initialize`, and the union of it
//! that the route of a workspace announces.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::message::Envelope;
use super::modern::TASKS;
use super::problem::UpstreamProblem;
use super::sessions::Session;
use super::upstream::Upstream;

/// Longest instructions of one server that are kept, in bytes.
const INSTRUCTIONS_LIMIT: usize = 16 << 10;

/// Longest extensions of one server that are announced, in bytes.
const EXTENSIONS_LIMIT: usize = 16 << 10;

/// What a server offers. None of it by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the protocol's capabilities are there or not, each by itself"
)]
pub(super) struct Capabilities {
    /// Tools.
    pub(super) tools: bool,
    /// Prompts.
    pub(super) prompts: bool,
    /// Resources and templates.
    pub(super) resources: bool,
    /// Notifications about a resource that was subscribed to.
    pub(super) subscribe: bool,
    /// Completion of arguments.
    pub(super) completions: bool,
    /// Log messages, and a level for them.
    pub(super) logging: bool,
    /// Extensions of the protocol, by their names; no tasks, for which a workspace has no methods.
    pub(super) extensions: Map<String, Value>,
    /// How to use the server, in its own words.
    pub(super) instructions: Option<String>,
}

#[derive(Deserialize)]
struct Initialized {
    #[serde(default)]
    capabilities: Announced,
    instructions: Option<String>,
}

#[derive(Deserialize, Default)]
struct Announced {
    tools: Option<IgnoredAny>,
    prompts: Option<IgnoredAny>,
    resources: Option<Resources>,
    completions: Option<IgnoredAny>,
    logging: Option<IgnoredAny>,
    extensions: Option<Value>,
}

#[derive(Deserialize)]
struct Resources {
    subscribe: Option<bool>,
}

impl Capabilities {
    /// Reads an answer to `initialize`; what cannot be read is not offered.
    pub(super) fn of_initialize(message: &[u8]) -> Self {
        let result = Envelope::parse(message).ok().and_then(|envelope| envelope.result());
        let read = result.and_then(|result| serde_json::from_str::<Initialized>(result.get()).ok());
        let Some(Initialized { capabilities, instructions }) = read else { return Self::default() };
        Self {
            tools: capabilities.tools.is_some(),
            prompts: capabilities.prompts.is_some(),
            resources: capabilities.resources.is_some(),
            subscribe: capabilities.resources.and_then(|resources| resources.subscribe) == Some(true),
            completions: capabilities.completions.is_some(),
            logging: capabilities.logging.is_some(),
            extensions: extensions(capabilities.extensions),
            instructions: instructions
                .filter(|text| !text.trim().is_empty() && text.len() <= INSTRUCTIONS_LIMIT),
        }
    }

    /// Every one of them, of a server that could not be asked.
    pub(super) fn everything() -> Self {
        let (tools, prompts, resources, subscribe) = (true, true, true, true);
        let (completions, logging) = (true, true);
        Self { tools, prompts, resources, subscribe, completions, logging, ..Self::default() }
    }

    /// Adds what another server offers, without its instructions.
    pub(super) fn add(&mut self, other: &Self) {
        self.tools |= other.tools;
        self.prompts |= other.prompts;
        self.resources |= other.resources;
        self.subscribe |= other.subscribe;
        self.completions |= other.completions;
        self.logging |= other.logging;
        for (name, settings) in &other.extensions {
            self.extensions.entry(name).or_insert_with(|| settings.clone());
        }
    }

    /// As the `capabilities` of an answer to `initialize`. Servers come and go while a session
    /// is open, so every list may change.
    pub(super) fn announced(&self) -> Value {
        let mut all = Map::new();
        // A workspace without servers, or with dead ones only, still has tools one day.
        all.insert("tools".to_owned(), json!({"listChanged": true}));
        if self.prompts {
            all.insert("prompts".to_owned(), json!({"listChanged": true}));
        }
        if self.resources {
            all.insert("resources".to_owned(), json!({"subscribe": self.subscribe, "listChanged": true}));
        }
        for (name, offered) in [("completions", self.completions), ("logging", self.logging)] {
            if offered {
                all.insert(name.to_owned(), json!({}));
            }
        }
        if !self.extensions.is_empty() {
            all.insert("extensions".to_owned(), self.extensions.clone().into());
        }
        Value::Object(all)
    }
}

/// What of a server's extensions is announced.
fn extensions(announced: Option<Value>) -> Map<String, Value> {
    let Some(Value::Object(mut all)) = announced else { return Map::new() };
    all.retain(|name, settings| name != TASKS && settings.is_object());
    if Value::from(all.clone()).to_string().len() > EXTENSIONS_LIMIT { Map::new() } else { all }
}

impl Upstream {
    /// What this server offers; opens a session with it if there is none.
    pub(super) async fn offers(&self, session: &Session) -> Result<Arc<Capabilities>, UpstreamProblem> {
        Ok(self.session(session).await?.offers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(result: &str) -> Capabilities {
        Capabilities::of_initialize(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).as_bytes())
    }

    #[test]
    fn what_is_announced_is_read() {
        let all = of(
            r#"{"capabilities":{"tools":{"listChanged":false},"prompts":{},"resources":{"subscribe":true},
            "completions":{},"logging":{},"x":[1]},"instructions":"Use it."}"#,
        );
        assert!(all.tools && all.prompts && all.resources && all.subscribe && all.completions && all.logging);
        assert_eq!(all.instructions.as_deref(), Some("Use it."));
        let few = of(r#"{"capabilities":{"resources":{},"prompts":null}}"#);
        assert_eq!(few, Capabilities { resources: true, ..Capabilities::default() });
        for nothing in ["{}", "7", r#"{"capabilities":[]}"#, r#"{"instructions":" "}"#] {
            assert_eq!(of(nothing), Capabilities::default(), "{nothing}");
        }
    }

    #[test]
    fn extensions_are_announced_but_tasks() {
        let mut union = of(
            r#"{"capabilities":{"extensions":{"a/ui":{"x":1},"io.modelcontextprotocol/tasks":{},"odd":7}}}"#,
        );
        union.add(&of(r#"{"capabilities":{"extensions":{"a/ui":{"x":2},"b/c":{}}}}"#));
        assert_eq!(union.announced()["extensions"], json!({"a/ui": {"x": 1}, "b/c": {}}));
        let odd = of(r#"{"capabilities":{"prompts":{},"extensions":[1]}}"#);
        assert!(odd.prompts && odd.announced().get("extensions").is_none());
        let long = format!(
            r#"{{"capabilities":{{"extensions":{{"a/b":{{"x":"{}"}}}}}}}}"#,
            "y".repeat(EXTENSIONS_LIMIT)
        );
        assert!(of(&long).extensions.is_empty());
    }

    #[test]
    fn the_union_is_announced() {
        let mut union = of(r#"{"capabilities":{"resources":{"subscribe":true}}}"#);
        union.add(&of(r#"{"capabilities":{"prompts":{},"resources":{}},"instructions":"x"}"#));
        let list = json!({"listChanged": true});
        let resources = json!({"subscribe": true, "listChanged": true});
        let expected = json!({"tools": list, "prompts": list, "resources": resources});
        assert_eq!(union.announced(), expected);
        assert_eq!(union.instructions, None);
    }
}
