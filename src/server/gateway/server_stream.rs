//! The stream of unrelated messages of one server, as it feeds the one stream of a client of
//! the workspace. It is opened again when it ends, after the last event that came; a server
//! that has no such stream is left alone.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::answer;
use super::event_splitter::{Fields, Part};
use super::message::{Envelope, Kind};
use super::outward::Outward;
use super::pauses::{DEFAULT_RETRY, MAX_RETRY};
use super::problem::UpstreamProblem;
use super::scoped_message::may_hear;
use super::sessions::{Session, UpstreamSession};
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

/// A stream that is kept open. Dropping it closes it.
pub(super) struct ServerStream {
    task: AbortHandle,
    server_id: String,
    /// The upstream session it belongs to, once it is open.
    session: Rc<RefCell<Option<UpstreamSession>>>,
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
    events: mpsc::Sender<Vec<u8>>,
    opened: Rc<RefCell<Option<UpstreamSession>>>,
    last_id: Option<HeaderValue>,
    retry: Duration,
}

impl ServerStream {
    /// Begins to feed `events` with what the server says, after the event `last_id` if there is one.
    pub(super) fn start(
        gateway: Arc<Gateway>,
        caller: Rc<Caller>,
        session: Arc<Session>,
        server: ServerRow,
        events: mpsc::Sender<Vec<u8>>,
        last_id: Option<HeaderValue>,
    ) -> Self {
        let opened = Rc::new(RefCell::new(None));
        let (server_id, slug) = (server.id.clone(), server.slug.to_string());
        let retry = DEFAULT_RETRY;
        let feed =
            Feed { gateway, caller, session, slug, events, opened: Rc::clone(&opened), last_id, retry };
        let task = tokio::task::spawn_local(feed.run(server)).abort_handle();
        Self { task, server_id, session: opened }
    }

    /// Whether it belongs to the upstream session that is in use now. One that has none yet,
    /// or no stream, is not disturbed.
    pub(super) fn is_current(&self, session: &Session) -> bool {
        let slot = session.slot(&self.server_id);
        let Ok(kept) = slot.try_lock() else { return true };
        match (&*self.session.borrow(), &*kept) {
            (Some(own), Some(kept)) => own.id == kept.id,
            _ => true,
        }
    }
}

impl Feed {
    async fn run(mut self, server: ServerRow) {
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
            let longer = self.retry.saturating_mul(1 << fruitless.min(6_u32));
            tokio::time::sleep(longer.min(LONGEST_WAIT).max(self.retry)).await;
        }
    }

    async fn attempt(&mut self, server: ServerRow) -> Result<Attempt, UpstreamProblem> {
        let outward = Outward::new(&self.session, &server);
        let (subscribed, session) = (Subscribed::now(&self.session, &server.id), Arc::clone(&self.session));
        let upstream = Upstream::open(&self.gateway, &self.caller, server, HeaderMap::new())?;
        let response = upstream.listen_after(&self.session, self.last_id.as_ref()).await?;
        let kept = self.session.slot(&upstream.server.id).lock().await.clone();
        self.opened.replace(kept);
        if answer::is_event_stream(&response) {
            let events = UnaskedEvents::new(&upstream, &session, response.into_body(), subscribed);
            return Ok(Attempt::Again { fruitful: self.copy(&outward, events).await });
        }
        let status = response.status();
        answer::drain(response).await;
        // The event is too old, or the session another: from the beginning, then.
        let had_id = self.last_id.take().is_some();
        let later = had_id || status.is_server_error() || status == hyper::StatusCode::CONFLICT;
        Ok(if later { Attempt::Again { fruitful: false } } else { Attempt::None })
    }

    /// Passes events on until the stream ends; whether there were any. What is too long to be
    /// held is left out: it could not be told apart from another server's events.
    async fn copy(&mut self, outward: &Outward, mut events: UnaskedEvents<'_>) -> bool {
        let (mut fruitful, mut is_answered) = (false, false);
        while let Some(Ok(part)) = events.next().await {
            let Part::Event(held) = part else { continue };
            let fields = Fields::of(&held);
            if let Some(id) = &fields.id {
                self.last_id = HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty());
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
