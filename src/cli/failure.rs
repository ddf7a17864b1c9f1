//! A failure has a kind, a cause and a next step. The kind decides the exit code, here
//! and nowhere else. No message ever holds a value or a key.

use serde::Serialize;

use super::printable;
use crate::api::error::ErrorCode;
use crate::client::ClientError;

/// Kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing the user did.
    Unexpected,
    /// Wrong arguments, a refused prompt, a bad value.
    Usage,
    /// No such server, secret, workspace or token.
    NotFound,
    /// No API key, or one that is not accepted.
    NotLoggedIn,
    /// The key may not do this.
    Forbidden,
    /// It exists already, something is in the way, or only a part was done.
    Conflict,
    /// No connection, no encryption, no answer in time.
    Network,
    /// Too many requests.
    RateLimited,
    /// Ctrl-C.
    Interrupted,
}

/// Why a command did not do what it should.
#[derive(Debug, Clone)]
pub struct Failure {
    kind: FailureKind,
    code: &'static str,
    message: String,
    hint: Option<String>,
    request_id: Option<String>,
}

impl Failure {
    /// A failure of a kind, with what happened and why.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, code: default_code(kind), message: message.into(), hint: None, request_id: None }
    }

    /// Wrong use of the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    /// A name, value, header or URL that is not legal.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self { code: "invalid_value", ..Self::usage(message) }
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FailureKind::NotFound, message)
    }

    /// No API key, or a text that is none.
    pub fn not_logged_in(message: impl Into<String>) -> Self {
        Self::new(FailureKind::NotLoggedIn, message)
    }

    /// Help was printed instead of a message.
    pub(super) fn already_shown() -> Self {
        Self::usage("")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same under another kind, and so with another exit code.
    #[must_use]
    pub fn with_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds a line to the message for each detail.
    #[must_use]
    pub fn with_details(mut self, details: &[String]) -> Self {
        for detail in details {
            self.message.push_str("\n  ");
            self.message.push_str(detail);
        }
        self
    }

    /// Puts what was tried before what went wrong.
    #[must_use]
    pub fn with_context(self, tried: &str) -> Self {
        let message = format!("{tried}: {}", self.message);
        Self { message, ..self }
    }

    /// Turns a failure after a part was done into one that says so.
    #[must_use]
    pub fn partly_done(self, done: &str) -> Self {
        let message = format!("{done}: {}", self.message);
        let kind = FailureKind::Conflict;
        Self { kind, code: default_code(kind), message, ..self }
    }

    /// The kind.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What happened and why; empty if it is on the screen already.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The server's id of the request, if a server answered.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The exit code of the contract.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Unexpected => 1,
            FailureKind::Usage => 2,
            FailureKind::NotFound => 3,
            FailureKind::NotLoggedIn => 4,
            FailureKind::Forbidden => 5,
            FailureKind::Conflict => 6,
            FailureKind::Network => 7,
            FailureKind::RateLimited => 8,
            FailureKind::Interrupted => 130,
        }
    }

    /// The error document of `--json`; always with all four members.
    pub fn document(&self) -> FailureDocument<'_> {
        FailureDocument {
            error: FailureDetail {
                code: self.code,
                message: &self.message,
                hint: self.hint.as_deref(),
                request_id: self.request_id.as_deref().unwrap_or(""),
            },
        }
    }
}

/// `{"error":{...}}`.
#[derive(Debug, Serialize)]
pub struct FailureDocument<'a> {
    error: FailureDetail<'a>,
}

#[derive(Debug, Serialize)]
struct FailureDetail<'a> {
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    request_id: &'a str,
}

/// The field `code` for failures that no server reported.
fn default_code(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unexpected => "internal",
        FailureKind::Usage => "invalid_request",
        FailureKind::NotFound => "not_found",
        FailureKind::NotLoggedIn => "unauthorized",
        FailureKind::Forbidden => "forbidden",
        FailureKind::Conflict => "conflict",
        FailureKind::Network => "network",
        FailureKind::RateLimited => "rate_limited",
        FailureKind::Interrupted => "interrupted",
    }
}

fn code_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidRequest => "invalid_request",
        ErrorCode::Unauthorized => "unauthorized",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::NotFound => "not_found",
        ErrorCode::Conflict => "conflict",
        ErrorCode::TooLarge => "too_large",
        ErrorCode::InvalidValue => "invalid_value",
        ErrorCode::RateLimited => "rate_limited",
        ErrorCode::StorageFull => "storage_full",
        ErrorCode::Internal => "internal",
    }
}

