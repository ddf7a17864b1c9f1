//! Some servers of the legacy era ask their client on the GET stream of their session and not
//! on that of the call. So while a client of the modern era that can be asked for something has
//! a call at such a server, that stream is open too, and what is asked there is put to the call
//! that it must belong to.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::unasked::Unasked;
use super::wanted_input::WantedInput;
use crate::server::gateway::answer;
use crate::server::gateway::event_splitter::{EventSplitter, Fields, Part};
use crate::server::gateway::pauses::DEFAULT_RETRY;
use crate::server::gateway::sessions::{Session, UpstreamSession};
use crate::server::gateway::upstream::Upstream;
use crate::server::gateway::upstream_body::UpstreamBody;
use crate::server::gateway::watched_body::{ServedBy, Standing};
use crate::server::gateway::{Caller, Gateway};
use crate::server::store::ServerRow;

/// How long a call waits for the stream; a server need not begin it before it has something to say.
const OPENING_TIME: Duration = Duration::from_secs(1);
/// How long the stream may take to begin.
const HEAD_TIME: Duration = Duration::from_mins(30);
/// How often it is looked whether calls are still under way, and how many looks without one
/// close the stream.
const LOOK_TIME: Duration = Duration::from_secs(10);
const IDLE_LOOKS: u32 = 3;

/// For how long a server may go on with a call that was left, and ask.
const DOUBT_TIME: Duration = Duration::from_mins(10);

/// The calls of one session that may be asked for something, by the server's id.
#[derive(Default)]
pub(in crate::server::gateway) struct Hearing(Mutex<HashMap<String, Calls>>);

#[derive(Default)]
struct Calls {
    under_way: Vec<Weak<WantedInput>>,
    /// Whether the stream of the upstream session with this id is open, or known not to exist.
    heard: Option<HeaderValue>,
    /// The upstream session whose stream does not begin by itself: nobody waits for it again.
    slow: Option<HeaderValue>,
    /// Upstream sessions, and until when what is asked there may be for a call that was left
    /// before its answer.
    doubtful: Vec<(Option<HeaderValue>, Instant)>,
}

impl Hearing {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Calls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, as long as it lives.
    pub(super) fn begin(&self, server_id: &str, wanted: &Arc<WantedInput>) {
        let mut all = self.all();
        let calls = all.entry(server_id.to_owned()).or_default();
        calls.under_way.retain(|one| one.strong_count() > 0);
        calls.under_way.push(Arc::downgrade(wanted));
    }

    /// Notes that a call in this upstream session is over without its answer. The server was
    /// told, but that is a wish.
    pub(super) fn left(&self, server_id: &str, session_id: Option<HeaderValue>) {
        let (mut all, now) = (self.all(), Instant::now());
        let doubtful = &mut all.entry(server_id.to_owned()).or_default().doubtful;
        doubtful.retain(|(id, until)| *id != session_id && now < *until);
        doubtful.push((session_id, now + DOUBT_TIME));
    }

    /// Whether the stream of this upstream session has to be opened; who asks does it.
    fn claim(&self, server_id: &str, session_id: &HeaderValue) -> bool {
        let mut all = self.all();
        let calls = all.entry(server_id.to_owned()).or_default();
        calls.heard.replace(session_id.clone()).as_ref() != Some(session_id)
    }

    /// Whether it is known that this stream is not there at once.
    fn is_slow(&self, server_id: &str, session_id: &HeaderValue) -> bool {
        self.all().get(server_id).is_some_and(|calls| calls.slow.as_ref() == Some(session_id))
    }

    fn note_slow(&self, server_id: &str, session_id: &HeaderValue, is_slow: bool) {
        if let Some(calls) = self.all().get_mut(server_id) {
            calls.slow = is_slow.then(|| session_id.clone());
        }
    }

    /// The stream is over; it may be opened again.
    fn release(&self, server_id: &str, session_id: &HeaderValue) {
        if let Some(calls) = self.all().get_mut(server_id) {
            calls.heard.take_if(|heard| heard == session_id);
        }
    }

    fn calls(&self, server_id: &str) -> Vec<Arc<WantedInput>> {
        let all = self.all();
        let calls = all.get(server_id).map(|calls| calls.under_way.as_slice()).unwrap_or_default();
        calls.iter().filter_map(Weak::upgrade).collect()
    }

    fn is_in_doubt(&self, server_id: &str, session_id: Option<&HeaderValue>) -> bool {
        let (all, now) = (self.all(), Instant::now());
        let mut doubtful = all.get(server_id).into_iter().flat_map(|calls| &calls.doubtful);
        doubtful.any(|(id, until)| id.as_ref() == session_id && now < *until)
    }

