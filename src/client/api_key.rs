//! The check of an API key.

use reqwest::Method;

use super::{ApiClient, ClientError, NO_BODY};
use crate::api::routes;
use crate::api::workspaces::KeySummary;

impl ApiClient {
    /// Asks whose key this client uses. Nothing is changed by it.
    pub async fn validate(&mut self) -> Result<KeySummary, ClientError> {
        self.send(Method::POST, routes::VALIDATE, NO_BODY).await
    }
}
