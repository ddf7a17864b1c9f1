//! Servers of 2025-03-26 may put several messages into one event, as a batch. Clients of other
//! versions do not know them: wherever an event is read or passed on, each message counts for itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say_result, say_status};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession};

const PATIENCE: Duration = Duration::from_secs(20);

/// One event, with an id and several messages in it.
fn say_batch(socket: &mut TcpStream, id: &str, messages: &[Value], end: &str) {
    let batch = Value::Array(messages.to_vec());
    let _ = socket.write_all(format!("id: {id}\nevent: message\ndata: {batch}{end}").as_bytes());
}

fn note(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": text}})
}

/// Says everything in batches, and has the resource with this URI.
fn batching(own: &'static str) -> Talker {
    Talker::start(move |_, request, socket| {
        let method = request.method();
        match method.as_str() {
            "initialize" => {
                let offers = json!({"tools": {}, "resources": {}, "logging": {}});
                let result = json!({
                    "protocolVersion": "2025-03-26", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"},
                });
                say_result(socket, request, &result)
            }
            "GET" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                say_batch(socket, "own-1", &[note("first"), changed], "\n\n");
                let _ = socket.read(&mut [0; 1]);
                false
            }
            "notifications/initialized" | "DELETE" => say_status(socket, "202 Accepted"),
            _ => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                say_batch(socket, "call-1", &[note("before"), answer(own, request)], end(request));
                false
            }
        }
    })
}

/// Some leave out the last empty line.
fn end(request: &Received) -> &'static str {
    if request.json()["params"]["name"] == "open" { "\n" } else { "\n\n" }
}

fn answer(own: &str, request: &Received) -> Value {
    let asked = request.json();
    let result = match asked["method"].as_str().unwrap() {
        "tools/list" => json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        "resources/read" if asked["params"]["uri"] == own => json!({"contents": [], "server": own}),
        "resources/read" => {
            let error = json!({"code": -32002, "message": "not here"});
            return json!({"jsonrpc": "2.0", "id": asked["id"], "error": error});
        }
        _ => json!({"content": []}),
    };
    json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})
}

fn scene() -> (Companion, [Talker; 2]) {
    let (companion, servers) = (Companion::start(), [batching("x:1"), batching("x:2")]);
    for (slug, server) in ["one", "two"].iter().zip(&servers) {
        companion.add_server(slug, &server.url());
    }
    (companion, servers)
}

fn call(session: &McpSession, tool: &str) -> Listening {
    let params = json!({"name": tool});
    let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params});
    Listening::post(session, &call)
}

#[test]
fn lists_reads_and_calls_are_found_in_them() {
    let (companion, _servers) = scene();
    let token = companion.token("default");
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["one__t", "two__t"]);
    assert_eq!(session.rpc("resources/read", &json!({"uri": "x:2"}))["result"]["server"], "x:2");
    let single = companion.session(&token, Some("two"));
    for (session, tools) in [(&session, ["two__t", "two__open"]), (&single, ["t", "open"])] {
        for tool in tools {
            let mut stream = call(session, tool);
            assert_eq!(stream.next().unwrap()["params"]["data"], "before", "{tool}");
            let answer = stream.next().unwrap();
            assert!(answer["id"] == 5 && answer["result"].is_object(), "{tool}: {answer}");
            assert_eq!(stream.next(), None);
        }
    }
}

/// Who has read the message with the id has read all that stood before it in the event.
#[test]
fn each_message_of_a_servers_own_stream_is_heard_and_the_last_has_the_id() {
    let (companion, _servers) = scene();
    let session = companion.session(&companion.token("default"), None);
    session.tools();
    let mut stream = Listening::get(&session, "");
    let (mut lines, began) = (Vec::new(), Instant::now());
    while !lines.iter().any(|line: &String| line.contains("tools/list_changed")) {
        lines.extend(stream.line());
        assert!(began.elapsed() < PATIENCE, "{lines:#?}");
    }
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    let (note, id, changed) = (at("first").unwrap(), at("own-1").unwrap(), at("list_changed").unwrap());
    assert!(note < id && id < changed, "{lines:#?}");
}
