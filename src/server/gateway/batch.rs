//! Several messages in one POST: an array of them, which version 2025-03-26 of the protocol
//! makes servers take, and no other version knows. Each is answered as if it had come alone;
//! the answers go back together.

use std::rc::Rc;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::value::RawValue;

use super::event_splitter::event;
use super::message::{Envelope, Kind};
use super::relay::streamed;
use super::relay_body::{BrokenOff, Outlet};
use super::sessions::Answering;
use super::side_by_side::join_all;
use super::single::accepted;
use super::{Caller, Gateway};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;

/// The only version with batches.
const BATCH_VERSION: &str = "2025-03-26";
/// Messages in one batch.
const MAX_MESSAGES: usize = 100;

impl Gateway {
    /// Answers a batch. `None` if the body is none, or one that this session may not send.
    pub(super) async fn batch(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Response<AnswerBody>> {
        let messages: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
        let session = self.session(caller, headers).ok()?;
        if session.protocol != BATCH_VERSION || messages.is_empty() || messages.len() > MAX_MESSAGES {
            return None;
        }
        let messages: Vec<Bytes> =
            messages.iter().map(|message| Bytes::copy_from_slice(message.get().as_bytes())).collect();
        let envelopes: Option<Vec<Envelope<'_>>> =
            messages.iter().map(|message| Envelope::parse(message).ok()).collect();
        let envelopes = envelopes?;
        if envelopes.iter().any(|envelope| envelope.method() == "initialize" || envelope.is_modern()) {
            return None;
        }
        let answering = envelopes.iter().zip(&messages).map(|(envelope, message)| async move {
            // On the heap: it is as large as all that answering can take.
            let (answer, refused) = match self.admit(caller, envelope, message) {
                Some(refusal) => (refusal, true),
                None => (Box::pin(self.dispatch(caller, headers, envelope, message.clone())).await, false),
            };
            Part { wants_answer: envelope.kind() == Kind::Request, refused, answer }
        });
        let parts = join_all(answering).await;
        let too_many = wait_of_all(&parts);
        let (wanted, others): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.wants_answer);
        if wanted.is_empty()
            && let Some(refused) = others.into_iter().find(|part| part.refused)
        {
            // Nobody waits for an answer to one of them: the refusal is that of the whole.
            return Some(refused.answer);
        }
        let mut response = together(wanted.into_iter().map(|part| part.answer).collect()).await;
        if let Some(headers) = too_many {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().extend(headers);
        }
        Some(response)
    }
}

/// What came of one message.
struct Part {
    wants_answer: bool,
    /// It went no further than admission.
    refused: bool,
    answer: Response<AnswerBody>,
}

/// If the rate limit refused every message: the headers of the refusal that asks for the longest wait.
fn wait_of_all(parts: &[Part]) -> Option<HeaderMap> {
    let is_over = |part: &Part| part.refused && part.answer.status() == StatusCode::TOO_MANY_REQUESTS;
    if !parts.iter().all(is_over) {
        return None;
    }
    let wait = |headers: &&HeaderMap| {
        let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse::<u64>().ok())
    };
    parts.iter().map(|part| part.answer.headers()).max_by_key(wait).cloned()
}

/// One answer of several: an array if all are whole JSON, or else one stream.
async fn together(answers: Vec<Response<AnswerBody>>) -> Response<AnswerBody> {
    if answers.is_empty() {
        return accepted();
    }
    if answers.iter().any(|answer| matches!(answer.body(), AnswerBody::Streamed(_))) {
        let mut describing = HeaderMap::new();
        describing.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let answering = answers.iter().find_map(|answer| answer.extensions().get::<Answering>()).cloned();
        let mut response = streamed(&describing, move |outlet| one_after_the_other(answers, outlet));
        if let Some(answering) = answering {
            response.extensions_mut().insert(answering);
        }
        return response;
    }
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        all.push(whole(answer).await);
    }
    json_answer(StatusCode::OK, [&b"["[..], &all.join(&b","[..]), b"]"].concat())
}

async fn whole(answer: Response<AnswerBody>) -> Vec<u8> {
    let body = answer.into_body().collect().await;
    body.map(|body| body.to_bytes().into()).unwrap_or_default()
}

async fn one_after_the_other(answers: Vec<Response<AnswerBody>>, outlet: Outlet) -> Result<(), BrokenOff> {
    for answer in answers {
        if matches!(answer.body(), AnswerBody::Whole(_)) {
            outlet.send(event(&whole(answer).await)).await;
            continue;
        }
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"));
        let mut body = answer.into_body();
        if is_json {
            outlet.send("data: ").await;
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| BrokenOff).map(Frame::into_data)? else { continue };
            if is_json {
                // Line ends stand between values only: inside of strings they are escaped.
                let line = piece.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte });
                outlet.send(line.collect::<Vec<u8>>()).await;
            } else {
                outlet.send(piece).await;
            }
        }
        if is_json {
            outlet.send("\n\n").await;
        }
    }
    Ok(())
}
