//! GET on the route of a workspace: the streams of all servers come as one, each message under
//! names that lead back to its server, and changes of the workspace are told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, McpSession};

/// A server with sessions and a stream: `talk` writes on it, then it stays open until the
/// other end closes it, unless `talk` says that it ends.
pub fn streaming(talk: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Talker {
    let sessions = AtomicUsize::new(0);
    Talker::start(move |_, request, socket| match request.method().as_str() {
        "initialize" => {
            let number = sessions.fetch_add(1, Ordering::SeqCst);
            let offers = json!({"tools": {}, "resources": {"subscribe": true}});
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let id = format!("session-{number}");
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", id.as_str())];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "GET" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            if talk(request, socket) {
                let _ = socket.read(&mut [0; 1]);
            }
            false
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        method if method.starts_with("resources/") => say_result(socket, request, &json!({})),
        "DELETE" => say_status(socket, "200 OK"),
        _ => say_status(socket, "202 Accepted"),
    })
}

fn updated(uri: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
}

fn delete(session: &McpSession) {
    let authorization = format!("Bearer {}", session.token);
    let headers = [("Authorization", authorization.as_str()), ("Mcp-Session-Id", session.id.as_str())];
    let ended = crate::harness::request(session.address, "DELETE", &session.path, &headers, b"");
    assert_eq!(ended.status, 204);
}

pub fn open(servers: &[(&str, &Talker)]) -> (Companion, McpSession) {
    let companion = Companion::start();
    for (slug, server) in servers {
        companion.add_server(slug, &server.url());
    }
    let session = companion.session(&companion.token("default"), None);
    (companion, session)
}

#[test]
fn the_streams_of_all_servers_come_as_one() {
    let server = || {
        streaming(|_, socket| {
            say(socket, &json!({"jsonrpc": "2.0", "id": 0, "method": "roots/list"}));
            say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
            say(socket, &updated("x:1"));
            true
        })
    };
    let (one, two) = (server(), server());
    let (_companion, session) = open(&[("one", &one), ("two", &two)]);
    session.rpc("resources/subscribe", &json!({"uri": "two+x:1"}));
    let mut stream = Listening::get(&session, "");
    assert_eq!(stream.status, 200);
    let mut messages: Vec<Value> = (0..6).map(|_| stream.next().unwrap()).collect();
    messages.sort_by_key(ToString::to_string);
    let of = |method: &str| messages.iter().filter(|one| one["method"] == method).collect::<Vec<_>>();
    assert_eq!(of("notifications/tools/list_changed").len(), 2);
    let uris: Vec<&Value> =
        of("notifications/resources/updated").iter().map(|one| &one["params"]["uri"]).collect();
    assert_eq!(uris, ["one+x:1", "two+x:1"]);
    let asked = of("roots/list");
    assert_ne!(asked[0]["id"], asked[1]["id"]);
    for question in asked {
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}});
        assert_eq!(session.send(&answer, &[]).status, 202);
    }
    for server in [&one, &two] {
        assert_eq!(server.wait_for_answer(&json!(0))["result"], json!({"roots": []}));
    }
}

#[test]
fn a_resource_keeps_the_name_that_the_client_knows() {
    let server = streaming(|_, socket| {
        say(socket, &updated("x:1"));
        true
    });
    let (_companion, session) = open(&[("one", &server)]);
    session.rpc("resources/subscribe", &json!({"uri": "x:1"}));
    assert_eq!(Listening::get(&session, "").next().unwrap(), updated("x:1"));
}

