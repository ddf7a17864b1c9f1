//! The requests of one client session that servers work on: which server has which, whether the
//! client took one back, and when its server last told of progress. What a server says about a
//! request is believed only if the request is one of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::event_splitter::Fields;
use super::message::Envelope;
use super::naming::member;
use super::outward::is_same_id;
use super::problem::UpstreamProblem;
use super::sessions::Session;

/// Requests that are over and whose answers may still come, on a stream that the client resumes.
const MAX_LEFT: usize = 64;
/// Longest id of such a one, in bytes.
const LONGEST_LEFT: usize = 128;
/// How long a server of the legacy era gets to end the stream of a request that was taken back.
const GRACE: Duration = Duration::from_secs(2);

/// All of one session, by their ids as they were written.
#[derive(Default)]
pub(super) struct CallsUnderWay(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Several servers may be asked for the same resource at once.
    calls: HashMap<String, Vec<Arc<Call>>>,
    /// Id and server of requests that are over, the newest last.
    left: VecDeque<(String, String)>,
}

/// One of them.
struct Call {
    server_id: String,
    /// As it was written.
    progress_token: Option<String>,
    /// Closing the connection is what cancels it at its server.
    is_modern: AtomicBool,
    word: Notify,
    is_cancelled: AtomicBool,
    progressed: Mutex<Option<Instant>>,
}

/// A request that is under way, as long as this lives.
pub(super) struct CallUnderWay {
    session: Arc<Session>,
    id: String,
    call: Arc<Call>,
}

/// Goes with an answer: tells whether its request was taken back.
#[derive(Clone)]
pub(super) struct Mark(Arc<Call>);

impl Mark {
    /// Whether it was.
    pub(super) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::Relaxed)
    }

    /// Does the work, unless the request is taken back, and its server ends its answer late.
    pub(super) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.is_over() => None,
            done = work => Some(done),
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The progress token in the parameters of a request, as it is written.
pub(super) fn progress_token(envelope: &Envelope<'_>) -> Option<String> {
    let meta = envelope.params().and_then(|params| member(params, "_meta"))?;
    member(meta, "progressToken").map(RawValue::get).map(str::to_owned)
}

/// On the route of one server: notes that the server told of progress.
pub(super) fn note_progress(session: &Session, event: &[u8]) {
    let Some(data) = Fields::of(event).data else { return };
    let Ok(envelope) = Envelope::parse(&data) else { return };
    if envelope.method() == "notifications/progress"
        && let Some(server_id) = session.server_id()
        && let Some(token) = envelope.params().and_then(|params| member(params, "progressToken"))
    {
        session.workspace.calls.progressed(server_id, token.get());
    }
}

impl CallsUnderWay {
    fn table(&self) -> MutexGuard<'_, Table> {
        unpoisoned(&self.0)
    }

    fn find(&self, server_id: &str, id: &str) -> Option<Arc<Call>> {
        self.table().calls.get(id)?.iter().rfind(|call| call.server_id == server_id).cloned()
    }

    /// The client takes a request back. Returns the servers that have it: once their calls have heard
    /// of it, they may be gone.
    pub(super) fn cancel(&self, id: &str) -> Vec<String> {
        let table = self.table();
        let tell = |call: &Arc<Call>| {
            call.is_cancelled.store(true, Ordering::SeqCst);
            call.word.notify_waiters();
            call.server_id.clone()
        };
        table.calls.get(id).into_iter().flatten().map(tell).collect()
    }

    /// Returns when the request with this id at a server is taken back; never if there is none.
    pub(super) async fn cancelled(&self, server_id: &str, id: &str) {
        match self.find(server_id, id) {
            Some(call) => call.is_taken_back().await,
            None => std::future::pending().await,
        }
    }

    /// Whether an answer with this id may come from a server apart from the request: on a stream
    /// that is resumed, to a request that it has or had.
    pub(super) fn is_of(&self, server_id: &str, id: &str) -> bool {
        let table = self.table();
        match table.calls.get(id) {
            Some(calls) => calls.iter().any(|call| call.server_id == server_id),
            None => table.left.iter().any(|(left, server)| server == server_id && is_same_id(left, id)),
        }
    }

    /// Notes that a server told of progress; `false` if the token is that of a request which another
    /// server has.
    pub(super) fn progressed(&self, server_id: &str, token: &str) -> bool {
        let table = self.table();
        let has_token =
            |call: &&Arc<Call>| call.progress_token.as_ref().is_some_and(|own| is_same_id(own, token));
        let mut is_foreign = false;
        for call in table.calls.values().flatten().filter(has_token) {
            if call.server_id == server_id {
                *unpoisoned(&call.progressed) = Some(Instant::now());
                return true;
            }
            is_foreign = true;
        }
        !is_foreign
    }

    /// Does the work for a request, whose server may be silent for so long. Progress that is told on
    /// another stream counts, and so does the client's word that it takes the request back.
    pub(super) async fn patiently<T>(
        &self,
        (server_id, id): (&str, &str),
        patience: Duration,
        work: impl Future<Output = Result<T, UpstreamProblem>>,
    ) -> Result<T, UpstreamProblem> {
        let (mut work, began) = (std::pin::pin!(work), Instant::now());
        let Some(call) = self.find(server_id, id) else {
            return tokio::time::timeout(patience, work).await.unwrap_or(Err(UpstreamProblem::TimedOut));
        };
        if call.is_cancelled.load(Ordering::SeqCst) {
            // Nothing was sent.
            return Err(UpstreamProblem::Cancelled);
        }
        loop {
            let left = patience.saturating_sub(call.silent_since(began).elapsed());
            if left.is_zero() {
                return Err(UpstreamProblem::TimedOut);
            }
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(left) => {}
                () = call.is_over() => return Err(UpstreamProblem::Cancelled),
            }
        }
    }
}

