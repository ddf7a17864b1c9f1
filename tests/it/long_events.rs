//! Events over a mebibyte that are no answers: requests of servers with an image in them, and
//! notifications. They are translated as short ones are, and end no call.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::{Companion, McpSession};

/// Characters of what is long.
const LONG: usize = 1_300_000;

/// A server that asks its client with an image on the stream of the call `ask`, tells it
/// something long on that of `note`, which then ends, and on the GET stream.
fn long_winded() -> Talker {
    Talker::start(|me, request, socket| {
        let message = request.json();
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x".repeat(LONG)}});
        match request.method().as_str() {
            "initialize" => {
                let offers = json!({"tools": {}, "logging": {}});
                let info = json!({"name": "long", "version": "1"});
                let result =
                    json!({"protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": info});
                say_result(socket, request, &result)
            }
            "tools/list" => say_result(socket, request, &json!({"tools": []})),
            "tools/call" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                if message["params"]["name"] == "ask" {
                    let params = json!({"maxTokens": 1, "image": "x".repeat(LONG)});
                    say(
                        socket,
                        &json!({"jsonrpc": "2.0", "id": 0, "method": "sampling/createMessage", "params": params}),
                    );
                    let told = me.wait_for_answer(&json!(0))["result"].clone();
                    let result = json!({"content": [], "told": told});
                    say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
                } else {
                    say(socket, &note);
                }
                false
            }
            "GET" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                say(socket, &note);
                let _ = socket.read(&mut [0; 1]);
                false
            }
            _ => say_status(socket, "202 Accepted"),
        }
    })
}

fn call(session: &McpSession, tool: &str) -> Listening {
    let params = json!({"name": tool});
    Listening::post(session, &json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}))
}

#[test]
fn a_long_request_of_a_server_is_answered() {
    let (server, companion) = (long_winded(), Companion::start());
    companion.add_server("long", &server.url());
    let session = companion.session(&companion.token("default"), None);
    let mut stream = call(&session, "long__ask");
    let asked = stream.until("sampling/createMessage");
    assert_ne!(asked["id"], 0, "an id that no other server has");
    assert_eq!(asked["params"]["image"].as_str().map(str::len), Some(LONG));
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"role": "assistant"}});
    assert_eq!(session.send(&answer, &[]).status, 202);
    assert_eq!(stream.next().unwrap()["result"]["told"]["role"], "assistant");
}

#[test]
fn a_long_notification_is_not_an_answer() {
    let (server, companion) = (long_winded(), Companion::start());
    companion.add_server("long", &server.url());
    let token = companion.token("default");
    for (slug, tool) in [(None, "long__note"), (Some("long"), "note")] {
        let session = companion.session(&token, slug);
        let mut stream = call(&session, tool);
        let size = |message: &Value| message["params"]["data"].as_str().map(str::len);
        assert_eq!(size(&stream.until("notifications/message")), Some(LONG));
        let last = stream.next().unwrap();
        assert_eq!((&last["id"], &last["error"]["data"]["reason"]), (&json!(9), &json!("cut")), "{last}");
        assert_eq!(stream.next(), None);
    }
    let calls = crate::analytics::logged(&companion, 2);
    assert!(calls.iter().all(|call| call["outcome"] == "cut"), "{calls:?}");
    let session = companion.session(&token, None);
    let mut stream = Listening::get(&session, "");
    session.tools();
    assert_eq!(stream.until("notifications/message")["params"]["data"].as_str().map(str::len), Some(LONG));
}
