//! `subscriptions/listen`: what a server of the modern era tells unasked. For a session of
//! the legacy era it takes the place of the GET stream.

use hyper::Response;
use hyper::header::HeaderMap;
use serde_json::json;

use super::speak::with_meta;
use crate::server::gateway::listing::own_request_id;
use crate::server::gateway::problem::UpstreamProblem;
use crate::server::gateway::upstream::{SHORT_TIME, Upstream};
use crate::server::gateway::upstream_body::UpstreamBody;

impl Upstream {
    /// Opens the stream of everything that the server tells about its lists.
    pub(in crate::server::gateway) async fn listen_modern(
        &self,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let request = json!({
            "jsonrpc": "2.0", "id": own_request_id(), "method": "subscriptions/listen",
            "params": {"notifications": {
                "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
            }},
        });
        let message = with_meta(request.to_string().as_bytes(), "{}", None).ok_or(UpstreamProblem::NotMcp)?;
        self.post_modern(message.into(), HeaderMap::new(), SHORT_TIME).await
    }
}
