//! What can go wrong between us and the API. Nothing here holds a value, a key or the
//! query of a URL; texts from the server are shown escaped by the terminal.

use std::error::Error;
use std::time::Duration;

use super::transport::MAX_CONNECT_TIME;
use crate::api::error::{ErrorCode, ErrorDetail};
use crate::api::secrets_batch::EntryProblem;
use crate::domain::Origin;

/// Why a request did not do what it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The base URL is not one.
    #[error("the API URL is not an https:// URL without user name, query and fragment")]
    BadBase,
    /// The proxy's URL is not one. It may hold a password and is not repeated.
    #[error("the proxy's URL is not an http:// or https:// URL of a host and a port alone")]
    BadProxy,
    /// Plain http to another machine: the key would be readable on the way.
    #[error("the connection to {0} would not be encrypted; http is for this machine only")]
    NotEncrypted(Origin),
    /// No certificate authorities, or none that can be used.
    #[error("there is no usable certificate authority to check the server with")]
    NoTls,
    /// The proxy was not reached, or made no tunnel. Nothing was sent to the API.
    #[error("{0}")]
    Proxy(ProxyProblem),
    /// No connection, or it broke.
    #[error("could not reach {target}: {cause}")]
    Unreachable {
        /// Where to.
        target: String,
        /// The innermost cause.
        cause: String,
        /// Whether a change may have been made before the connection broke.
        uncertain: bool,
    },
    /// The time for the command is over.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
        /// Whether a change may have been made.
        uncertain: bool,
    },
    /// The answer is over the limit.
    #[error("the answer is longer than 16 MiB")]
    TooLong {
        /// Whether a change may have been made.
        uncertain: bool,
    },
    /// A DELETE whose first answer was lost found nothing any more.
    #[error("there is no such thing now; an earlier try had the answer HTTP {lost} and may have deleted it")]
    PerhapsDeleted {
        /// HTTP status of the earlier try.
        lost: u16,
        /// Id of the last request.
        request_id: Option<String>,
    },
    /// 3xx.
    #[error("the server answered with a redirect (HTTP {}), and redirects are not followed", .0.status)]
    Redirected(Verdict),
    /// Not JSON of the contract: a proxy's page, half an answer.
    #[error("the answer (HTTP {}) is not one of the Aerostack API", .0.status)]
    NotTheApi(Verdict),
    /// The API said no.
    #[error("{message}")]
    Refused {
        /// The answer's head.
        verdict: Verdict,
        /// Kind.
        code: ErrorCode,
        /// What happened and why.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// For a batch: what is wrong with which entry.
        problems: Vec<EntryProblem>,
    },
}

/// What the head of an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// HTTP status.
    pub status: u16,
    /// Id of the request.
    pub request_id: Option<String>,
    /// How long the server asks to wait before the next try.
    pub retry_after: Option<Duration>,
    /// Whether a change may have been made although the answer does not say so.
    pub uncertain: bool,
}

/// What is wrong with the proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyProblem {
    /// No connection to it.
    #[error("could not reach the proxy {proxy}: {cause}")]
    Unreachable {
        /// Host and port.
        proxy: String,
        /// The innermost cause.
        cause: String,
    },
    /// 407.
    #[error(
        "the proxy {proxy} wants a user name and password, or does not accept the ones it got (HTTP 407)"
    )]
    Credentials {
        /// Host and port.
        proxy: String,
    },
    /// Any other answer, or none.
    #[error("the proxy {proxy} did not connect to {origin}")]
    Refused {
        /// Host and port.
        proxy: String,
        /// The API.
        origin: Origin,
    },
}

impl ClientError {
    /// Takes the error document apart.
    pub(super) fn refused(verdict: Verdict, detail: ErrorDetail) -> Self {
        let ErrorDetail { code, message, hint, request_id, problems } = detail;
        let request_id = if request_id.is_empty() { verdict.request_id } else { Some(request_id) };
        Self::Refused { verdict: Verdict { request_id, ..verdict }, code, message, hint, problems }
    }

    /// Sorts a transport error. `proxy` is the name of the proxy in between, if there is one.
    pub(super) fn transport(
        error: &reqwest::Error,
        origin: &Origin,
        proxy: Option<&str>,
        seconds: u64,
        uncertain: bool,
    ) -> Self {
        let Some(proxy) = proxy else {
            let target = origin.to_string();
            return Self::unreachable(error, target, seconds, uncertain);
        };
        let proxy = proxy.to_owned();
        match tunnel_text(error).as_deref() {
            None => {
                Self::unreachable(error, format!("{origin} through the proxy {proxy}"), seconds, uncertain)
            }
            Some(text) if text.contains("authorization required") => {
                Self::Proxy(ProxyProblem::Credentials { proxy })
            }
            Some(text) if text.contains("underlying connection") => {
                Self::Proxy(ProxyProblem::Unreachable { proxy, cause: innermost(error) })
            }
            Some(_) => Self::Proxy(ProxyProblem::Refused { proxy, origin: origin.clone() }),
        }
    }

    fn unreachable(error: &reqwest::Error, target: String, seconds: u64, uncertain: bool) -> Self {
        if !error.is_timeout() {
            return Self::Unreachable { target, cause: innermost(error), uncertain };
        }
        if !error.is_connect() || seconds <= MAX_CONNECT_TIME.as_secs() {
            return Self::TimedOut { seconds, uncertain };
        }
        let cause = format!("no connection within {} s", MAX_CONNECT_TIME.as_secs());
        Self::Unreachable { target, cause, uncertain }
    }

    /// Whether the change that was asked for may have been made all the same.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::Unreachable { uncertain, .. }
            | Self::TimedOut { uncertain, .. }
            | Self::TooLong { uncertain } => *uncertain,
            Self::NotTheApi(verdict) | Self::Refused { verdict, .. } => verdict.uncertain,
            Self::PerhapsDeleted { .. } => true,
            _ => false,
        }
    }

    /// Whether the server's certificate was not accepted.
    pub fn is_certificate_problem(&self) -> bool {
        matches!(self, Self::Unreachable { cause, .. } if cause.contains("certificate"))
    }
}

/// What the HTTP library says of the tunnel; its type has no public name.
fn tunnel_text(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(this) = cause {
        let text = this.to_string();
        if text.starts_with("tunnel error") {
            return Some(text);
        }
        cause = this.source();
    }
    None
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
