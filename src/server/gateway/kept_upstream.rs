//! A session with one upstream, as a client's session keeps it.

use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;

use super::capabilities::Capabilities;
use crate::domain::Origin;

/// A session with one upstream.
#[derive(Debug, Clone)]
pub(super) struct UpstreamSession {
    /// The upstream's session id; servers without sessions give none.
    pub(super) id: Option<HeaderValue>,
    /// The protocol version it chose.
    pub(super) protocol: HeaderValue,
    /// Secrets, rules and URL it was opened with.
    pub(super) fingerprint: [u8; 32],
    /// The origin it was opened at.
    pub(super) origin: Origin,
    /// The path and query there.
    pub(super) target: Uri,
    /// What it offers.
    pub(super) offers: Arc<Capabilities>,
    /// Whether the upstream has got `notifications/initialized`.
    pub(super) announced: bool,
    /// Whether it is spoken to in the modern era: then there is no session there, and this is
    /// what is known instead.
    pub(super) modern: bool,
}

/// Where the session with one upstream is kept; locked while it is being opened.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<UpstreamSession>>>;
