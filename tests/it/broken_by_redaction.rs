//! Answers that are JSON no more once a secret is out of them say so, and are told from servers
//! that speak no MCP; where the secret is a part of a string the answer stays what it was.

use serde_json::{Value, json};

use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, Upstream, cli, mcp_answer};
use crate::redaction::chunked;

const ROUTES: [(Option<&str>, &str); 2] = [(None, "up__say"), (Some("up"), "say")];
const OBJECT: &str = r#"{"type":"service","key":"abc"}"#;

/// An MCP server whose results hold this text in the place of a JSON value. Tools whose name begins
/// with `events` answer with events, `events-note` with one more that has it before the answer.
fn answering(request: &Received, written: &str) -> Vec<u8> {
    if request.method() != "tools/call" {
        return mcp_answer(request);
    }
    let message = request.json();
    let id = &message["id"];
    let answer = |result: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{result}}}}}"#)
    };
    let note = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{written}}}"#);
    let arguments = &message["params"]["arguments"];
    match arguments["as"].as_str() {
        Some("events") => {
            let event = format!("id: 7\ndata: {}\n\n", answer(written));
            chunked("text/event-stream", "", event.as_bytes(), 9)
        }
        Some("note") => {
            let events = format!("data: {note}\n\ndata: {}\n\n", answer("{}"));
            chunked("text/event-stream", "", events.as_bytes(), 9)
        }
        Some("cut") => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
            format!("{head}{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"text\":\"{written}\",")
                .into_bytes()
        }
        _ => http_answer("200 OK", &[("Content-Type", "application/json")], &answer(written)),
    }
}

/// With this secret.
fn scene(secret: &str, written: &'static str) -> (Companion, Upstream) {
    let upstream = Upstream::start(move |request| answering(request, written));
    let companion = Companion::start();
    companion.add_server("up", &upstream.url());
    companion.set("up", "TOKEN", secret);
    (companion, upstream)
}

/// The last message of the answer to a call, and the whole.
fn call(companion: &Companion, (slug, tool): (Option<&str>, &str), kind: &str) -> (Value, String) {
    let session = companion.session(&companion.token("default"), slug);
    let answer = crate::redaction::call(&session, tool, &json!({"as": kind}));
    let text = answer.text();
    let last = text.lines().rfind(|line| !line.is_empty()).unwrap();
    let message = serde_json::from_str(last.strip_prefix("data: ").unwrap_or(last));
    (message.unwrap_or_else(|error| panic!("{error}: {text}")), answer.whole())
}

#[test]
fn an_answer_that_redaction_broke_says_so() {
    for (secret, written) in [
        (OBJECT, r#"{"config":{"type":"service","key":"abc"}}"#),
        ("1234567890", r#"{"n":1234567890}"#),
        ("1234567890", r#"{"n":12345678901}"#),
        ("20261129", r#"{"n":5,"time":[20261129101500]}"#),
    ] {
        let (companion, _upstream) = scene(secret, written);
        for route in ROUTES {
            for kind in ["json", "events"] {
                let (last, whole) = call(&companion, route, kind);
                assert_eq!(last["error"]["data"], json!({"server": "up", "reason": "redacted"}), "{whole}");
                let said = last["error"]["message"].as_str().unwrap();
                assert!(said.contains("taking it out broke the answer"), "{said}");
                assert!(!whole.contains(secret) && !whole.contains("[redacted]"), "{whole}");
            }
            // What was no answer is left out.
            let (last, whole) = call(&companion, route, "note");
            assert_eq!(last["result"]["structuredContent"], json!({}), "{whole}");
            assert!(!whole.contains(secret) && !whole.contains("[redacted]"), "{whole}");
        }
    }
}

#[test]
fn a_part_of_a_string_breaks_nothing() {
    for (secret, written, shown) in [
        (OBJECT, r#"{"c":"{\"type\":\"service\",\"key\":\"abc\"}"}"#, "[redacted]"),
        ("1234567890", r#"{"c":"a12345678901"}"#, "a[redacted]1"),
        ("nabcdefgh", r#"{"c":"x\nabcdefgh"}"#, "x[redacted]"),
        ("0041abcd", r#"{"c":"x\u0041abcd"}"#, "x[redacted]"),
        ("abcdefghij", r#"{"c":"YWJjZGVmZ2hpag== YWJjZGVmZ2hpag\u003d\u003d"}"#, "[redacted] [redacted]"),
    ] {
        let (companion, _upstream) = scene(secret, written);
        for (route, kind) in ROUTES.into_iter().flat_map(|route| ["json", "events"].map(|kind| (route, kind)))
        {
            let (last, whole) = call(&companion, route, kind);
            assert_eq!(last["result"]["structuredContent"]["c"], shown, "{whole}");
        }
    }
}

#[test]
fn an_answer_that_was_cut_is_still_called_so() {
    let (companion, _upstream) = scene("ghp_0123456789", "ghp_0123456789");
    for route in ROUTES {
        let (last, whole) = call(&companion, route, "cut");
        assert_eq!(last["error"]["data"]["reason"], "cut", "{whole}");
    }
}

#[test]
fn a_test_of_the_server_tells_what_to_do() {
    for (broken, events) in ["initialize", "tools/list"].into_iter().flat_map(|it| [(it, false), (it, true)])
    {
        let upstream = Upstream::start(move |request| {
            let answer = mcp_answer(request);
            if request.method() != broken {
                return answer;
            }
            let answer = String::from_utf8(answer).unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let body = body.replacen("\"result\":{", "\"result\":{\"_meta\":{\"n\":12345678},", 1);
            if events {
                let event = format!("data: {body}\n\n");
                return chunked("text/event-stream", "", event.as_bytes(), 9);
            }
            http_answer("200 OK", &[("Content-Type", "application/json")], &body)
        });
        let companion = Companion::start();
        companion.add_server("up", &upstream.url());
        companion.set("up", "TOKEN", "12345678");
        let ended = cli(&companion, &["mcp", "test", "up"]).expect(1);
        let said = "error: up does not work: the MCP server's answer held a secret";
        assert!(ended.err.contains(said), "{broken} {events}: {}", ended.err);
        assert!(ended.err.contains("aerostack mcp update up --redaction off"), "{}", ended.err);
        assert!(!ended.err.contains("ask a workspace admin"), "{}", ended.err);
        cli(&companion, &["mcp", "update", "up", "--redaction", "off"]).expect(0);
        cli(&companion, &["mcp", "test", "up"]).expect(0);
    }
}
