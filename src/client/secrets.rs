//! Secrets of one MCP server.

use reqwest::Method;

use super::names_seen::NamesSeen;
use super::{ApiClient, ClientError, NO_BODY};
use crate::api::routes;
use crate::api::secrets::{
    DeletedList, InjectionDocument, SecretDocument, SecretInRequest, SecretList, SetSecretRequest,
    SetSecretSummary,
};
use crate::api::secrets_batch::{SecretsBatchRequest, SecretsBatchSummary};
use crate::domain::{SecretName, SecretValue, ServerSlug, WorkspaceSlug};

/// What a `set` asks for beside the value.
#[derive(Debug, Default)]
pub struct SetOptions {
    /// The rule to store with it; without one an existing secret keeps its rule.
    pub injection: Option<InjectionDocument>,
    /// Fail unless the secret exists.
    pub must_exist: bool,
    /// Fail if the secret exists.
    pub must_not_exist: bool,
}

impl ApiClient {
    /// Creates or replaces a value.
    pub async fn set_secret(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
        name: &SecretName,
        value: &SecretValue,
        options: SetOptions,
    ) -> Result<SetSecretSummary, ClientError> {
        let body = SetSecretRequest {
            name: name.as_str().to_owned(),
            value: SecretInRequest::sending(value),
            injection: options.injection,
            must_exist: options.must_exist,
            must_not_exist: options.must_not_exist,
        };
        let path = format!("{}?workspace={workspace}", routes::secrets(server));
        let answer = self.send(Method::POST, &path, Some(&body)).await?;
        let (server, name) = (server.to_string(), name.to_string());
        self.names_seen.push(NamesSeen::SecretSet { workspace: workspace.clone(), server, name });
        Ok(answer)
    }

    /// Creates or replaces many values, all of them or none; existing secrets keep their rule.
    pub async fn set_secrets(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
        batch: &SecretsBatchRequest,
    ) -> Result<SecretsBatchSummary, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::secrets_batch(server));
        self.names_seen.push(NamesSeen::Changed(workspace.clone()));
        let before = self.changes;
        let answer = self.send(Method::POST, &path, Some(batch)).await;
        if batch.dry_run {
            self.changes = before;
        }
        answer
    }

    /// Names, rules and dates.
    pub async fn secrets(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
    ) -> Result<SecretList, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::secrets(server));
        let list: SecretList = self.send(Method::GET, &path, NO_BODY).await?;
        let names = list.secrets.iter().map(|secret| secret.name.clone()).collect();
        let (workspace, server) = (workspace.clone(), server.to_string());
        self.names_seen.push(NamesSeen::Secrets { workspace, server, names });
        Ok(list)
    }

    /// Changes a secret's rule.
    pub async fn set_injection(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
        name: &SecretName,
        rule: &InjectionDocument,
    ) -> Result<SecretDocument, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::injection(server, name));
        self.send(Method::PUT, &path, Some(rule)).await
    }

    /// Deletes one secret.
    pub async fn delete_secret(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
        name: &SecretName,
    ) -> Result<(), ClientError> {
        let path = format!("{}?workspace={workspace}", routes::secret(server, name));
        self.names_seen.push(NamesSeen::Changed(workspace.clone()));
        self.send(Method::DELETE, &path, NO_BODY).await
    }

    /// Deletes every secret of a server. The answer has the names that this one try deleted, so
    /// it is not tried again where an earlier try may have deleted some.
    pub async fn delete_all_secrets(
        &mut self,
        workspace: &WorkspaceSlug,
        server: &ServerSlug,
    ) -> Result<DeletedList, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::secrets(server));
        self.names_seen.push(NamesSeen::Changed(workspace.clone()));
        self.send_once(Method::DELETE, &path, NO_BODY).await
    }
}
