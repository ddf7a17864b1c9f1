//! GET on the route of a workspace: one stream to the client, fed by the streams of all
//! servers of its session, and by the gateway itself when the workspace changes. Changes are
//! found in the store's rows, so that those made through another process are seen too.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::event_splitter::event;
use super::naming::Naming;
use super::relay::{KEEP_ALIVE, KEEP_ALIVE_TIME, events, streamed};
use super::relay_body::{BrokenOff, Outlet};
use super::server_stream::{ServerStream, Wanted};
use super::sessions::Session;
use super::{Caller, Gateway};
use crate::server::body::AnswerBody;
use crate::server::store::ServerRow;

/// How often the store is asked whether the workspace has changed.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// Events that wait for a slow client; the servers wait after that.
const WAITING_EVENTS: usize = 8;

impl Gateway {
    /// Answers GET: the stream of messages that belong to no request. If the client names an
    /// event, the server that it came from goes on after it. If that is an event of a call, and the
    /// client listens already, this is the rest of that call's stream alone.
    pub(super) fn aggregate_listen(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        headers: &HeaderMap,
    ) -> Response<AnswerBody> {
        let after = last_event(caller, headers);
        let (gateway, caller, session) = (Arc::clone(self), Rc::clone(caller), Arc::clone(session));
        let is_rest = |(slug, id): &(String, HeaderValue)| {
            session.workspace.is_heard() && !session.workspace.is_own_event(slug, id.as_bytes())
        };
        match after {
            Some(after) if is_rest(&after) => {
                streamed(&events(), move |outlet| rest_of_call(gateway, caller, session, after, outlet))
            }
            after => {
                streamed(&events(), move |outlet| gateway.workspace_stream(caller, session, after, outlet))
            }
        }
    }

    /// Writes what the servers of a session say unasked, and what changes in the workspace.
    pub(super) fn workspace_stream(
        self: Arc<Self>,
        caller: Rc<Caller>,
        session: Arc<Session>,
        after: Option<(String, HeaderValue)>,
        outlet: Outlet,
    ) -> impl Future<Output = Result<(), BrokenOff>> {
        let (events, waiting) = mpsc::channel(WAITING_EVENTS);
        let servers = HashMap::new();
        let (gateway, seen) = (self, None);
        let stream = WorkspaceStream { gateway, caller, session, outlet, events, servers, seen, after };
        stream.run(waiting)
    }

    /// What of these servers makes lists change.
    fn seen(self: &Arc<Self>, caller: &Rc<Caller>, session: &Arc<Session>, servers: &[ServerRow]) -> Seen {
        let left_out = |server| u64::from(self.is_left_out(caller, session, server));
        servers.iter().map(|server| (server.id.clone(), facts(server) ^ left_out(server))).collect()
    }

    /// Notes what the lists of a session are made of that begins now.
    pub(super) fn note_seen(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        servers: &[ServerRow],
    ) {
        session.workspace.note_seen(digest(&self.seen(caller, session, servers)));
    }
}

/// The event after which the client wants to go on, and the slug of the server it came from.
fn last_event(caller: &Caller, headers: &HeaderMap) -> Option<(String, HeaderValue)> {
    if caller.member.scope.limits_tools() {
        // What comes again was not made for this token's limits.
        return None;
    }
    let (slug, id) = Naming::Uri.split(headers.get("last-event-id")?.to_str().ok()?)?;
    Some((slug.to_owned(), HeaderValue::from_str(id).ok()?))
}

/// Writes the rest of one call's stream. It ends with it, or when the client does not listen
/// otherwise any more: then it may come again with this event, for all.
async fn rest_of_call(
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    session: Arc<Session>,
    (slug, after): (String, HeaderValue),
    outlet: Outlet,
) -> Result<(), BrokenOff> {
    let Ok(Some(server)) = gateway.enabled_server(&caller.member, &slug).await else { return Ok(()) };
    let (events, mut waiting) = mpsc::channel(WAITING_EVENTS);
    let wanted = Wanted::Rest(after);
    let _feed = ServerStream::start(gateway, caller, Arc::clone(&session), server, events, wanted);
    outlet.send(KEEP_ALIVE).await;
    loop {
        tokio::select! {
            () = session.ended() => return Ok(()),
            event = waiting.recv() => match event {
                Some(event) => outlet.send(event).await,
                None => return Ok(()),
            },
            () = tokio::time::sleep(KEEP_ALIVE_TIME) => {
                if !session.workspace.is_heard() {
                    return Ok(());
                }
                session.touch();
                outlet.send(KEEP_ALIVE).await;
            }
        }
    }
}

