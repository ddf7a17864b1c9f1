//! One MCP server as one client session sees it. Every request to it (handshakes and
//! lists too) carries the injected headers, and only these, the protocol's own and the
//! few that may pass from the client. A session that was opened with other secrets is
//! ended before the next request.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Response, Uri};

use super::answer::{self, Answer, SESSION_HEADER};
use super::capabilities::Capabilities;
use super::connection::{Connection, PoolKey, SendProblem};
use super::content_coding::Coding;
use super::in_use::SecretsInUse;
use super::inject::Injected;
use super::later_secrets::LaterSecrets;
use super::listing::{LIST_TIME, ListKind};
use super::message::Envelope;
use super::modern::{Eras, KnownSchemas, METHOD_HEADER, MODERN_VERSION, WantedInput, is_of_the_modern_era};
use super::problem::UpstreamProblem;
use super::sessions::{Session, UpstreamSession};
use super::upstream_body::{OnChange, UpstreamBody, treat_head};
use super::{Caller, Gateway};
use crate::server::store::{ServerRow, Store};

/// Header of the protocol version.
pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";
/// How long an upstream may take to open a session.
const INITIALIZE_TIME: Duration = Duration::from_secs(10);
/// How long it may take to take a notification, or to begin a stream.
pub(super) const SHORT_TIME: Duration = Duration::from_secs(5);
/// How long it may take to end a session; a call may be waiting behind it.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
const BOTH_TYPES: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// A server, opened for one request of one session.
pub(super) struct Upstream {
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    /// Its row.
    pub(super) server: ServerRow,
    injected: Injected,
    passing: HeaderMap,
    /// How long it may be silent.
    patience: Duration,
    /// What the server wants of the client meanwhile.
    wanted: Option<Arc<WantedInput>>,
    /// The session that was asked for last.
    opened: RefCell<Option<UpstreamSession>>,
}

impl Upstream {
    /// Opens the server's secrets. `passing` are the client headers that may go upstream.
    pub(super) fn open(
        gateway: &Arc<Gateway>,
        caller: &Rc<Caller>,
        server: ServerRow,
        passing: HeaderMap,
    ) -> Result<Self, UpstreamProblem> {
        let injected = Injected::open(&gateway.project, &server)?;
        let (patience, opened) = (gateway.patience, RefCell::default());
        let (gateway, caller) = (Arc::clone(gateway), Rc::clone(caller));
        Ok(Self { gateway, caller, server, injected, passing, patience, wanted: None, opened })
    }

    /// The same for a request of this method: a list must not take long.
    pub(super) fn hurried(self, method: &str) -> Self {
        let is_list = ListKind::of_method(method).is_some();
        let patience = if is_list { self.patience.min(LIST_TIME) } else { self.patience };
        Self { patience, ..self }
    }

    /// Sends a request in the client's session and answers with its beginning. A session that the
    /// upstream has lost is opened again, once: such a request was refused before it ran. So was one
    /// that a server refused because it is of the modern era by now.
    pub(super) async fn request(&self, session: &Session, message: Bytes) -> Result<Answer, UpstreamProblem> {
        let began = Instant::now();
        let opened = self.session(session).await?;
        if opened.modern {
            return self.request_modern(session, message).await;
        }
        let response = self.post_request(session, &opened, message.clone()).await?;
        let asked = message.clone();
        let envelope = Envelope::parse(&asked);
        let (id, method) = envelope.as_ref().map_or(("null", ""), |it| (it.id(), it.method()));
        let answer = match &opened.id {
            Some(_) => answer::of_session_request(response, id).await?,
            None => Some(answer::of_request(response).await?),
        };
        if let Some(answer) = answer {
            // Who calls for a client of the modern era looks himself: the call is another one then.
            let is_looked_at = !session.is_bridge() || ListKind::of_method(method).is_some();
            if !(is_looked_at && self.is_modern_after_all(session, &answer).await) {
                return Ok(answer);
            }
        } else {
            self.forget(session, &opened).await;
        }
        let opened = self.session_since(session, began).await?;
        if opened.modern {
            return self.request_modern(session, message).await;
        }
        let response = self.post_request(session, &opened, message).await?;
        answer::of_request(response).await
    }

