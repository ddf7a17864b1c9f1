//! What can go wrong between us and the API. Nothing here holds a value, a key or the
//! query of a URL; texts from the server are shown escaped by the terminal.

use std::error::Error;

use crate::api::error::{ErrorCode, ErrorDetail};
use crate::api::secrets_batch::EntryProblem;
use crate::domain::Origin;

/// Why a request did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is not one.
    #[error("the API URL is not an https:// URL without user name, query and fragment")]
    BadBase,
    /// Plain http to another machine: the key would be readable on the way.
    #[error("the connection to {0} would not be encrypted; http is for this machine only")]
    NotEncrypted(Origin),
    /// No certificate authorities, or none that can be used.
    #[error("there is no usable certificate authority to check the server with")]
    NoTls,
    /// No connection, or it broke.
    #[error("could not reach {origin}: {cause}")]
    Unreachable {
        /// Where to.
        origin: Origin,
        /// The innermost cause.
        cause: String,
        /// Whether the request could have changed something before the connection broke.
        changes: bool,
    },
    /// The time for the command is over.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
        /// Whether the request could have changed something.
        changes: bool,
    },
    /// The answer is over the limit.
    #[error("the answer is longer than 16 MiB")]
    TooLong,
    /// 3xx.
    #[error("the server answered with a redirect (HTTP {status}), and redirects are not followed")]
    Redirected {
        /// HTTP status.
        status: u16,
        /// Id of the request.
        request_id: Option<String>,
    },
    /// Not JSON of the contract: a proxy's page, half an answer.
    #[error("the answer (HTTP {status}) is not one of the Aerostack API")]
    NotTheApi {
        /// HTTP status.
        status: u16,
        /// Id of the request.
        request_id: Option<String>,
    },
    /// The API said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Kind.
        code: ErrorCode,
        /// What happened and why.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// Id of the request.
        request_id: Option<String>,
        /// For a batch: what is wrong with which entry.
        problems: Vec<EntryProblem>,
    },
}

impl ClientError {
    /// Takes the error document apart.
    pub(super) fn refused(status: u16, detail: ErrorDetail, header_id: Option<String>) -> Self {
        let request_id = if detail.request_id.is_empty() { header_id } else { Some(detail.request_id) };
        let ErrorDetail { code, message, hint, problems, .. } = detail;
        Self::Refused { status, code, message, hint, request_id, problems }
    }

    /// Sorts a transport error.
    pub(super) fn transport(error: &reqwest::Error, origin: &Origin, seconds: u64, changes: bool) -> Self {
        let changes = changes && !error.is_connect();
        if error.is_timeout() {
            return Self::TimedOut { seconds, changes };
        }
        Self::Unreachable { origin: origin.clone(), cause: innermost(error), changes }
    }

    /// Whether the change that was asked for may have been made all the same.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::Unreachable { changes, .. } | Self::TimedOut { changes, .. } => *changes,
            _ => false,
        }
    }

    /// Whether the server's certificate was not accepted.
    pub fn is_certificate_problem(&self) -> bool {
        matches!(self, Self::Unreachable { cause, .. } if cause.contains("certificate"))
    }
}

/// The innermost cause says most: `Connection refused`, `invalid peer certificate`.
/// Outer ones repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() { "the connection broke".to_owned() } else { cause.to_string() }
}
