//! One request to one server. If its settings change while the request is on its way to the
//! first byte, it is made with the new ones: it was not sent with the old.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::HeaderMap;

use super::answer::Answer;
use super::backoff::Part;
use super::message::Envelope;
use super::problem::UpstreamProblem;
use super::sessions::Session;
use super::upstream::Upstream;
use super::{Caller, Gateway};
use crate::server::store::ServerRow;

/// How often a request begins again because of changes.
pub(super) const MAX_STARTS: usize = 32;

impl Gateway {
    /// Sends a request in the session of a client of the legacy era. The answer comes with the server as it was
    /// called; there is none if the request was not made at all.
    pub(super) async fn call(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Session,
        server: ServerRow,
        passing: &HeaderMap,
        message: Bytes,
    ) -> Result<(Upstream, Result<Answer, UpstreamProblem>), UpstreamProblem> {
        let named = server.clone();
        // On the heap: it is as large as all that a call can take.
        let calling = Box::pin(self.begin_call(caller, session, server, passing, message));
        self.while_served(caller, &named, calling).await.unwrap_or(Err(UpstreamProblem::Removed))
    }

    async fn begin_call(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Session,
        mut server: ServerRow,
        passing: &HeaderMap,
        message: Bytes,
    ) -> Result<(Upstream, Result<Answer, UpstreamProblem>), UpstreamProblem> {
        for _ in 1..MAX_STARTS {
            let envelope = Envelope::parse(&message);
            let method = envelope.as_ref().map_or("", Envelope::method);
            let upstream = Upstream::open(self, caller, server.clone(), passing.clone())?.hurried(method);
            let answered = upstream.request(session, message.clone()).await;
            if !matches!(answered, Err(UpstreamProblem::Outdated)) {
                let id = envelope.as_ref().map_or("null", Envelope::id);
                if answered.is_ok() {
                    upstream.is_well(Part::Session);
                }
                return Ok((upstream, answered.map(|answer| answer.for_legacy(id))));
            }
            server = self.as_it_is_now(caller, &server).await?;
        }
        Err(UpstreamProblem::Outdated)
    }

    /// The server with its settings of this moment.
    pub(super) async fn as_it_is_now(
        &self,
        caller: &Caller,
        server: &ServerRow,
    ) -> Result<ServerRow, UpstreamProblem> {
        let now = self.enabled_server(&caller.member, server.slug.as_str()).await.ok().flatten();
        now.filter(|now| now.id == server.id).ok_or(UpstreamProblem::Outdated)
    }
}
