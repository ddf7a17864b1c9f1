//! A resource whose URI carries no slug, for a client of the modern era: several servers are
//! asked until one has it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::header::CONTENT_TYPE;

use super::answering::{Asked, unknown_name};
use crate::server::body::AnswerBody;
use crate::server::gateway::Gateway;
use crate::server::gateway::addressing::Addressed;
use crate::server::gateway::answer::LIST_LIMIT;
use crate::server::gateway::candidates::{TRY_TIME, head_start};
use crate::server::gateway::message::Envelope;
use crate::server::gateway::problem::UpstreamProblem;
use crate::server::gateway::side_by_side::first_success;
use crate::server::gateway::sse::EventReader;

impl Gateway {
    /// The answer of the first server that has the resource.
    pub(super) async fn modern_try_each(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        addressed: Vec<Addressed>,
    ) -> Response<AnswerBody> {
        let (failed, refused) = (RefCell::new(None), Cell::new(false));
        let candidates = self.candidates(asked.caller, &asked.session, &asked.passing, addressed);
        let trying = candidates.into_iter().map(|candidate| async {
            let (to, upstream) = candidate.opened().await?;
            let trying = async { read(self.bridged(asked, upstream, to.message).await?).await };
            let tried = tokio::time::timeout(TRY_TIME, trying).await;
            let tried = tried.unwrap_or(Err(UpstreamProblem::TimedOut));
            let outcome = tried.as_ref().map(|_| ()).map_err(|problem| *problem);
            self.note_try(asked.caller, &to.server, outcome);
            match tried {
                Ok(Some(response)) => return Some(response),
                Ok(None) => refused.set(true),
                Err(problem) => {
                    let id = asked.envelope.id();
                    failed.replace(Some(Self::failed(asked.caller, &to.server, id, problem)));
                }
            }
            None
        });
        if let Some(found) = first_success(trying, head_start(asked.envelope.method())).await {
            return found;
        }
        failed.into_inner().filter(|_| !refused.get()).unwrap_or_else(|| unknown_name(asked.envelope.id()))
    }
}

/// The response with its body read whole; `None` if there is no result in it.
async fn read(response: Response<AnswerBody>) -> Result<Option<Response<AnswerBody>>, UpstreamProblem> {
    if let Some(problem) = response.extensions().get::<UpstreamProblem>() {
        return Err(*problem);
    }
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LIST_LIMIT).collect().await.map_err(|_| UpstreamProblem::Cut)?.to_bytes();
    let kind = parts.headers.get(CONTENT_TYPE);
    let has_result = if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        EventReader::default().push(&body).iter().any(|data| is_result(data))
    } else {
        is_result(&body)
    };
    Ok(has_result.then(|| Response::from_parts(parts, AnswerBody::of(body))))
}

fn is_result(message: &[u8]) -> bool {
    Envelope::parse(message).is_ok_and(|answer| answer.result().is_some())
}
