//! Streams that a server closes early, to go on with them on another connection: the gateway
//! asks for the rest, waits as long as the server wants, and gives up with one JSON-RPC error.
//! On the route of one server the client sees the ids and does that itself.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::changed_eras::{discovered, refusal};
use crate::harness::mcp::message;
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say_result, say_status};
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, McpSession, Upstream};

/// A server with sessions that answers a call with an id and nothing more; `rest` is what it
/// says to GET.
pub fn early(first: &'static str, rest: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Talker {
    Talker::start(move |_, request, socket| match request.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}});
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "upstream-session")];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "tools/call" => {
            let _ = socket.write_all(format!("{EVENTS_HEAD}{first}").as_bytes());
            false
        }
        "GET" => {
            let _ = socket.write_all(&rest(request));
            false
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        _ => say_status(socket, "202 Accepted"),
    })
}

pub fn session(server: &Talker, slug: Option<&str>) -> (Companion, McpSession) {
    let companion = Companion::start();
    companion.add_server("early", &server.url());
    let session = companion.session(&companion.token("default"), slug);
    (companion, session)
}

pub fn events(text: &str) -> Vec<u8> {
    format!("{EVENTS_HEAD}{text}").into_bytes()
}

pub fn call(session: &McpSession, tool: &str) -> Listening {
    Listening::post(session, &message("tools/call", &json!({"name": tool})))
}

pub const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

#[test]
fn the_gateway_goes_on_after_the_last_event() {
    let server = early("id: a\nretry: 700\ndata:\n\n", |request| {
        match request.values("Last-Event-ID").concat().as_str() {
            "a" => events(
                "id: b\nretry: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n",
            ),
            // Nothing new, a few times.
            "b" => events(": wait\n\n"),
            _ => json_answer(&json!({})),
        }
    });
    let (_companion, session) = session(&server, None);
    let started = Instant::now();
    let mut stream = call(&session, "early__x");
    assert_eq!(stream.next().unwrap()["method"], "notifications/progress");
    assert!(started.elapsed() >= Duration::from_millis(700), "the server's wait is kept");
    let last = stream.next().unwrap();
    assert_eq!((&last["id"], &last["error"]["data"]["reason"]), (&json!(1), &json!("cut")));
    assert_eq!(stream.next(), None, "one error and no more");
    let gets = server.received_of("GET");
    assert_eq!(gets.len(), 6, "five times without anything new");
    assert!(gets.iter().all(|one| one.values("Mcp-Session-Id") == ["upstream-session"]));
    assert_eq!(server.received_of("tools/call").len(), 1, "the call is never sent again");
}

#[test]
fn the_answer_arrives_on_another_connection() {
    let rest = |request: &Received| match request.values("Last-Event-ID").concat().as_str() {
        "7" => events(&format!("id: 8\ndata: {ANSWER}\n\n")),
        _ => http_answer("405 Method Not Allowed", &[], ""),
    };
    let server = early("id: 7\nretry: 1\ndata:\n\n", rest);
    let (_companion, session) = session(&server, None);
    let mut stream = call(&session, "early__x");
    assert_eq!(stream.next().unwrap(), serde_json::from_str::<Value>(ANSWER).unwrap());
    assert_eq!(stream.next(), None);
}

#[test]
fn a_server_that_does_not_go_on_costs_one_error() {
    for refusal in ["400 Bad Request", "404 Not Found", "405 Method Not Allowed", "500 Internal Server Error"]
    {
        let server = early("id: 7\nretry: 1\ndata:\n\n", move |_| http_answer(refusal, &[], ""));
        let (_companion, session) = session(&server, None);
        let mut stream = call(&session, "early__x");
        assert_eq!(stream.next().unwrap()["error"]["data"]["reason"], "cut", "{refusal}");
        assert_eq!(stream.next(), None);
        assert_eq!(server.received_of("GET").len(), 1, "{refusal}");
    }
}

#[test]
fn on_the_route_of_one_server_the_client_goes_on_itself() {
    let rest = |request: &Received| match request.values("Last-Event-ID").concat().as_str() {
        "a/1 +" => events(&format!("id: b\ndata: {ANSWER}\n\n")),
        _ => http_answer("400 Bad Request", &[], ""),
    };
    let server = early("id: a/1 +\nretry: 1\ndata:\n\n", rest);
    let (_companion, session) = session(&server, Some("early"));
    let mut stream = call(&session, "x");
    let lines: Vec<String> = std::iter::from_fn(|| stream.line()).collect();
    assert_eq!(lines, ["id: a/1 +", "retry: 1", "data:", ""], "as it was, and no error");
    assert_eq!(server.received_of("GET").len(), 0);
    let mut rest = Listening::get(&session, "Last-Event-ID: a/1 +\r\n");
    let lines: Vec<String> = std::iter::from_fn(|| rest.line()).collect();
    assert_eq!(lines, ["id: b", &format!("data: {ANSWER}"), ""]);
}

