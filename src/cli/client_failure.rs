//! What a failed request is to the user: its kind, and what to do next. Texts of the server
//! are taken as they are; the terminal escapes what it must not obey.

use std::time::Duration;

use super::env_vars;
use super::failure::{Failure, FailureKind};
use crate::api::error::ErrorCode;
use crate::client::ClientError;
use crate::client::error::{ProxyProblem, Verdict};

/// What to do when it is not known whether a change was made.
pub(super) const LOOK_FIRST: &str = "the change may have been made all the same; look before trying again";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        let (uncertain, certificate) = (error.is_uncertain(), error.is_certificate_problem());
        match error {
            ClientError::BadBase => {
                Self::usage(text).with_hint("give one with --api-url or AEROSTACK_API_URL")
            }
            ClientError::BadProxy => {
                let (upper, lower) = (env_vars::HTTPS_PROXY, env_vars::HTTPS_PROXY_LOWER);
                Self::usage(text).with_hint(format!(
                    "set {upper} (or {lower}) to http://[USER:PASSWORD@]HOST:PORT, with special characters of a \
                     password as in %2F for '/', or name the API's host in {}",
                    env_vars::NO_PROXY
                ))
            }
            ClientError::NotEncrypted(_) => {
                Self::new(FailureKind::Network, format!("{text}; the API key was not sent"))
                    .with_hint("use an https:// URL")
            }
            ClientError::NoTls => Self::new(FailureKind::Network, text)
                .with_hint("install the system's CA certificates, or name a PEM file with --ca-cert"),
            ClientError::Proxy(problem) => {
                Self::new(FailureKind::Network, text).with_hint(way_around(&problem))
            }
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => {
                Self::new(FailureKind::Network, text).with_hint(if certificate {
                    "if the server's certificate is your own, name its PEM file with --ca-cert"
                } else if uncertain {
                    LOOK_FIRST
                } else {
                    "check --api-url and the network; --timeout sets the time limit"
                })
            }
            ClientError::TooLong { .. } => Self::new(FailureKind::Unexpected, text).with_hint(if uncertain {
                LOOK_FIRST
            } else {
                "check --api-url; a proxy or another server may have answered"
            }),
            ClientError::PerhapsDeleted { request_id, .. } => {
                let (kind, hint) = (FailureKind::NotFound, "it is not there; that is what was asked for");
                Self::reported(kind, kind.code(), text, Some(hint.to_owned()), request_id)
            }
            ClientError::Redirected(verdict) => {
                let kind = FailureKind::Unexpected;
                let hint = "give the API's final address with --api-url or AEROSTACK_API_URL".to_owned();
                Self::reported(kind, kind.code(), text, Some(hint), verdict.request_id)
            }
            ClientError::NotTheApi(verdict) => not_the_api(text, verdict),
            ClientError::Refused { verdict, code, hint, .. } => refused(text, verdict, code, hint),
        }
    }
}

fn not_the_api(text: String, verdict: Verdict) -> Failure {
    let (text, kind, hint) = if verdict.status == 429 {
        let text = "the server says that there were too many requests (HTTP 429)".to_owned();
        (text, FailureKind::RateLimited, when_to_try_again(verdict.retry_after))
    } else {
        let hint = match verdict {
            Verdict { uncertain: true, .. } => LOOK_FIRST.to_owned(),
            Verdict { retry_after: Some(wait), .. } => when_to_try_again(Some(wait)),
            _ => "check --api-url; a proxy or another server may have answered".to_owned(),
        };
        (text, FailureKind::Unexpected, hint)
    };
    Failure::reported(kind, kind.code(), text, Some(hint), verdict.request_id)
}

fn refused(text: String, verdict: Verdict, code: ErrorCode, hint: Option<String>) -> Failure {
    let kind = kind_of_status(verdict.status);
    let own = match kind {
        FailureKind::NotLoggedIn => Some(
            "the key may be revoked or for another server; 'aerostack auth status' shows where it comes from"
                .to_owned(),
        ),
        FailureKind::RateLimited => Some(when_to_try_again(verdict.retry_after)),
        _ if verdict.uncertain => Some(LOOK_FIRST.to_owned()),
        _ => verdict.retry_after.map(|wait| when_to_try_again(Some(wait))),
    };
    // The server knows more, but not that an earlier try was lost, and its time must not be.
    let both = kind == FailureKind::RateLimited || verdict.uncertain || verdict.retry_after.is_some();
    let hint = match (hint, own) {
        (Some(hint), Some(own)) if both => Some(format!("{hint}; {own}")),
        (hint, own) => hint.or(own),
    };
    Failure::reported(kind, code_of(code), text, hint, verdict.request_id)
}

fn when_to_try_again(asked: Option<Duration>) -> String {
    match asked.map(|wait| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))) {
        None | Some(0) => "wait a little, then try again".to_owned(),
        Some(seconds @ 1..=86_400) => format!("the server asks to wait {seconds} s before the next try"),
        Some(_) => "the server asks to wait more than a day before the next try".to_owned(),
    }
}

