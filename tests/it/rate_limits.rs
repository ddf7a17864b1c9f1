//! Rate limits of tokens: 120 tool calls a minute unless set otherwise, told in each answer,
//! refused with 429 and taken again after a while, without an end of the session.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::parts::{ClientSession, part, parts};
use crate::harness::program::until;
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
fn refused_when_used_up_and_taken_again_later() {
    let (companion, upstream) = companion();
    let token = limited(&companion, &json!(60));
    let session = companion.session(&token, None);
    let mut served = 0;
    let refusal = loop {
        let answer = call(&session, &json!("a-7"));
        let (limit, remaining) = standing(&answer).unwrap();
        assert!(limit == 60 && remaining < 60, "{remaining}");
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 10_000, "no limit");
    };
    assert!(served >= 60, "{served}");
    assert_eq!((refusal.status, standing(&refusal)), (429, Some((60, 0))));
    assert_eq!(number(&refusal, "Retry-After"), Some(1));
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    let reset = number(&refusal, "X-RateLimit-Reset").unwrap();
    assert!((now + 20..=now + 61).contains(&reset), "{reset} at {now}: the whole quota is there in a minute");
    let document = refusal.json();
    assert_eq!((&document["id"], &document["error"]["code"]), (&json!("a-7"), &json!(-32005)));
    let data = json!({"reason": "rate_limited", "retry_after": 1});
    assert_eq!(document["error"]["data"], data, "{document}");
    assert_eq!(upstream.received_of("tools/call").len(), served, "a refused call goes nowhere");
    // Other requests, other tokens and the session itself go on.
    assert_eq!(session.tools(), ["github-mcp__echo"]);
    let other = companion.session(&limited(&companion, &json!(60)), Some("github-mcp"));
    assert!(other.call("echo")["result"].is_object());
    let again = until(PATIENCE, || Some(call(&session, &json!(1))).filter(|answer| answer.status == 200));
    assert!(again.expect("taken again").json()["result"].is_object());
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

#[test]
fn other_requests_have_a_wider_limit() {
    let (companion, _upstream) = companion();
    let session = companion.session(&limited(&companion, &json!(5)), None);
    let deadline = Instant::now() + PATIENCE;
    let mut taken = 0;
    let refusal = loop {
        // What is no message counts too.
        let ping = if taken % 2 == 0 { message("ping", &json!({})) } else { json!([]) };
        let answer = session.send(&ping, &[]);
        if !matches!(answer.status, 200 | 400) {
            break answer;
        }
        taken += 1;
        assert!(Instant::now() < deadline, "no limit after {taken}");
    };
    assert!(taken >= 590, "{taken}");
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
    let guess = |method: &str, slug: &str| {
        let headers = [("Authorization", authorization.as_str())];
        request(companion.address, method, &format!("/ws/default/{slug}"), &headers, b"{}")
    };
    // How long a bucket of 600 takes to fill by one is 0.1 s, so the limit is met again and again.
    let meet = || {
        let deadline = Instant::now() + PATIENCE;
        for guessed in 0.. {
            let method = ["GET", "POST", "DELETE"][guessed % 3];
            let answer = guess(method, &format!("guess-{guessed}"));
            if answer.status != 404 {
                return (guessed, answer);
            }
            assert!(Instant::now() < deadline, "no limit after {guessed}");
        }
        unreachable!()
    };
    let (guessed, refusal) = meet();
    assert!(guessed >= 590, "{guessed}");
    assert_eq!((refusal.status, standing(&refusal)), (429, Some((600, 0))));
    assert_eq!(
        (refusal.json()["error"]["code"].clone(), number(&refusal, "Retry-After")),
        (json!(-32005), Some(1))
    );
    // A right name is not told apart from a wrong one, not even by a tool call, which has its own quota.
    let echo = || single.send(&message("tools/call", &json!({"name": "echo"})), &[]);
    let refused_as_guess = || standing(&echo()).is_some_and(|(limit, _)| limit == 600);
    assert!(until(PATIENCE, || (meet().1.status == 429 && refused_as_guess()).then_some(())).is_some());
    // All servers' address tells nothing and goes on; the guesses used up its other requests, too.
    assert_eq!(call(&whole, &json!(1)).status, 200);
    let ping = || whole.send(&message("ping", &json!({})), &[]).status;
    assert!((0..100).any(|_| meet().1.status == 429 && ping() == 429), "the guesses did not count");
    // After a while, all is as before.
    assert!(until(PATIENCE, || (echo().status == 200).then_some(())).is_some());
}

/// A client that we did not write gets an error it can show, and its session goes on.
fn real_client(test: &str, program: &str) {
    let Some(folder) = parts(test) else { return };
    let (companion, _upstream) = companion();
    let token = limited(&companion, &json!(60));
    let url = format!("{}/ws/default", companion.base_url);
    let mut session = ClientSession::start(part(&folder, program), &token, &url);
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        let answer = session.call("github-mcp__echo", &json!({}));
        if answer["error"].is_object() {
            break answer;
        }
        assert!(Instant::now() < deadline, "no limit");
    };
    assert!(refusal.to_string().contains("they are used up"), "{refusal}");
    let again = until(PATIENCE, || {
        let answer = session.call("github-mcp__echo", &json!({}));
        answer["result"].is_object().then_some(())
    });
    again.expect("the same session is served again");
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