/// What of a server's rows makes lists change.
type Seen = HashMap<String, u64>;

/// All of it, as one number.
fn digest(seen: &Seen) -> u64 {
    let mut all: Vec<_> = seen.iter().collect();
    all.sort();
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    hasher.finish()
}

struct WorkspaceStream {
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    session: Arc<Session>,
    outlet: Outlet,
    events: mpsc::Sender<Vec<u8>>,
    servers: HashMap<String, ServerStream>,
    seen: Option<Seen>,
    /// Where a server goes on: its slug, and the id of its last event.
    after: Option<(String, HeaderValue)>,
}

impl WorkspaceStream {
    async fn run(mut self, mut waiting: mpsc::Receiver<Vec<u8>>) -> Result<(), BrokenOff> {
        let mut newest = self.session.workspace.begin_stream();
        let mut openings = self.session.workspace.openings();
        let mut look = tokio::time::interval(LOOK_TIME);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut quiet_since = Instant::now();
        // Sent at once, so that the client knows that it is heard.
        self.outlet.send(KEEP_ALIVE).await;
        loop {
            tokio::select! {
                _ = newest.changed() => return Ok(()),
                () = self.session.ended() => return Ok(()),
                Some(event) = waiting.recv() => {
                    self.outlet.send(event).await;
                    quiet_since = Instant::now();
                }
                () = tokio::time::sleep_until(quiet_since + KEEP_ALIVE_TIME) => {
                    self.outlet.send(KEEP_ALIVE).await;
                    quiet_since = Instant::now();
                }
                _ = look.tick() => {
                    if !self.gateway.sessions.is_open(&self.session.id) {
                        return Ok(());
                    }
                    self.session.touch();
                    self.look().await;
                }
                // A server may ask something at the beginning of its session.
                _ = openings.changed() => {
                    if self.servers.values().any(|stream| !stream.is_current(&self.session)) {
                        self.look().await;
                    }
                }
            }
        }
    }

    /// Follows the changes of the workspace.
    async fn look(&mut self) {
        let Ok(servers) = self.gateway.enabled_servers(&self.caller.member).await else { return };
        let now = self.gateway.seen(&self.caller, &self.session, &servers);
        let digest = digest(&now);
        if self.session.workspace.has_seen_other_than(digest) {
            tell_of_change(&self.session, &self.outlet).await;
        }
        self.session.workspace.note_seen(digest);
        // That a server's lists rest is no reason to hear it on another stream.
        let now: Seen = servers.iter().map(|server| (server.id.clone(), facts(server))).collect();
        let before = self.seen.replace(now.clone());
        self.servers.retain(|id, _| now.contains_key(id));
        for server in servers {
            let changed = before.as_ref().is_some_and(|before| before.get(&server.id) != now.get(&server.id));
            let is_fed = self.servers.get(&server.id).is_some_and(|stream| stream.is_current(&self.session));
            if changed || !is_fed {
                // The old one ends first.
                self.servers.remove(&server.id);
                let (gateway, caller) = (Arc::clone(&self.gateway), Rc::clone(&self.caller));
                let (session, events) = (Arc::clone(&self.session), self.events.clone());
                let id = server.id.clone();
                let after = self.after.take_if(|(slug, _)| *slug == server.slug.as_str()).map(|(_, id)| id);
                let wanted = Wanted::Own(after);
                let stream = ServerStream::start(gateway, caller, session, server, events, wanted);
                self.servers.insert(id, stream);
            }
        }
    }
}

/// Tells that the lists of a session have changed.
pub(super) async fn tell_of_change(session: &Session, outlet: &Outlet) {
    let announced = session.workspace.announced();
    let lists =
        [("tools", announced.tools), ("prompts", announced.prompts), ("resources", announced.resources)];
    for (list, _) in lists.into_iter().filter(|(_, announced)| *announced) {
        let method = format!("notifications/{list}/list_changed");
        let message = json!({"jsonrpc": "2.0", "method": method}).to_string();
        outlet.send(event(message.as_bytes())).await;
    }
}

/// A number that changes with the server's slug, URL, secrets and rules.
pub(super) fn facts(server: &ServerRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    (server.slug.as_str(), server.url.as_str(), server.has_damaged_secret).hash(&mut hasher);
    for secret in &server.secrets {
        secret.row_mac.hash(&mut hasher);
    }
    hasher.finish()
}
