//! Odd but legal things that servers and clients do on the route of a workspace, in both eras.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::analytics::logged;
use crate::harness::mcp::{json_rpc, message};
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Answer, Companion};
use crate::modern_era::ask;

const VERSION: &str = "2025-11-25";

fn json_of(socket: &mut TcpStream, status: &str, headers: &[(&str, &str)], document: &Value) -> bool {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend_from_slice(headers);
    socket.write_all(&http_answer(status, &all, &document.to_string())).is_ok()
}

/// A server with sessions that chooses this version, and whose calls are in the hands of the test.
fn server(
    version: &'static str,
    call: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Talker {
    Talker::start(move |_, received, socket| match received.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}, "resources": {"subscribe": true}, "completions": {}});
            let result = json!({"protocolVersion": version, "capabilities": offers, "serverInfo": {"name": "s", "version": "1"}});
            let document = json!({"jsonrpc": "2.0", "id": received.json()["id"], "result": result});
            json_of(socket, "200 OK", &[("Mcp-Session-Id", "held")], &document)
        }
        "server/discover" => say_status(socket, "404 Not Found"),
        "tools/list" => say_result(
            socket,
            received,
            &json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
        ),
        "tools/call" => call(received, socket),
        "GET" => say_status(socket, "405 Method Not Allowed"),
        "DELETE" => say_status(socket, "200 OK"),
        method if method.starts_with("notifications/") => say_status(socket, "202 Accepted"),
        _ => say_result(socket, received, &json!({"contents": [], "completion": {"values": []}})),
    })
}

/// The same call by a client of the older era and by one of the newer.
fn both(companion: &Companion, params: &Value) -> [Answer; 2] {
    let token = companion.token("default");
    let older = companion.session(&token, None).send(&message("tools/call", params), &[]);
    [older, ask(companion, &token, None, "tools/call", params.clone(), &[])]
}

fn call_of(name: &str) -> Value {
    json!({"name": name, "arguments": {}})
}

fn stream_of(text: &'static [u8]) -> Talker {
    server(VERSION, move |received, socket| {
        socket.write_all(EVENTS_HEAD.as_bytes()).unwrap();
        let id = received.json()["id"].to_string();
        let at = text.windows(2).position(|two| two == b"ID").unwrap();
        socket.write_all(&[&text[..at], id.as_bytes(), &text[at + 2..]].concat()).unwrap();
        false
    })
}

#[test]
fn a_byte_order_mark_hides_no_answer() {
    let marked =
        stream_of(b"\xef\xbb\xbfdata: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[]}}\n\n");
    let companion = Companion::start();
    companion.add_server("s", &marked.url());
    let [older, newer] = both(&companion, &call_of("s__t"));
    assert_eq!(
        json_rpc(&newer),
        json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete", "content": []}})
    );
    assert!(older.text().contains("\"result\""), "{}", older.text());
}

#[test]
fn what_is_not_utf8_is_one_error() {
    let broken = stream_of(
        b"data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[{\"text\":\"\xff\"}]}}\n\n",
    );
    let companion = Companion::start();
    companion.add_server("s", &broken.url());
    for answer in both(&companion, &call_of("s__t")) {
        let text = answer.text();
        assert_eq!(text.matches("\"id\"").count(), 1, "{text}");
        assert_eq!(json_rpc(&answer)["error"]["data"]["reason"], "not_mcp", "{text}");
    }
}

#[test]
fn an_error_that_is_none_is_not_passed_on() {
    let odd = server(VERSION, |received, socket| {
        json_of(socket, "200 OK", &[], &json!({"jsonrpc": "2.0", "id": received.json()["id"], "error": null}))
    });
    let companion = Companion::start();
    companion.add_server("s", &odd.url());
    for answer in both(&companion, &call_of("s__t")) {
        assert_eq!(json_rpc(&answer)["error"]["data"]["reason"], "not_mcp", "{}", answer.text());
    }
}

/// A client of both eras would take such a status for one of the workspace's, and give it up.
#[test]
fn the_status_of_one_servers_refusal_is_not_the_workspaces() {
    for status in ["400 Bad Request", "404 Not Found", "429 Too Many Requests"] {
        let refusing = server(VERSION, move |received, socket| {
            let error = json!({"code": -32602, "message": "no"});
            let document = json!({"jsonrpc": "2.0", "id": received.json()["id"], "error": error});
            json_of(socket, status, &[], &document)
        });
        let companion = Companion::start();
        companion.add_server("s", &refusing.url());
        // A status of 404 means to an older client's gateway that the session is lost.
        for answer in both(&companion, &call_of("s__t")).iter().skip(usize::from(status.starts_with("404"))) {
            assert_eq!(answer.status, 200, "{status}: {}", answer.text());
            let error = json_rpc(answer)["error"].clone();
            assert!(error["code"] == -32602 || status.starts_with("404"), "{status}: {error}");
        }
    }
}

