//! Clients that go on with a call after its stream has ended, and whose server does not give the rest:
//! they are told that the call was cut, once it is sure, and not before.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say_result, say_status};
use crate::harness::upstream::http_answer;
use crate::harness::waiting_tools::wait_for_call;
use crate::resuming::{ANSWER, call, cut_of, early, events, session};

/// The answer of a server without sessions to `initialize`.
fn with_tools() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
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
        "initialize" => say_result(socket, request, &with_tools()),
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
        "initialize" => say_result(socket, request, &with_tools()),
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
