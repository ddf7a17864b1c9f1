//! The error document: `{"error":{"code","message","hint"?,"request_id"}}`.

use serde::{Deserialize, Serialize};

use super::secrets_batch::EntryProblem;

/// Kind of an error, as the field `code` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request itself is malformed.
    InvalidRequest,
    /// 401: no key, or a key that is not accepted.
    Unauthorized,
    /// 403: a credential that may not do this.
    Forbidden,
    /// 404: no such thing, or not yours.
    NotFound,
    /// 409: it exists, or something else is in the way.
    Conflict,
    /// 413: the body is over the limit.
    TooLarge,
    /// 422: a name, value, header or URL is not legal.
    InvalidValue,
    /// 429: too many requests.
    RateLimited,
    /// 507: the disk is full.
    StorageFull,
    /// 500 and anything this version does not know.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::InvalidValue => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::StorageFull => 507,
        }
    }
}

/// The whole document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The one member.
    pub error: ErrorDetail,
}

/// What went wrong, and what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Kind.
    pub code: ErrorCode,
    /// What happened and why. Never a value.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request's id, as in `X-Request-Id`; empty for an error that no server saw.
    #[serde(default)]
    pub request_id: String,
    /// For a batch: what is wrong with which entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<EntryProblem>,
}
