//! To which server of a workspace a message goes: by the slug in the name of its tool, prompt
//! or resource, which is taken off on the way. A resource without a slug (links in results
//! have none) goes to the servers that announced it, or to all of them in turn.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde_json::value::RawValue;

use super::message::Envelope;
use super::naming::{NameInMessage, Naming, member};
use super::outward::spliced;
use super::resource_index::ResourceIndex;
use super::{Caller, Gateway};
use crate::domain::ServerSlug;
use crate::server::store::{ServerRow, StoreError};

/// A message for one server.
pub(super) struct Addressed {
    /// The server. It is enabled.
    pub(super) server: ServerRow,
    /// The server's own name of what is addressed.
    pub(super) name: String,
    /// The message with that name in it.
    pub(super) message: Bytes,
}

/// Where a method has the name of what it is about, and how such names are made.
fn place(method: &str, params: &RawValue) -> Option<(&'static [&'static str], Naming)> {
    match method {
        "tools/call" | "prompts/get" => Some((&["name"], Naming::Name)),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some((&["uri"], Naming::Uri)),
        "completion/complete" => match NameInMessage::find(params, &["ref", "type"])?.text.as_ref() {
            "ref/prompt" => Some((&["ref", "name"], Naming::Name)),
            "ref/resource" => Some((&["ref", "uri"], Naming::Uri)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a method is about one thing of one server.
pub(super) fn is_addressed(method: &str) -> bool {
    ["tools/call", "prompts/get", "completion/complete"].contains(&method) || is_about_a_resource(method)
}

/// Whether a method is about a resource.
pub(super) fn is_about_a_resource(method: &str) -> bool {
    ["resources/read", "resources/subscribe", "resources/unsubscribe"].contains(&method)
}

impl Gateway {
    /// Finds the server of a message. No answer means that nothing is named so; several, that
    /// a resource without a slug may be any one's, to be tried in this order.
    pub(super) async fn address(
        &self,
        caller: &Caller,
        envelope: &Envelope<'_>,
        message: &[u8],
        resources: &ResourceIndex,
    ) -> Result<Vec<Addressed>, StoreError> {
        let Some((name, naming)) = named(envelope) else { return Ok(Vec::new()) };
        let to = |server: ServerRow, own: &str| {
            let message = if own == name.text { message.to_vec() } else { name.replaced(message, own)? };
            let message = without_task(envelope, &message).unwrap_or(message);
            Some(Addressed { server, name: own.to_owned(), message: message.into() })
        };
        if let Some((slug, own)) = naming.split(&name.text)
            && let Ok(slug) = ServerSlug::parse(slug)
            && let Some(server) = self.project.store.server(&caller.member.workspace_id, &slug).await?
        {
            // Of a server that is not served to this member nothing is told to another one.
            let is_served = server.enabled && caller.member.scope.allows_server(slug.as_str());
            return Ok(is_served.then(|| to(server, own)).flatten().into_iter().collect());
        }
        if naming == Naming::Name {
            return Ok(Vec::new());
        }
        let mut servers = self.enabled_servers(&caller.member).await?;
        servers.retain(|server| caller.member.scope.allows_beyond_tools(server.slug.as_str()));
        let announced = resources.servers_of(&name.text);
        if servers.iter().any(|server| announced.contains(&server.id)) {
            servers.retain(|server| announced.contains(&server.id));
        }
        Ok(servers.into_iter().filter_map(|server| to(server, &name.text)).collect())
    }
}

/// The call without the wish to be run as a task. The workspace announces no tasks, so it is to be
/// ignored (2025-11-25, "Tasks"): the job would run, and nobody could fetch its result. `None` if
/// there is none.
fn without_task(envelope: &Envelope<'_>, message: &[u8]) -> Option<Vec<u8>> {
    if envelope.method() != "tools/call" {
        return None;
    }
    member(envelope.params()?, "task")?;
    let params = Envelope::parse(message).ok()?.params()?;
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(params.get()).ok()?;
    members.remove("task");
    spliced(message, &[(params.get(), serde_json::to_string(&members).ok()?)])
}

/// What a message is about, as the client wrote it.
fn named<'a>(envelope: &Envelope<'a>) -> Option<(NameInMessage<'a>, Naming)> {
    let params = envelope.params()?;
    let (path, naming) = place(envelope.method(), params)?;
    Some((NameInMessage::find(params, path)?, naming))
}

/// Whether a request carries a cursor that is not null.
pub(super) fn has_cursor(envelope: &Envelope<'_>) -> bool {
    let cursor = envelope.params().and_then(|params| member(params, "cursor"));
    cursor.is_some_and(|cursor| cursor.get() != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, params: &str) -> Option<(String, Naming)> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        named(&envelope).map(|(name, naming)| (name.text.into_owned(), naming))
    }

    #[test]
    fn a_call_is_no_task_here() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"task":{"ttl":1},"name":"t","arguments":{"task":1.50}}}"#;
        let without = |text: &str| {
            let without = without_task(&Envelope::parse(text.as_bytes()).unwrap(), text.as_bytes());
            without.map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"task":1.50},"name":"t"}}"#;
        assert_eq!(without(call).as_deref(), Some(plain));
        assert_eq!((without(plain), without(&call.replace("tools/call", "prompts/get"))), (None, None));
    }

    #[test]
    fn what_a_message_is_about() {
        let name = |text: &str| Some((text.to_owned(), Naming::Name));
        let uri = |text: &str| Some((text.to_owned(), Naming::Uri));
        assert_eq!(find("tools/call", r#"{"name":"a__b"}"#), name("a__b"));
        assert_eq!(find("prompts/get", r#"{"arguments":{"name":"x"},"name":"p"}"#), name("p"));
        assert_eq!(find("resources/subscribe", r#"{"uri":"s+x://y"}"#), uri("s+x://y"));
        let complete = |reference: &str| {
            let params = format!(r#"{{"argument":{{"name":"n","value":""}},"ref":{reference}}}"#);
            find("completion/complete", &params)
        };
        assert_eq!(complete(r#"{"type":"ref/prompt","name":"s__p"}"#), name("s__p"));
        assert_eq!(complete(r#"{"uri":"s+x://{y}","type":"ref/resource"}"#), uri("s+x://{y}"));
        assert_eq!(complete(r#"{"type":"ref/other","name":"s__p"}"#), None);
        assert_eq!(complete(r#"{"name":"s__p"}"#), None);
        assert_eq!(find("tools/list", r#"{"name":"a__b"}"#), None);
        assert_eq!(find("tools/call", "[]"), None);
    }
}
