//! Streams of tokens that are limited to tools: no answers that were made for others, and
//! nothing of prompts and resources.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::{Companion, McpSession};

fn changed(list: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed")})
}

/// A server that says everything again to whoever listens.
fn repeating() -> Talker {
    Talker::start(|_, request, socket| match request.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true}});
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"},
            });
            say_result(socket, request, &result)
        }
        "GET" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            let tools = json!([{"name": "delete_all", "inputSchema": {"type": "object"}}]);
            say(socket, &json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}));
            say(socket, &json!({"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "m"}}));
            say(
                socket,
                &json!({
                    "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x:1"},
                }),
            );
            say(socket, &changed("resources"));
            say(socket, &changed("prompts"));
            let _ = socket.write_all(b"id: 9\ndata:\n\n");
            say(socket, &changed("tools"));
            let _ = socket.read(&mut [0; 1]);
            false
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        _ => say_status(socket, "202 Accepted"),
    })
}

fn session(server: &Talker, slug: Option<&str>) -> (Companion, McpSession) {
    let companion = Companion::start();
    companion.add_server("one", &server.url());
    let limited = companion.token_with("default", &json!({"name": "limited", "tools": ["one__get_*"]}));
    let session = companion.session(&limited, slug);
    (companion, session)
}

#[test]
fn on_the_route_of_one_server() {
    let server = repeating();
    let (_companion, session) = session(&server, Some("one"));
    assert_eq!(Listening::get(&session, "Last-Event-ID: 1\r\n").status, 405);
    assert_eq!(server.received_of("GET").len(), 0);
    assert_eq!(Listening::get(&session, "").next().unwrap(), changed("tools"));
}

#[test]
fn on_the_route_of_a_workspace() {
    let server = repeating();
    for more in ["Last-Event-ID: one+1\r\n", ""] {
        let (_companion, session) = session(&server, None);
        assert_eq!(Listening::get(&session, more).next().unwrap(), changed("tools"));
    }
    for get in server.received_of("GET") {
        assert_eq!(get.values("Last-Event-ID"), Vec::<String>::new());
    }
}
