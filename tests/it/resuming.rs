//! Streams that a server closes early, to go on with them on another connection: the gateway
//! asks for the rest, waits as long as the server wants, and gives up with one JSON-RPC error.
//! On the route of one server the client sees the ids and does that itself.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::changed_eras::{discovered, refusal};
use crate::harness::mcp::message;
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say_result, say_status};
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::waiting_tools::wait_for_call;
use crate::harness::{Companion, McpSession, Upstream};

/// A server with sessions that answers a call with an id and nothing more; `rest` is what it
/// says to GET.
fn early(first: &'static str, rest: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Talker {
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

fn session(server: &Talker, slug: Option<&str>) -> (Companion, McpSession) {
    let companion = Companion::start();
    companion.add_server("early", &server.url());
    let session = companion.session(&companion.token("default"), slug);
    (companion, session)
}

fn events(text: &str) -> Vec<u8> {
    format!("{EVENTS_HEAD}{text}").into_bytes()
}

fn call(session: &McpSession, tool: &str) -> Listening {
    Listening::post(session, &message("tools/call", &json!({"name": tool})))
}

const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

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

fn cut_of(mut stream: Listening, what: &str) {
    let error = stream.next().unwrap_or_else(|| panic!("{what}: nothing"));
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&json!(1), &json!("cut")), "{what}");
}

/// It waits for an answer that nobody has any more.
#[test]
fn a_client_that_goes_on_in_vain_is_told() {
    for (refusal, may_come_later) in [
        ("400 Bad Request", false),
        ("404 Not Found", false),
        ("405 Method Not Allowed", false),
        ("500 Internal Server Error", true),
        ("", true),
    ] {
        let server = early("id: 7\nretry: 1\ndata:\n\n", move |_| match refusal {
            "" => Vec::new(),
            refusal => http_answer(refusal, &[], ""),
        });
        let (_companion, session) = session(&server, Some("early"));
        let mut stream = call(&session, "x");
        while stream.line().is_some() {}
        let again = || Listening::get(&session, "Last-Event-ID: 7\r\n");
        if may_come_later {
            assert_eq!(again().status, 503, "{refusal}");
        }
        cut_of(again(), refusal);
        assert_ne!(again().status, 200, "{refusal}: told once");
        assert_ne!(Listening::get(&session, "Last-Event-ID: 8\r\n").status, 200, "{refusal}: no call's");
    }
}

/// The rest of the stream has the answer in it, or ends before it.
#[test]
fn a_stream_that_goes_on_is_followed() {
    for is_answered in [false, true] {
        let server = early("id: 7\nretry: 1\ndata:\n\n", move |request| {
            match request.values("Last-Event-ID").concat().as_str() {
                "7" => events("id: 8\ndata:\n\n"),
                "8" if is_answered => events(&format!("id: 9\ndata: {ANSWER}\n\n")),
                _ => http_answer("405 Method Not Allowed", &[], ""),
            }
        });
        let (_companion, session) = session(&server, Some("early"));
        let mut stream = call(&session, "x");
        while stream.line().is_some() {}
        let again = |id: &str| Listening::get(&session, &format!("Last-Event-ID: {id}\r\n"));
        let mut rest = again("7");
        while rest.line().is_some() {}
        let mut rest = again("8");
        if is_answered {
            assert_eq!(rest.next().unwrap()["result"], json!({"content": []}));
            assert_eq!(again("9").status, 405, "it was answered");
        } else {
            cut_of(rest, "the rest of the rest");
        }
    }
}

#[test]
fn who_has_the_answer_is_not_told_that_it_was_cut() {
    let event: &'static str = Box::leak(format!("id: 7\ndata: {ANSWER}\n\n").into_boxed_str());
    let server = early(event, |_| http_answer("405 Method Not Allowed", &[], ""));
    let (_companion, session) = session(&server, Some("early"));
    assert!(call(&session, "x").next().unwrap()["result"].is_object());
    assert_eq!(Listening::get(&session, "Last-Event-ID: 7\r\n").status, 405);
}

/// Also if the server's own stream goes on.
#[test]
fn a_client_of_the_workspace_that_comes_back_in_vain_is_told_too() {
    for has_own_stream in [false, true] {
        let server = early("id: 7\nretry: 60000\ndata:\n\n", move |request| {
            if has_own_stream && request.values("Last-Event-ID").is_empty() {
                return events(": its own\n\n");
            }
            http_answer("405 Method Not Allowed", &[], "")
        });
        let (_companion, session) = session(&server, None);
        let mut stream = call(&session, "early__x");
        assert_eq!(stream.line().unwrap(), "id: early+7");
        drop(stream);
        let rest = Listening::get(&session, "Last-Event-ID: early+7\r\n");
        cut_of(rest, if has_own_stream { "own stream" } else { "no stream" });
    }
}

