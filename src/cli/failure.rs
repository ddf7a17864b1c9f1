//! A failure has a kind, a cause and a next step. The kind decides the exit code, here
//! and nowhere else. No message ever holds a value or a key.

use serde::Serialize;

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

impl FailureKind {
    /// Every kind, in the order of the exit codes.
    pub const ALL: [Self; 9] = [
        Self::Unexpected,
        Self::Usage,
        Self::NotFound,
        Self::NotLoggedIn,
        Self::Forbidden,
        Self::Conflict,
        Self::Network,
        Self::RateLimited,
        Self::Interrupted,
    ];

    /// The exit code of the contract.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotLoggedIn => 4,
            Self::Forbidden => 5,
            Self::Conflict => 6,
            Self::Network => 7,
            Self::RateLimited => 8,
            Self::Interrupted => 130,
        }
    }

    /// What `aerostack help exit-codes` says of it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Unexpected => "unexpected; also: the server could not start",
            Self::Usage => {
                "wrong usage, a value or header that is refused, a question that was not confirmed"
            }
            Self::NotFound => "not found",
            Self::NotLoggedIn => {
                "no API key, it cannot be read (the keyring is locked, for example), or it is not accepted"
            }
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict, or only a part was done",
            Self::Network => "network, proxy, TLS, time limit, or plain http to another machine",
            Self::RateLimited => "too many requests",
            Self::Interrupted => "interrupted (Ctrl-C)",
        }
    }

    /// The field `code` of the error document, for failures that no server reported.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unexpected => "internal",
            Self::Usage => "invalid_request",
            Self::NotFound => "not_found",
            Self::NotLoggedIn => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Network => "network",
            Self::RateLimited => "rate_limited",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a command did not do what it should.
#[derive(Debug, Clone)]
pub struct Failure {
    kind: FailureKind,
    code: &'static str,
    message: String,
    details: Box<[String]>,
    hint: Option<String>,
    request_id: Option<String>,
}

impl Failure {
    /// A failure of a kind, with what happened and why.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: kind.code(),
            message: message.into(),
            details: Box::default(),
            hint: None,
            request_id: None,
        }
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

    /// What a server reported, with its word for it and its id of the request.
    pub(super) fn reported(
        kind: FailureKind,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
        request_id: Option<String>,
    ) -> Self {
        Self { kind, code, message: message.into(), details: Box::default(), hint, request_id }
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

    /// Adds what else may help.
    #[must_use]
    pub fn with_more_hint(self, more: &str) -> Self {
        let hint = self.hint.as_ref().map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}"));
        self.with_hint(hint)
    }

    /// The same under another kind, and so with another exit code.
    #[must_use]
    pub fn with_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds a line to the message for each detail.
    #[must_use]
    pub fn with_details(mut self, details: &[String]) -> Self {
        self.details = details.into();
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
        Self { kind, code: kind.code(), message, ..self }
    }

    /// The kind.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What happened and why, as it is: control characters of a server's text are for who
    /// shows it. Empty if it is on the screen already.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// More of it, each for a line of its own.
    pub fn details(&self) -> &[String] {
        &self.details
    }

    /// The message, and each detail on a line of its own.
    pub(super) fn whole_message(&self) -> String {
        let details = self.details.iter().map(|detail| format!("\n  {detail}"));
        std::iter::once(self.message.clone()).chain(details).collect()
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
        self.kind.exit_code()
    }

    /// The error document of `--json`; always with all four members. `request_id` is empty
    /// where no server reported the failure.
    pub fn document(&self) -> FailureDocument<'_> {
        FailureDocument {
            error: FailureDetail {
                code: self.code,
                message: self.whole_message(),
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
    message: String,
    hint: Option<&'a str>,
    request_id: &'a str,
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

    #[test]
    fn every_kind_has_its_own_exit_code_and_word() {
        let mut exits: Vec<_> = FailureKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert!(exits.is_sorted() && !exits.contains(&0));
        exits.dedup();
        let words: std::collections::HashSet<_> = FailureKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!((exits.len(), words.len()), (FailureKind::ALL.len(), FailureKind::ALL.len()));
    }

    #[test]
    fn the_document_has_all_members() {
        let text = serde_json::to_string(&Failure::usage("m").document()).unwrap();
        assert_eq!(text, r#"{"error":{"code":"invalid_request","message":"m","hint":null,"request_id":""}}"#);
    }
}
