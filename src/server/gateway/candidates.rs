//! Servers that may have a resource whose URI carries no slug: which of them are asked. One that
//! failed lately is left out, so that a dead server does not hold up every resource.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;

use super::addressing::Addressed;
use super::backoff::Standing;
use super::listing::ListKind;
use super::problem::UpstreamProblem;
use super::sessions::Session;
use super::side_by_side::join_all;
use super::upstream::Upstream;
use super::{Caller, Gateway};
use crate::server::store::ServerRow;

/// How long one of several servers may take to say whether a resource is its own.
pub(super) const TRY_TIME: Duration = Duration::from_secs(10);

impl Gateway {
    /// Of several servers those that answer and have resources, in the same order, each opened
    /// for the request. Their sessions are opened side by side, within [`TRY_TIME`].
    pub(super) async fn candidates(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        passing: &HeaderMap,
        addressed: Vec<Addressed>,
    ) -> Vec<(Addressed, Upstream)> {
        let opening = addressed.into_iter().map(|to| async move {
            let upstream = Upstream::open(self, caller, to.server.clone(), passing.clone()).ok()?;
            match self.backoff.standing(&to.server.id, &upstream.fingerprint()) {
                Standing::Well => {}
                Standing::Resting => return None,
                Standing::Due => {
                    let (gateway, session) = (Arc::clone(self), Arc::clone(session));
                    tokio::task::spawn_local(async move {
                        gateway.part_of_list(&session, ListKind::Resources, &upstream).await;
                    });
                    return None;
                }
            }
            let offers = tokio::time::timeout(TRY_TIME, upstream.offers(session)).await;
            match offers.unwrap_or(Err(UpstreamProblem::TimedOut)) {
                Ok(offers) => offers.resources.then_some((to, upstream)),
                Err(problem) => {
                    self.note_failure(&to.server, upstream.fingerprint(), problem);
                    None
                }
            }
        });
        join_all(opening).await.into_iter().flatten().collect()
    }

    /// Remembers that a server failed, if the problem is a sign of that.
    pub(super) fn note_failure(&self, server: &ServerRow, fingerprint: [u8; 32], problem: UpstreamProblem) {
        tracing::warn!(server = %server.slug, %problem, "a server did not say whether a resource is its own");
        if problem.is_of_a_dead_server() {
            self.backoff.failed(&server.id, fingerprint);
        }
    }
}
