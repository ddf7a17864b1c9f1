//! Which upstreams speak the modern era: asked with `server/discover`, kept for a while for
//! each server and set of secrets. Only a plain answer counts; everything else means that
//! the server is spoken to in the legacy era ("Versioning", backward compatibility).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::MODERN_VERSION;
use super::check::{HEADER_MISMATCH, UNSUPPORTED_VERSION};
use super::speak::with_meta;
use crate::server::gateway::answer::{self, Answer};
use crate::server::gateway::listing::own_request_id;
use crate::server::gateway::message::Envelope;
use crate::server::gateway::problem::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UpstreamProblem};
use crate::server::gateway::sessions::Session;
use crate::server::gateway::upstream::Upstream;

/// How long an answer is believed. A server that was brought up to date is found out then.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// How long it is believed of a server that it is of the legacy era, if it did not say so: it
/// failed, or was not there, as in the middle of a deployment.
const DOUBTED_AFTER: Duration = Duration::from_secs(10);
/// Servers that are remembered.
const CAPACITY: usize = 4096;
/// How long `server/discover` may take.
const DISCOVER_TIME: Duration = Duration::from_secs(4);
/// Longest answer, in bytes.
const DISCOVER_LIMIT: usize = 1 << 20;

/// What the servers answered last.
#[derive(Default)]
pub(in crate::server::gateway) struct Eras(Mutex<HashMap<String, Known>>);

struct Known {
    fingerprint: [u8; 32],
    until: Instant,
    word: Word,
}

/// What a server answered to `server/discover`.
#[derive(Clone)]
struct Word {
    /// The answer, a JSON-RPC message; `None` for a server of the legacy era.
    discovered: Option<Bytes>,
    /// Whether it said so, and it is not only taken from what it did not say.
    is_said: bool,
    /// How long it is believed.
    time: Duration,
}

impl Word {
    fn said(discovered: Option<Bytes>) -> Self {
        Self { discovered, is_said: true, time: KEPT_FOR }
    }

    fn of_error(body: &[u8]) -> Self {
        let knows_no_such_method =
            matches!(answer::error_code(body), Some(METHOD_NOT_FOUND | INVALID_REQUEST | INVALID_PARAMS))
                || answer::speaks_of_a_lost_session(body);
        if knows_no_such_method { Self::said(None) } else { Self::unsaid(DOUBTED_AFTER) }
    }

    /// It is no server of the modern era, as it seems.
    fn unsaid(time: Duration) -> Self {
        Self { discovered: None, is_said: false, time }
    }
}

impl Eras {
    fn find(&self, server_id: &str, fingerprint: &[u8; 32]) -> Option<Word> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&Known| known.fingerprint == *fingerprint && Instant::now() < known.until;
        known.get(server_id).filter(fits).map(|known| known.word.clone())
    }

    fn keep(&self, server_id: &str, fingerprint: [u8; 32], word: Word) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= CAPACITY {
            known.retain(|_, one| now < one.until);
        }
        if known.len() < CAPACITY {
            known.insert(server_id.to_owned(), Known { fingerprint, until: now + word.time, word });
        }
    }

    fn forget(&self, server_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(server_id);
    }
}

impl Upstream {
    /// The server's answer to `server/discover`, a JSON-RPC message; `None` if it speaks the
    /// legacy era only.
    pub(in crate::server::gateway) async fn discovered(&self) -> Result<Option<Bytes>, UpstreamProblem> {
        Ok(self.word().await?.discovered)
    }

    async fn word(&self) -> Result<Word, UpstreamProblem> {
        let (server_id, fingerprint) = (self.server.id.as_str(), self.fingerprint());
        if let Some(known) = self.eras().find(server_id, &fingerprint) {
            return Ok(known);
        }
        let asking = tokio::time::timeout(DISCOVER_TIME, self.ask_discover());
        let word = asking.await.unwrap_or(Err(UpstreamProblem::TimedOut))?;
        self.eras().keep(server_id, fingerprint, word.clone());
        Ok(word)
    }