#[test]
fn changes_of_the_workspace_are_told() {
    let quiet = streaming(|_, _| true);
    let late = streaming(|_, socket| {
        say(socket, &updated("late:1"));
        true
    });
    let (companion, session) = open(&[("quiet", &quiet)]);
    let mut stream = Listening::get(&session, "");
    quiet.wait_for("its GET", |one| one.method() == "GET");
    let change = |method: &str, path: &str, body: Option<&Value>| {
        let answer = companion.admin(method, &format!("/api/v1/admin/mcp-servers{path}"), body);
        assert!(answer.status < 300, "{}", answer.text());
    };
    change("POST", "", Some(&json!({"slug": "late", "url": late.url()})));
    stream.until("notifications/tools/list_changed");
    stream.until("notifications/resources/list_changed");
    assert_eq!(stream.until("notifications/resources/updated"), updated("late+late:1"));
    change("PATCH", "/late", Some(&json!({"enabled": false})));
    stream.until("notifications/tools/list_changed");
    change("PATCH", "/late", Some(&json!({"enabled": true})));
    stream.until("notifications/tools/list_changed");
    change("DELETE", "/late", None);
    stream.until("notifications/tools/list_changed");
    // A secret: the stream of its server is opened again with it, in a session of its own.
    companion.set("quiet", "TOKEN", "a-new-value");
    stream.until("notifications/tools/list_changed");
    let again = quiet.wait_for("a GET with the secret", |one| {
        one.method() == "GET" && one.values("TOKEN") == ["a-new-value"]
    });
    assert_eq!(again.values("Mcp-Session-Id"), ["session-1"]);
    assert_eq!(quiet.received_of("DELETE").len(), 1);
}

#[test]
fn a_stream_that_ends_is_opened_again_after_its_last_event() {
    let server = streaming(|request, socket| {
        let after = request.values("Last-Event-ID").concat();
        if after.is_empty() {
            let _ = socket.write_all(b"retry: 1\n\n");
        }
        let next = after.parse::<u32>().map_or(1, |last| last + 1);
        let message = updated(&format!("x:{next}"));
        let _ = socket.write_all(format!("id: {next}\ndata: {message}\n\n").as_bytes());
        false
    });
    let (_companion, session) = open(&[("one", &server)]);
    let mut stream = Listening::get(&session, "");
    for number in 1..5 {
        assert_eq!(stream.next().unwrap(), updated(&format!("one+x:{number}")));
    }
    let gets = server.received_of("GET");
    assert_eq!(gets[0].values("Last-Event-ID"), Vec::<String>::new());
    assert_eq!(gets[1].values("Last-Event-ID"), ["1"]);
}

#[test]
fn only_the_newest_stream_of_a_session_goes_on() {
    let server = streaming(|_, socket| {
        say(socket, &updated("x:1"));
        true
    });
    let (_companion, session) = open(&[("one", &server)]);
    let mut first = Listening::get(&session, "");
    assert_eq!(first.next().unwrap(), updated("one+x:1"));
    let mut second = Listening::get(&session, "");
    assert_eq!(first.next(), None, "it ends cleanly");
    assert_eq!(second.next().unwrap(), updated("one+x:1"));
}

#[test]
fn the_stream_ends_with_its_session() {
    let server = Arc::new(streaming(|_, _| true));
    let (_companion, session) = open(&[("one", &server)]);
    let mut stream = Listening::get(&session, "");
    server.wait_for("its GET", |one| one.method() == "GET");
    delete(&session);
    assert_eq!(stream.next(), None);
    assert_eq!(server.received_of("DELETE").len(), 1);
}

#[test]
fn the_stream_of_one_server_ends_with_its_session() {
    let server = streaming(|_, socket| {
        say(socket, &updated("x:1"));
        true
    });
    let companion = Companion::start();
    companion.add_server("one", &server.url());
    let session = companion.session(&companion.token("default"), Some("one"));
    let mut stream = Listening::get(&session, "");
    assert_eq!(stream.next().unwrap(), updated("x:1"));
    delete(&session);
    assert_eq!(stream.next(), None);
}

