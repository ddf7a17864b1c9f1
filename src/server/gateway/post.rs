//! POST: one JSON-RPC message. Checks what the legacy transport asks for (2025-11-25,
//! "Streamable HTTP"), opens or finds the session, and hands the message to its route.
//! Requests of the modern era branch off once they are read.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, StatusCode};

use super::answer::SESSION_HEADER;
use super::message::{Envelope, Kind, MessageProblem};
use super::modern::MODERN_VERSION;
use super::problem::{INVALID_REQUEST, PARSE_ERROR, rpc_error};
use super::rate_limit::Quota;
use super::sessions::Answering;
use super::single::accepted;
use super::upstream::VERSION_HEADER;
use super::{Caller, Gateway, LEGACY_VERSIONS, Route, nesting, session_error};
use crate::server::body::{AnswerBody, BodyProblem, read_limited};
use crate::server::response::json_answer;

/// Longest message, in bytes.
const BODY_LIMIT: usize = 16 << 20;
/// Longest `initialize`, in bytes: a session keeps it.
const INITIALIZE_LIMIT: usize = 64 << 10;

impl Gateway {
    /// Answers a POST.
    pub(super) async fn post(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let (parts, body) = request.into_parts();
        if let Some(refusal) = check_types(&parts.headers) {
            return self.rate_limits.take(&caller.member, Quota::Others, "null").unwrap_or(refusal);
        }
        let body = match read_limited(body, BODY_LIMIT).await {
            Ok(body) => body,
            Err(BodyProblem::TooLarge) => {
                if let Some(refusal) = self.rate_limits.take(&caller.member, Quota::Others, "null") {
                    return refusal;
                }
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "the message is over 16 MiB");
            }
            Err(BodyProblem::Broken) => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    PARSE_ERROR,
                    "the message was cut off or came too slowly",
                );
            }
        };
        // What nobody looks into is text, too.
        let is_text = std::str::from_utf8(&body).map_err(|_| MessageProblem::NotJson);
        let parsed = is_text.and_then(|_| nesting::check(&body)).and_then(|()| Envelope::parse(&body));
        if parsed.is_err()
            && let Some(refusal) = self.rate_limits.take(&caller.member, Quota::Others, "null")
        {
            return refusal;
        }
        let envelope = match parsed {
            Ok(envelope) => envelope,
            Err(MessageProblem::NotJson) => return refuse(StatusCode::BAD_REQUEST, PARSE_ERROR, "not JSON"),
            Err(MessageProblem::TooDeep) => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    INVALID_REQUEST,
                    "the message is nested over 128 levels deep",
                );
            }
            Err(MessageProblem::NotAMessage) => {
                if let Some(answer) = self.batch(caller, &parts.headers, &body).await {
                    return answer;
                }
                return refuse(StatusCode::BAD_REQUEST, INVALID_REQUEST, "not one JSON-RPC 2.0 message");
            }
        };
        if let Some(refusal) = self.admit(caller, &envelope, &body) {
            return refusal;
        }
        if is_modern(&envelope, &parts.headers) {
            return self.modern(caller, &parts.headers, &envelope, body.clone()).await;
        }
        // The version of `initialize` is chosen with its parameters.
        let is_chosen_elsewhere = is_initialize(&envelope) && says_modern(&parts.headers);
        let refusal = refuse_unknown_version(&parts.headers, envelope.id());
        if let Some(refusal) = refusal.filter(|_| !is_chosen_elsewhere) {
            return refusal;
        }
        self.dispatch(caller, &parts.headers, &envelope, body.clone()).await
    }

    /// Answers one message of the legacy era.
    pub(super) async fn dispatch(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        headers: &HeaderMap,
        envelope: &Envelope<'_>,
        body: Bytes,
    ) -> Response<AnswerBody> {
        if is_initialize(envelope) {
            if body.len() > INITIALIZE_LIMIT {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "initialize is over 64 KiB");
            }
            return match &caller.route {
                Route::Workspace => self.aggregate_initialize(caller, envelope).await,
                Route::Server(server) => {
                    self.single_initialize(caller, server, envelope, headers, body).await
                }
            };
        }
        let session = match self.session(caller, headers) {
            Ok(session) => session,
            Err(status) => return session_error(status, envelope.id()),
        };
        if session.workspace.takes(envelope, &body) {
            return accepted();
        }
        let answering = Answering::begin(&session);
        let mut response = match &caller.route {
            Route::Workspace => self.aggregate(caller, &session, envelope, headers, &body).await,
            Route::Server(server) => self.single(caller, server, &session, envelope, headers, body).await,
        };
        // Until the whole answer is through.
        response.extensions_mut().insert(answering);
        response
    }
}

fn refuse(status: StatusCode, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(status, rpc_error("null", code, message))
}

fn check_types(headers: &HeaderMap) -> Option<Response<AnswerBody>> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "send Content-Type: application/json";
        return Some(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, message));
    }
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",").to_ascii_lowercase();
    let accepts = |kind: &str, group: &str| {
        let mut types = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
        types.any(|one| one == kind || one == group || one == "*/*")
    };
    if accepts("application/json", "application/*") && accepts("text/event-stream", "text/*") {
        return None;
    }
    let message = "send Accept: application/json, text/event-stream";
    Some(refuse(StatusCode::NOT_ACCEPTABLE, INVALID_REQUEST, message))
}

/// The era is told by the request itself: a version in its `_meta`, or, without a session, in
/// its header. `initialize` is of the legacy era whatever the header says.
fn is_modern(envelope: &Envelope<'_>, headers: &HeaderMap) -> bool {
    let by_header = says_modern(headers) && !headers.contains_key(SESSION_HEADER);
    envelope.is_modern() || (by_header && !is_initialize(envelope))
}

fn says_modern(headers: &HeaderMap) -> bool {
    headers.get(VERSION_HEADER).is_some_and(|version| version == MODERN_VERSION)
}

fn is_initialize(envelope: &Envelope<'_>) -> bool {
    envelope.method() == "initialize" && envelope.kind() == Kind::Request
}

/// Status 400 with a plain -32600: by this answer clients go on with `initialize`.
pub(super) fn refuse_unknown_version(headers: &HeaderMap, id: &str) -> Option<Response<AnswerBody>> {
    let version = headers.get(VERSION_HEADER).map(|value| value.to_str().unwrap_or_default());
    if version.is_none_or(|version| LEGACY_VERSIONS.contains(&version)) {
        return None;
    }
    let message = if version == Some(MODERN_VERSION) {
        format!(
            "MCP {MODERN_VERSION} has no sessions, GET or DELETE: only POST, with its members in params._meta"
        )
    } else {
        let (oldest, newest) = (LEGACY_VERSIONS[3], LEGACY_VERSIONS[0]);
        format!("this gateway speaks MCP {oldest} to {newest}, and {MODERN_VERSION}")
    };
    Some(json_answer(StatusCode::BAD_REQUEST, rpc_error(id, INVALID_REQUEST, &message)))
}
