//! One answer of the API: read whole within a limit, then taken apart. What is not of the
//! API's form is an error, and no text of it goes any further.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::error::{ClientError, Verdict};
use super::retry;
use crate::api::error::ErrorDocument;

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Header with the request's id.
const REQUEST_ID: &str = "x-request-id";

/// Why no whole answer came.
pub(super) enum Broken {
    /// It is over the limit.
    TooLong,
    /// The time for the command is over.
    TimeIsUp,
    /// No connection, or it broke.
    Transport(reqwest::Error),
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) request_id: Option<String>,
    /// How long the server asks to wait before the next try.
    pub(super) retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// Sends a request and reads the answer.
pub(super) async fn receive(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
    let mut response = request.send().await.map_err(Broken::Transport)?;
    let status = response.status().as_u16();
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let request_id = text(response.headers(), REQUEST_ID);
    let retry_after = text(response.headers(), RETRY_AFTER.as_str())
        .and_then(|wait| retry::wait_asked_for(&wait, text(response.headers(), DATE.as_str()).as_deref()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            if status < 400 {
                return Err(Broken::TooLong);
            }
            // A page of somebody in between: the status says enough.
            body.clear();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, request_id, retry_after, body })
}

impl Answer {
    /// Whether the API itself speaks of an error.
    pub(super) fn is_error_of_the_api(&self) -> bool {
        serde_json::from_slice::<ErrorDocument>(&self.body).is_ok()
    }

    /// Decodes a success (204 as JSON `null`); anything else is an error. `uncertain` says
    /// whether a change may have been made although the answer does not say so.
    pub(super) fn decode<T: DeserializeOwned>(self, uncertain: bool) -> Result<T, ClientError> {
        let verdict = Verdict {
            status: self.status,
            request_id: self.request_id,
            retry_after: self.retry_after,
            uncertain,
        };
        let decoded = match verdict.status {
            204 => serde_json::from_slice(b"null"),
            200..=299 => serde_json::from_slice(&self.body),
            300..=399 => return Err(ClientError::Redirected(verdict)),
            _ => {
                return Err(match serde_json::from_slice::<ErrorDocument>(&self.body) {
                    Ok(document) => ClientError::refused(verdict, document.error),
                    Err(_) => ClientError::NotTheApi(verdict),
                });
            }
        };
        decoded.map_err(|_| ClientError::NotTheApi(verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let request_id = Some("r1".to_owned());
        Answer { status, request_id, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn answers_that_are_not_ours() {
        let list = |status, body| answer(status, body).decode::<crate::api::secrets::SecretList>(false);
        assert!(list(200, r#"{"secrets":[]}"#).is_ok());
        for (status, body) in
            [(200, "<html>"), (200, r#"{"secrets":["#), (204, ""), (502, "<html>"), (404, "")]
        {
            assert!(matches!(list(status, body), Err(ClientError::NotTheApi(_))), "{status} {body}");
        }
        assert!(matches!(list(302, ""), Err(ClientError::Redirected(Verdict { status: 302, .. }))));
        assert!(answer(204, "").decode::<()>(false).is_ok());
        assert!(answer(200, "<html>").decode::<()>(false).is_err());
    }

    #[test]
    fn the_error_document_is_taken_apart() {
        let body = r#"{"error":{"code":"not_found","message":"no","hint":"h","request_id":"r2"}}"#;
        match answer(404, body).decode::<()>(false) {
            Err(ClientError::Refused { verdict, message, hint, .. }) => {
                assert_eq!((message.as_str(), hint.as_deref()), ("no", Some("h")));
                assert_eq!((verdict.status, verdict.request_id.as_deref()), (404, Some("r2")));
            }
            other => panic!("{other:?}"),
        }
    }
}
