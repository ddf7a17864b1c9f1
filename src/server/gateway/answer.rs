//! What an upstream answered: whether it can be passed on as it is, has to be read by the
//! gateway, or is a problem. Bodies that are passed on are not parsed.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Response, StatusCode};

use super::event_splitter::BYTE_ORDER_MARK;
use super::message::Envelope;
use super::outward::{is_same_id, spliced};
use super::problem::{INVALID_REQUEST, SESSION_NOT_FOUND, UpstreamProblem};
use super::redaction;
use super::sse::EventReader;
use super::upstream_body::UpstreamBody;

/// Header of a session's id.
pub(super) const SESSION_HEADER: &str = "mcp-session-id";
/// How long a small body may take.
const READ_TIME: Duration = Duration::from_secs(5);
/// How long a body that nobody needs may take.
const DRAIN_TIME: Duration = Duration::from_millis(100);
/// Longest refusal that is read and passed on, in bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;
/// Longest answer to `initialize`, in bytes.
const INITIALIZE_LIMIT: usize = 1 << 20;
/// Longest list of one server, in bytes.
pub(super) const LIST_LIMIT: usize = 16 << 20;
/// JSON-RPC codes by which servers say that they lost a session: "server error", which the older SDKs
/// have, and two more.
const CODES_OF_SESSIONS: [i32; 3] = [-32000, SESSION_NOT_FOUND, INVALID_REQUEST];

/// An answer to a request.
pub(super) enum Answer {
    /// JSON or events, to be passed on piece by piece.
    Stream(Box<Response<UpstreamBody>>),
    /// A refusal with a JSON-RPC error in it, or another short answer, read whole.
    Whole(StatusCode, Bytes),
}

impl Answer {
    /// The same for a client of the legacy era, which takes an HTTP status for one of its own
    /// session or of the gateway's limits: a refusal is a JSON-RPC error with the request's id.
    pub(super) fn for_legacy(self, id: &str) -> Self {
        match self {
            Self::Whole(_, body) => Self::Whole(StatusCode::OK, with_own_id(body, id)),
            streamed @ Self::Stream(_) => streamed,
        }
    }
}

impl Answer {
    /// The same for a client of the modern era on the route of a workspace, which takes an HTTP
    /// status for one of the workspace: only what is about the request itself keeps it.
    pub(super) fn of_one_server(self, id: &str) -> Self {
        match self {
            Self::Whole(status, body) => {
                let is_about_the_request = matches!(error_code(&body), Some(-32022..=-32020));
                let status = if is_about_the_request { status } else { StatusCode::OK };
                Self::Whole(status, with_own_id(body, id))
            }
            streamed @ Self::Stream(_) => streamed,
        }
    }
}

/// The error with the id of the request. Servers that refuse a request before they read it
/// write null or a word of their own.
pub(super) fn with_own_id(body: Bytes, id: &str) -> Bytes {
    let error = Envelope::parse(&body).ok().filter(|answer| answer.id() != id);
    match error.and_then(|answer| answer.error()) {
        Some(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into(),
        None => body,
    }
}

#[derive(PartialEq, Eq)]
enum Content {
    Json,
    Events,
    Other,
}

fn content<B>(response: &Response<B>) -> Content {
    let text = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Content::Json,
        "text/event-stream" => Content::Events,
        _ => Content::Other,
    }
}

/// Whether this is an event stream.
pub(super) fn is_event_stream<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK && content(response) == Content::Events
}

/// Sorts the answer to a request.
pub(super) async fn of_request(response: Response<UpstreamBody>) -> Result<Answer, UpstreamProblem> {
    let status = response.status();
    match status.as_u16() {
        202 | 204 => Err(UpstreamProblem::NotMcp),
        200..=299 if content(&response) == Content::Other => Err(UpstreamProblem::NotMcp),
        200..=299 => Ok(Answer::Stream(Box::new(response))),
        300..=399 => Err(UpstreamProblem::Redirect),
        // Their bodies and headers speak to whoever holds the credential: not to a member.
        401 | 403 => Err(UpstreamProblem::CredentialRefused),
        400..=499 if content(&response) == Content::Json => {
            refusal(status, read_at_most(response.into_body(), REFUSAL_LIMIT).await)
        }
        code => Err(UpstreamProblem::Status(code)),
    }
}

