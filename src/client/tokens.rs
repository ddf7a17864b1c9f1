//! Workspace tokens.

use reqwest::Method;

use super::{ApiClient, ClientError, NO_BODY};
use crate::api::routes;
use crate::api::tokens::{CreateTokenRequest, CreatedTokenSummary, TokenList};
use crate::domain::WorkspaceSlug;

impl ApiClient {
    /// Creates a token; the answer is the only one that holds it.
    pub async fn create_token(
        &mut self,
        workspace: &WorkspaceSlug,
        request: &CreateTokenRequest,
    ) -> Result<CreatedTokenSummary, ClientError> {
        self.send(Method::POST, &routes::tokens(workspace), Some(request)).await
    }

    /// All tokens of a workspace.
    pub async fn tokens(&mut self, workspace: &WorkspaceSlug) -> Result<TokenList, ClientError> {
        self.send(Method::GET, &routes::tokens(workspace), NO_BODY).await
    }

    /// Revokes a token; the id must be alphanumeric.
    pub async fn revoke_token(
        &mut self,
        workspace: &WorkspaceSlug,
        token_id: &str,
    ) -> Result<(), ClientError> {
        self.send(Method::DELETE, &routes::token(workspace, token_id), NO_BODY).await
    }
}
