//! Answers made here: JSON, and the error document with the request's id.

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::AnswerBody;
use super::error::ApiError;

/// The id by which a request is found in the log.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// The error document as an answer.
pub(super) fn error_answer(error: &ApiError, request_id: &RequestId) -> Response<AnswerBody> {
    let document = serde_json::to_vec(&error.document(&request_id.0)).unwrap_or_default();
    let mut response = json_answer(error.status(), document);
    if error.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    response
}

/// A JSON answer.
pub(super) fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::of(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