#[test]
fn a_client_of_the_workspace_that_was_cut_off_can_go_on_too() {
    let rest = |request: &Received| match request.values("Last-Event-ID").concat().as_str() {
        "a+1" => events(&format!("id: b\ndata: {ANSWER}\n\n")),
        _ => http_answer("405 Method Not Allowed", &[], ""),
    };
    let server = early("id: a+1\nretry: 60000\ndata:\n\n", rest);
    let (_companion, session) = session(&server, None);
    let mut stream = call(&session, "early__x");
    assert_eq!(stream.line().unwrap(), "id: early+a+1");
    drop(stream);
    let mut rest = Listening::get(&session, "Last-Event-ID: early+a+1\r\n");
    while !rest.line().unwrap().starts_with("id: early+b") {}
    assert_eq!(rest.next().unwrap(), serde_json::from_str::<Value>(ANSWER).unwrap());
    // Nothing more comes after an answer, so this is the stream of unrelated messages.
    server.wait_for("a GET without an id", |one| {
        one.method() == "GET" && one.values("Last-Event-ID").is_empty()
    });
}

#[test]
fn a_server_that_wants_no_pause_is_not_asked_without_one() {
    let rest = |request: &Received| {
        let last: u32 = request.values("Last-Event-ID").concat().parse().unwrap();
        match last {
            5 => events(&format!("id: 6\ndata: {ANSWER}\n\n")),
            last => events(&format!("id: {}\nretry: 0\ndata:\n\n", last + 1)),
        }
    };
    let server = early("id: 0\nretry: 0\ndata:\n\n", rest);
    let (_companion, session) = session(&server, None);
    let started = Instant::now();
    let mut stream = call(&session, "early__x");
    assert_eq!(stream.next().unwrap(), serde_json::from_str::<Value>(ANSWER).unwrap());
    assert_eq!(server.received_of("GET").len(), 6);
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
}

/// The client asks for the rest, so nothing is known of the call's end; the server is well, as the
/// handshake has shown.
#[test]
fn a_call_that_the_client_goes_on_with_is_no_failure() {
    let server = early("id: 7\nretry: 1\ndata:\n\n", |_| events(&format!("id: 8\ndata: {ANSWER}\n\n")));
    let (companion, session) = session(&server, Some("early"));
    let mut stream = call(&session, "x");
    while stream.line().is_some() {}
    let calls = crate::analytics::logged(&companion, 1);
    assert_eq!(calls[0]["outcome"], "success", "{calls:?}");
    let servers = companion.admin("GET", "/api/v1/admin/mcp-servers", None).json();
    assert_eq!(servers["servers"][0]["health"]["state"], "ok", "{servers}");
}

pub fn cut_of(mut stream: Listening, what: &str) {
    let error = stream.next().unwrap_or_else(|| panic!("{what}: nothing"));
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&json!(1), &json!("cut")), "{what}");
}

/// In the modern era there is no GET, so nobody can go on.
#[test]
fn a_stream_of_a_modern_server_that_ends_early_is_cut_whatever_its_events_have() {
    let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "x"}});
    let event = format!("id: e1\nretry: 1\ndata: {log}\n\n");
    let server = Upstream::start(move |request| match request.method().as_str() {
        "server/discover" => discovered(request),
        "initialize" => refusal(-32022, &request.json()["id"]),
        "tools/list" => {
            json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"tools": []}}))
        }
        _ => http_answer("200 OK", &[("Content-Type", "text/event-stream")], &event),
    });
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    let token = companion.token("default");
    for (slug, tool) in [(None, "s__x"), (Some("s"), "x")] {
        let params = json!({"name": tool, "arguments": {}});
        let answer = crate::modern_era::ask(&companion, &token, slug, "tools/call", params, &[]);
        let last = answer
            .text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .next_back()
            .map(|data| serde_json::from_str::<Value>(data).unwrap());
        assert_eq!(last.unwrap()["error"]["data"]["reason"], "cut", "{slug:?}: {}", answer.text());
        let session = companion.session(&token, slug);
        let mut stream = call(&session, tool);
        assert_eq!(stream.next().unwrap()["method"], "notifications/message");
        cut_of(stream, "older client");
    }
    for call in crate::analytics::logged(&companion, 4) {
        assert_eq!(call["outcome"], "cut", "{call}");
    }
}
