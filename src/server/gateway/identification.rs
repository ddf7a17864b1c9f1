//! Who asks, and for what: the token, then the route. Without a token nobody learns what
//! exists, and with one nobody guesses names of servers without a limit.

use std::rc::Rc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::rate_limit::Quota;
use super::{Caller, Gateway, Route, UpstreamPool, workspace_and_server};
use crate::domain::ServerSlug;
use crate::server::auth::Member;
use crate::server::body::AnswerBody;
use crate::server::error::ApiError;
use crate::server::store::{ServerRow, StoreError};

/// Why a request goes no further.
pub(super) enum Refusal {
    Error(ApiError),
    /// The token's limit.
    Answer(Box<Response<AnswerBody>>),
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Gateway {
    /// Authenticates, then finds the route.
    pub(super) async fn identify(
        &self,
        pool: &Rc<UpstreamPool>,
        request: &Request<Incoming>,
        request_id: &str,
    ) -> Result<Caller, Refusal> {
        let (workspace, server) = workspace_and_server(request.uri().path());
        let member = self.project.authenticator.member(request.headers(), workspace).await?;
        let member = member.ok_or_else(|| {
            ApiError::unauthorized(
                "a workspace token is needed, and this one is missing or not accepted here",
            )
            .with_hint("send Authorization: Bearer mwt_...; ask a workspace admin for a token")
        })?;
        self.project.analytics.token_used(&member.token_id);
        let route = match server.filter(|server| !server.is_empty()) {
            None => Route::Workspace,
            Some(slug) => Route::Server(Box::new(self.found_server(&member, slug).await?)),
        };
        Ok(Caller::new(Rc::clone(pool), request_id.to_owned(), member, route))
    }

    /// The server of this name. Once the guesses are used up, names that are right are refused
    /// as well: else a tool call, which has a quota of its own, would still tell them apart.
    async fn found_server(&self, member: &Member, slug: &str) -> Result<ServerRow, Refusal> {
        if let Some(refusal) = self.rate_limits.used_up(member, Quota::Misses) {
            return Err(Refusal::Answer(Box::new(refusal)));
        }
        if let Some(server) = self.enabled_server(member, slug).await? {
            return Ok(server);
        }
        let refusals =
            [Quota::Misses, Quota::Others].map(|quota| self.rate_limits.take(member, quota, "null"));
        match refusals.into_iter().flatten().next() {
            Some(refusal) => Err(Refusal::Answer(Box::new(refusal))),
            None => Err(ApiError::not_found("no such MCP server in this workspace").into()),
        }
    }

    /// A server that is enabled and that the token may use.
    pub(super) async fn enabled_server(
        &self,
        member: &Member,
        slug: &str,
    ) -> Result<Option<ServerRow>, StoreError> {
        let Ok(slug) = ServerSlug::parse(slug) else { return Ok(None) };
        if !member.scope.allows_server(slug.as_str()) {
            return Ok(None);
        }
        let server = self.project.store.server(&member.workspace_id, &slug).await?;
        Ok(server.filter(|server| server.enabled))
    }
}
