//! What a server says on its way to a client of the workspace: requests get an id of the
//! gateway's own, URIs of updated resources their slug. All else passes as it was written.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::event_splitter::{Fields, rewritten};
use super::message::{Envelope, Kind, offset_in};
use super::naming::{NameInMessage, Naming, member};
use super::server_requests::Waiting;
use super::sessions::Session;
use crate::server::store::ServerRow;

/// Translates what one server says in one session.
#[derive(Clone)]
pub(super) struct Outward {
    session: Arc<Session>,
    server_id: String,
    slug: String,
}

impl Outward {
    /// For one server in one session.
    pub(super) fn new(session: &Arc<Session>, server: &ServerRow) -> Self {
        let (server_id, slug) = (server.id.clone(), server.slug.to_string());
        Self { session: Arc::clone(session), server_id, slug }
    }

    /// The event as the client is to see it. Its id gets the slug, so that the client can go
    /// on after it with this server.
    pub(super) fn event(&self, event: Vec<u8>, fields: &Fields) -> Vec<u8> {
        let data = fields.data.as_deref().and_then(|data| self.message(data));
        if data.is_none() && fields.id.is_none() {
            return event;
        }
        rewritten(&event, data.as_deref(), &Naming::Uri.join(&self.slug, ""))
    }

    /// The message as the client is to see it; `None` if it stays as it is.
    fn message(&self, data: &[u8]) -> Option<Vec<u8>> {
        let envelope = Envelope::parse(data).ok()?;
        match (envelope.kind(), envelope.method()) {
            (Kind::Request, _) => self.request(&envelope, data),
            (Kind::Notification, "notifications/cancelled") => {
                let id = member(envelope.params()?, "requestId")?.get();
                let known = self.session.workspace.server_requests.id_towards_client(&self.server_id, id)?;
                spliced(data, &[(id, json_string(&known))])
            }
            (Kind::Notification, "notifications/resources/updated") => {
                let uri = NameInMessage::find(envelope.params()?, &["uri"])?;
                let is_bare = self.session.workspace.is_bare(&self.server_id, &uri.text);
                if is_bare { None } else { uri.prefixed(data, Naming::Uri, &self.slug) }
            }
            _ => None,
        }
    }

    fn request(&self, envelope: &Envelope<'_>, data: &[u8]) -> Option<Vec<u8>> {
        let token = envelope.params().and_then(|params| member(member(params, "_meta")?, "progressToken"));
        let token = token.map(RawValue::get);
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

/// Whether two ids, as they were written, are the same.
pub(super) fn is_same_id(one: &str, other: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other
        || match (value(one), value(other)) {
            (Some(serde_json::Value::Number(one)), Some(serde_json::Value::Number(other))) => {
                one.as_f64() == other.as_f64()
            }
            (one, other) => one.is_some() && one == other,
        }
}
