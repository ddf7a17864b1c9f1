//! MCP servers of one workspace.

use reqwest::Method;

use super::names_seen::NamesSeen;
use super::{ApiClient, ClientError, NO_BODY};
use crate::api::routes;
use crate::api::server_test::ServerTestReport;
use crate::api::servers::{AddServerRequest, ServerList, ServerSummary, UpdateServerRequest};
use crate::domain::{ServerSlug, WorkspaceSlug};

impl ApiClient {
    /// Adds a server; its URL is not contacted.
    pub async fn add_server(
        &mut self,
        workspace: &WorkspaceSlug,
        request: &AddServerRequest,
    ) -> Result<ServerSummary, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::SERVERS);
        self.names_seen.push(NamesSeen::Changed(workspace.clone()));
        self.send(Method::POST, &path, Some(request)).await
    }

    /// All servers.
    pub async fn servers(&mut self, workspace: &WorkspaceSlug) -> Result<ServerList, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::SERVERS);
        let list: ServerList = self.send(Method::GET, &path, NO_BODY).await?;
        let slugs = list.servers.iter().map(|server| server.slug.clone()).collect();
        self.names_seen.push(NamesSeen::Servers { workspace: workspace.clone(), slugs });
        Ok(list)
    }

    /// One server.
    pub async fn server(
        &mut self,
        workspace: &WorkspaceSlug,
        slug: &ServerSlug,
    ) -> Result<ServerSummary, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::server(slug));
        self.send(Method::GET, &path, NO_BODY).await
    }

    /// Changes a server.
    pub async fn update_server(
        &mut self,
        workspace: &WorkspaceSlug,
        slug: &ServerSlug,
        request: &UpdateServerRequest,
    ) -> Result<ServerSummary, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::server(slug));
        self.send(Method::PATCH, &path, Some(request)).await
    }

    /// Lets the API connect to a server with its secrets.
    pub async fn test_server(
        &mut self,
        workspace: &WorkspaceSlug,
        slug: &ServerSlug,
    ) -> Result<ServerTestReport, ClientError> {
        let path = format!("{}?workspace={workspace}", routes::server_test(slug));
        self.ask_once(Method::POST, &path, NO_BODY).await
    }

    /// Removes a server and its secrets.
    pub async fn remove_server(
        &mut self,
        workspace: &WorkspaceSlug,
        slug: &ServerSlug,
    ) -> Result<(), ClientError> {
        let path = format!("{}?workspace={workspace}", routes::server(slug));
        self.names_seen.push(NamesSeen::Changed(workspace.clone()));
        self.send(Method::DELETE, &path, NO_BODY).await
    }
}
