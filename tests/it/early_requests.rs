//! What a server asks at the beginning of its session. It may do so as soon as it is told that the
//! client is ready; so it is told when the client is, and heard from then on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, McpSession};

fn roots() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "roots/list"})
}

fn is_ready(request: &Received) -> bool {
    request.method() == "notifications/initialized"
}

fn initialized(request: &Received, socket: &mut TcpStream, session: &str) -> bool {
    let result = json!({
        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"},
    });
    let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
    let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", session)];
    socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
}

/// A server that asks for the roots on its stream, and that loses its session when it is told to.
fn forgetful() -> Talker {
    let sessions = AtomicUsize::new(0);
    Talker::start(move |_, request, socket| {
        let current = format!("session-{}", sessions.load(Ordering::SeqCst));
        match request.method().as_str() {
            "initialize" => {
                let number = sessions.fetch_add(1, Ordering::SeqCst) + 1;
                initialized(request, socket, &format!("session-{number}"))
            }
            _ if request.values("Mcp-Session-Id") != [current] => say_status(socket, "404 Not Found"),
            "GET" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                say(socket, &roots());
                let _ = socket.read(&mut [0; 1]);
                false
            }
            "tools/call" => {
                let is_lost = request.json()["params"]["name"] == "lose";
                sessions.fetch_add(usize::from(is_lost), Ordering::SeqCst);
                say_result(socket, request, &json!({"content": []}))
            }
            _ => say_status(socket, "202 Accepted"),
        }
    })
}

/// A client that has sent `initialize` and no more.
fn beginning(companion: &Companion) -> McpSession {
    let token = companion.token("default");
    let path = crate::harness::companion::gateway_path(None);
    let mut session = McpSession { address: companion.address, path, token, id: String::new() };
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}});
    let answer = session.send(&message("initialize", &params), &[]);
    answer.header("Mcp-Session-Id").unwrap().clone_into(&mut session.id);
    session
}

#[test]
fn a_server_is_told_when_the_client_is_ready() {
    let (companion, server) = (Companion::start(), forgetful());
    companion.add_server("one", &server.url());
    let session = beginning(&companion);
    server.wait_for("initialize", |one| one.method() == "initialize");
    assert_eq!(server.received().len(), 1);
    assert_eq!(
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), &[]).status,
        202
    );
    server.wait_for("the word", is_ready);
    assert_eq!(Listening::get(&session, "").next().unwrap()["method"], "roots/list");
    // A client that does not say so is ready when it calls something.
    let other = beginning(&companion);
    other.call("one__x");
    assert_eq!(server.received().iter().filter(|one| is_ready(one)).count(), 2);
}

/// A neighbour that is slow to open its session does not keep the others from being heard.
#[test]
fn a_session_that_opens_late_is_told_too() {
    let (companion, server) = (Companion::start(), forgetful());
    companion.add_server("one", &server.url());
    let slow = Talker::start(|me, request, socket| match request.method().as_str() {
        "initialize" => {
            // It was initialized for a while by then, and its neighbour told.
            me.wait_for("a sign", |one| one.method() == "open");
            initialized(request, socket, "slow")
        }
        _ => say_status(socket, "202 Accepted"),
    });
    companion.add_server("slow", &slow.url());
    let session = beginning(&companion);
    assert!(!server.received().iter().any(is_ready));
    session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), &[]);
    server.wait_for("the word", is_ready);
    assert!(!slow.received().iter().any(is_ready));
    let body = json!({"method": "open"}).to_string();
    crate::harness::request(slow.address, "POST", "/", &[], body.as_bytes());
    slow.wait_for("the word", is_ready);
}

/// Four times: a look every two seconds would take twice as long.
#[test]
fn a_session_that_is_opened_again_is_heard_at_once() {
    let (companion, server) = (Companion::start(), forgetful());
    companion.add_server("one", &server.url());
    let session = companion.session(&companion.token("default"), None);
    let mut stream = Listening::get(&session, "");
    stream.until("roots/list");
    let started = Instant::now();
    for _ in 0..4 {
        assert!(session.call("one__lose")["result"].is_object());
        assert!(session.call("one__x")["result"].is_object());
        stream.until("roots/list");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}
