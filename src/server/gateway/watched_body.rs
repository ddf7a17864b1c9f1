//! Streams end with what they stand on. Every streamed answer of the gateway is wrapped
//! here, and while it is open the store is asked again and again whether its token is still
//! accepted and its server still served. The store is asked, because a change may have been
//! made on another replica; nobody has to tell this one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::answer;
use super::in_use::SecretsInUse;
use super::inject::fingerprint;
use super::relay_body::BrokenOff;
use super::sessions::Answering;
use crate::domain::ServerSlug;
use crate::server::auth::Member;
use crate::server::body::{AnswerBody, BodyError};
use crate::server::startup::Project;
use crate::server::store::{ServerRow, StoreError};

/// How often the store is asked. A stream outlives its token by this, and by twice this if
/// the store fails.
const INTERVAL: Duration = Duration::from_secs(2);

/// The server that an answer comes from; an extension of the answer.
#[derive(Debug, Clone)]
pub(super) struct ServedBy {
    slug: ServerSlug,
    id: String,
}

impl ServedBy {
    pub(super) fn of(server: &ServerRow) -> Self {
        Self { slug: server.slug.clone(), id: server.id.clone() }
    }

    /// Its slug.
    pub(super) fn slug(&self) -> &str {
        self.slug.as_str()
    }

    /// The server's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// The answer ends by itself, with an error, when its server is taken away; an extension of it.
#[derive(Debug, Clone)]
pub(super) struct MindsItsServer;

/// What a request or a stream stands on.
pub(super) struct Standing {
    project: Arc<Project>,
    in_use: Arc<SecretsInUse>,
    member: Member,
    server: Option<ServedBy>,
    answering: Option<Answering>,
}

impl Standing {
    pub(super) fn new(
        project: Arc<Project>,
        in_use: Arc<SecretsInUse>,
        member: Member,
        server: Option<ServedBy>,
    ) -> Self {
        Self { project, in_use, member, server, answering: None }
    }

    /// Keeps the client's session from going idle until the answer is through.
    pub(super) fn is_answered_in(&mut self, session: Answering) {
        self.answering = Some(session);
    }

    /// The answer itself says when its server is taken away.
    pub(super) fn leaves_server_out(&mut self) {
        self.server = None;
    }

    /// Names the server behind an answer, once it is known.
    pub(super) fn is_served_by(&mut self, server: ServedBy) {
        self.server = Some(server);
    }

    async fn holds(&self) -> Result<bool, StoreError> {
        if !self.project.authenticator.still_accepts(&self.member).await? {
            return Ok(false);
        }
        let Some(served) = &self.server else { return Ok(true) };
        let last_change = self.in_use.last_change(&served.id);
        let row = self.project.store.server(&self.member.workspace_id, &served.slug).await?;
        let Some(row) = row.filter(|row| row.id == served.id && row.enabled) else { return Ok(false) };
        self.in_use.notice(&row, fingerprint(&row), last_change);
        Ok(true)
    }

    /// Returns once it no longer holds, or the store failed twice in a row.
    pub(super) async fn lost(&self) {
        let mut failed = false;
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.holds().await {
                Ok(true) => failed = false,
                Ok(false) => return,
                Err(_) if failed => return,
                Err(_) => failed = true,
            }
        }
    }
}

type Inner = Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>;

type Asking = Pin<Box<dyn Future<Output = Result<bool, StoreError>>>>;

/// A stream that ends when what it stands on is gone.
struct WatchedBody {
    /// `None` once it was ended; with it goes the upstream's connection.
    inner: Option<Inner>,
    /// Events end as they are; half a document must not look like a whole one.
    is_events: bool,
    standing: Arc<Standing>,
    due: Instant,
    failed: bool,
    timer: Option<Pin<Box<Sleep>>>,
    asking: Option<Asking>,
}

/// Wraps the body of a streamed answer; others stay as they are.
pub(super) fn watch(response: Response<AnswerBody>, standing: Standing) -> Response<AnswerBody> {
    let is_events = answer::is_event_stream(&response);
    response.map(|body| match body {
        AnswerBody::Streamed(inner) => AnswerBody::Streamed(Box::pin(WatchedBody {
            inner: Some(inner),
            is_events,
            standing: Arc::new(standing),
            due: Instant::now() + INTERVAL,
            failed: false,
            timer: None,
            asking: None,
        })),
        whole @ AnswerBody::Whole(_) => whole,
    })
}

impl WatchedBody {
    /// Whether the stream has to end now. Asks the store when it is time to.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if self.asking.is_none() && Instant::now() >= self.due {
            let standing = Arc::clone(&self.standing);
            self.asking = Some(Box::pin(async move { standing.holds().await }));
        }
        let Some(asking) = &mut self.asking else { return false };
        let Poll::Ready(answer) = asking.as_mut().poll(context) else { return false };
        self.asking = None;
        self.due = Instant::now() + INTERVAL;
        let failed_before = std::mem::replace(&mut self.failed, answer.is_err());
        match answer {
            Ok(holds) => !holds,
            Err(_) => failed_before,
        }
    }

    /// Sees to it that this is polled again when the store is to be asked.
    fn arm(&mut self, context: &mut Context<'_>) {
        if self.asking.is_some() {
            return;
        }
        let due = self.due;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        if timer.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.inner.is_some() && this.is_over(context) {
            this.inner = None;
            if !this.is_events {
                return Poll::Ready(Some(Err(BrokenOff.into())));
            }
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let frame = inner.as_mut().poll_frame(context);
        if frame.is_pending() {
            this.arm(context);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