fn way_around(problem: &ProxyProblem) -> String {
    let (https_proxy, no_proxy) = (env_vars::HTTPS_PROXY, env_vars::NO_PROXY);
    match problem {
        ProxyProblem::Credentials { .. } => {
            format!("put them into {https_proxy}: http://USER:PASSWORD@HOST:PORT")
        }
        ProxyProblem::Unreachable { .. } => {
            format!("check {https_proxy}; hosts in {no_proxy} are reached without the proxy")
        }
        ProxyProblem::Refused { .. } => {
            format!("ask who runs the proxy, or name the API's host in {no_proxy} to go without it")
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::{Style, Terminal};

    fn refused(verdict: Verdict, hint: Option<&str>) -> Failure {
        let (code, message) = (ErrorCode::Internal, "no\u{1b}[2J\nerror: x".to_owned());
        ClientError::Refused { verdict, code, message, hint: hint.map(str::to_owned), problems: Vec::new() }
            .into()
    }

    fn status(status: u16) -> Verdict {
        Verdict { status, request_id: Some("r".to_owned()), ..Verdict::default() }
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let expected =
            [(400, 1), (401, 4), (403, 5), (404, 3), (409, 6), (413, 2), (422, 2), (429, 8), (500, 1)];
        for (code, exit) in expected.into_iter().chain([(502, 1), (507, 1), (418, 1)]) {
            assert_eq!(refused(status(code), None).exit_code(), exit, "{code}");
        }
        let exit = |error: ClientError| Failure::from(error).exit_code();
        assert_eq!(exit(ClientError::TimedOut { seconds: 1, uncertain: true }), 7);
        assert_eq!(exit(ClientError::NoTls), 7);
        assert_eq!(exit(ClientError::BadBase), 2);
        assert_eq!(exit(ClientError::BadProxy), 2);
        assert_eq!(exit(ClientError::NotTheApi(status(200))), 1);
        assert_eq!(exit(ClientError::NotTheApi(status(429))), 8);
        assert_eq!(exit(ClientError::Redirected(status(302))), 1);
        assert_eq!(exit(ClientError::PerhapsDeleted { lost: 502, request_id: None }), 3);
        let proxy = "p:1".to_owned();
        assert_eq!(exit(ClientError::Proxy(ProxyProblem::Credentials { proxy })), 7);
    }

    #[test]
    fn server_text_stays_on_its_line_and_is_not_changed_in_json() {
        let text = "no\u{1b}[2J\nerror: x";
        let failure = refused(status(404), Some(text));
        let mut terminal = Terminal::captured(false);
        terminal.failure(&failure);
        let shown = "no\\u{1b}[2J\\u{a}error: x";
        assert_eq!(terminal.err_text(), format!("error: {shown}\nhint: {shown}\nrequest id: r\n"));
        let mut terminal = Terminal::captured(false);
        terminal.set_style(Style { json: true, ..Style::default() });
        terminal.failure(&failure);
        assert!(!terminal.err_text().contains('\u{1b}'));
        let document: serde_json::Value = serde_json::from_str(&terminal.err_text()).unwrap();
        assert_eq!((&document["error"]["message"], &document["error"]["hint"]), (&text.into(), &text.into()));
    }

    #[test]
    fn hints_of_the_server_and_our_own() {
        let wait =
            |code, millis| Verdict { retry_after: Some(Duration::from_millis(millis)), ..status(code) };
        let hint = |verdict, given| refused(verdict, given).hint().unwrap_or_default().to_owned();
        let seven = "the server asks to wait 7 s before the next try";
        assert_eq!(hint(wait(429, 6_001), None), seven);
        assert_eq!(hint(wait(429, 7_000), Some("do this")), format!("do this; {seven}"));
        assert_eq!(hint(wait(503, 7_000), None), seven);
        assert_eq!(hint(status(429), None), "wait a little, then try again");
        assert!(hint(wait(429, u64::MAX), None).contains("more than a day"));
        assert_eq!(hint(status(404), Some("do this")), "do this");
        let uncertain = Verdict { uncertain: true, ..status(502) };
        assert_eq!(hint(uncertain.clone(), None), LOOK_FIRST);
        assert_eq!(hint(uncertain, Some("do this")), format!("do this; {LOOK_FIRST}"));
    }

    #[test]
    fn codes_are_the_api_s_words() {
        use ErrorCode as C;
        let all = [C::InvalidRequest, C::Unauthorized, C::Forbidden, C::NotFound, C::Conflict, C::TooLarge];
        for code in all.into_iter().chain([C::InvalidValue, C::RateLimited, C::StorageFull, C::Internal]) {
            assert_eq!(serde_json::to_value(code).unwrap(), code_of(code));
        }
    }
}