    /// Whether a server that was taken for one of the legacy era is none: it refused a request,
    /// before it ran, in words that only the modern era has. Then what is known of it is the
    /// truth from here on.
    pub(in crate::server::gateway) async fn is_modern_after_all(
        &self,
        session: &Session,
        refusal: &Answer,
    ) -> bool {
        let Answer::Whole(_, body) = refusal else { return false };
        if !is_of_the_modern_era(body) {
            return false;
        }
        self.forget_era();
        if !matches!(self.discovered().await, Ok(Some(_))) {
            return false;
        }
        if let Some(opened) = self.opened() {
            self.forget(session, &opened).await;
        }
        true
    }

    /// Whether the server said in so many words that it speaks the legacy era only.
    pub(super) async fn is_surely_legacy(&self) -> bool {
        self.word().await.is_ok_and(|word| word.discovered.is_none() && word.is_said)
    }

    /// Forgets what is known of the server's era: it was not as expected.
    pub(in crate::server::gateway) fn forget_era(&self) {
        self.eras().forget(&self.server.id);
    }

    async fn answer_to_discover(&self, message: Bytes) -> Result<Answer, UpstreamProblem> {
        let response = self.post_modern(message, HeaderMap::new(), DISCOVER_TIME).await?;
        if response.status() == StatusCode::ACCEPTED {
            return Err(UpstreamProblem::NotMcp);
        }
        answer::of_request(response).await
    }

    async fn ask_discover(&self) -> Result<Word, UpstreamProblem> {
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"server/discover"}}"#, own_request_id());
        let message: Bytes = with_meta(request.as_bytes(), "{}", None).ok_or(UpstreamProblem::NotMcp)?.into();
        let mut answered = self.answer_to_discover(message.clone()).await;
        if let Ok(Answer::Whole(_, body)) = &answered
            && answer::error_code(body) == Some(UNSUPPORTED_VERSION)
            && body.windows(MODERN_VERSION.len()).any(|window| window == MODERN_VERSION.as_bytes())
        {
            // It names the very version that was asked with: once more.
            answered = self.answer_to_discover(message).await;
        }
        let whole = match answered {
            Ok(Answer::Stream(response)) => answer::read_answer(*response, DISCOVER_LIMIT).await,
            Ok(Answer::Whole(_, body)) => return Ok(Word::of_error(&body)),
            Err(problem) => Err(problem),
        };
        match whole {
            Ok((_, message)) if answer::error_code(&message).is_some() => Ok(Word::of_error(&message)),
            Ok((_, message)) => Ok(Word::said(is_modern(&message).then_some(message))),
            // No word of JSON-RPC in it: a server that is not well or not there, or that does not
            // know the request.
            Err(problem @ UpstreamProblem::Status(429 | 502..=504)) => Err(problem),
            Err(
                UpstreamProblem::Status(404 | 500..)
                | UpstreamProblem::Cut
                | UpstreamProblem::NotMcp
                | UpstreamProblem::Redacted,
            ) => Ok(Word::unsaid(DOUBTED_AFTER)),
            Err(UpstreamProblem::Status(_)) => Ok(Word::unsaid(KEPT_FOR)),
            Err(problem) => Err(problem),
        }
    }
}

/// Whether a refusal says what only servers of the modern era say, before they do anything.
pub(in crate::server::gateway) fn is_of_the_modern_era(refusal: &[u8]) -> bool {
    matches!(answer::error_code(refusal), Some(HEADER_MISMATCH | UNSUPPORTED_VERSION))
}

fn is_modern(message: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versions {
        supported_versions: Vec<String>,
    }
    let result: Option<&RawValue> = Envelope::parse(message).ok().and_then(|answer| answer.result());
    let versions = result.and_then(|result| serde_json::from_str::<Versions>(result.get()).ok());
    versions.is_some_and(|versions| versions.supported_versions.iter().any(|one| one == MODERN_VERSION))
}
