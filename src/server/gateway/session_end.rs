//! The end of client sessions that the client does not end itself: those that were idle for
//! too long, and those that had to make room. Their upstream sessions are ended on a task of
//! its own, best effort.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;

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
        let (now, next) = (clock::now(), self.next_sweep.load(Ordering::Relaxed));
        let is_time = now >= next
            && self
                .next_sweep
                .compare_exchange(next, now + SWEEP_MILLIS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_time {
            self.end_upstream(pool, self.sessions.expired());
        }
    }

    pub(super) fn end_upstream(self: &Arc<Self>, pool: &Rc<UpstreamPool>, sessions: Vec<Arc<Session>>) {
        for session in sessions {
            session.end();
            let (gateway, pool) = (Arc::clone(self), Rc::clone(pool));
            tokio::task::spawn_local(async move {
                let member = session.member.clone();
                let request_id = "end-of-session".to_owned();
                let caller = Rc::new(Caller { pool, request_id, member, route: Route::Workspace });
                let ending = gateway.end_upstream_sessions(&caller, &session);
                let _ = tokio::time::timeout(GOODBYE_TIME, ending).await;
            });
        }
    }
}
