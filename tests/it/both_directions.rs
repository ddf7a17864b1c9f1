//! Servers ask their client on the route of a workspace: sampling, elicitation, roots and ping
//! from two servers at once that count alike, with progress and cancellation in both
//! directions. Each answer reaches the one who asked, under its own id.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, request_with_id, say, say_result, say_status};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession};

/// What it asks its client on the stream of a call, each time with the same ids.
fn questions() -> Vec<Value> {
    let ask = |id: Value, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    vec![
        ask(json!(0), "sampling/createMessage", json!({"maxTokens": 1.50, "_meta": {"progressToken": 0}})),
        ask(json!(1), "elicitation/create", json!({"message": "who?"})),
        ask(json!("r"), "roots/list", json!({})),
        ask(json!(2.0), "ping", json!({})),
    ]
}

/// A server whose tool asks the client and answers with what it was told.
fn curious() -> Talker {
    Talker::start(|me, request, socket| match request.method().as_str() {
        "initialize" => say_result(
            socket,
            request,
            &json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "curious", "version": "1"},
            }),
        ),
        "tools/call" => {
            answer_call(me, request, socket);
            false
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        "ping" | "logging/setLevel" => say_result(socket, request, &json!({})),
        "GET" | "DELETE" => say_status(socket, "405 Method Not Allowed"),
        _ => say_status(socket, "202 Accepted"),
    })
}

fn answer_call(me: &Talker, request: &Received, socket: &mut TcpStream) {
    let (call, id) = (request.json(), request.json()["id"].clone());
    socket.write_all(EVENTS_HEAD.as_bytes()).unwrap();
    let mut told = Vec::new();
    if call["params"]["name"] == "ask" {
        for question in questions() {
            say(socket, &question);
        }
        told = questions()
            .iter()
            .map(|question| me.wait_for_answer(&question["id"])["result"].clone())
            .collect();
    } else {
        let cancelled = |one: &Received| one.method() == "notifications/cancelled";
        let params = me.wait_for("a cancellation", cancelled).json()["params"].clone();
        told.push(params);
    }
    say(socket, &json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "told": told}}));
}

fn stage() -> (Companion, Talker, Talker, McpSession) {
    let (companion, one, two) = (Companion::start(), curious(), curious());
    companion.add_server("one", &one.url());
    companion.add_server("two", &two.url());
    let session = companion.session(&companion.token("default"), None);
    (companion, one, two, session)
}

fn call(session: &McpSession, id: &Value, tool: &str) -> Listening {
    Listening::post(session, &request_with_id(id, "tools/call", &json!({"name": tool})))
}

#[test]
fn two_servers_ask_at_once_and_each_gets_its_own_answers() {
    let (_companion, one, two, session) = stage();
    let mut calls = [call(&session, &json!(0), "one__ask"), call(&session, &json!(1), "two__ask")];
    let mut ids = Vec::new();
    for (number, stream) in calls.iter_mut().enumerate() {
        let mut asked: Vec<Value> = questions().iter().map(|_| stream.next().unwrap()).collect();
        // Answered in another order than asked.
        asked.reverse();
        for question in asked {
            assert!(question["id"].is_string(), "{question}");
            ids.push(question["id"].to_string());
            if question["method"] == "sampling/createMessage" {
                assert_eq!(question["params"]["maxTokens"].to_string(), "1.5");
                let token = &question["params"]["_meta"]["progressToken"];
                let params = json!({"progressToken": token, "progress": number});
                let progress =
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
                assert_eq!(session.send(&progress, &[]).status, 202);
            }
            let result = json!({"from": number, "method": question["method"]});
            let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
            assert_eq!(session.send(&answer, &[]).status, 202);
            // A second answer to the same question goes to nobody.
            assert_eq!(session.send(&answer, &[]).status, 202);
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2 * questions().len(), "each question has an id of its own: {ids:?}");
    for (number, (stream, server)) in calls.into_iter().zip([&one, &two]).enumerate() {
        let answer = stream.answer();
        let methods = questions().into_iter().map(|question| question["method"].clone());
        let expected: Vec<Value> = methods.map(|method| json!({"from": number, "method": method})).collect();
        assert_eq!(answer["id"], number);
        assert_eq!(answer["result"]["told"], json!(expected));
        let answers: Vec<_> = server
            .received()
            .into_iter()
            .filter(|one| one.json()["method"].is_null() && !one.body.is_empty())
            .collect();
        assert_eq!(answers.len(), questions().len());
        // The ids came back byte for byte.
        assert!(answers.iter().any(|one| String::from_utf8_lossy(&one.body).contains("\"id\":2.0")));
        let progress = server.received_of("notifications/progress");
        assert_eq!(progress.len(), 1);
        assert_eq!(progress[0].json()["params"], json!({"progressToken": 0, "progress": number}));
    }
}

#[test]
fn a_cancellation_reaches_the_one_server_that_runs_the_request() {
    let (_companion, one, two, session) = stage();
    let streams = [call(&session, &json!("a"), "one__wait"), call(&session, &json!(7), "two__wait")];
    let cancel = |id: Value| {
        let params = json!({"requestId": id, "reason": "enough"});
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        assert_eq!(session.send(&message, &[]).status, 202);
    };
    cancel(json!(8));
    cancel(json!("7"));
    cancel(json!(7));
    let [first, second] = streams;
    let answer = second.answer();
    assert_eq!(answer["result"]["told"][0], json!({"requestId": 7, "reason": "enough"}));
    assert_eq!(one.received_of("notifications/cancelled").len(), 0);
    assert_eq!(two.received_of("notifications/cancelled").len(), 1);
    cancel(json!("a"));
    assert_eq!(first.answer()["result"]["told"][0]["requestId"], "a");
    // What is over cannot be cancelled.
    cancel(json!(7));
    assert_eq!(two.received_of("notifications/cancelled").len(), 1);
}

#[test]
fn changed_roots_and_the_log_level_reach_all_and_those_that_come_later() {
    let (companion, one, two, session) = stage();
    for method in ["notifications/roots/list_changed", "notifications/unheard-of"] {
        assert_eq!(session.send(&json!({"jsonrpc": "2.0", "method": method}), &[]).status, 202);
    }
    assert_eq!(session.rpc("logging/setLevel", &json!({"level": "warning"}))["result"], json!({}));
    for server in [&one, &two] {
        let told = server.wait_for("the level", |one| one.method() == "logging/setLevel");
        assert_eq!(told.json()["params"], json!({"level": "warning"}));
        server.wait_for("the roots", |one| one.method() == "notifications/roots/list_changed");
    }
    for server in [&one, &two] {
        assert_eq!(server.received_of("notifications/roots/list_changed").len(), 1);
        assert_eq!(server.received_of("notifications/unheard-of").len(), 0);
        assert_eq!(server.received_of("logging/setLevel").len(), 1);
    }
    // A session that opens later, here because a secret was set, is told too.
    companion.set("two", "TOKEN", "a-new-value");
    session.rpc("tools/list", &json!({}));
    assert_eq!(two.received_of("logging/setLevel").len(), 2);
    assert_eq!(one.received_of("logging/setLevel").len(), 1);
}
