//! The secrets of a server that are used while an older answer is under way. The server may
//! know them by then and repeat them, so what comes of the answer after that is filtered for
//! them, too. (Event streams end instead: they may last for hours.)

use std::sync::Arc;

use hyper::body::Bytes;

use super::Gateway;
use super::in_use::Lease;
use super::inject::Injected;
use super::redaction::Filter;
use crate::server::body::BodyBroken;

/// Follows the secrets of one server from those that a request was made with.
pub(super) struct LaterSecrets {
    gateway: Arc<Gateway>,
    server_id: String,
    /// Lasts as long as the last of them are in use.
    lease: Lease,
    filters: Vec<Filter>,
    is_lost: bool,
}

impl LaterSecrets {
    /// `lease` is that of the request's own.
    pub(super) fn new(gateway: &Arc<Gateway>, server_id: &str, lease: Lease) -> Self {
        let (gateway, server_id) = (Arc::clone(gateway), server_id.to_owned());
        Self { gateway, server_id, lease, filters: Vec::new(), is_lost: false }
    }

    /// Begins to filter for all that were used so far.
    ///
    /// # Errors
    /// [`BodyBroken`] when one of them is not known any more.
    pub(super) fn catch_up(&mut self) -> Result<(), BodyBroken> {
        while self.lease.is_over() {
            self.is_lost = true;
            let used = self.gateway.in_use.since(&self.server_id, self.lease.change());
            let (servers, lease) = used.ok_or(BodyBroken)?;
            for server in servers {
                let injected = Injected::open(&self.gateway.project, &server).map_err(|_| BodyBroken)?;
                self.filters.extend(injected.redacted.map(Filter::new));
            }
            (self.lease, self.is_lost) = (lease, false);
        }
        Ok(())
    }

    /// Whether others are in use by now.
    pub(super) fn is_behind(&self) -> bool {
        self.lease.is_over()
    }

    /// Whether one of them is not known any more.
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
