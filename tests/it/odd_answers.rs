//! Answers of servers that are not as the client needs them: refusals with a status that would
//! say something of the gateway, ids that are not the request's, bodies that are no answer.

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::upstream::{Received, http_answer, mcp_answer};
use crate::harness::{Companion, McpSession, Upstream};

const BOTH_ROUTES: [(Option<&str>, &str); 2] = [(None, "odd__echo"), (Some("odd"), "echo")];
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server that answers calls so, and all else well.
fn scene(
    answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
) -> (Companion, Upstream, [(McpSession, &'static str); 2]) {
    let companion = Companion::start();
    let upstream = Upstream::start(move |request| match request.method().as_str() {
        "tools/call" => answer(request),
        _ => mcp_answer(request),
    });
    companion.add_server("odd", &upstream.url());
    let token = companion.token("default");
    let sessions = BOTH_ROUTES.map(|(slug, tool)| (companion.session(&token, slug), tool));
    (companion, upstream, sessions)
}

fn call(tool: &str) -> Value {
    message("tools/call", &json!({"name": tool}))
}

/// To a client of the legacy era 404 means that its session has ended, and 429 that it asks
/// the gateway too often.
#[test]
fn a_refusal_has_no_status_of_its_own_for_clients_of_the_legacy_era() {
    for status in ["400 Bad Request", "404 Not Found", "409 Conflict", "429 Too Many Requests"] {
        for id in [json!(1), Value::Null, json!("server-error")] {
            let (_companion, upstream, sessions) = scene(move |_| {
                let error = json!({"code": -32050, "message": "no such record", "data": [1.50]});
                let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
                http_answer(status, &[JSON, ("Retry-After", "9")], &body)
            });
            for (session, tool) in &sessions {
                let answer = session.send(&call(tool), &[]);
                assert_eq!((answer.status, answer.header("Retry-After")), (200, None), "{status}");
                let error = json!({"code": -32050, "message": "no such record", "data": [1.50]});
                assert_eq!(answer.json(), json!({"jsonrpc": "2.0", "id": 1, "error": error}), "{status}");
            }
            assert_eq!(upstream.received_of("tools/call").len(), 2, "{status}");
        }
    }
}

#[test]
fn a_refused_initialize_has_no_status_of_its_own_either() {
    let upstream = Upstream::start(|_| {
        let error = json!({"code": -32050, "message": "not today"});
        let body = json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string();
        http_answer("404 Not Found", &[JSON], &body)
    });
    let companion = Companion::start();
    companion.add_server("odd", &upstream.url());
    let (token, path) = (companion.token("default"), "/ws/default/odd".to_owned());
    let bare = McpSession { address: companion.address, path, token, id: String::new() };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}});
    let answer = bare.send(&message("initialize", &params), &[]);
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(1)), "{}", answer.text());
    assert_eq!((&answer.json()["error"]["code"], answer.header("Mcp-Session-Id")), (&json!(-32050), None));
}

/// Bodies with status 200, declared as JSON, that answer something else or nothing.
#[test]
fn a_body_that_is_not_the_answer_is_not_passed_on() {
    let whole = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    for (body, reason) in [
        ("<html>canary</html>".to_owned(), "not_mcp"),
        (r#"{"content":["canary"]}"#.to_owned(), "not_mcp"),
        (whole.replace(":1,", ":999,"), "not_mcp"),
        (whole.replace(":1,", ":\"one\","), "not_mcp"),
        (format!("[{whole}]"), "not_mcp"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(), "not_mcp"),
        (r#"{"jsonrpc":"2.0","method":"notifications/canary"}"#.to_owned(), "not_mcp"),
        (format!("{whole} canary"), "not_mcp"),
    ] {
        let (companion, _upstream, sessions) = scene({
            let body = body.clone();
            move |_| http_answer("200 OK", &[JSON], &body)
        });
        // With a secret in place the length is not known beforehand.
        for has_secret in [false, true] {
            if has_secret {
                companion.set("odd", "TOKEN", "value-that-is-secret");
            }
            for (session, tool) in &sessions {
                let answer = session.send(&call(tool), &[]);
                assert!(!answer.text().contains("canary"), "{}", answer.text());
                let error = &answer.json()["error"]["data"]["reason"];
                assert_eq!(
                    (answer.status, &answer.json()["id"], error),
                    (200, &json!(1), &json!(reason)),
                    "{body}"
                );
            }
        }
    }
}

#[test]
fn an_error_without_an_id_is_the_answer_and_gets_the_id() {
    let (_companion, _upstream, sessions) = scene(|_| {
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32050,"message":"no","data":1.50}}"#;
        http_answer("200 OK", &[JSON], body)
    });
    for (session, tool) in &sessions {
        let text = session.send(&call(tool), &[]).text();
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32050,"message":"no","data":1.50}}"#);
    }
}

/// Status 400 with -32000 is what servers of a widespread SDK say to a session they lost. They
/// say other things with it too, and then the call has run.
#[test]
fn a_call_runs_again_only_if_the_server_speaks_of_the_session() {
    for (text, times) in [
        ("payment declined", 1),
        ("Bad Request", 1),
        ("Bad Request: No valid session ID provided", 2),
        ("Bad Request: Server not initialized", 2),
    ] {
        let upstream = Upstream::start(move |request| match request.method().as_str() {
            "initialize" => {
                let answer = String::from_utf8(mcp_answer(request)).unwrap();
                answer.replacen("\r\n", "\r\nMcp-Session-Id: one\r\n", 1).into_bytes()
            }
            "tools/call" => {
                let error = json!({"code": -32000, "message": text});
                let body = json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string();
                http_answer("400 Bad Request", &[JSON], &body)
            }
            _ => mcp_answer(request),
        });
        let companion = Companion::start();
        companion.add_server("odd", &upstream.url());
        let token = companion.token("default");
        for (route, tool) in BOTH_ROUTES {
            let before = upstream.received_of("tools/call").len();
            let answer = companion.session(&token, route).call(tool);
            assert_eq!((&answer["error"]["message"], &answer["id"]), (&json!(text), &json!(1)), "{answer}");
            assert_eq!(upstream.received_of("tools/call").len() - before, times, "{text}");
        }
    }
}