/// A refusal with a JSON-RPC error in it.
fn refusal(status: StatusCode, body: Option<Bytes>) -> Result<Answer, UpstreamProblem> {
    let is_error = |bytes: &Bytes| Envelope::parse(bytes).is_ok_and(|envelope| envelope.error().is_some());
    body.filter(is_error)
        .map(|body| Answer::Whole(status, body))
        .ok_or(UpstreamProblem::Status(status.as_u16()))
}

/// Sorts the answer to the request with this id inside an upstream session; `None` if the upstream
/// says that the session is lost: 404, or 400 or 401 with words of that kind. A server that says
/// something else in this way has perhaps done its work.
pub(super) async fn of_session_request(
    response: Response<UpstreamBody>,
    id: &str,
) -> Result<Option<Answer>, UpstreamProblem> {
    match response.status() {
        StatusCode::NOT_FOUND => match of_request(response).await {
            Ok(Answer::Whole(status, body)) if is_about_the_request(&body, id) => {
                Ok(Some(Answer::Whole(status, body)))
            }
            _ => Ok(None),
        },
        status @ (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => {
            let is_json = content(&response) == Content::Json;
            let body = read_at_most(response.into_body(), REFUSAL_LIMIT).await;
            match body {
                Some(body) if speaks_of_a_lost_session(&body) => Ok(None),
                _ if status == StatusCode::UNAUTHORIZED => Err(UpstreamProblem::CredentialRefused),
                body => refusal(status, body.filter(|_| is_json)).map(Some),
            }
        }
        _ => of_request(response).await.map(Some),
    }
}

/// Whether an error that came with 404 is the answer to this very request: with its id, and none of
/// the codes that servers have for a lost session.
fn is_about_the_request(body: &[u8], id: &str) -> bool {
    let has_id = Envelope::parse(body).is_ok_and(|answer| is_same_id(answer.id(), id));
    has_id && error_code(body).is_some_and(|code| !CODES_OF_SESSIONS.contains(&code))
}

/// Whether a refusal says that there is no such session, or none at all: in a JSON-RPC error, an event
/// with one, or plain words.
pub(super) fn speaks_of_a_lost_session(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Error {
        code: i32,
        message: String,
    }
    let events = EventReader::default().push(&[body, b"\n\n"].concat());
    let mut messages = std::iter::once(body).chain(events.iter().map(Vec::as_slice));
    let error = messages.find_map(|message| Envelope::parse(message).ok()?.error());
    let words = match error.map(|error| serde_json::from_str::<Error>(error.get())) {
        Some(Ok(error)) if CODES_OF_SESSIONS.contains(&error.code) => error.message,
        Some(_) => return false,
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let words = words.to_ascii_lowercase();
    ["session", "not initialized", "initialize first"].iter().any(|word| words.contains(word))
        || error.is_some() && words.contains("initiali")
}

/// A JSON body that was read to its end, if it is the answer to the request with this id. An
/// error without an id gets it.
pub(super) fn checked(mut body: Vec<u8>, headers: &HeaderMap, id: &str) -> Result<Bytes, UpstreamProblem> {
    if body.starts_with(BYTE_ORDER_MARK) {
        // It means nothing, and many readers do not bear it (RFC 8259, section 8.1).
        body.drain(..BYTE_ORDER_MARK.len());
    }
    if body.trim_ascii().is_empty() {
        return Err(UpstreamProblem::Cut);
    }
    if headers.contains_key(CONTENT_ENCODING) {
        // Packed, and passed on so.
        return Ok(body.into());
    }
    let Ok(envelope) = Envelope::parse(&body) else {
        let unfinished = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err_and(|it| it.is_eof());
        let cut =
            unfinished && !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
        return Err(if cut { UpstreamProblem::Cut } else { UpstreamProblem::of_no_message(&body) });
    };
    let is_response = envelope.kind() == super::message::Kind::Response;
    if is_response && envelope.id() == id {
        Ok(body.into())
    } else if is_response && is_same_id(envelope.id(), id) {
        // Written in another way than the client wrote it.
        let own = spliced(&body, &[(envelope.id(), id.to_owned())]);
        own.map(Bytes::from).ok_or(UpstreamProblem::NotMcp)
    } else if envelope.error().is_some() && envelope.id() == "null" {
        Ok(with_own_id(body.into(), id))
    } else {
        Err(UpstreamProblem::NotMcp)
    }
}

/// The code of a JSON-RPC error; `None` if it is none.
pub(super) fn error_code(body: &[u8]) -> Option<i32> {
    #[derive(serde::Deserialize)]
    struct Code {
        code: i32,
    }
    let error = Envelope::parse(body).ok()?.error()?;
    serde_json::from_str::<Code>(error.get()).ok().map(|error| error.code)
}

/// Reads and drops a small body, so that the connection can be used again. One that does
/// not come at once is not waited for.
pub(super) async fn drain(response: Response<UpstreamBody>) {
    let reading = read_at_most(response.into_body(), REFUSAL_LIMIT);
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

/// An answer that was read by the gateway.
pub(super) struct Whole {
    /// Status.
    pub(super) status: StatusCode,
    /// Content type.
    pub(super) content_type: Option<HeaderValue>,
    /// The upstream's session id, if the answer is a success.
    pub(super) session_id: Option<HeaderValue>,
    /// The bytes as they came.
    pub(super) raw: Bytes,
    /// The JSON-RPC answer in them.
    pub(super) message: Bytes,
}

impl Whole {
    /// The protocol version of a successful `initialize`.
    pub(super) fn initialized(&self) -> Option<HeaderValue> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Result {
            protocol_version: String,
        }
        let result = Envelope::parse(&self.message).ok()?.result()?;
        let result: Result = serde_json::from_str(result.get()).ok()?;
        HeaderValue::from_str(&result.protocol_version).ok()
    }
}

/// Reads the answer to `initialize`.
pub(super) async fn read_initialize(response: Response<UpstreamBody>) -> Result<Whole, UpstreamProblem> {
    // A session id on an error is not one to keep.
    let session_id =
        response.headers().get(SESSION_HEADER).filter(|_| response.status().is_success()).cloned();
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    let status = response.status();
    let (raw, message) = match of_request(response).await? {
        Answer::Stream(response) => read_answer(*response, INITIALIZE_LIMIT).await?,
        Answer::Whole(_, bytes) => (bytes.clone(), bytes),
    };
    Ok(Whole { status, content_type, session_id, raw, message })
}

/// Reads a JSON answer, or an event stream up to the event that is the answer: the raw
/// bytes read and the JSON-RPC message.
pub(super) async fn read_answer(
    response: Response<UpstreamBody>,
    limit: usize,
) -> Result<(Bytes, Bytes), UpstreamProblem> {
    let events = content(&response) == Content::Events;
    let mut body = response.into_body();
    let mut raw: Vec<u8> = Vec::new();
    let mut reader = EventReader::default();
    let mut problem = UpstreamProblem::Cut;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| UpstreamProblem::Cut)?.into_data() else { continue };
        if raw.len() + piece.len() > limit {
            return Err(UpstreamProblem::NotMcp);
        }
        raw.extend_from_slice(&piece);
        if events {
            for data in reader.push(&piece) {
                if is_answer(&data) {
                    return Ok((raw.into(), data.into()));
                }
                if redaction::is_broken(&data) {
                    problem = UpstreamProblem::Redacted;
                }
            }
        }
    }
    if events {
        // Some servers leave out the last empty line.
        let answer = reader.push(b"\n\n").into_iter().find(|data| is_answer(data));
        let message = answer.ok_or(problem)?;
        raw.extend_from_slice(b"\n\n");
        return Ok((raw.into(), message.into()));
    }
    if raw.starts_with(BYTE_ORDER_MARK) {
        raw.drain(..BYTE_ORDER_MARK.len());
    }
    let raw = Bytes::from(raw);
    if is_answer(&raw) { Ok((raw.clone(), raw)) } else { Err(UpstreamProblem::of_no_message(&raw)) }
}

fn is_answer(data: &[u8]) -> bool {
    Envelope::parse(data).is_ok_and(|envelope| envelope.kind() == super::message::Kind::Response)
}

/// Reads a body to its end and keeps at most `limit` bytes; `None` if it is longer or breaks.
async fn read_at_most(body: UpstreamBody, limit: usize) -> Option<Bytes> {
    let collected = http_body_util::Limited::new(body, limit).collect();
    tokio::time::timeout(READ_TIME, collected).await.ok()?.ok().map(http_body_util::Collected::to_bytes)
}