impl Call {
    fn silent_since(&self, moment: Instant) -> Instant {
        unpoisoned(&self.progressed).map_or(moment, |progressed| progressed.max(moment))
    }

    /// Returns when the client takes the request back.
    async fn is_taken_back(&self) {
        let mut word = std::pin::pin!(self.word.notified());
        // Heard from here on: a word that was given before is seen in the flag.
        word.as_mut().enable();
        if !self.is_cancelled.load(Ordering::SeqCst) {
            word.await;
        }
    }

    /// Returns when it was taken back, and its server had the time to end its answer.
    async fn is_over(&self) {
        self.is_taken_back().await;
        if !self.is_modern.load(Ordering::Relaxed) {
            tokio::time::sleep(GRACE).await;
        }
    }
}

impl CallUnderWay {
    /// Notes that a server gets a request of the session.
    pub(super) fn begin(session: &Arc<Session>, server_id: &str, envelope: &Envelope<'_>) -> Self {
        Self::with_id(session, server_id, envelope.id(), progress_token(envelope))
    }

    /// The same under an id of the gateway's own.
    pub(super) fn with_id(
        session: &Arc<Session>,
        server_id: &str,
        id: &str,
        progress_token: Option<String>,
    ) -> Self {
        let call = Arc::new(Call {
            server_id: server_id.to_owned(),
            progress_token,
            is_modern: AtomicBool::new(false),
            word: Notify::new(),
            is_cancelled: AtomicBool::new(false),
            progressed: Mutex::default(),
        });
        let mut table = session.workspace.calls.table();
        table.left.retain(|(left, _)| left != id);
        table.calls.entry(id.to_owned()).or_default().push(Arc::clone(&call));
        drop(table);
        Self { session: Arc::clone(session), id: id.to_owned(), call }
    }

    /// The same as one of several of a search, unless that was taken back.
    pub(super) fn of_search(
        session: &Arc<Session>,
        server_id: &str,
        id: &str,
        search: Option<&Self>,
    ) -> Option<Self> {
        // Noted before it is looked: who takes the request back meanwhile finds this one.
        let call = Self::with_id(session, server_id, id, None);
        (!search.is_some_and(Self::is_cancelled)).then_some(call)
    }

    /// Its server is of the modern era.
    pub(super) fn is_at_a_modern_server(&self) {
        self.call.is_modern.store(true, Ordering::Relaxed);
    }

    /// The client has seen this event of its stream, and may ask for what comes after it.
    pub(super) fn may_go_on_after(&self, event_id: &[u8]) {
        if !self.session.is_bridge() && !self.is_cancelled() {
            self.session.workspace.left_calls.note(&self.call.server_id, event_id, &self.id);
        }
    }

    /// The client has got its answer, or an error.
    pub(super) fn is_settled(&self) {
        self.session.workspace.left_calls.forget(&self.id);
    }

    /// Its id, as it was written.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the client took it back.
    pub(super) fn is_cancelled(&self) -> bool {
        self.call.is_cancelled.load(Ordering::Relaxed)
    }

    /// Since when the server is silent that said something at this moment.
    pub(super) fn silent_since(&self, moment: Instant) -> Instant {
        self.call.silent_since(moment)
    }

