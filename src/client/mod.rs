//! The admin API's client: base URL, key, time limit and one `send`, which tries again what
//! may be tried again. It prints nothing: who wants to know is told by `Event`s.

pub mod analytics;
mod answer;
mod api_base;
mod api_key;
mod connected;
pub mod error;
pub mod names_seen;
pub mod proxy;
mod retry;
pub mod secrets;
pub mod servers;
pub mod tokens;
pub mod transport;
pub mod workspaces;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use answer::MAX_ANSWER_BYTES;
pub use api_base::ApiBase;
pub use error::ClientError;
use names_seen::NamesSeen;
pub use retry::Cause;
pub use transport::Network;

use crate::api::routes;
use crate::domain::ApiKey;
use answer::{Answer, Broken};
use connected::Connected;
use retry::Repeat;

/// One try of a request.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET` and so on.
    pub method: Method,
    /// Path without query.
    pub path: String,
    /// Status, if there was an answer.
    pub status: Option<u16>,
    /// The server's id for the request.
    pub request_id: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// What happens while a request is under way.
#[derive(Debug)]
pub enum Event {
    /// A try ended.
    Tried(Exchange),
    /// The next try comes after this pause, which begins now.
    Waiting {
        /// Why.
        cause: Cause,
        /// How long.
        pause: Duration,
    },
}

/// What became of the changes that a client was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// The API said of at least one that it was made.
    pub made: bool,
    /// Of one it is not known.
    pub uncertain: bool,
}

/// The client of one command.
pub struct ApiClient {
    base: ApiBase,
    http: reqwest::Client,
    connected: Connected,
    /// The proxy's host and port.
    proxy: Option<String>,
    authorization: HeaderValue,
    time_limit: Duration,
    time_left: Duration,
    changes: Changes,
    /// A change is under way.
    changing: bool,
    observer: Box<dyn FnMut(Event)>,
    outside_requests: Arc<AtomicBool>,
    names_seen: Vec<NamesSeen>,
}

impl ApiClient {
    /// Builds a client. `time_limit` is for all requests of this client together, pauses
    /// between tries included.
    ///
    /// # Errors
    /// [`ClientError::NoTls`] when there are no certificate authorities to check with.
    pub fn new(
        base: ApiBase,
        key: &ApiKey,
        network: Network,
        time_limit: Duration,
    ) -> Result<Self, ClientError> {
        let proxy = network.proxy.as_ref().map(proxy::Proxy::name);
        let connected = Connected::default();
        let http = transport::http_client(&base, network, time_limit, &connected)?;
        let text = Zeroizing::new(format!("Bearer {}", key.expose()));
        let mut authorization = HeaderValue::from_str(&text).map_err(|_| ClientError::NoTls)?;
        authorization.set_sensitive(true);
        Ok(Self {
            base,
            http,
            connected,
            proxy,
            authorization,
            time_limit,
            time_left: time_limit,
            changes: Changes::default(),
            changing: false,
            observer: Box::new(|_| {}),
            outside_requests: Arc::default(),
            names_seen: Vec::new(),
        })
    }

    /// Tells this function of each try and each pause.
    pub fn observe(&mut self, observer: impl FnMut(Event) + 'static) {
        self.observer = Box::new(observer);
    }

    /// Keeps this flag `false` while a request is under way, and `true` outside of that.
    pub fn show_requests_in(&mut self, outside_requests: Arc<AtomicBool>) {
        self.outside_requests = outside_requests;
    }

    /// What became of the changes so far, also if a request was given up half-way.
    pub fn changes(&self) -> Changes {
        let uncertain = self.changes.uncertain || (self.changing && self.connected.get());
        Changes { uncertain, ..self.changes }
    }

    /// The names that answers held since the last call of this function.
    pub fn take_names_seen(&mut self) -> Vec<NamesSeen> {
        std::mem::take(&mut self.names_seen)
    }

    /// Sends one request and decodes the answer; 204 decodes as JSON `null`. Tries again
    /// what may be tried again.
    async fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<T, ClientError> {
        let is_change = method != Method::GET && path != routes::VALIDATE;
        self.send_as(Repeat::of(&method, path), is_change, method, path, body).await
    }

    /// The same for a request whose answer tells what this one try did: it is tried again
    /// only if nothing was sent.
    async fn send_once<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<T, ClientError> {
        self.send_as(Repeat::Unsent, true, method, path, body).await
    }