#[test]
fn a_stream_that_goes_on_after_an_event_is_the_stream_of_all_servers() {
    let server = |name: &'static str| {
        streaming(move |request, socket| {
            let message = updated(&format!("{name}:{}", request.values("Last-Event-ID").concat()));
            let _ = socket.write_all(format!("id: 7\ndata: {message}\n\n").as_bytes());
            true
        })
    };
    let (one, two) = (server("one"), server("two"));
    let (companion, session) = open(&[("one", &one), ("two", &two)]);
    let mut first = Listening::get(&session, "");
    while first.next().unwrap() != updated("two+two:") {}
    let mut second = Listening::get(&session, "Last-Event-ID: two+7\r\n");
    while first.next().is_some() {}
    let mut uris: Vec<Value> =
        (0..2).map(|_| second.until("notifications/resources/updated")["params"]["uri"].clone()).collect();
    uris.sort_by_key(ToString::to_string);
    assert_eq!(uris, ["one+one:", "two+two:7"]);
    let path = "/api/v1/admin/mcp-servers/one";
    assert_eq!(companion.admin("PATCH", path, Some(&json!({"enabled": false}))).status, 200);
    second.until("notifications/tools/list_changed");
    delete(&session);
    while second.next().is_some() {}
}

/// A client that listens, and whose connection broke in the middle of a call, opens a second stream.
#[test]
fn the_rest_of_a_call_does_not_end_the_stream_of_the_servers() {
    let server = streaming(|request, socket| {
        let after = request.values("Last-Event-ID").concat();
        let (id, message) = match after.as_str() {
            // The server says no more on this connection, which it does not close.
            "call-1" => ("call-2", json!({"jsonrpc": "2.0", "method": "notifications/progress"})),
            "call-2" => ("call-3", json!({"jsonrpc": "2.0", "id": 1, "result": {}})),
            _ => ("own", updated("x:1")),
        };
        let _ = socket.write_all(format!("id: {id}\ndata: {message}\n\n").as_bytes());
        true
    });
    let (companion, session) = open(&[("one", &server)]);
    let mut own = Listening::get(&session, "");
    assert_eq!(own.next().unwrap(), updated("one+x:1"));
    // The call, whose stream broke.
    session.call("one__x");
    let mut rest = Listening::get(&session, "Last-Event-ID: one+call-1\r\n");
    assert_eq!(rest.next().unwrap()["method"], "notifications/progress");
    assert_eq!(rest.next().unwrap()["id"], 1);
    assert_eq!(rest.next(), None, "nothing comes after an answer");
    let late = streaming(|_, _| true);
    companion.add_server("late", &late.url());
    own.until("notifications/tools/list_changed");
    assert_eq!(server.received_of("GET").len(), 3);
    // A client that goes on after an event of that stream has lost it.
    let again = Listening::get(&session, "Last-Event-ID: one+own\r\n");
    while own.next().is_some() {}
    drop(again);
}

#[test]
fn changes_while_nobody_listens_are_told_later() {
    let (one, late) = (streaming(|_, _| true), streaming(|_, _| true));
    let (companion, session) = open(&[("one", &one)]);
    // Before the first stream of the session, and between two of them.
    for slug in ["late", "later"] {
        companion.add_server(slug, &late.url());
        let mut stream = Listening::get(&session, "");
        assert_eq!(stream.next().unwrap()["method"], "notifications/tools/list_changed");
        assert_eq!(stream.next().unwrap()["method"], "notifications/resources/list_changed");
    }
    let mut stream = Listening::get(&session, "");
    companion.set("one", "TOKEN", "a-value");
    stream.until("notifications/resources/list_changed");
    let again = Listening::get(&session, "");
    assert_eq!(stream.next(), None, "told once");
    drop(again);
}

#[test]
fn a_server_that_wants_no_pause_is_not_asked_without_one() {
    let server = streaming(|request, socket| {
        let after = request.values("Last-Event-ID").concat();
        let next = after.parse::<u32>().map_or(1, |last| last + 1);
        let message = updated(&format!("x:{next}"));
        let _ = socket.write_all(format!("retry: 0\nid: {next}\ndata: {message}\n\n").as_bytes());
        false
    });
    let (_companion, session) = open(&[("one", &server)]);
    let started = Instant::now();
    let mut stream = Listening::get(&session, "");
    for number in 1..=3 {
        assert_eq!(stream.next().unwrap(), updated(&format!("one+x:{number}")));
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}
