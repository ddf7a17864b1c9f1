//! The stream of unrelated messages of one server, as it feeds the one stream of a client of
//! the workspace. It is opened again when it ends, after the last event that came; a server
//! that has no such stream is left alone. The rest of the stream of one call is fed in the same way,
//! up to its answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::answer;
use super::event_splitter::{Fields, Part};
use super::left_calls::{InVain, cut_event};
use super::message::{Envelope, Kind};
use super::outward::Outward;
use super::pauses::{DEFAULT_RETRY, MAX_RETRY};
use super::problem::UpstreamProblem;
use super::scoped_message::may_hear;
use super::sessions::Session;
use super::unasked_events::{Subscribed, UnaskedEvents};
use super::upstream::Upstream;
use super::{Caller, Gateway};
use crate::server::store::ServerRow;

/// Shortest wait before a stream is opened again, whatever the server wants.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// How often the rest of a stream is asked for without getting any, before it is begun anew.
const MAX_FRUITLESS: u32 = 5;
/// Longest wait before a stream that ends at once is opened again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How long the rest of a call's stream may be silent before it is asked for again: some servers
/// repeat what they have said by then, and say nothing more on that connection.
const QUIET_TIME: Duration = Duration::from_secs(5);
/// How often the wait is doubled: that is long enough for the longest.
const MAX_DOUBLINGS: u32 = 6;

/// A stream that is kept open. Dropping it closes it.
pub(super) struct ServerStream {
    task: AbortHandle,
    server_id: String,
    upstream: Rc<RefCell<Option<Rc<Upstream>>>>,
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of an attempt.
enum Attempt {
    /// The server has no such stream.
    None,
    /// It refuses it for a reason of its own.
    Refused,
    /// There was one, or may be one later.
    Again {
        /// Whether an event came.
        fruitful: bool,
    },
}

struct Feed {
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    session: Arc<Session>,
    slug: String,
    server_id: String,
    events: mpsc::Sender<Vec<u8>>,
    /// The server, as it is asked now.
    upstream: Rc<RefCell<Option<Rc<Upstream>>>>,
    /// Whether this is the rest of one call's stream, and not the server's own.
    is_aside: bool,
    last_id: Option<HeaderValue>,
    /// The last event of a call's stream; empty for none.
    after: Vec<u8>,
    retry: Duration,
    /// How often nothing came for too long.
    quiet_times: u32,
}

/// How often, and with which pauses, it is looked whether a call's stream is over.
const LOOKS: u32 = 20;
const LOOK_TIME: Duration = Duration::from_millis(100);

/// Which stream is opened.
pub(super) enum Wanted {
    /// The server's own; after the event with this id, if there is one.
    Own(Option<HeaderValue>),
    /// The rest of one call's stream, after an event.
    Rest(HeaderValue),
}

impl ServerStream {
    /// Begins to feed `events` with what the server says.
    pub(super) fn start(
        gateway: Arc<Gateway>,
        caller: Rc<Caller>,
        session: Arc<Session>,
        server: ServerRow,
        events: mpsc::Sender<Vec<u8>>,
        wanted: Wanted,
    ) -> Self {
        let upstream = Rc::new(RefCell::new(None));
        let (server_id, slug) = (server.id.clone(), server.slug.to_string());
        let (is_aside, last_id) = match wanted {
            Wanted::Own(after) => (false, after),
            Wanted::Rest(after) => (true, Some(after)),
        };
        let (kept, retry) = (Rc::clone(&upstream), DEFAULT_RETRY);
        let after = last_id.as_ref().map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        let feed = Feed {
            gateway,
            caller,
            session,
            slug,
            server_id: server_id.clone(),
            events,
            upstream: kept,
            is_aside,
            last_id,
            after,
            retry,
            quiet_times: 0,
        };
        let task = tokio::task::spawn_local(feed.run(server)).abort_handle();
        Self { task, server_id, upstream }
    }

    /// Whether it belongs to the upstream session that is in use now. One that has none to belong to
    /// is not disturbed.
    pub(super) fn is_current(&self, session: &Session) -> bool {
        let slot = session.slot(&self.server_id);
        // Whoever holds it is opening the session.
        let Ok(kept) = slot.try_lock() else { return true };
        match (&*self.upstream.borrow(), kept.as_ref().filter(|kept| kept.announced)) {
            (Some(upstream), Some(kept)) => upstream.opened().is_some_and(|own| own.id == kept.id),
            _ => true,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Another stream takes its place, or none, while the client listens.
        if self.after.is_empty() || self.events.is_closed() {
            return;
        }
        let left = &self.session.workspace.left_calls;
        if let Some(id) = left.failed(&self.server_id, &self.after, InVain::Refused) {
            let _ = self.events.try_send(cut_event(&id, &self.slug));
        }
    }
}

impl Feed {
    async fn run(mut self, server: ServerRow) {
        self.feed(server).await;
        self.last_id = None;
        self.tell_if_cut().await;
    }

    /// If a call went on with this stream, and it will not do so any more: tells the client.
    async fn tell_if_cut(&mut self) {
        if self.last_id.is_some() || self.after.is_empty() {
            return;
        }
        let (after, left) = (&self.after, &self.session.workspace.left_calls);
        // That the client's other connection is gone may not be known yet.
        for _ in 0..LOOKS {
            if !left.is_under_way(&self.server_id, after) {
                break;
            }
            tokio::time::sleep(LOOK_TIME).await;
        }
        let cut = left.failed(&self.server_id, after, InVain::Refused);
        self.after.clear();
        if let Some(id) = cut {
            let _ = self.events.send(cut_event(&id, &self.slug)).await;
        }
    }

