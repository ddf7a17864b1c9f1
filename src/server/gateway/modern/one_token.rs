//! What a server of the modern era says of a resource on the route of a workspace is for the
//! token that asked: without a slug the same URI may be another server's for another token, so
//! no cache may give it to all. All other bytes pass as they are.

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;

use super::result_type::Marker;
use crate::server::body::AnswerBody;
use crate::server::gateway::answer::is_event_stream;
use crate::server::gateway::relay_body::{BrokenOff, RelayBody};

/// The answer, to be kept for nobody else.
pub(super) fn for_one_token(response: Response<AnswerBody>) -> Response<AnswerBody> {
    let mut marker = Marker::private(is_event_stream(&response));
    response.map(|mut body| {
        if let Some(bytes) = body.whole() {
            return AnswerBody::of(marker.push(&bytes));
        }
        AnswerBody::Streamed(Box::pin(RelayBody::new(|outlet| async move {
            while let Some(frame) = body.frame().await {
                let piece = frame.map_err(|_| BrokenOff)?.into_data().map_err(|_: Frame<_>| ());
                outlet.send(marker.push(&piece.unwrap_or_default())).await;
            }
            Ok(())
        })))
    })
}
