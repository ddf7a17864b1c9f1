//! What a server says on its way to a client of the workspace: requests get an id of the
//! gateway's own, URIs of updated resources their slug. All else passes as it was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::value::RawValue;

use super::event_splitter::{BYTE_ORDER_MARK, Fields, rewritten};
use super::message::{Envelope, Kind, offset_in};
use super::naming::{NameInMessage, Naming, member};
use super::server_requests::Waiting;
use super::sessions::Session;
use crate::server::store::ServerRow;

/// Longest id and progress token of a server's request, in bytes: they are kept until it is answered.
const LONGEST_ID: usize = 1024;

/// Translates what one server says in one session.
#[derive(Clone)]
pub(super) struct Outward {
    session: Arc<Session>,
    server_id: String,
    slug: String,
    /// Whether the log has been told that something was left out.
    told: Arc<AtomicBool>,
}

impl Outward {
    /// For one server in one session.
    pub(super) fn new(session: &Arc<Session>, server: &ServerRow) -> Self {
        let (server_id, slug) = (server.id.clone(), server.slug.to_string());
        Self { session: Arc::clone(session), server_id, slug, told: Arc::default() }
    }

    /// The server's id.
    pub(super) fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The event as the client is to see it; `None` if it is not for the client. Its id gets the slug,
    /// so that the client can go on after it with this server. `awaited` is the id of the request
    /// whose stream it came on.
    pub(super) fn event(&self, event: Vec<u8>, fields: &Fields, awaited: Option<&str>) -> Option<Vec<u8>> {
        let said = fields.data.as_deref().map_or(Said::AsItIs, |data| self.message(data, awaited));
        let data = match said {
            Said::Nothing => return None,
            Said::AsItIs if fields.id.is_none() => return Some(event),
            Said::AsItIs => None,
            Said::So(data) => Some(data),
        };
        Some(rewritten(&event, data.as_deref(), &Naming::Uri.join(&self.slug, "")))
    }

    /// The message as the client is to see it. A server speaks for itself only: what it says about
    /// another one's requests is left out.
    fn message(&self, data: &[u8], awaited: Option<&str>) -> Said {
        let Ok(envelope) = Envelope::parse(data) else {
            // Some clients read what cannot be read for sure: two ids, or several messages in one.
            let is_harmless = is_no_message_to_anybody(data);
            return if is_harmless { Said::AsItIs } else { self.leave_out("what may be a message") };
        };
        let known = &self.session.workspace;
        let param = |name| envelope.params().and_then(|params| member(params, name)).map(RawValue::get);
        let changed = match (envelope.kind(), envelope.method()) {
            (Kind::Request, _) if envelope.id().len() > LONGEST_ID => {
                return self.leave_out("a request with a long id");
            }
            (Kind::Request, _) => self.request(&envelope, data),
            (Kind::Response, _) => {
                let id = envelope.id();
                let is_own = match awaited {
                    Some(awaited) => is_same_id(id, awaited),
                    None => known.calls.is_of(&self.server_id, id),
                };
                return if is_own { Said::AsItIs } else { self.leave_out("an answer") };
            }
            (Kind::Notification, "notifications/cancelled") => {
                let Some(id) = param("requestId") else { return Said::AsItIs };
                let Some(own) = known.server_requests.id_towards_client(&self.server_id, id) else {
                    return self.leave_out("a cancellation");
                };
                spliced(data, &[(id, json_string(&own))])
            }
            (Kind::Notification, "notifications/progress") => {
                let is_own =
                    param("progressToken").is_none_or(|token| known.calls.progressed(&self.server_id, token));
                return if is_own { Said::AsItIs } else { self.leave_out("progress") };
            }
            (Kind::Notification, "notifications/resources/updated") => {
                let uri = envelope.params().and_then(|params| NameInMessage::find(params, &["uri"]));
                let uri = uri.filter(|uri| !known.is_bare(&self.server_id, &uri.text));
                uri.and_then(|uri| uri.prefixed(data, Naming::Uri, &self.slug))
            }
            _ => None,
        };
        changed.map_or(Said::AsItIs, Said::So)
    }