/// 429 and the like say nothing of the call.
#[test]
fn a_refusal_that_passes_is_borne() {
    for slug in [None, Some("early")] {
        let asked = AtomicUsize::new(0);
        let server = early("id: 7\nretry: 60000\ndata:\n\n", move |request| {
            if request.values("Last-Event-ID").is_empty() {
                return http_answer("405 Method Not Allowed", &[], "");
            }
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => http_answer("429 Too Many Requests", &[], ""),
                _ => events(&format!("id: 8\ndata: {ANSWER}\n\n")),
            }
        });
        let (_companion, session) = session(&server, slug);
        let mut stream = call(&session, if slug.is_none() { "early__x" } else { "x" });
        let id = stream.line().unwrap();
        drop(stream);
        let again = || Listening::get(&session, &format!("Last-Event-ID: {}\r\n", &id["id: ".len()..]));
        if slug.is_some() {
            assert_eq!(again().status, 503);
        }
        assert_eq!(again().next().unwrap()["result"], json!({"content": []}), "{slug:?}");
    }
}

/// A server that lets its client ask for ever has lost the call.
#[test]
fn streams_with_nothing_on_them_are_borne_five_times() {
    let server = early("id: 7\nretry: 1\ndata:\n\n", |_| events(""));
    let (_companion, session) = session(&server, Some("early"));
    let mut stream = call(&session, "x");
    while stream.line().is_some() {}
    let again = || Listening::get(&session, "Last-Event-ID: 7\r\n");
    for _ in 0..4 {
        assert_eq!(again().line(), None);
    }
    cut_of(again(), "the fifth");
    assert_eq!(again().line(), None);
}

/// A list that fails says nothing of the call.
#[test]
fn the_rest_of_a_call_survives_a_list_that_fails() {
    let server = Talker::start(|me, request, socket| match request.method().as_str() {
        "initialize" => {
            let version = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}});
            say_result(socket, request, &version)
        }
        "tools/call" if request.json()["params"]["name"] == "go" => {
            say_result(socket, request, &json!({"content": []}))
        }
        "tools/call" => {
            let _ = socket.write_all(format!("{EVENTS_HEAD}id: 7\nretry: 60000\ndata:\n\n").as_bytes());
            false
        }
        "GET" if request.values("Last-Event-ID") == ["7"] => {
            let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"on"}}"#;
            let _ = socket.write_all(format!("{EVENTS_HEAD}id: 8\ndata: {note}\n\n").as_bytes());
            wait_for_call(me, "go");
            let _ = socket.write_all(format!("data: {ANSWER}\n\n").as_bytes());
            false
        }
        "GET" => say_status(socket, "405 Method Not Allowed"),
        "tools/list" => say_status(socket, "500 Internal Server Error"),
        _ => say_status(socket, "202 Accepted"),
    });
    let (_companion, session) = session(&server, None);
    let mut stream = call(&session, "early__x");
    assert_eq!(stream.line().unwrap(), "id: early+7");
    drop(stream);
    let mut rest = Listening::get(&session, "Last-Event-ID: early+7\r\n");
    assert_eq!(rest.next().unwrap()["params"]["data"], "on");
    // The stream of the workspace looks at its servers every 2 s, and tells what has changed.
    assert!(session.tools().is_empty());
    assert_eq!(rest.next().unwrap()["method"], "notifications/tools/list_changed");
    let go = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "early__go"}});
    assert!(Listening::post(&session, &go).answer()["result"].is_object());
    loop {
        let message = rest.next().unwrap();
        if message["id"] == 1 {
            assert_eq!(message["result"], json!({"content": []}), "{message}");
            break;
        }
    }
}

/// Servers may count the events of each stream anew.
#[test]
fn a_call_is_not_cut_for_an_event_of_another_stream() {
    let server = Talker::start(|me, request, socket| match request.method().as_str() {
        "initialize" => {
            let version = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}});
            say_result(socket, request, &version)
        }
        "tools/call" if request.json()["params"]["name"] == "held" => {
            let _ = socket.write_all(format!("{EVENTS_HEAD}id: 1\ndata:\n\n").as_bytes());
            wait_for_call(me, "go");
            let _ = socket.write_all(format!("data: {ANSWER}\n\n").as_bytes());
            false
        }
        "tools/call" => say_result(socket, request, &json!({"content": []})),
        "GET" => say_status(socket, "400 Bad Request"),
        _ => say_status(socket, "202 Accepted"),
    });
    let (_companion, session) = session(&server, Some("early"));
    let mut held = call(&session, "held");
    assert_eq!(held.line().unwrap(), "id: 1");
    assert_eq!(Listening::get(&session, "Last-Event-ID: 1\r\n").status, 503);
    let go = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "go"}});
    assert!(Listening::post(&session, &go).answer()["result"].is_object());
    assert_eq!(held.next().unwrap()["result"], json!({"content": []}));
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
