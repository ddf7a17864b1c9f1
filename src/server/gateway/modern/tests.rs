//! What several tests of this folder need.

use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use url::Url;

use crate::domain::Origin;
use crate::server::gateway::sessions::UpstreamSession;

/// A session with an upstream of the legacy era.
pub(super) fn opened() -> UpstreamSession {
    UpstreamSession {
        id: None,
        protocol: HeaderValue::from_static("2025-11-25"),
        fingerprint: [0; 32],
        origin: Origin::of(&Url::parse("https://a.example/mcp").unwrap()).unwrap(),
        target: Uri::from_static("/mcp"),
        offers: Arc::default(),
        announced: true,
        modern: false,
    }
}