#[test]
fn a_version_that_nobody_knows_is_refused_everywhere() {
    let future =
        server("2023-01-01", |received, socket| say_result(socket, received, &json!({"content": []})));
    let companion = Companion::start();
    companion.add_server("s", &future.url());
    for answer in both(&companion, &call_of("s__t")) {
        assert_eq!(json_rpc(&answer)["error"]["data"]["reason"], "unknown_version", "{}", answer.text());
    }
    let report = companion.admin("POST", "/api/v1/admin/mcp-servers/s/test", None).json();
    assert_eq!(
        (&report["ok"], &report["findings"][0]["code"]),
        (&json!(false), &json!("unknown_version")),
        "{report}"
    );
}

#[test]
fn the_uri_of_one_server_is_not_told_to_another() {
    let [one, two] = [(); 2].map(|()| server(VERSION, |_, _| true));
    let companion = Companion::start();
    companion.add_server("one", &one.url());
    companion.add_server("two", &two.url());
    let limited = companion.token_with("default", &json!({"name": "t", "servers": ["one"]}));
    let disabled = companion.token("default");
    for (number, token) in [&limited, &disabled].into_iter().enumerate() {
        if number == 1 {
            let path = "/api/v1/admin/mcp-servers/two";
            assert_eq!(companion.admin("PATCH", path, Some(&json!({"enabled": false}))).status, 200);
        }
        let session = companion.session(token, None);
        for method in ["resources/read", "resources/subscribe"] {
            let answer = session.rpc(method, &json!({"uri": "two+x://1"}));
            assert_eq!(answer["error"]["code"], -32002, "{method}: {answer}");
        }
        let reference = json!({"type": "ref/resource", "uri": "two+x://{y}"});
        let params = json!({"ref": reference, "argument": {"name": "y", "value": ""}});
        assert_eq!(session.rpc("completion/complete", &params)["error"]["code"], -32602);
        let read = ask(&companion, token, None, "resources/read", json!({"uri": "two+x://1"}), &[]);
        assert_eq!(json_rpc(&read)["error"]["code"], -32602);
    }
    for server in [one, two] {
        let told = server.received().iter().any(|one| String::from_utf8_lossy(&one.body).contains("x://"));
        assert!(!told);
    }
}

#[test]
fn a_call_is_no_task_in_a_workspace() {
    let plain = server(VERSION, |received, socket| {
        let text = received.json()["params"].to_string();
        say_result(socket, received, &json!({"content": [{"type": "text", "text": text}]}))
    });
    let companion = Companion::start();
    companion.add_server("s", &plain.url());
    let params = json!({"name": "s__t", "arguments": {"task": 1}, "task": {"ttl": 60_000}});
    for answer in both(&companion, &params) {
        let answer = json_rpc(&answer);
        let got: Value =
            serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!((&got["task"], &got["arguments"]), (&Value::Null, &json!({"task": 1})));
    }
}

/// The server's stream goes on after the answer; the client has what it wants, and leaves.
#[test]
fn who_leaves_after_the_answer_has_made_a_good_call() {
    let lingering = server(VERSION, |received, socket| {
        socket.write_all(EVENTS_HEAD.as_bytes()).unwrap();
        let id = &received.json()["id"];
        write!(socket, "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[]}}}}\n\n")
            .unwrap();
        let _ = socket.read(&mut [0]);
        false
    });
    let companion = Companion::start();
    companion.add_server("s", &lingering.url());
    let session = companion.session(&companion.token("default"), None);
    let mut stream = Listening::post(&session, &message("tools/call", &call_of("s__t")));
    assert!(stream.next().unwrap()["result"].is_object());
    drop(stream);
    assert_eq!(logged(&companion, 1)[0]["success"], true);
}

#[test]
fn a_session_ends_where_it_was_opened() {
    let quiet = server(VERSION, |received, socket| say_result(socket, received, &json!({"content": []})));
    let companion = Companion::start();
    companion.add_server("s", &quiet.url());
    let session = companion.session(&companion.token("default"), None);
    assert!(session.call("s__t")["result"].is_object());
    let url = json!({"url": quiet.url().replace("/mcp", "/other")});
    assert_eq!(companion.admin("PATCH", "/api/v1/admin/mcp-servers/s", Some(&url)).status, 200);
    assert!(session.call("s__t")["result"].is_object());
    let ended = quiet.wait_for("the end of the older session", |one| one.method() == "DELETE");
    assert!(ended.head_text().starts_with("DELETE /mcp "), "{}", ended.head_text());
}

#[test]
fn proxies_are_told_to_pass_events_on_at_once() {
    let streaming = stream_of(b"data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[]}}\n\n");
    let companion = Companion::start();
    companion.add_server("s", &streaming.url());
    for answer in both(&companion, &call_of("s__t")) {
        assert_eq!(answer.header("X-Accel-Buffering"), Some("no"));
    }
}