    /// What goes with the answer.
    pub(super) fn mark(&self) -> Mark {
        Mark(Arc::clone(&self.call))
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.session.workspace.left_calls.leave(&self.id);
        let mut table = self.session.workspace.calls.table();
        if let Some(calls) = table.calls.get_mut(&self.id) {
            calls.retain(|call| !Arc::ptr_eq(call, &self.call));
            if calls.is_empty() {
                table.calls.remove(&self.id);
            }
        }
        if self.id.len() > LONGEST_LEFT {
            return;
        }
        if table.left.len() >= MAX_LEFT {
            table.left.pop_front();
        }
        table.left.push_back((self.id.clone(), self.call.server_id.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::Member;
    use crate::server::gateway::sessions::{Scope, Sessions};

    fn session() -> Arc<Session> {
        Sessions::new().open(&Member::default(), Scope::Workspace, hyper::body::Bytes::new(), "").unwrap().0
    }

    #[test]
    fn a_server_is_believed_about_its_own_requests_only() {
        let session = session();
        let calls = &session.workspace.calls;
        let begin = |server: &str, id: &str, token: Option<&str>| {
            CallUnderWay::with_id(&session, server, id, token.map(str::to_owned))
        };
        let one = begin("a", "1", Some("7"));
        assert_eq!((calls.cancel("1"), calls.cancel("2")), (vec!["a".to_owned()], Vec::new()));
        assert!(calls.is_of("a", "1") && !calls.is_of("b", "1"));
        let before = Instant::now();
        assert!(!calls.progressed("b", "7") && one.silent_since(before) == before);
        assert!(calls.progressed("a", "7") && one.silent_since(before) > before);
        assert!(calls.progressed("b", "8"), "nobody's");
        let two = begin("b", "2", Some("7"));
        assert!(calls.progressed("b", "7"), "two requests with one token");
        drop((one, two));
        assert!(calls.is_of("a", "1") && !calls.is_of("b", "1") && calls.is_of("b", "2.0"));
        let again = begin("b", "1", None);
        assert!(!calls.is_of("a", "1"));
        drop(again);
        assert!(!calls.is_of("a", "1") && calls.is_of("b", "1"));
        for id in 0..MAX_LEFT {
            drop(begin("a", &format!("\"{id}\""), None));
        }
        assert!(!calls.is_of("b", "1"));
        let long = format!("\"{}\"", "x".repeat(LONGEST_LEFT));
        drop(begin("a", &long, None));
        assert!(!calls.is_of("a", &long));
    }

    #[test]
    fn a_search_that_was_taken_back_asks_nobody_else() {
        let session = session();
        let begin = |search: &CallUnderWay| CallUnderWay::of_search(&session, "b", "1", Some(search));
        let search = CallUnderWay::with_id(&session, "", "1", None);
        let first = begin(&search).unwrap();
        assert_eq!(session.workspace.calls.cancel("1"), ["", "b"]);
        assert!(first.is_cancelled() && begin(&search).is_none());
        drop((first, search));
        assert!(session.workspace.calls.cancel("1").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_silence_or_the_clients_word() {
        let session = session();
        let calls = &session.workspace.calls;
        let wait =
            |id| calls.patiently(("a", id), Duration::from_secs(10), std::future::pending::<Result<(), _>>());
        let call = CallUnderWay::with_id(&session, "a", "1", Some("\"t\"".to_owned()));
        let began = Instant::now();
        let telling = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            assert!(calls.progressed("a", "\"t\""));
        };
        assert_eq!(tokio::join!(wait("1"), telling).0, Err(UpstreamProblem::TimedOut));
        assert_eq!(began.elapsed().as_secs(), 19);
        assert!(!call.is_cancelled());
        let began = Instant::now();
        let taking_back = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            calls.cancel("1");
        };
        assert_eq!(tokio::join!(wait("1"), taking_back).0, Err(UpstreamProblem::Cancelled));
        assert_eq!(began.elapsed(), Duration::from_secs(1) + GRACE);
        assert_eq!(wait("1").await, Err(UpstreamProblem::Cancelled));
        let began = Instant::now();
        assert_eq!(call.mark().unless_cancelled(std::future::pending::<()>()).await, None);
        assert_eq!((began.elapsed(), call.is_cancelled()), (GRACE, true));
        call.is_at_a_modern_server();
        assert_eq!(call.mark().unless_cancelled(std::future::pending::<()>()).await, None);
        assert_eq!(began.elapsed(), GRACE, "at once");
        for _ in 0..20 {
            let answer = call.mark().unless_cancelled(std::future::ready(())).await;
            assert_eq!(answer, None, "also if it comes in the same moment");
        }
        assert_eq!(wait("2").await, Err(UpstreamProblem::TimedOut), "one that is not noted");
    }
}
