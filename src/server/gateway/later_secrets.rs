//! The secrets of a server that are used while an older answer is under way. The server may
//! know them by then and repeat them, so what comes of the answer after that is filtered for
//! them, too. (Event streams end instead: they may last for hours.)

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;

use super::in_use::Lease;
use super::inject::Injected;
use super::redaction::{Filter, Secrets};
use super::{Caller, Gateway};
use crate::domain::ServerSlug;
use crate::server::body::BodyBroken;

/// What to filter for now, and how long; `None` if that cannot be told.
type Opening = Pin<Box<dyn Future<Output = Option<(Option<Rc<Secrets>>, Lease)>>>>;

/// Follows the secrets of one server from those that a request was made with.
pub(super) struct LaterSecrets {
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    server_id: String,
    slug: ServerSlug,
    /// Lasts as long as the last of them are in use.
    lease: Lease,
    opening: Option<Opening>,
    filters: Vec<Filter>,
    is_lost: bool,
}

impl LaterSecrets {
    /// `lease` is that of the request's own.
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        caller: &Rc<Caller>,
        server_id: &str,
        slug: &ServerSlug,
        lease: Lease,
    ) -> Self {
        let (gateway, caller) = (Arc::clone(gateway), Rc::clone(caller));
        let (server_id, slug) = (server_id.to_owned(), slug.clone());
        Self { gateway, caller, server_id, slug, lease, opening: None, filters: Vec::new(), is_lost: false }
    }

    /// Ready when all secrets that were used so far are filtered for.
    ///
    /// # Errors
    /// [`BodyBroken`] when one of them cannot be known any more.
    pub(super) fn poll_known(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyBroken>> {
        while self.opening.is_some() || self.lease.is_over() {
            let opening = self.opening.get_or_insert_with(|| {
                let (gateway, caller) = (Arc::clone(&self.gateway), Rc::clone(&self.caller));
                Box::pin(newest(
                    gateway,
                    caller,
                    self.server_id.clone(),
                    self.slug.clone(),
                    self.lease.change(),
                ))
            });
            let opened = ready!(opening.as_mut().poll(context));
            self.opening = None;
            self.is_lost = opened.is_none();
            let (secrets, lease) = opened.ok_or(BodyBroken)?;
            self.filters.extend(secrets.map(Filter::new));
            self.lease = lease;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether others are in use by now.
    pub(super) fn is_behind(&self) -> bool {
        self.lease.is_over()
    }

    /// Whether one of them cannot be known any more.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether there are any.
    pub(super) fn filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Filters a piece that came when all of them were known.
    ///
    /// # Errors
    /// [`BodyBroken`] when it cannot be filtered.
    pub(super) fn filtered(&mut self, mut piece: Bytes) -> Result<Bytes, BodyBroken> {
        for filter in &mut self.filters {
            piece = filter.push(&piece).map_err(|_| BodyBroken)?;
        }
        Ok(piece)
    }

    /// What the filters still hold at the end.
    ///
    /// # Errors
    /// [`BodyBroken`] when it cannot be filtered.
    pub(super) fn finish(&mut self) -> Result<Bytes, BodyBroken> {
        let mut rest = Bytes::new();
        for filter in &mut self.filters {
            let passed = filter.push(&rest).map_err(|_| BodyBroken)?;
            rest = [passed, filter.finish()].concat().into();
        }
        Ok(rest)
    }
}

/// The secrets in use now, if only one change led to them: those between would be unknown.
async fn newest(
    gateway: Arc<Gateway>,
    caller: Rc<Caller>,
    server_id: String,
    slug: ServerSlug,
    change: u64,
) -> Option<(Option<Rc<Secrets>>, Lease)> {
    let row = gateway.project.store.server(&caller.member.workspace_id, &slug).await.ok().flatten();
    let row = row.filter(|row| row.id == server_id)?;
    let injected = Injected::open(&gateway.project, &row).ok()?;
    let lease = gateway.in_use.lease(&server_id, &injected.fingerprint).ok()?;
    (lease.change() == change + 1).then_some((injected.redacted, lease))
}