    /// Passes on a notification or an answer; what the upstream says to it is read and dropped.
    pub(super) async fn notify(&self, session: &Session, message: Bytes) -> Result<(), UpstreamProblem> {
        let opened = self.session(session).await?;
        if opened.modern {
            // The modern era has no notifications to a server.
            return Ok(());
        }
        let response = self.post(Some(&opened), message, SHORT_TIME).await?;
        answer::drain(response).await;
        Ok(())
    }

    /// Asks for the rest of a stream, after the event with this id; without an event, for the
    /// stream of messages that belong to no request.
    pub(super) async fn get(
        &self,
        opened: &UpstreamSession,
        last_event_id: Option<&HeaderValue>,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        self.get_within(SHORT_TIME, opened, last_event_id).await
    }

    /// The same, with a time limit of choice for its beginning.
    pub(super) async fn get_within(
        &self,
        limit: Duration,
        opened: &UpstreamSession,
        last_event_id: Option<&HeaderValue>,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let mut request = self.build(Method::GET, Some(opened), Bytes::new());
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_event_id {
            request.headers_mut().insert("last-event-id", id.clone());
        }
        self.send(request, limit).await
    }

    /// Sends a client's `initialize` as it is, before there is a session. A server of the
    /// modern era does not know it: then the answer is made from what the server does say.
    pub(super) async fn initialize(
        &self,
        message: Bytes,
    ) -> Result<(answer::Whole, Option<UpstreamSession>), UpstreamProblem> {
        let answering = async {
            let mut request = self.build(Method::POST, None, message.clone());
            // A server of the modern era looks for it on each request; to others it says nothing.
            request.headers_mut().insert(METHOD_HEADER, HeaderValue::from_static("initialize"));
            let response = self.send(request, INITIALIZE_TIME).await?;
            answer::read_initialize(response).await
        };
        let whole = tokio::time::timeout(INITIALIZE_TIME, answering).await;
        let whole = match whole.unwrap_or(Err(UpstreamProblem::TimedOut)) {
            // It speaks of the modern era, so it is spoken to in that.
            Ok(whole) if whole.initialized().is_some_and(|version| version == MODERN_VERSION) => {
                return self.made_modern(&message, &whole.message).ok_or(UpstreamProblem::NotMcp);
            }
            Ok(whole) if whole.initialized().is_some() => whole,
            refused @ (Ok(_)
            | Err(
                UpstreamProblem::Status(400..=499) | UpstreamProblem::NotMcp | UpstreamProblem::Redacted,
            )) => {
                if refused.as_ref().is_ok_and(|whole| is_of_the_modern_era(&whole.message)) {
                    self.forget_era();
                }
                return match self.initialize_modern(&message).await? {
                    Some(made) => Ok(made),
                    None => Ok((refused?, None)),
                };
            }
            Err(problem) => return Err(problem),
        };
        let session = whole.initialized().map(|protocol| UpstreamSession {
            id: whole.session_id.clone(),
            protocol,
            fingerprint: self.injected.fingerprint,
            origin: self.server.origin().clone(),
            target: self.target(),
            offers: Arc::new(Capabilities::of_initialize(&whole.message)),
            announced: false,
            modern: false,
        });
        Ok((whole, session))
    }

    /// Tells the upstream that a session is over. Its answer does not matter.
    pub(super) async fn end(&self, opened: &UpstreamSession) {
        if opened.id.is_none() || opened.origin != *self.server.origin() {
            return;
        }
        let mut request = self.build(Method::DELETE, Some(opened), Bytes::new());
        // Where it was opened, which may be another path by now.
        *request.uri_mut() = opened.target.clone();
        match self.send(request, GOODBYE_TIME).await {
            Ok(response) => answer::drain(response).await,
            Err(problem) => {
                tracing::debug!(server = %self.server.slug, %problem, "a session was not ended upstream");
            }
        }
    }

    pub(super) async fn post(
        &self,
        opened: Option<&UpstreamSession>,
        message: Bytes,
        limit: Duration,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let request = self.build(Method::POST, opened, message);
        self.send(request, limit).await
    }

    async fn post_request(
        &self,
        session: &Session,
        opened: &UpstreamSession,
        message: Bytes,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let asked = message.clone();
        let envelope = Envelope::parse(&asked);
        let id = envelope.as_ref().map_or("null", Envelope::id);
        let posting = self.post(Some(opened), message, Duration::MAX);
        match &self.wanted {
            None => session.workspace.calls.patiently((&self.server.id, id), self.patience, posting).await,
            Some(wanted) => wanted.within(self.patience, posting).await,
        }
    }

