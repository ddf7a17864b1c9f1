//! The admin API's client: base URL, key, time limit and one `send`. Redirects are
//! never followed, proxies are not used, and plain http goes to this machine only.

mod api_key;
pub mod error;
pub mod names_seen;
pub mod secrets;
pub mod servers;
pub mod tokens;
pub mod workspaces;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Method, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

pub use error::ClientError;
use names_seen::NamesSeen;

use crate::api::error::ErrorDocument;
use crate::api::routes;
use crate::domain::ApiKey;
use crate::domain::origin::{Origin, is_loopback_host};

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Longest time for one connection to come up.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);
/// Header with the request's id.
const REQUEST_ID: &str = "x-request-id";

/// Where the admin API is: checked, without a slash at its end.
#[derive(Debug, Clone)]
pub struct ApiBase {
    url: Url,
    origin: Origin,
}

impl ApiBase {
    /// Accepts an https URL, or an http URL of this machine.
    ///
    /// # Errors
    /// [`ClientError::BadBase`] for what is no such URL, [`ClientError::NotEncrypted`]
    /// for plain http to another machine.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let url = Url::parse(text).map_err(|_| ClientError::BadBase)?;
        let origin = Origin::of(&url).ok_or(ClientError::BadBase)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(ClientError::BadBase);
        }
        if url.scheme() == "http" && !is_loopback_host(&url) {
            return Err(ClientError::NotEncrypted(origin));
        }
        Ok(Self { url, origin })
    }

    /// Scheme, host and port, to which an API key is bound.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL of a route; `path` is one of `api::routes` and may have a query.
    fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

/// One request that was made, for `--verbose`.
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

/// The client of one command.
pub struct ApiClient {
    base: ApiBase,
    http: reqwest::Client,
    authorization: HeaderValue,
    time_limit: Duration,
    time_left: Duration,
    exchanges: Vec<Exchange>,
    names_seen: Vec<NamesSeen>,
}

impl ApiClient {
    /// Builds a client. `authorities` replaces the system's certificate authorities;
    /// `time_limit` is for all requests of this client together.
    ///
    /// # Errors
    /// [`ClientError::NoTls`] when there are no certificate authorities to check with.
    pub fn new(
        base: ApiBase,
        key: &ApiKey,
        authorities: Option<Vec<Certificate>>,
        time_limit: Duration,
    ) -> Result<Self, ClientError> {
        let http = build_http(&base, authorities, time_limit)?;
        let text = Zeroizing::new(format!("Bearer {}", key.expose()));
        let mut authorization = HeaderValue::from_str(&text).map_err(|_| ClientError::NoTls)?;
        authorization.set_sensitive(true);
        Ok(Self {
            base,
            http,
            authorization,
            time_limit,
            time_left: time_limit,
            exchanges: Vec::new(),
            names_seen: Vec::new(),
        })
    }

    /// What was sent since the last call of this function.
    pub fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges)
    }

    /// The names that answers held since the last call of this function.
    pub fn take_names_seen(&mut self) -> Vec<NamesSeen> {
        std::mem::take(&mut self.names_seen)
    }

    /// Sends one request and decodes the answer; 204 decodes as JSON `null`.
    async fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync + ?Sized)>,
    ) -> Result<T, ClientError> {
        let mut request = self
            .http
            .request(method.clone(), self.base.join(path))
            .header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let start = Instant::now();
        let answer = tokio::time::timeout(self.time_left, receive(request)).await;
        let elapsed = start.elapsed();
        self.time_left = self.time_left.saturating_sub(elapsed);
        self.record(&method, path, answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()), elapsed);
        let changes = method != Method::GET && path != routes::VALIDATE;
        match answer {
            Err(_) => Err(ClientError::TimedOut { seconds: self.time_limit.as_secs(), changes }),
            Ok(Err(Broken::TooLong)) => Err(ClientError::TooLong),
            Ok(Err(Broken::Transport(error))) => {
                Err(ClientError::transport(&error, &self.base.origin, self.time_limit.as_secs(), changes))
            }
            Ok(Ok(answer)) => answer.decode(),
        }
    }

    fn record(&mut self, method: &Method, path: &str, answer: Option<&Answer>, elapsed: Duration) {
        self.exchanges.push(Exchange {
            method: method.clone(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            status: answer.map(|answer| answer.status),
            request_id: answer.and_then(|answer| answer.request_id.clone()),
            elapsed,
        });
    }
}

