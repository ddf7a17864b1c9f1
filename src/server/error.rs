//! Errors of the admin API: what a client reads, and nothing of a body, a database or a
//! library in it.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;

use super::randomness::RandomnessFailed;
use super::store::{StoreError, WriteError};
use super::vault::VaultError;
use crate::api::error::{ErrorCode, ErrorDetail, ErrorDocument};
use crate::api::secrets_batch::EntryProblem;

/// An error on its way to a client. The router adds the request id.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    hint: Option<String>,
    problems: Vec<EntryProblem>,
    /// Where it is not that of the code.
    status: Option<StatusCode>,
}

impl ApiError {
    /// Any kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, problems: Vec::new(), status: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what is wrong with which entry of a batch.
    #[must_use]
    pub fn with_problems(mut self, problems: Vec<EntryProblem>) -> Self {
        self.problems = problems;
        self
    }

    /// The same with a status that says more than that of the code.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// 400.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// 401.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// 422.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidValue, message)
    }

    /// 500; the cause goes to the log.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            ErrorCode::Internal,
            "the server could not do it; its log has the cause under the request id",
        )
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        let of_the_code = || StatusCode::from_u16(self.code.status()).ok();
        self.status.or_else(of_the_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document with this request id.
    pub fn document(&self, request_id: &str) -> ErrorDocument {
        ErrorDocument {
            error: ErrorDetail {
                code: self.code,
                message: self.message.clone(),
                hint: self.hint.clone(),
                request_id: request_id.to_owned(),
                problems: self.problems.clone(),
            },
        }
    }
}

/// The error travels as an extension; the router writes the body once it knows the request id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => {
                Self::new(ErrorCode::StorageFull, "the server's disk is full; nothing was changed")
                    .with_hint("make room on the server and try again")
            }
            other => Self::internal(&other),
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound => Self::not_found("it is gone"),
            WriteError::Exists => Self::conflict("it exists already"),
            WriteError::Changed => {
                Self::conflict("it was changed by somebody else meanwhile").with_hint("look again and repeat")
            }
            WriteError::HeaderTaken => Self::conflict(
                "another secret of this server is already sent in that header (case and '_' or '-' make no difference)",
            )
            .with_hint("choose another header, or delete the other secret"),
            WriteError::HasSecrets => {
                Self::conflict("the server has secrets, and they belong to its present origin (scheme, host, port)")
                    .with_hint("detach them (they are deleted and must be set again): --detach-secrets")
            }
            WriteError::Store(error) => error.into(),
        }
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Tampered | VaultError::UnknownKey => Self::conflict(error.to_string())
                .with_hint("delete the secret and set it again; find out who changed the database"),
            other => Self::internal(&other),
        }
    }
}

impl From<RandomnessFailed> for ApiError {
    fn from(error: RandomnessFailed) -> Self {
        Self::internal(&error)
    }
}