    /// The same for a request that changes nothing, but is not to be made twice.
    async fn ask_once<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<T, ClientError> {
        self.send_as(Repeat::Unsent, false, method, path, body).await
    }

    async fn send_as<T: DeserializeOwned>(
        &mut self,
        repeat: Repeat,
        is_change: bool,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<T, ClientError> {
        let _under_way = UnderWay::begin(&self.outside_requests);
        let uncertain_before = self.changes.uncertain;
        // The status of an earlier try behind which the API may have done its work.
        let mut lost = None;
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            self.changing = is_change;
            let outcome = self.try_once(&method, path, body).await;
            self.changing = false;
            let unclear = is_change && (lost.is_some() || self.is_unclear(&outcome));
            self.changes.uncertain = uncertain_before || unclear;
            let next = retry::next_try(tries, repeat, &outcome).filter(|(_, pause)| *pause < self.time_left);
            let Some((cause, pause)) = next else { break outcome };
            lost = lost.or(outcome
                .as_ref()
                .ok()
                .filter(|_| self.is_unclear(&outcome))
                .map(|answer| answer.status));
            self.wait(cause, pause).await;
        };
        let decoded = self.conclude(outcome, &method, is_change, lost);
        self.changes.made |= is_change && decoded.is_ok();
        decoded
    }

    /// Sends the request this once, with a body of its own.
    async fn try_once(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<Answer, Broken> {
        let url = self.base.join(path);
        let mut request =
            self.http.request(method.clone(), url).header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let start = Instant::now();
        let outcome = tokio::time::timeout(self.time_left, answer::receive(request)).await;
        let outcome = outcome.unwrap_or(Err(Broken::TimeIsUp));
        let elapsed = start.elapsed();
        self.time_left = self.time_left.saturating_sub(elapsed);
        let answer = outcome.as_ref().ok();
        (self.observer)(Event::Tried(Exchange {
            method: method.clone(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            status: answer.map(|answer| answer.status),
            request_id: answer.and_then(|answer| answer.request_id.clone()),
            elapsed,
        }));
        outcome
    }

    async fn wait(&mut self, cause: Cause, pause: Duration) {
        (self.observer)(Event::Waiting { cause, pause });
        let start = Instant::now();
        tokio::time::sleep(pause).await;
        self.time_left = self.time_left.saturating_sub(start.elapsed());
    }

    fn conclude<T: DeserializeOwned>(
        &self,
        outcome: Result<Answer, Broken>,
        method: &Method,
        is_change: bool,
        lost: Option<u16>,
    ) -> Result<T, ClientError> {
        let seconds = self.time_limit.as_secs();
        let unclear = is_change && self.is_unclear(&outcome);
        let uncertain = unclear || (is_change && lost.is_some());
        match outcome {
            Err(Broken::TimeIsUp) => Err(ClientError::TimedOut { seconds, uncertain }),
            Err(Broken::TooLong) => Err(ClientError::TooLong { uncertain }),
            Err(Broken::Transport(error)) => {
                let (origin, proxy) = (self.base.origin(), self.proxy.as_deref());
                Err(ClientError::transport(&error, origin, proxy, seconds, uncertain))
            }
            Ok(answer) => match (answer.status, lost) {
                (404, Some(lost)) if method == Method::DELETE => {
                    Err(ClientError::PerhapsDeleted { lost, request_id: answer.request_id })
                }
                // A success that is not understood was still one.
                (200..=299, _) => answer.decode(is_change),
                // It says nothing about an earlier try.
                (429 | 502..=504, _) => answer.decode(uncertain),
                _ => answer.decode(unclear),
            },
        }
    }

    /// Whether the API may have done its work although there is no answer of its own.
    fn is_unclear(&self, outcome: &Result<Answer, Broken>) -> bool {
        match outcome {
            Ok(answer) => match answer.status {
                502..=504 => true,
                408 | 500..=599 => !answer.is_error_of_the_api(),
                _ => false,
            },
            Err(Broken::Transport(error)) => !error.is_connect(),
            Err(Broken::TimeIsUp) => self.connected.get(),
            Err(Broken::TooLong) => true,
        }
    }
}

/// Holds the flag down as long as it lives, also if the request is given up.
struct UnderWay(Arc<AtomicBool>);

impl UnderWay {
    fn begin(outside_requests: &Arc<AtomicBool>) -> Self {
        outside_requests.store(false, Ordering::SeqCst);
        Self(Arc::clone(outside_requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// No body: a name for the type that `send` would otherwise ask for.
const NO_BODY: Option<&()> = None;