    async fn feed(&mut self, server: ServerRow) {
        let mut server = Some(server);
        let mut fruitless = 0;
        loop {
            let row = match server.take() {
                Some(row) => Some(row),
                None => self.gateway.enabled_server(&self.caller.member, &self.slug).await.ok().flatten(),
            };
            let Some(row) = row else { return };
            match self.attempt(row).await {
                Ok(Attempt::None) => return,
                Ok(Attempt::Refused) => fruitless = fruitless.max(MAX_DOUBLINGS),
                Ok(Attempt::Again { fruitful: true }) => fruitless = 0,
                Ok(Attempt::Again { fruitful: false }) => fruitless += 1,
                Err(problem) => {
                    tracing::debug!(server = %self.slug, %problem, "a server's stream could not be opened");
                    fruitless += 1;
                }
            }
            if fruitless >= MAX_FRUITLESS {
                self.last_id = None;
            }
            self.tell_if_cut().await;
            if self.is_aside && self.last_id.is_none() {
                return;
            }
            let longer = self.retry.saturating_mul(1 << fruitless.min(MAX_DOUBLINGS));
            tokio::time::sleep(longer.min(LONGEST_WAIT).max(self.retry)).await;
        }
    }

    async fn attempt(&mut self, server: ServerRow) -> Result<Attempt, UpstreamProblem> {
        let outward = Outward::new(&self.session, &server);
        let (subscribed, session) = (Subscribed::now(&self.session, &server.id), Arc::clone(&self.session));
        let upstream = Upstream::open(&self.gateway, &self.caller, server, HeaderMap::new());
        self.upstream.replace(None);
        let upstream = Rc::new(upstream?);
        self.upstream.replace(Some(Rc::clone(&upstream)));
        let is_of_a_call = self.session.workspace.left_calls.knows(outward.server_id(), &self.after);
        let response = if self.is_aside || is_of_a_call {
            // Another session of the server's has nothing of it.
            let opened = upstream.session(&self.session).await?;
            upstream.get_within(upstream.patience(), &opened, self.last_id.as_ref()).await?
        } else {
            upstream.listen_after(&self.session, self.last_id.as_ref()).await?
        };
        if answer::is_event_stream(&response) {
            let events = UnaskedEvents::new(&upstream, &session, response.into_body(), subscribed);
            return Ok(Attempt::Again { fruitful: self.copy(&outward, events).await });
        }
        let status = response.status();
        answer::drain(response).await;
        if InVain::of(status) == InVain::NotNow {
            return Ok(Attempt::Again { fruitful: false });
        }
        // The event is too old, or the session another: from the beginning, then.
        let had_id = self.last_id.take().is_some();
        Ok(match status {
            _ if had_id => Attempt::Again { fruitful: false },
            StatusCode::METHOD_NOT_ALLOWED => Attempt::None,
            status if status.is_client_error() => Attempt::Refused,
            _ => Attempt::None,
        })
    }

    /// Passes events on until the stream ends; whether there were any. What is too long to be
    /// held is left out: it could not be told apart from another server's events.
    async fn copy(&mut self, outward: &Outward, mut events: UnaskedEvents<'_>) -> bool {
        let (mut fruitful, mut is_answered) = (false, false);
        let limit = QUIET_TIME * (1 << self.quiet_times.min(MAX_DOUBLINGS));
        let limit = if self.is_aside { limit } else { Duration::MAX };
        loop {
            let part = match tokio::time::timeout(limit, events.next()).await {
                Ok(Some(Ok(part))) => part,
                Ok(_) => break,
                Err(_) => {
                    // It may have no more to say now: asked again soon, which is no failure, but more
                    // and more seldom.
                    self.quiet_times += 1;
                    fruitful = true;
                    break;
                }
            };
            let Part::Event(held) = part else { continue };
            self.quiet_times = 0;
            if !self.after.is_empty() {
                self.session.workspace.left_calls.follow(outward.server_id(), &mut self.after, &held);
            }
            let fields = Fields::of(&held);
            if let Some(id) = &fields.id {
                self.last_id = HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty());
                if !self.is_aside {
                    self.session.workspace.note_own_event(&self.slug, id);
                }
            }
            if let Some(retry) = fields.retry {
                self.retry = Duration::from_millis(retry).clamp(SHORTEST_WAIT, MAX_RETRY);
            }
            let Some(data) = fields.data.as_ref().filter(|data| !data.is_empty()) else { continue };
            fruitful = true;
            is_answered = is_answered || is_answer(data);
            if self.caller.member.scope.limits_tools() && !may_hear(data) {
                continue;
            }
            if let Some(held) = outward.event(held, &fields, None) {
                let _ = self.events.send(held).await;
            }
        }
        if is_answered {
            // It was the stream of a request, and nothing more comes on it.
            self.last_id = None;
        }
        fruitful
    }
}

fn is_answer(data: &[u8]) -> bool {
    Envelope::parse(data).is_ok_and(|envelope| envelope.kind() == Kind::Response)
}
