//! The end of client sessions that the client does not end itself: those that were idle for
//! too long, and those that had to make room. Their upstream sessions are ended on a task of
//! its own, best effort.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::sessions::{Scope, Session};
use super::{Caller, Gateway, Route, UpstreamPool};
use crate::server::clock::{self, Millis};
use crate::server::randomness::RandomnessFailed;

/// How often idle sessions are looked for, in milliseconds; each time with a request.
const SWEEP_MILLIS: Millis = 60 * 1000;
/// How long the upstream sessions of one client session may take to end.
const GOODBYE_TIME: Duration = Duration::from_secs(10);

impl Gateway {
    /// Opens a session for the caller; what has to make room for it is ended.
    pub(super) fn open_session(
        self: &Arc<Self>,
        caller: &Caller,
        scope: Scope,
        initialize: Bytes,
        protocol: &str,
    ) -> Result<Arc<Session>, RandomnessFailed> {
        let (session, gone) = self.sessions.open(&caller.member, scope, initialize, protocol)?;
        self.end_upstream(&caller.pool, gone);
        Ok(session)
    }

    /// Ends the sessions that were idle for too long, now and then.
    pub(super) fn sweep_sessions(self: &Arc<Self>, pool: &Rc<UpstreamPool>) {
        let (now, next) = (clock::monotonic(), self.next_sweep.load(Ordering::Relaxed));
        let is_time = now >= next
            && self
                .next_sweep
                .compare_exchange(next, now + SWEEP_MILLIS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_time {
            self.end_upstream(pool, self.sessions.expired());
            let (gateway, pool) = (Arc::clone(self), Rc::clone(pool));
            tokio::task::spawn_local(async move { gateway.end_sessions_of_lost_tokens(&pool).await });
        }
    }

    /// Ends the sessions of tokens that are not accepted any more: their clients cannot.
    async fn end_sessions_of_lost_tokens(self: &Arc<Self>, pool: &Rc<UpstreamPool>) {
        for member in self.sessions.members() {
            if !self.project.authenticator.still_accepts(&member).await.unwrap_or(true) {
                self.end_upstream(pool, self.sessions.take_all_of(&member));
            }
        }
    }

    pub(super) fn end_upstream(self: &Arc<Self>, pool: &Rc<UpstreamPool>, sessions: Vec<Arc<Session>>) {
        for session in sessions {
            session.end();
            let (gateway, pool) = (Arc::clone(self), Rc::clone(pool));
            tokio::task::spawn_local(async move {
                let member = session.member.clone();
                let request_id = "end-of-session".to_owned();
                let caller = Rc::new(Caller::new(pool, request_id, member, Route::Workspace));
                let ending = gateway.end_upstream_sessions(&caller, &session);
                let _ = tokio::time::timeout(GOODBYE_TIME, ending).await;
            });
        }
    }
}

/// A session that ends when this is dropped, at the servers too.
pub(super) struct HeldSession(#[expect(dead_code, reason = "its drop is what counts")] oneshot::Sender<()>);

impl HeldSession {
    /// For a session of the caller's. To be called on a worker's thread.
    pub(super) fn new(gateway: &Arc<Gateway>, caller: &Rc<Caller>, session: &Arc<Session>) -> Self {
        let (held, dropped) = oneshot::channel();
        let (gateway, pool, session) = (Arc::clone(gateway), Rc::clone(&caller.pool), Arc::clone(session));
        // The task waits from the start, because nothing can be begun while it is dropped.
        tokio::task::spawn_local(async move {
            let _ = dropped.await;
            gateway.sessions.close(&session);
            gateway.end_upstream(&pool, vec![session]);
        });
        Self(held)
    }
}