/// No body: a name for the type that `send` would otherwise ask for.
const NO_BODY: Option<&()> = None;

fn build_http(
    base: &ApiBase,
    authorities: Option<Vec<Certificate>>,
    time_limit: Duration,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("aerostack/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(MAX_CONNECT_TIME.min(time_limit))
        .https_only(base.is_https());
    if let Some(host @ ("localhost" | "localhost.")) = base.url.host_str() {
        // A resolver that sends `localhost` elsewhere must not get the key.
        let local = |address: IpAddr| SocketAddr::new(address, 0);
        builder = builder
            .resolve_to_addrs(host, &[local(Ipv4Addr::LOCALHOST.into()), local(Ipv6Addr::LOCALHOST.into())]);
    }
    // The system's authorities are loaded for https only: it takes milliseconds.
    match authorities {
        _ if !base.is_https() => builder = builder.tls_certs_only([]),
        Some(authorities) => builder = builder.tls_certs_only(authorities),
        None => {}
    }
    builder.build().map_err(|_| ClientError::NoTls)
}

/// Why no whole answer came.
enum Broken {
    TooLong,
    Transport(reqwest::Error),
}

/// An answer, read whole.
struct Answer {
    status: u16,
    request_id: Option<String>,
    body: Vec<u8>,
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
    let mut response = request.send().await.map_err(Broken::Transport)?;
    let status = response.status().as_u16();
    let request_id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Transport)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, request_id, body })
}

impl Answer {
    fn decode<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let (status, request_id) = (self.status, self.request_id);
        match status {
            204 => serde_json::from_slice(b"null").map_err(|_| ClientError::NotTheApi { status, request_id }),
            200..=299 => {
                serde_json::from_slice(&self.body).map_err(|_| ClientError::NotTheApi { status, request_id })
            }
            300..=399 => Err(ClientError::Redirected { status, request_id }),
            _ => match serde_json::from_slice::<ErrorDocument>(&self.body) {
                Ok(document) => Err(ClientError::refused(status, document.error, request_id)),
                Err(_) => Err(ClientError::NotTheApi { status, request_id }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, request_id: Some("r1".to_owned()), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn base_urls() {
        let joined = |text: &str| ApiBase::parse(text).unwrap().join("/x");
        assert_eq!(joined("https://api.example.com"), "https://api.example.com/x");
        assert_eq!(joined("https://api.example.com/base/"), "https://api.example.com/base/x");
        for local in ["http://127.0.0.1:8787", "http://localhost", "http://[::1]:1", "http://127.9.9.9"] {
            assert!(ApiBase::parse(local).is_ok(), "{local}");
        }
        for open in
            ["http://example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0"]
        {
            assert!(matches!(ApiBase::parse(open), Err(ClientError::NotEncrypted(_))), "{open}");
        }
        for bad in ["", "api.example.com", "ftp://h", "https://u:p@h", "https://h/?q", "https://h/#f"] {
            assert!(matches!(ApiBase::parse(bad), Err(ClientError::BadBase)), "{bad}");
        }
    }

    #[test]
    fn answers_that_are_not_ours() {
        let list = |status, body| answer(status, body).decode::<crate::api::secrets::SecretList>();
        assert!(list(200, r#"{"secrets":[]}"#).is_ok());
        for (status, body) in
            [(200, "<html>"), (200, r#"{"secrets":["#), (204, ""), (502, "<html>"), (404, "")]
        {
            assert!(matches!(list(status, body), Err(ClientError::NotTheApi { .. })), "{status} {body}");
        }
        assert!(matches!(list(302, ""), Err(ClientError::Redirected { status: 302, .. })));
        assert!(answer(204, "").decode::<()>().is_ok());
        assert!(answer(200, "<html>").decode::<()>().is_err());
    }

    #[test]
    fn the_error_document_is_taken_apart() {
        let body = r#"{"error":{"code":"not_found","message":"no","hint":"h","request_id":"r2"}}"#;
        match answer(404, body).decode::<()>() {
            Err(ClientError::Refused { status: 404, message, hint, request_id, .. }) => {
                assert_eq!(
                    (message.as_str(), hint.as_deref(), request_id.as_deref()),
                    ("no", Some("h"), Some("r2"))
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
