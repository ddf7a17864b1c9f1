//! Servers that may have a resource whose URI carries no slug: which of them are asked, and when.
//! One that failed lately is left out, and a slow one gets a head start only, so that neither
//! holds up every resource.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use tokio::task::JoinHandle;

use super::addressing::Addressed;
use super::backoff::{Part, Standing};
use super::listing::ListKind;
use super::problem::UpstreamProblem;
use super::sessions::Session;
use super::upstream::Upstream;
use super::{Caller, Gateway};
use crate::server::store::ServerRow;

/// How long one of several servers may take to say whether a resource is its own.
pub(super) const TRY_TIME: Duration = Duration::from_secs(10);

/// How long a server is asked alone, before the next one is asked too.
const HEAD_START: Duration = Duration::from_millis(300);

/// The same for a method. What may change something is asked of one server at a time.
pub(super) fn head_start(method: &str) -> Duration {
    if matches!(method, "resources/read" | "completion/complete") { HEAD_START } else { Duration::MAX }
}

/// A server that may be asked.
pub(super) struct Candidate {
    to: Addressed,
    opening: JoinHandle<Option<Upstream>>,
}

impl Candidate {
    /// The server with its session, if it answers and has resources.
    pub(super) async fn opened(self) -> Option<(Addressed, Upstream)> {
        let upstream = self.opening.await.ok()??;
        Some((self.to, upstream))
    }
}

impl Gateway {
    /// Of several servers those that did not fail lately, in the same order. Their sessions are
    /// opened side by side, each within [`TRY_TIME`], also if nobody waits for them any more: a
    /// session that is opened half-way is lost.
    pub(super) fn candidates(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        passing: &HeaderMap,
        addressed: Vec<Addressed>,
    ) -> Vec<Candidate> {
        let candidate = |to: Addressed| {
            let upstream = Upstream::open(self, caller, to.server.clone(), passing.clone()).ok()?;
            let rests = [ListKind::Tools, ListKind::Resources]
                .into_iter()
                .any(|kind| self.pages_to_ask(caller, session, kind, &upstream) == 0);
            if rests || upstream.standing(Part::BareResources).0 == Standing::Resting {
                return None;
            }
            let session = Arc::clone(session);
            let opening = async move { with_resources(&session, upstream).await };
            Some(Candidate { to, opening: tokio::task::spawn_local(opening) })
        };
        addressed.into_iter().filter_map(candidate).collect()
    }

    /// Writes down whether a server could say if it has a resource. One that took too long is left out
    /// for a while, for this token alone: it may have failed because of what was asked for.
    pub(super) fn note_try(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        server: &ServerRow,
        tried: Result<(), UpstreamProblem>,
    ) {
        let upstream = Upstream::open(self, caller, server.clone(), HeaderMap::new());
        match tried {
            Ok(()) => upstream.iter().for_each(|upstream| upstream.is_well(Part::BareResources)),
            Err(problem) => {
                note_failure(server, problem);
                if let (UpstreamProblem::TimedOut, Ok(upstream)) = (problem, upstream) {
                    upstream.rests(Part::BareResources, problem, 0);
                }
            }
        }
    }
}

async fn with_resources(session: &Session, upstream: Upstream) -> Option<Upstream> {
    let offers = tokio::time::timeout(TRY_TIME, upstream.offers(session)).await;
    match offers.unwrap_or(Err(UpstreamProblem::TimedOut)) {
        Ok(offers) => offers.resources.then_some(upstream),
        Err(problem) => {
            note_failure(&upstream.server, problem);
            upstream.rests(Part::Session, problem, 0);
            None
        }
    }
}

fn note_failure(server: &ServerRow, problem: UpstreamProblem) {
    tracing::warn!(server = %server.slug, %problem, "a server did not say whether a resource is its own");
}