    /// Digest of the secrets, rules and URL that this was opened with.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.injected.fingerprint
    }

    /// The session in which the last request was made.
    pub(super) fn opened(&self) -> Option<UpstreamSession> {
        self.opened.borrow().clone()
    }

    /// Notes in which session requests are made.
    pub(super) fn uses(&self, opened: &UpstreamSession) {
        if let Some(wanted) = &self.wanted {
            wanted.runs_in(opened.id.as_ref());
        }
        self.opened.replace(Some(opened.clone()));
    }

    /// The gateway that it belongs to.
    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Who asks.
    pub(super) fn caller(&self) -> &Rc<Caller> {
        &self.caller
    }

    pub(super) fn secrets_in_use(&self) -> &SecretsInUse {
        &self.gateway.in_use
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.gateway.project.store.as_ref()
    }

    /// How long the server may be silent while it works on a request.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Says by what it is known that the server waits for the client, which does not count.
    pub(super) fn asks(&mut self, wanted: &Arc<WantedInput>) {
        self.wanted = Some(Arc::clone(wanted));
    }

    /// What is known of the eras of all servers.
    pub(super) fn eras(&self) -> &Eras {
        &self.gateway.eras
    }

    /// What is known of the schemas of all servers.
    pub(super) fn schemas(&self) -> &KnownSchemas {
        &self.gateway.schemas
    }

    /// Path and query of the server's URL.
    pub(super) fn target(&self) -> Uri {
        let url = self.server.url.url();
        url[url::Position::BeforePath..url::Position::AfterQuery].parse().unwrap_or_default()
    }

    /// A request with the headers that every one has; those of a POST, and of the session.
    pub(super) fn build(
        &self,
        method: Method,
        opened: Option<&UpstreamSession>,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let is_post = method == Method::POST;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.target();
        let url = self.server.url.url();
        let headers = request.headers_mut();
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(HOST, host);
        }
        let agent = HeaderValue::from_static(concat!("aerostack-gateway/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if is_post {
            headers.insert(ACCEPT, BOTH_TYPES);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(opened) = opened {
            headers.insert(VERSION_HEADER, opened.protocol.clone());
            if let Some(id) = &opened.id {
                headers.insert(SESSION_HEADER, id.clone());
            }
        }
        headers.extend(self.passing.iter().map(|(name, value)| (name.clone(), value.clone())));
        request
    }

    /// Sends on a resting or a new connection. The injected headers go in here, last, so
    /// that no request can be without them; event streams with older ones have ended by then.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let lease = self.lease().await?;
        self.injected.insert_into(request.headers_mut());
        let key = PoolKey {
            server_id: self.server.id.clone(),
            origin: self.server.origin().to_string(),
            allow_private: self.server.allow_private_network,
            token_id: self.caller.member.token_id.clone(),
        };
        let exchange = async {
            if let Some(mut connection) = self.caller.pool.take(&key).await {
                match connection.send(request).await {
                    Ok(response) => return Ok((connection, response)),
                    Err(SendProblem::NotSent(unsent)) => request = *unsent,
                    Err(SendProblem::Broken) => return Err(UpstreamProblem::Cut),
                }
            }
            let (policy, private) = (self.gateway.policy, self.server.allow_private_network);
            let mut connection = Connection::open(&self.server.url, policy, private).await?;
            match connection.send(request).await {
                Ok(response) => Ok((connection, response)),
                Err(_) => Err(UpstreamProblem::Cut),
            }
        };
        let (connection, mut response) =
            tokio::time::timeout(limit, exchange).await.unwrap_or(Err(UpstreamProblem::TimedOut))?;
        if response.status().is_success() && Coding::of(response.headers()) == Coding::Other {
            return Err(UpstreamProblem::NotMcp);
        }
        let treatment = treat_head(response.headers_mut(), self.injected.redacted.as_ref())?;
        let pool = Rc::clone(&self.caller.pool);
        let on_change = if answer::is_event_stream(&response) {
            OnChange::End(lease)
        } else {
            OnChange::Filter(LaterSecrets::new(&self.gateway, &self.server.id, lease))
        };
        Ok(response.map(|incoming| UpstreamBody::new(incoming, connection, pool, key, treatment, on_change)))
    }
}

/// The client headers that may go upstream: `Mcp-Param-*` and trace context.
pub(super) fn passing_headers(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("mcp-param-") || name == "traceparent" || name == "tracestate"
    };
    headers
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
