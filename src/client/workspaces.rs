//! Workspaces of the project.

use reqwest::Method;

use super::names_seen::NamesSeen;
use super::{ApiClient, ClientError, NO_BODY};
use crate::api::routes;
use crate::api::workspaces::{CreateWorkspaceRequest, WorkspaceList, WorkspaceSummary};
use crate::domain::WorkspaceSlug;

impl ApiClient {
    /// Creates a workspace; the server makes the slug from the name.
    pub async fn create_workspace(&mut self, name: &str) -> Result<WorkspaceSummary, ClientError> {
        let body = CreateWorkspaceRequest { name: name.to_owned() };
        self.names_seen.push(NamesSeen::WorkspacesChanged);
        self.send(Method::POST, routes::WORKSPACES, Some(&body)).await
    }

    /// All workspaces.
    pub async fn workspaces(&mut self) -> Result<WorkspaceList, ClientError> {
        let list: WorkspaceList = self.send(Method::GET, routes::WORKSPACES, NO_BODY).await?;
        let slugs = list.workspaces.iter().map(|workspace| workspace.slug.clone()).collect();
        self.names_seen.push(NamesSeen::Workspaces(slugs));
        Ok(list)
    }

    /// Deletes a workspace with everything in it.
    pub async fn delete_workspace(&mut self, slug: &WorkspaceSlug) -> Result<(), ClientError> {
        self.names_seen.push(NamesSeen::WorkspacesChanged);
        self.names_seen.push(NamesSeen::Changed(slug.clone()));
        self.send(Method::DELETE, &routes::workspace(slug), NO_BODY).await
    }
}
