//! Servers that may have a resource whose URI carries no slug: which of them are asked. One that
//! failed lately is left out, so that a dead server does not hold up every resource.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;

use super::addressing::Addressed;
use super::backoff::{Part, Standing};
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
            match self.backoff.standing(&to.server.id, Part::Session, &upstream.fingerprint()) {
                Standing::Well => {}
                Standing::Resting => return None,
                Standing::Due => {
                    self.ask_beside(caller, session, ListKind::Tools, to.server);
                    return None;
                }
            }
            let offers = tokio::time::timeout(TRY_TIME, upstream.offers(session)).await;
            match offers.unwrap_or(Err(UpstreamProblem::TimedOut)) {
                Ok(offers) => offers.resources.then_some((to, upstream)),
                Err(problem) => {
                    note_failure(&to.server, problem);
                    if problem.is_of_a_dead_server() {
                        self.backoff.failed(&to.server.id, Part::Session, upstream.fingerprint());
                    }
                    None
                }
            }
        });
        join_all(opening).await.into_iter().flatten().collect()
    }
}

/// Writes down that a server failed to say whether it has a resource. It is asked again the next
/// time: it may have failed because of what this client asked for, and another member's requests
/// must not suffer from that.
pub(super) fn note_failure(server: &ServerRow, problem: UpstreamProblem) {
    tracing::warn!(server = %server.slug, %problem, "a server did not say whether a resource is its own");
}