fn kind_of_status(status: u16) -> FailureKind {
    match status {
        401 => FailureKind::NotLoggedIn,
        403 => FailureKind::Forbidden,
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        413 | 422 => FailureKind::Usage,
        429 => FailureKind::RateLimited,
        _ => FailureKind::Unexpected,
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let certificate = error.is_certificate_problem();
        let uncertain = error.is_uncertain();
        let text = printable::one_line(&error.to_string()).into_owned();
        match error {
            ClientError::BadBase => {
                Self::usage(text).with_hint("give one with --api-url or AEROSTACK_API_URL")
            }
            ClientError::NotEncrypted(_) => {
                Self::new(FailureKind::Network, format!("{text}; the API key was not sent"))
                    .with_hint("use an https:// URL")
            }
            ClientError::NoTls => Self::new(FailureKind::Network, text)
                .with_hint("install the system's CA certificates, or name a PEM file with --ca-cert"),
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => {
                let failure = Self::new(FailureKind::Network, text);
                if certificate {
                    failure.with_hint(
                        "if the server's certificate is your own, name its PEM file with --ca-cert",
                    )
                } else if uncertain {
                    failure.with_hint("the change may have been made all the same; look before trying again")
                } else {
                    failure.with_hint("check --api-url and the network; --timeout sets the time limit")
                }
            }
            ClientError::TooLong => Self::new(FailureKind::Unexpected, text),
            ClientError::Redirected { request_id, .. } => Self {
                hint: Some("give the API's final address with --api-url or AEROSTACK_API_URL".to_owned()),
                request_id,
                ..Self::new(FailureKind::Unexpected, text)
            },
            ClientError::NotTheApi { request_id, .. } => Self {
                hint: Some("check --api-url; a proxy or another server may have answered".to_owned()),
                request_id,
                ..Self::new(FailureKind::Unexpected, text)
            },
            ClientError::Refused { status, code, hint, request_id, .. } => {
                let kind = kind_of_status(status);
                let own = (kind == FailureKind::NotLoggedIn)
                    .then(|| "the key may be revoked or for another server; 'aerostack auth status' shows where it comes from".to_owned());
                let hint = hint.map(|hint| printable::one_line(&hint).into_owned()).or(own);
                Self { code: code_of(code), hint, request_id, ..Self::new(kind, text) }
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// Causes of the edge (files, output), outermost first; never with a backtrace.
    fn from(error: anyhow::Error) -> Self {
        Self::new(FailureKind::Unexpected, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Failure {
        let (code, message) = (ErrorCode::Internal, "no\u{1b}[2J\nerror: x".to_owned());
        let request_id = Some("r".to_owned());
        ClientError::Refused { status, code, message, hint: None, request_id, problems: Vec::new() }.into()
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let expected =
            [(400, 1), (401, 4), (403, 5), (404, 3), (409, 6), (413, 2), (422, 2), (429, 8), (500, 1)];
        for (status, exit) in expected.into_iter().chain([(502, 1), (507, 1), (418, 1)]) {
            assert_eq!(refused(status).exit_code(), exit, "{status}");
        }
        let exit = |error: ClientError| Failure::from(error).exit_code();
        assert_eq!(exit(ClientError::TimedOut { seconds: 1, changes: true }), 7);
        assert_eq!(exit(ClientError::NoTls), 7);
        assert_eq!(exit(ClientError::BadBase), 2);
        assert_eq!(exit(ClientError::NotTheApi { status: 200, request_id: None }), 1);
        assert_eq!(exit(ClientError::Redirected { status: 302, request_id: None }), 1);
        assert_eq!(Failure::new(FailureKind::Interrupted, "").exit_code(), 130);
    }

    #[test]
    fn server_text_stays_on_its_line() {
        assert_eq!(refused(404).message(), "no\\u{1b}[2J\\u{a}error: x");
    }

    #[test]
    fn codes_are_the_api_s_words() {
        use ErrorCode as C;
        let all = [C::InvalidRequest, C::Unauthorized, C::Forbidden, C::NotFound, C::Conflict, C::TooLarge];
        for code in all.into_iter().chain([C::InvalidValue, C::RateLimited, C::StorageFull, C::Internal]) {
            assert_eq!(serde_json::to_value(code).unwrap(), code_of(code));
        }
    }

    #[test]
    fn the_document_has_all_members() {
        let text = serde_json::to_string(&Failure::usage("m").document()).unwrap();
        assert_eq!(text, r#"{"error":{"code":"invalid_request","message":"m","hint":null,"request_id":""}}"#);
    }
}
