//! Recorded tool calls of a workspace.

use reqwest::Method;
use url::form_urlencoded::Serializer;

use super::{ApiClient, ClientError, NO_BODY};
use crate::api::analytics::{CallGroups, CallLog};
use crate::api::routes;
use crate::domain::WorkspaceSlug;

impl ApiClient {
    /// Calls in groups. `by` names what they are put together by, with commas between.
    pub async fn call_groups(
        &mut self,
        workspace: &WorkspaceSlug,
        by: &str,
        since: &str,
    ) -> Result<CallGroups, ClientError> {
        let query = Serializer::new(String::new()).append_pair("by", by).append_pair("since", since).finish();
        self.send(Method::GET, &format!("{}?{query}", routes::analytics(workspace)), NO_BODY).await
    }

    /// One page of the log, newest first.
    pub async fn call_log(
        &mut self,
        workspace: &WorkspaceSlug,
        token: Option<&str>,
        after: Option<&str>,
    ) -> Result<CallLog, ClientError> {
        let given = [("token", token), ("after", after)];
        let pairs = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let path = routes::analytics_calls(workspace);
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        self.send(Method::GET, &path, NO_BODY).await
    }
}
