//! GET streams of servers that begin late, that are not there for a while, or whose session is lost.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::workspace_stream::{open, streaming};

fn changed() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
}

/// Its GET is answered by `get`. A session is lost when `is_lost` says so, and its requests are refused with 400.
fn losing(
    is_lost: impl Fn(&Received) -> bool + Send + Sync + 'static,
    get: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Talker {
    let sessions = AtomicUsize::new(0);
    Talker::start(move |_, request, socket| match request.method().as_str() {
        "initialize" => {
            let number = sessions.fetch_add(1, Ordering::SeqCst);
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [
                ("Content-Type", "application/json"),
                ("Mcp-Session-Id", &format!("session-{number}") as &str),
            ];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        _ if is_lost(request) => {
            let error = json!({"code": -32000, "message": "Bad Request: No valid session ID provided"});
            let body = json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string();
            let headers = [("Content-Type", "application/json")];
            socket.write_all(&http_answer("400 Bad Request", &headers, &body)).is_ok()
        }
        "GET" => get(request, socket),
        "ping" => say_result(socket, request, &json!({})),
        "tools/call" => say_result(socket, request, &json!({"content": []})),
        _ => say_status(socket, "202 Accepted"),
    })
}

/// A server that writes the head of its stream with its first event.
#[test]
fn a_stream_may_begin_with_its_first_event() {
    let is_time = Arc::new(AtomicBool::new(false));
    let time = Arc::clone(&is_time);
    let server = Talker::start(move |me, request, socket| match request.method().as_str() {
        "GET" => {
            me.wait_for("the time", |_| time.load(Ordering::SeqCst));
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            say(socket, &changed());
            true
        }
        "initialize" => {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"},
            });
            say_result(socket, request, &result)
        }
        _ => say_status(socket, "202 Accepted"),
    });
    let (companion, session) = open(&[("late", &server)]);
    let mut all = Listening::get(&session, "");
    server.wait_for("its GET", |one| one.method() == "GET");
    let one = companion.session(&session.token, Some("late"));
    // It does not wait for ever, but the gateway does.
    let mut own = Listening::get(&one, "");
    assert!(own.is_stream());
    is_time.store(true, Ordering::SeqCst);
    companion.session(&session.token, Some("late"));
    assert_eq!(all.next().unwrap(), changed());
    assert_eq!(own.next().unwrap(), changed());
    assert_eq!(server.received_of("GET").len(), 2);
}

#[test]
fn a_stream_that_is_not_there_now_is_told_from_none_at_all() {
    for (status, expected) in [
        ("405 Method Not Allowed", 405),
        ("404 Not Found", 405),
        ("200 OK", 405),
        ("400 Bad Request", 503),
        ("409 Conflict", 503),
        ("500 Internal Server Error", 503),
        ("503 Service Unavailable", 503),
    ] {
        let server = losing(|_| false, move |_, socket| say_status(socket, status));
        let (companion, session) = open(&[("one", &server)]);
        let one = companion.session(&session.token, Some("one"));
        assert_eq!(Listening::get(&one, "").status, expected, "{status}");
        // Nor was its session lost.
        assert_eq!(server.received_of("initialize").len(), 2, "{status}");
    }
}

#[test]
fn a_server_that_says_400_for_a_lost_session_is_heard_again() {
    let is_restarted = Arc::new(AtomicBool::new(false));
    let restarted = Arc::clone(&is_restarted);
    let is_lost = move |request: &Received| {
        restarted.load(Ordering::SeqCst) && request.values("Mcp-Session-Id") == ["session-0"]
    };
    let server = losing(is_lost, move |_, socket| {
        let _ = socket.write_all(EVENTS_HEAD.as_bytes());
        say(socket, &changed());
        is_restarted.store(true, Ordering::SeqCst);
        false
    });
    let (_companion, session) = open(&[("one", &server)]);
    let mut stream = Listening::get(&session, "");
    for _ in 0..2 {
        assert_eq!(stream.next().unwrap(), changed());
    }
    assert_eq!(server.received_of("initialize").len(), 2);
}

#[test]
fn a_refused_stream_does_not_cost_the_session() {
    let server = losing(|_| false, |_, socket| say_status(socket, "400 Bad Request"));
    let (_companion, session) = open(&[("one", &server)]);
    let _stream = Listening::get(&session, "");
    server.wait_for("a question", |one| one.method() == "ping");
    assert!(session.call("one__x")["result"].is_object());
    let call = server.wait_for("the call", |one| one.method() == "tools/call");
    assert_eq!(call.values("Mcp-Session-Id"), ["session-0"]);
}

#[test]
fn the_stream_of_one_server_tells_of_changed_secrets() {
    let server = streaming(|_, _| true);
    let (companion, all) = open(&[("one", &server)]);
    let session = companion.session(&all.token, Some("one"));
    let methods = |mut stream: Listening, count: usize| -> Vec<Value> {
        (0..count).map(|_| stream.next().unwrap()["method"].clone()).collect()
    };
    let expected = ["notifications/tools/list_changed", "notifications/resources/list_changed"];
    let mut stream = Listening::get(&session, "");
    companion.set("one", "TOKEN", "a-value");
    assert_eq!([stream.next(), stream.next()].map(|one| one.unwrap()["method"].clone()), expected);
    assert_eq!(stream.next(), None, "and ends");
    // Nobody listens.
    companion.set("one", "TOKEN", "a-newer-value");
    assert_eq!(methods(Listening::get(&session, ""), 2), expected);
    // Told once.
    let mut stream = Listening::get(&session, "");
    companion.set("one", "TOKEN", "the-newest-value");
    assert_eq!([stream.next(), stream.next()].map(|one| one.unwrap()["method"].clone()), expected);
    assert_eq!(stream.next(), None);
}
