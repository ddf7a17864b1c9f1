//! Rate limits of tokens: 120 tool calls a minute unless set otherwise, told in each answer and
//! refused with 429, without an end of the session. That they are taken again after a minute is
//! shown beside the code, where the clock can be set.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::parts::{ClientSession, part, parts};
use crate::harness::{Answer, Companion, McpSession, Mock, Upstream, request};

const PATIENCE: Duration = Duration::from_secs(30);

fn companion() -> (Companion, Upstream) {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    (companion, upstream)
}

fn limited(companion: &Companion, rate_limit: &Value) -> String {
    companion.token_with("default", &json!({"name": "limited", "rate_limit": rate_limit}))
}

fn call(session: &McpSession, id: &Value) -> Answer {
    let mut call = message("tools/call", &json!({"name": "github-mcp__echo"}));
    call["id"] = id.clone();
    session.send(&call, &[])
}

fn number(answer: &Answer, header: &str) -> Option<u64> {
    answer.header(header).map(|text| text.parse().unwrap())
}

fn standing(answer: &Answer) -> Option<(u64, u64)> {
    Some((number(answer, "X-RateLimit-Limit")?, number(answer, "X-RateLimit-Remaining")?))
}

#[test]
fn refused_when_used_up() {
    let (companion, upstream) = companion();
    let token = limited(&companion, &json!(60));
    let session = companion.session(&token, None);
    for taken in 1..=60 {
        let answer = call(&session, &json!("a-7"));
        assert_eq!((answer.status, standing(&answer)), (200, Some((60, 60 - taken))));
    }
    let refusal = call(&session, &json!("a-7"));
    assert_eq!((refusal.status, standing(&refusal)), (429, Some((60, 0))));
    let wait = number(&refusal, "Retry-After").unwrap();
    assert!((20..=60).contains(&wait), "{wait}: a minute after the first call");
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    let reset = number(&refusal, "X-RateLimit-Reset").unwrap();
    assert!((now + wait - 1..=now + 61).contains(&reset), "{reset} at {now}: a minute after the last call");
    let document = refusal.json();
    assert_eq!((&document["id"], &document["error"]["code"]), (&json!("a-7"), &json!(-32005)));
    let data = json!({"reason": "rate_limited", "retry_after": wait});
    assert_eq!(document["error"]["data"], data, "{document}");
    assert_eq!(upstream.received_of("tools/call").len(), 60, "a refused call goes nowhere");
    // Other requests, other tokens and the session itself go on.
    assert_eq!(session.tools(), ["github-mcp__echo"]);
    let other = companion.session(&limited(&companion, &json!(60)), Some("github-mcp"));
    assert!(other.call("echo")["result"].is_object());
}

#[test]
fn the_default_and_none() {
    let (companion, _upstream) = companion();
    let token = companion.token_with("default", &json!({"name": "default"}));
    let session = companion.session(&token, None);
    assert_eq!(standing(&session.send(&message("tools/list", &json!({})), &[])), Some((120, 120)));
    assert_eq!(standing(&call(&session, &json!(1))), Some((120, 119)));
    let single = companion.session(&token, Some("github-mcp"));
    let answer = single.send(&message("tools/call", &json!({"name": "echo"})), &[]);
    assert!(standing(&answer).unwrap().1 < 120, "both routes count together");
    let unlimited = companion.session(&limited(&companion, &json!("none")), None);
    for _ in 0..130 {
        let answer = call(&unlimited, &json!(1));
        assert_eq!((answer.status, standing(&answer)), (200, None));
    }
}

#[test]
fn the_token_of_mock_has_none() {
    let ended = Mock::start().shell("aerostack workspace token list default --json").expect(0);
    assert_eq!(ended.document()["tokens"][0]["rate_limit"], "none");
}

/// Sends what takes `status` until something else comes; how often it was taken, and that answer.
fn until_refused(taken_status: &[u16], mut send: impl FnMut(usize) -> Answer) -> (usize, Answer) {
    let deadline = Instant::now() + PATIENCE;
    for taken in 0.. {
        let answer = send(taken);
        if !taken_status.contains(&answer.status) {
            return (taken, answer);
        }
        assert!(Instant::now() < deadline, "no limit after {taken}");
    }
    unreachable!()
}

#[test]
fn other_requests_have_a_wider_limit() {
    let (companion, _upstream) = companion();
    let session = companion.session(&limited(&companion, &json!(5)), None);
    let (taken, refusal) = until_refused(&[200, 400], |number| {
        // What is no message counts too.
        let ping = if number % 2 == 0 { message("ping", &json!({})) } else { json!([]) };
        session.send(&ping, &[])
    });
    // The session took two: `initialize` and a notification.
    assert_eq!(taken, 598);
    assert_eq!((refusal.status, standing(&refusal)), (429, Some((600, 0))));
    // Tool calls have a quota of their own.
    assert_eq!(call(&session, &json!(1)).status, 200);
}

#[test]
fn names_of_servers_cannot_be_guessed_without_a_limit() {
    let (companion, _upstream) = companion();
    let token = limited(&companion, &json!(100));
    let (whole, single) = (companion.session(&token, None), companion.session(&token, Some("github-mcp")));
    let authorization = format!("Bearer {token}");
    let guess = |number: usize| {
        let method = ["GET", "POST", "DELETE"][number % 3];
        let headers = [("Authorization", authorization.as_str())];
        request(companion.address, method, &format!("/ws/default/guess-{number}"), &headers, b"{}")
    };
    // The two sessions took four of the other requests, among which guesses count.
    let (guessed, refusal) = until_refused(&[404], guess);
    assert_eq!(guessed, 596);
    assert_eq!((refusal.status, standing(&refusal)), (429, Some((600, 0))));
    assert_eq!(refusal.json()["error"]["code"], -32005);
    assert_eq!(whole.send(&message("ping", &json!({})), &[]).status, 429, "the guesses count");
    let echo = || single.send(&message("tools/call", &json!({"name": "echo"})), &[]);
    assert_eq!(
        (echo().status, call(&whole, &json!(1)).status),
        (200, 200),
        "calls have a quota of their own"
    );
    // After 600 guesses a right name is not told apart from a wrong one, not even by a tool call.
    for number in 0..3 {
        guess(number);
    }
    let wrong = guess(3);
    let right = echo();
    assert_eq!((right.status, standing(&right)), (429, Some((600, 0))));
    assert_eq!(right.json()["error"]["code"], wrong.json()["error"]["code"]);
    // All servers' address tells nothing and goes on.
    assert_eq!(call(&whole, &json!(1)).status, 200);
}

/// A client that we did not write gets an error it can show, and its session goes on.
fn real_client(test: &str, program: &str) {
    let Some(folder) = parts(test) else { return };
    let (companion, _upstream) = companion();
    let token = limited(&companion, &json!(60));
    let url = format!("{}/ws/default", companion.base_url);
    let mut session = ClientSession::start(part(&folder, program), &token, &url);
    for _ in 0..60 {
        let answer = session.call("github-mcp__echo", &json!({}));
        assert!(answer["result"].is_object(), "{answer}");
    }
    // Twice: the session goes on.
    for _ in 0..2 {
        let refusal = session.call("github-mcp__echo", &json!({}));
        assert!(refusal["error"].to_string().contains("they are used up"), "{refusal}");
    }
}

#[test]
fn typescript_1_is_told() {
    real_client("typescript_1_is_told", "ts_client.mjs");
}

#[test]
fn typescript_2_is_told() {
    real_client("typescript_2_is_told", "ts2_client.mjs");
}

#[test]
fn python_is_told() {
    real_client("python_is_told", "py_client.py");
}