    /// Puts a message to the call it must belong to: the only one that can be in need of it.
    ///
    /// # Errors
    /// [`Unasked`] also if there are others, or there may be: one client's answer must not go
    /// to what another client's call asks.
    fn put(&self, server_id: &str, message: &[u8], made_in: &UpstreamSession) -> Result<(), Unasked> {
        let mut calls = self.calls(server_id);
        // Ids are unique in the session: all are told.
        if calls.iter().filter(|call| call.takes_back(message)).count() > 0 {
            return Ok(());
        }
        calls.retain(|call| !call.is_closed());
        let is_in_doubt = self.is_in_doubt(server_id, made_in.id.as_ref());
        match calls.as_slice() {
            [] => Err(Unasked::CannotBe),
            [only] if !is_in_doubt => only.ask(message, made_in),
            _ => Err(Unasked::WhoseItIs),
        }
    }
}

impl Gateway {
    /// Sees to it that the server is heard in this session while a call runs there.
    pub(super) async fn hear(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        server: &ServerRow,
        opened: &UpstreamSession,
    ) {
        // A server without sessions has nobody to ask.
        let Some(id) = opened.id.clone() else { return };
        let hearing = &session.workspace.hearing;
        if !hearing.claim(&server.id, &id) {
            return;
        }
        let own_id = id.clone();
        let (gateway, caller, session) = (Arc::clone(self), Rc::clone(caller), Arc::clone(session));
        let (project, in_use) = (Arc::clone(&self.project), Arc::clone(&self.in_use));
        let standing = Standing::new(project, in_use, caller.member.clone(), Some(ServedBy::of(server)));
        let (is_open, open) = oneshot::channel();
        let ear =
            Ear { gateway, caller, session, server: server.clone(), id: own_id, is_open: Some(is_open) };
        tokio::task::spawn_local(async move {
            let (session, server_id, id) = (Arc::clone(&ear.session), ear.server.id.clone(), ear.id.clone());
            let has_stream = tokio::select! {
                () = standing.lost() => true,
                () = session.ended() => true,
                has_stream = ear.listen() => has_stream,
            };
            if has_stream {
                session.workspace.hearing.release(&server_id, &id);
            }
        });
        if !hearing.is_slow(&server.id, &id) && tokio::time::timeout(OPENING_TIME, open).await.is_err() {
            hearing.note_slow(&server.id, &id, true);
        }
    }
}

/// Listens to one server.
struct Ear {
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    session: Arc<Session>,
    server: ServerRow,
    /// The upstream session's.
    id: HeaderValue,
    is_open: Option<oneshot::Sender<()>>,
}

impl Ear {
    /// Until no call is under way any more; `false` if there is no such stream.
    async fn listen(mut self) -> bool {
        let mut last_id = None;
        loop {
            let row = self.gateway.enabled_server(&self.caller.member, self.server.slug.as_str()).await;
            let Some(row) = row.ok().flatten().filter(|row| row.id == self.server.id) else { return true };
            let upstream = Upstream::open(&self.gateway, &self.caller, row, HeaderMap::new());
            let Ok(upstream) = upstream else { return true };
            let kept = self.session.slot(&self.server.id).lock().await.clone();
            let is_same = |kept: &UpstreamSession| {
                kept.id.as_ref() == Some(&self.id) && kept.fingerprint == upstream.fingerprint()
            };
            let Some(opened) = kept.filter(is_same) else { return true };
            let Some(response) = self.begun(&upstream, &opened, last_id.as_ref()).await else { return true };
            if !answer::is_event_stream(&response) {
                let is_lost = response.status() == hyper::StatusCode::NOT_FOUND;
                answer::drain(response).await;
                if is_lost {
                    upstream.forget(&self.session, &opened).await;
                }
                return is_lost;
            }
            if let Some(is_open) = self.is_open.take() {
                self.session.workspace.hearing.note_slow(&self.server.id, &self.id, false);
                let _ = is_open.send(());
            }
            if self.follow(&upstream, &opened, response.into_body(), &mut last_id).await {
                return true;
            }
            tokio::time::sleep(DEFAULT_RETRY).await;
        }
    }

    /// The stream's head, which a server may keep back until it has something to say; `None` if
    /// nobody needs it any more, or it failed.
    async fn begun(
        &self,
        upstream: &Upstream,
        opened: &UpstreamSession,
        last_id: Option<&HeaderValue>,
    ) -> Option<Response<UpstreamBody>> {
        let mut getting = Box::pin(upstream.get_within(HEAD_TIME, opened, last_id));
        let mut idle_looks = 0;
        while idle_looks < IDLE_LOOKS {
            if let Ok(response) = tokio::time::timeout(LOOK_TIME, &mut getting).await {
                return response.ok();
            }
            let is_idle = self.session.workspace.hearing.calls(&self.server.id).is_empty();
            idle_looks = if is_idle { idle_looks + 1 } else { 0 };
        }
        None
    }

