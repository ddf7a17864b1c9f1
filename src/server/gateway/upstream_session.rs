//! The session with an upstream that a client's session holds: opened when it is needed first,
//! once for all who wait for it, and again when the secrets have changed.

use std::sync::Arc;
use std::time::Instant;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};

use super::LEGACY_VERSIONS;
use super::answer;
use super::backoff::Part;
use super::capabilities::Capabilities;
use super::inject::Injected;
use super::problem::UpstreamProblem;
use super::sessions::{Session, UpstreamSession};
use super::upstream::{SHORT_TIME, Upstream};
use super::upstream_body::UpstreamBody;

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// How far a session is to be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// `initialize` was answered.
    Initialized,
    /// The server knows that the client is ready.
    Announced,
}

impl Upstream {
    /// The session with this upstream, opened with the secrets as they are now.
    pub(super) async fn session(&self, session: &Session) -> Result<UpstreamSession, UpstreamProblem> {
        self.session_since(session, Instant::now()).await
    }

    /// The same; an attempt of another one that came to nothing after this moment counts.
    pub(super) async fn session_since(
        &self,
        session: &Session,
        moment: Instant,
    ) -> Result<UpstreamSession, UpstreamProblem> {
        let opened = self.open_or_kept(session, moment, Until::Announced).await?;
        self.uses(&opened);
        Ok(opened)
    }

    /// What this server offers; opens a session with it if there is none. It is not told that the
    /// client is ready, because it may ask something at once that the client does not hear yet.
    pub(super) async fn offers_before_it_is_announced(
        &self,
        session: &Session,
    ) -> Result<Arc<Capabilities>, UpstreamProblem> {
        // A client of the modern era does not say when it is ready.
        let until = if session.is_bridge() { Until::Announced } else { Until::Initialized };
        Ok(self.open_or_kept(session, Instant::now(), until).await?.offers)
    }

    /// Whether that session is there already.
    pub(super) fn has_session(&self, session: &Session) -> bool {
        let slot = session.slot(&self.server.id);
        let kept = slot.try_lock();
        kept.is_ok_and(|kept| {
            let is_good =
                |opened: &UpstreamSession| opened.announced && opened.fingerprint == self.fingerprint();
            kept.as_ref().is_some_and(is_good)
        })
    }

    async fn open_or_kept(
        &self,
        session: &Session,
        arrived: Instant,
        until: Until,
    ) -> Result<UpstreamSession, UpstreamProblem> {
        let slot = session.slot(&self.server.id);
        let mut kept = slot.lock().await;
        // The client may go away at any await: what is in the slot must be true at each.
        let fits = |opened: &&UpstreamSession| opened.fingerprint == self.fingerprint();
        let mut opened = match kept.as_ref().filter(fits) {
            Some(opened) if opened.announced => return Ok(opened.clone()),
            Some(opened) => opened.clone(),
            None => {
                // Taken out first: if this is cut off, a session is left over at the upstream,
                // which ends it some day; a slot that is never freed would be worse.
                if kept.is_some() && !self.is_current().await {
                    // What is kept is newer: a call that began later has opened it.
                    return Err(UpstreamProblem::Outdated);
                }
                if let Some(old) = kept.take() {
                    self.end(&old).await;
                }
                if let Some(problem) =
                    session.failed_openings.since(&self.server.id, &self.fingerprint(), arrived)
                {
                    // It was tried for all who waited.
                    return Err(problem);
                }
                let opening = self.open_session(session).await;
                opened_or_failed(self, session, opening)?
            }
        };
        *kept = Some(opened.clone());
        if opened.announced || until == Until::Initialized {
            return Ok(opened);
        }
        let response = self.post(Some(&opened), Bytes::from_static(INITIALIZED), SHORT_TIME).await?;
        opened.announced = true;
        *kept = Some(opened.clone());
        answer::drain(response).await;
        self.tell_wishes(session, &opened).await;
        drop(kept);
        session.workspace.note_opening();
        Ok(opened)
    }

    /// Whether secrets, rules and URL are still as they were when this was opened.
    async fn is_current(&self) -> bool {
        let server = self.gateway().enabled_server(&self.caller().member, self.server.slug.as_str()).await;
        let Ok(Some(server)) = server else { return false };
        let now = Injected::open(&self.gateway().project, &server);
        now.is_ok_and(|now| now.fingerprint == self.fingerprint())
    }

    async fn open_session(&self, session: &Session) -> Result<UpstreamSession, UpstreamProblem> {
        if session.is_bridge()
            && let Some(discovered) = self.discovered().await?
        {
            return Ok(self.modern_session(&discovered));
        }
        let (_, opened) = self.initialize(session.initialize.clone()).await?;
        let opened = opened.ok_or(UpstreamProblem::NotInitialized)?;
        let is_known = opened.modern || LEGACY_VERSIONS.iter().any(|version| opened.protocol == version);
        if is_known { Ok(opened) } else { Err(UpstreamProblem::UnknownVersion) }
    }

    /// Forgets the session `lost`, unless another one has taken its place.
    pub(super) async fn forget(&self, session: &Session, lost: &UpstreamSession) {
        let slot = session.slot(&self.server.id);
        let mut kept = slot.lock().await;
        if kept.as_ref().is_some_and(|opened| opened.id == lost.id) {
            *kept = None;
        }
    }

    /// Tells a server of the legacy era, beside, that nobody waits for its answer to the request with
    /// this id any longer: it does not learn it from a connection that is closed.
    pub(super) fn call_off(&self, id: &str) {
        let Some(opened) = self.opened().filter(|opened| !opened.modern) else { return };
        let (gateway, caller) = (self.gateway(), self.caller());
        let Ok(upstream) = Self::open(gateway, caller, self.server.clone(), HeaderMap::new()) else { return };
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"nobody waits for it any longer"}}}}"#
        );
        tokio::task::spawn_local(async move {
            match upstream.post(Some(&opened), message.into(), SHORT_TIME).await {
                Ok(response) => answer::drain(response).await,
                Err(problem) => {
                    tracing::debug!(server = %upstream.server.slug, %problem, "a cancellation did not reach the server");
                }
            }
        });
    }

    /// Asks for the rest of a request's stream, if the session it was made in is still the one.
    pub(super) async fn resume(
        &self,
        session: &Session,
        made_in: Option<&UpstreamSession>,
        last_event_id: &HeaderValue,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let kept = session.slot(&self.server.id).lock().await.clone();
        let is_same = |kept: &UpstreamSession| {
            kept.fingerprint == self.fingerprint() && made_in.is_some_and(|opened| opened.id == kept.id)
        };
        let opened = kept.filter(is_same).ok_or(UpstreamProblem::NotInitialized)?;
        self.get(&opened, Some(last_event_id)).await
    }
}

/// Remembers how an attempt to open a session ended, for those who wait behind it.
fn opened_or_failed(
    upstream: &Upstream,
    session: &Session,
    opening: Result<UpstreamSession, UpstreamProblem>,
) -> Result<UpstreamSession, UpstreamProblem> {
    let server_id = &upstream.server.id;
    match &opening {
        Ok(_) => upstream.is_well(Part::Session),
        Err(problem) => session.failed_openings.note(server_id, upstream.fingerprint(), *problem),
    }
    opening
}