    fn leave_out(&self, what: &str) -> Said {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(server = %self.slug, what, "what a server said was left out");
        }
        Said::Nothing
    }

    fn request(&self, envelope: &Envelope<'_>, data: &[u8]) -> Option<Vec<u8>> {
        let token = envelope.params().and_then(|params| member(member(params, "_meta")?, "progressToken"));
        let token = token.map(RawValue::get).filter(|token| token.len() <= LONGEST_ID);
        let id = self.session.workspace.server_requests.open(Waiting {
            server_id: self.server_id.clone(),
            id: envelope.id().to_owned(),
            progress_token: token.map(str::to_owned),
        });
        let id = json_string(&id);
        let mut edits = vec![(envelope.id(), id.clone())];
        edits.extend(token.map(|token| (token, id)));
        spliced(data, &edits)
    }
}

/// Whether nobody takes this for a message: it is no JSON object and no array of them, or an object
/// that has neither id nor method, whichever of several members counts.
fn is_no_message_to_anybody(data: &[u8]) -> bool {
    let text = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data).trim_ascii_start();
    let inside = text.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    if !inside.unwrap_or(text).starts_with(b"{") {
        return true;
    }
    let members = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(text);
    members.is_ok_and(|members| ["id", "method"].iter().all(|name| !members.contains_key(*name)))
}

/// What a client gets of a message.
enum Said {
    /// Nothing.
    Nothing,
    /// The message as it was written.
    AsItIs,
    /// Other text in its place.
    So(Vec<u8>),
}

/// Text as a JSON string.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A message with other text in place of parts of it. `None` if one is not a part of it.
pub(super) fn spliced(message: &[u8], edits: &[(&str, String)]) -> Option<Vec<u8>> {
    let places: Option<Vec<(usize, usize, &str)>> = edits
        .iter()
        .map(|(part, text)| Some((offset_in(message, part.as_bytes())?, part.len(), text.as_str())))
        .collect();
    let mut places = places?;
    places.sort_unstable();
    let mut new = Vec::with_capacity(message.len() + 64);
    let mut at = 0;
    for (start, length, text) in places {
        new.extend_from_slice(&message[at..start]);
        new.extend_from_slice(text.as_bytes());
        at = start + length;
    }
    new.extend_from_slice(&message[at..]);
    Some(new)
}

/// An event and what it says, with the id as the client wrote it if it is the answer to the request
/// with this id.
pub(super) fn with_id(event: Vec<u8>, fields: Fields, id: &str) -> (Vec<u8>, Fields) {
    let changed = fields.data.as_deref().and_then(|data| {
        let answer = Envelope::parse(data).ok().filter(|it| it.kind() == Kind::Response && it.id() != id)?;
        // Servers that refuse a request before they read it write null.
        let is_own = is_same_id(answer.id(), id) || answer.error().is_some() && answer.id() == "null";
        let data = spliced(data, &[(answer.id(), id.to_owned())]).filter(|_| is_own)?;
        Some(rewritten(&event, Some(&data), ""))
    });
    match changed {
        Some(event) => {
            let fields = Fields::of(&event);
            (event, fields)
        }
        None => (event, fields),
    }
}

/// Whether two ids, as they were written, are the same. Some servers write a number as a string, and
/// the official SDKs bear that.
pub(super) fn is_same_id(one: &str, other: &str) -> bool {
    use serde_json::Value::{Number, String};
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other
        || match (value(one), value(other)) {
            (Some(Number(one)), Some(Number(other))) => one.as_f64() == other.as_f64(),
            (Some(Number(number)), Some(String(text))) | (Some(String(text)), Some(Number(number))) => {
                number.to_string() == text
            }
            (one, other) => one.is_some() && one == other,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_for_a_message() {
        for data in ["", " ", "ping", "7", "\"id\"", "[redacted]", "[1]", r#"{"progress":1}"#, "\\\\"] {
            assert!(is_no_message_to_anybody(data.as_bytes()), "{data}");
        }
        for data in [
            r#"{"id":1,"id":2,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#,
            r#" [{"id":1}]"#,
            r#"{"a":NaN,"id":1}"#,
            "\u{feff}{\"id\":1}",
            r#"{"i\u0064":1}"#,
        ] {
            assert!(!is_no_message_to_anybody(data.as_bytes()), "{data}");
        }
    }
}