    /// Hears one connection to its end; whether nobody needs another one.
    async fn follow(
        &self,
        upstream: &Upstream,
        opened: &UpstreamSession,
        mut body: UpstreamBody,
        last_id: &mut Option<HeaderValue>,
    ) -> bool {
        let hearing = &self.session.workspace.hearing;
        let (mut splitter, mut idle_looks) = (EventSplitter::default(), 0);
        loop {
            let frame = tokio::time::timeout(LOOK_TIME, body.frame()).await;
            idle_looks = if hearing.calls(&self.server.id).is_empty() { idle_looks + 1 } else { 0 };
            let piece = match frame {
                Err(_) if idle_looks >= IDLE_LOOKS => return true,
                Err(_) => continue,
                Ok(Some(Ok(frame))) => frame.into_data().map_err(|_: Frame<_>| ()).unwrap_or_default(),
                Ok(None | Some(Err(_))) => return body.is_outdated() || idle_looks > 0,
            };
            for part in splitter.push(&piece) {
                let Part::Event(held) = part else { continue };
                let fields = Fields::of(&held);
                if let Some(id) = &fields.id {
                    *last_id = HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty());
                }
                let Some(data) = fields.data else { continue };
                if let Err(why) = hearing.put(&self.server.id, &data, opened) {
                    upstream.refuse(Some(opened), &data, why).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::gateway::modern::parked_calls::Budget;
    use crate::server::gateway::modern::tests::opened;

    fn put(hearing: &Hearing, server_id: &str, message: &[u8]) -> bool {
        hearing.put(server_id, message, &opened()).is_ok()
    }

    const ROOTS: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;

    fn call(hearing: &Hearing) -> Arc<WantedInput> {
        let wanted = Arc::new(WantedInput::new("tools/call", &json!({"roots": {}}), Budget::default()));
        hearing.begin("s", &wanted);
        wanted
    }

    #[test]
    fn a_request_goes_to_the_one_call_it_must_belong_to() {
        let hearing = Hearing::default();
        assert!(!put(&hearing, "s", ROOTS));
        let first = call(&hearing);
        assert!(!put(&hearing, "other", ROOTS) && put(&hearing, "s", ROOTS) && first.is_open());
        let two = br#"{"jsonrpc":"2.0","id":2,"method":"roots/list"}"#;
        let second = call(&hearing);
        assert!(!put(&hearing, "s", two) && !second.is_open(), "it may be the first one that asks again");
        let back = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert!(put(&hearing, "s", back) && !first.is_open(), "ids say whose it is");
        drop(first);
        assert!(put(&hearing, "s", two) && second.is_open());
        drop(second);
        assert!(!put(&hearing, "s", ROOTS));
    }

    #[test]
    fn calls_that_are_answered_do_not_count_and_calls_that_were_left_do() {
        let hearing = Hearing::default();
        let (answered, other) = (call(&hearing), call(&hearing));
        assert!(!put(&hearing, "s", ROOTS));
        answered.close();
        assert!(put(&hearing, "s", ROOTS) && other.is_open() && !answered.is_open());
        hearing.left("t", None);
        hearing.left("s", Some(HeaderValue::from_static("another session")));
        let two = br#"{"jsonrpc":"2.0","id":2,"method":"roots/list"}"#;
        assert!(put(&hearing, "s", two), "it was elsewhere");
        hearing.left("s", None);
        let three = br#"{"jsonrpc":"2.0","id":3,"method":"roots/list"}"#;
        assert!(!put(&hearing, "s", three));
    }

    #[test]
    fn a_stream_that_is_not_there_at_once_is_not_waited_for_again() {
        let hearing = Hearing::default();
        let (one, two) = (HeaderValue::from_static("1"), HeaderValue::from_static("2"));
        assert!(hearing.claim("s", &one) && !hearing.is_slow("s", &one));
        hearing.note_slow("s", &one, true);
        assert!(hearing.is_slow("s", &one) && !hearing.is_slow("s", &two) && !hearing.is_slow("t", &one));
        hearing.note_slow("s", &one, false);
        assert!(!hearing.is_slow("s", &one));
    }

    #[test]
    fn a_session_is_heard_once() {
        let hearing = Hearing::default();
        let (one, two) = (HeaderValue::from_static("1"), HeaderValue::from_static("2"));
        assert!(hearing.claim("s", &one) && !hearing.claim("s", &one) && hearing.claim("t", &one));
        hearing.release("s", &two);
        assert!(!hearing.claim("s", &one));
        hearing.release("s", &one);
        assert!(hearing.claim("s", &one) && hearing.claim("s", &two));
    }
}
