//! What a session on the route of a workspace remembers beside its upstream sessions: which
//! server has which request, what servers asked the client, what the client subscribed to,
//! and the level of log messages it wants.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::calls_under_way::CallsUnderWay;
use super::capabilities::Capabilities;
use super::inward::LOG_LEVELS;
use super::left_calls::LeftCalls;
use super::message::{Envelope, Kind};
use super::modern::{Hearing, Questions, of_initialize};
use super::naming::{NameInMessage, member};
use super::own_events::OwnEvents;
use super::resource_index::ResourceIndex;
use super::server_requests::ServerRequests;

/// Subscriptions of one session that are remembered.
const MAX_SUBSCRIPTIONS: usize = 1000;
/// Bytes of their URIs together.
const SUBSCRIBED_BYTES: usize = 256 << 10;

/// The memory of one session.
#[derive(Default)]
pub(super) struct WorkspaceSession {
    /// Which server announced which resource.
    pub(super) resources: ResourceIndex,
    /// What servers asked the client.
    pub(super) server_requests: ServerRequests,
    /// What the gateway itself asked the client.
    pub(super) questions: Questions,
    /// Calls of a client of the modern era whose servers may ask for something.
    pub(super) hearing: Hearing,
    /// The client's requests that servers work on.
    pub(super) calls: CallsUnderWay,
    /// Those of a legacy server whose answer may come on another stream.
    pub(super) left_calls: LeftCalls,
    client_capabilities: OnceLock<Value>,
    announced: Mutex<Capabilities>,
    subscriptions: Mutex<HashSet<Subscription>>,
    /// Tells that they have changed.
    subscribed: watch::Sender<()>,
    log_level: Mutex<Option<String>>,
    /// Tells that a session with a server was opened.
    openings: watch::Sender<()>,
    /// Counts the streams that the client opened with GET; only the newest is fed.
    stream: watch::Sender<u64>,
    /// Digest of what the lists are made of, as far as the client was told that they changed.
    seen: Mutex<Option<u64>>,
    own_events: OwnEvents,
}

