//! Answers of an upstream that break off: one JSON-RPC error as long as nothing of the answer
//! has gone to the client, and a broken connection, never a clean end, after that.

use std::io::{self, BufReader, Write};
use std::thread;

use serde_json::json;

use crate::harness::http::read_answer;
use crate::streaming::{BOTH_ROUTES, ByHand, Client, EVENTS_HEAD, JSON_HEAD, chunk};

#[test]
fn a_cut_answer_becomes_one_error() {
    let stage = ByHand::start();
    let half = r#"{"jsonrpc":"2.0","id":1,"result":{"content":["#;
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let whole_chunk = String::from_utf8(chunk(half.as_bytes())).unwrap();
    for (slug, tool) in BOTH_ROUTES {
        let session = stage.session(slug);
        let json = [
            format!("{JSON_HEAD}Content-Length: 5000\r\n\r\n{half}"),
            format!("{JSON_HEAD}{chunked}{whole_chunk}"),
            format!("{JSON_HEAD}{chunked}ff\r\n{half}"),
            // The end of the connection is the only sign of the end, and it came too early.
            format!("{JSON_HEAD}\r\n{half}"),
            // Empty.
            format!("{JSON_HEAD}Content-Length: 0\r\n\r\n"),
            format!("{JSON_HEAD}{chunked}0\r\n\r\n"),
            // Before the head is complete.
            String::new(),
            "HTTP/1.1 200 OK\r\nContent-Ty".to_owned(),
            "garbage\r\n\r\n".to_owned(),
        ];
        for bytes in json {
            let client = Client::call(&session, tool);
            stage.socket().write_all(bytes.as_bytes()).unwrap();
            let answer = read_answer(&mut BufReader::new(client)).unwrap();
            assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(1)), "{bytes}");
            assert_eq!(answer.json()["error"]["data"]["reason"], "cut", "{bytes}: {}", answer.text());
        }
        let answer = r#"{"jsonrpc":"2.0","id":2,"result":{}}"#;
        let events = [
            format!("{EVENTS_HEAD}{chunked}8\r\ndata: {{\n\r\n"),
            format!("{EVENTS_HEAD}{chunked}5\r\n: h"),
            format!("{EVENTS_HEAD}{chunked}0\r\n\r\n"),
            format!("{EVENTS_HEAD}\r\n"),
            // The answer to something else, and an answer that was not complete.
            format!("{EVENTS_HEAD}\r\ndata: {answer}\n\ndata: {half}"),
        ];
        for bytes in events {
            let client = Client::call(&session, tool);
            stage.socket().write_all(bytes.as_bytes()).unwrap();
            let text = String::from_utf8(Client::answered(client).rest().unwrap()).unwrap();
            let data: Vec<serde_json::Value> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect();
            let errors: Vec<_> = data.iter().filter(|one| one["id"] == 1).collect();
            assert_eq!(errors.len(), 1, "{bytes}: {text}");
            assert_eq!(errors[0]["error"]["data"]["reason"], "cut", "{bytes}: {text}");
        }
        assert_eq!(session.tools().len(), 1, "the session goes on");
    }
}

/// The data of the events of a stream.
fn data_of(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.filter_map(|line| line.strip_prefix(b"data: ")).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_long_answer_that_is_cut_does_not_end_cleanly() {
    let stage = ByHand::start();
    let begun = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":["{}"#, "x".repeat(3 << 20));
    for (slug, tool) in BOTH_ROUTES {
        let session = stage.session(slug);
        for head in [
            format!("{JSON_HEAD}Content-Length: 5000000\r\n\r\n"),
            // The end of the connection is the only sign of the end.
            format!("{JSON_HEAD}Connection: close\r\n\r\n"),
        ] {
            let bytes = format!("{head}{begun}");
            let client = Client::call(&session, tool);
            let mut upstream = stage.socket();
            thread::scope(|scope| {
                scope.spawn(move || upstream.write_all(bytes.as_bytes()).unwrap());
                // An error that is no time-out: the connection was closed.
                let kind = Client::answered(client).rest().map_err(|error| error.kind());
                let broken = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
                assert!(
                    kind.as_ref().is_err_and(|kind| broken.contains(kind)),
                    "{:?}",
                    kind.map(|it| it.len())
                );
            });
        }
    }
}

/// Events can be ended: half an answer is one that the client does not understand, and then comes an error.
#[test]
fn a_long_event_that_is_cut_is_followed_by_one_error() {
    let stage = ByHand::start();
    let long = "x".repeat(3 << 20);
    let begun = format!(r#"data: {{"jsonrpc":"2.0","id":1,"result":{{"content":["{long}"#);
    for (slug, tool) in BOTH_ROUTES {
        let session = stage.session(slug);
        // In the midst of a line, and after one.
        for end in ["", "\n", "\r\n", "\r"] {
            let bytes = format!("{EVENTS_HEAD}Connection: close\r\n\r\n{begun}{end}");
            let client = Client::call(&session, tool);
            let mut upstream = stage.socket();
            let text = thread::scope(|scope| {
                scope.spawn(move || upstream.write_all(bytes.as_bytes()).unwrap());
                Client::answered(client).rest().unwrap()
            });
            let tail = String::from_utf8_lossy(&text[begun.len() + end.len()..]).into_owned();
            assert!(tail.starts_with("\n\nevent: message\ndata: {"), "{end:?}: {tail}");
            let data = data_of(&text);
            assert_eq!(data.len(), 2, "{end:?}");
            assert!(serde_json::from_slice::<serde_json::Value>(&data[0]).is_err());
            let error: serde_json::Value = serde_json::from_slice(&data[1]).unwrap();
            assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&json!(1), &json!("cut")));
        }
    }
    let calls = crate::analytics::logged(&stage.companion, 8);
    assert!(calls.iter().all(|call| call["outcome"] == "cut"), "{calls:?}");
}

/// One after whose event the client can go on by itself, on the route of one server, is cut as it is.
#[test]
fn a_long_event_that_the_client_can_ask_for_again_is_cut() {
    let stage = ByHand::start();
    let long = "x".repeat(3 << 20);
    let bytes = format!(
        "{EVENTS_HEAD}Connection: close\r\n\r\nid: 7\ndata:\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"a\":\"{long}"
    );
    let client = Client::call(&stage.session(Some("hand")), "echo");
    let mut upstream = stage.socket();
    thread::scope(|scope| {
        scope.spawn(move || upstream.write_all(bytes.as_bytes()).unwrap());
        assert!(Client::answered(client).rest().is_err());
    });
}
