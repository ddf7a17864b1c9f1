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