/// A resource that the client subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subscription {
    /// The server.
    pub(super) server_id: String,
    /// The server's own URI.
    pub(super) uri: String,
    /// Whether the client named it without the slug, and wants it named so.
    pub(super) bare: bool,
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorkspaceSession {
    /// Remembers a subscription.
    pub(super) fn subscribe(&self, subscription: Subscription) {
        let mut subscriptions = unpoisoned(&self.subscriptions);
        let bytes: usize = subscriptions.iter().map(|one| one.uri.len()).sum();
        if subscriptions.len() < MAX_SUBSCRIPTIONS && bytes + subscription.uri.len() <= SUBSCRIBED_BYTES {
            subscriptions.insert(subscription);
        }
        drop(subscriptions);
        self.subscribed.send_replace(());
    }

    /// Forgets a subscription, however it was named.
    pub(super) fn unsubscribe(&self, server_id: &str, uri: &str) {
        unpoisoned(&self.subscriptions).retain(|one| one.server_id != server_id || one.uri != uri);
        self.subscribed.send_replace(());
    }

    /// Remembers what a request asks of its server for as long as the session lives, on a route
    /// where names are the server's own.
    pub(super) fn note_wish(&self, server_id: &str, envelope: &Envelope<'_>) {
        let text = |name| envelope.params().and_then(|params| NameInMessage::find(params, &[name]));
        let uri = || text("uri").map(|uri| uri.text.into_owned());
        match envelope.method() {
            "logging/setLevel" => {
                if let Some(level) = text("level").filter(|level| LOG_LEVELS.contains(&level.text.as_ref())) {
                    self.set_log_level(&level.text);
                }
            }
            "resources/subscribe" => {
                if let Some(uri) = uri() {
                    self.subscribe(Subscription { server_id: server_id.to_owned(), uri, bare: true });
                }
            }
            "resources/unsubscribe" => {
                if let Some(uri) = uri() {
                    self.unsubscribe(server_id, &uri);
                }
            }
            _ => {}
        }
    }

    /// The URIs at one server that the client subscribed to.
    pub(super) fn subscriptions(&self, server_id: &str) -> HashSet<String> {
        let subscriptions = unpoisoned(&self.subscriptions);
        subscriptions.iter().filter(|one| one.server_id == server_id).map(|one| one.uri.clone()).collect()
    }

    /// Tells each change of what the client subscribed to.
    pub(super) fn subscribed(&self) -> watch::Receiver<()> {
        self.subscribed.subscribe()
    }

    /// The servers at which a resource of this URI is subscribed to.
    pub(super) fn subscribed_at(&self, uri: &str) -> HashSet<String> {
        let subscriptions = unpoisoned(&self.subscriptions);
        subscriptions.iter().filter(|one| one.uri == uri).map(|one| one.server_id.clone()).collect()
    }

    /// Whether the client knows this resource without the slug only.
    pub(super) fn is_bare(&self, server_id: &str, uri: &str) -> bool {
        let subscriptions = unpoisoned(&self.subscriptions);
        let mut named = subscriptions.iter().filter(|one| one.server_id == server_id && one.uri == uri);
        named.next().is_some_and(|first| first.bare && named.all(|one| one.bare))
    }

    /// The level of log messages that the client wants, as JSON.
    pub(super) fn log_level(&self) -> Option<String> {
        unpoisoned(&self.log_level).clone()
    }

    /// Remembers it, for servers whose session opens later.
    pub(super) fn set_log_level(&self, level: &str) {
        *unpoisoned(&self.log_level) = Some(level.to_owned());
    }

    /// Takes what the client says to the gateway itself; whether that is all.
    pub(super) fn takes(&self, envelope: &Envelope<'_>, body: &Bytes) -> bool {
        envelope.kind() == Kind::Response && self.questions.answered(envelope, body)
    }

    /// If the client takes a request back with this notification: ends what waits for it. Returns the
    /// servers that have it.
    pub(super) fn cancels(&self, envelope: &Envelope<'_>) -> Vec<String> {
        if envelope.method() != "notifications/cancelled" {
            return Vec::new();
        }
        let id = envelope.params().and_then(|params| member(params, "requestId"));
        let Some(id) = id else { return Vec::new() };
        let servers = self.calls.cancel(id.get());
        self.left_calls.forget(id.get());
        servers
    }

    /// What the client can be asked for, as the modern era says it. `initialize` is what the
    /// session began with.
    pub(super) fn client_capabilities(&self, initialize: &Bytes) -> &Value {
        self.client_capabilities.get_or_init(|| of_initialize(initialize))
    }

    /// Remembers what is announced to the client.
    pub(super) fn announce(&self, offers: &Capabilities) {
        *unpoisoned(&self.announced) = Capabilities { instructions: None, ..offers.clone() };
    }

    /// What was announced to the client.
    pub(super) fn announced(&self) -> Capabilities {
        unpoisoned(&self.announced).clone()
    }

    /// Notes that a session with a server was opened.
    pub(super) fn note_opening(&self) {
        self.openings.send_replace(());
    }

    /// Tells each time that one was.
    pub(super) fn openings(&self) -> watch::Receiver<()> {
        self.openings.subscribe()
    }

    /// Begins a stream of the client's; the one before ends. The answer changes when another begins.
    pub(super) fn begin_stream(&self) -> watch::Receiver<u64> {
        self.stream.send_modify(|count| *count += 1);
        self.stream.subscribe()
    }

    /// Whether the client listens on such a stream.
    pub(super) fn is_heard(&self) -> bool {
        self.stream.receiver_count() > 0
    }

    /// Notes the id of an event that a server wrote on its own stream.
    pub(super) fn note_own_event(&self, slug: &str, id: &[u8]) {
        self.own_events.note(slug, id);
    }

    /// Whether it came on a server's own stream lately, and not on that of a call.
    pub(super) fn is_own_event(&self, slug: &str, id: &[u8]) -> bool {
        self.own_events.knows(slug, id)
    }

    /// Remembers a digest of what the lists are made of.
    pub(super) fn note_seen(&self, digest: u64) {
        *unpoisoned(&self.seen) = Some(digest);
    }

    /// Whether another one is remembered.
    pub(super) fn has_seen_other_than(&self, digest: u64) -> bool {
        unpoisoned(&self.seen).is_some_and(|seen| seen != digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions() {
        let session = WorkspaceSession::default();
        let subscription = |bare| Subscription { server_id: "a".to_owned(), uri: "x:1".to_owned(), bare };
        session.subscribe(subscription(true));
        assert!(session.is_bare("a", "x:1"));
        session.subscribe(subscription(false));
        assert!(!session.is_bare("a", "x:1") && !session.is_bare("b", "x:1"));
        assert_eq!(session.subscriptions("a"), ["x:1".to_owned()].into());
        let long = Subscription { uri: "x".repeat(SUBSCRIBED_BYTES), ..subscription(false) };
        session.subscribe(long);
        assert_eq!(session.subscriptions("a").len(), 1, "too long");
        session.unsubscribe("a", "x:1");
        assert!(session.subscriptions("a").is_empty() && !session.is_bare("a", "x:1"));
    }

    #[test]
    fn only_the_newest_stream_goes_on() {
        let session = WorkspaceSession::default();
        let first = session.begin_stream();
        assert!(!first.has_changed().unwrap());
        let second = session.begin_stream();
        assert!(first.has_changed().unwrap() && !second.has_changed().unwrap());
    }
}
