//! `/healthz`: the process takes requests. `/readyz`: it can also do its work, which begins
//! with reading its store.

use hyper::{Response, StatusCode};

use super::body::AnswerBody;
use super::response::json_answer;
use super::store::Store;

/// 200 as long as requests are answered at all.
pub(super) fn alive() -> Response<AnswerBody> {
    json_answer(StatusCode::OK, &br#"{"status":"ok"}"#[..])
}

/// 200 if the store answers and holds a project, else 503.
pub(super) async fn ready(store: &dyn Store) -> Response<AnswerBody> {
    match store.project().await {
        Ok(Some(_)) => alive(),
        Ok(None) => unready("the first start is not complete"),
        Err(error) => {
            tracing::error!(%error, "not ready: the store does not answer");
            unready("the store does not answer")
        }
    }
}

fn unready(reason: &'static str) -> Response<AnswerBody> {
    let body = format!(r#"{{"status":"not ready","reason":"{reason}"}}"#);
    json_answer(StatusCode::SERVICE_UNAVAILABLE, body)
}
