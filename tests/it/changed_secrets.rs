//! What is filtered for the secrets of its beginning ends when others are used: a server that
//! repeats a new value on every stream that it has open finds none of the old ones.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, McpSession};

const OLD: &str = "the-old-value";
const NEW: &str = "the-new-value";
const NEWEST: &str = "the-newest-value";

fn said(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": text}})
}

/// A server that writes the credential of each call of `tell` on all its open streams: those of
/// GET, and those of calls of `slow`.
fn teller() -> Talker {
    let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
    Talker::start(move |me, request, socket| match request.method().as_str() {
        "initialize" => {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "session")];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "tools/call" if request.json()["params"]["name"] == "tell" => {
            for stream in &mut *streams.lock().unwrap() {
                say(stream, &said(&request.values("TOKEN").concat()));
            }
            say_result(socket, request, &json!({"content": []}))
        }
        // Answers once the newest value was sent, with all that came by then.
        "tools/call" if request.json()["params"]["name"] != "slow" => {
            let name = request.json()["params"]["name"].as_str().unwrap().to_owned();
            let is_newest =
                |one: &Received| one.values("TOKEN") == [if name == "often" { NEWEST } else { NEW }];
            let say_all = |me: &Talker| {
                me.wait_for("the newest value", is_newest);
                let values: Vec<String> = me.received().iter().flat_map(|one| one.values("TOKEN")).collect();
                json!({"content": [{"type": "text", "text": values.join(" ")}]})
            };
            if name != "begun" {
                return say_result(socket, request, &say_all(me));
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
            let id = &request.json()["id"];
            write!(socket, "{head}{{\"jsonrpc\":\"2.0\",\"id\":{id},").unwrap();
            write!(socket, "\"result\":{}}}", say_all(me)).unwrap();
            false
        }
        "GET" | "tools/call" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            say(socket, &said("first"));
            streams.lock().unwrap().push(socket.try_clone().unwrap());
            true
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        _ => say_status(socket, "202 Accepted"),
    })
}

struct Scene {
    server: Talker,
    companion: Companion,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let (server, companion) = (teller(), Companion::start());
        companion.add_server("teller", &server.url());
        companion.set("teller", "TOKEN", OLD);
        let token = companion.token("default");
        Self { server, companion, token }
    }

    fn session(&self, slug: Option<&str>) -> McpSession {
        self.companion.session(&self.token, slug)
    }

    /// A call of another client in a session of its own.
    fn tell(&self) {
        let other = self.companion.session(&self.companion.token("default"), Some("teller"));
        assert!(other.call("tell")["result"].is_object());
    }

    fn has_new_value(request: &Received) -> bool {
        request.values("TOKEN") == [NEW]
    }
}

fn rest(stream: &mut Listening) -> Vec<Value> {
    std::iter::from_fn(|| stream.next()).collect()
}

/// What the gateway says at the end of a stream: other secrets may mean other tools.
fn change() -> Vec<Value> {
    vec![json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})]
}

#[test]
fn the_stream_of_one_server_ends_before_a_new_value_is_sent_by_anybody() {
    let scene = Scene::new();
    for more in ["", "Last-Event-ID: 5\r\n"] {
        scene.companion.set("teller", "TOKEN", OLD);
        let session = scene.session(Some("teller"));
        let mut stream = Listening::get(&session, more);
        assert_eq!(stream.next().unwrap(), said("first"));
        scene.tell();
        assert_eq!(stream.next().unwrap(), said("[redacted]"), "this is what the server does");
        scene.companion.set("teller", "TOKEN", NEW);
        scene.tell();
        assert_eq!(rest(&mut stream), change());
        let mut again = Listening::get(&session, more);
        assert_eq!(again.next().unwrap(), said("first"));
        scene.tell();
        assert_eq!(again.next().unwrap(), said("[redacted]"));
    }
}

#[test]
fn the_stream_of_a_workspace_goes_on_without_it() {
    let scene = Scene::new();
    for more in ["", "Last-Event-ID: teller+5\r\n"] {
        scene.companion.set("teller", "TOKEN", OLD);
        let session = scene.session(None);
        assert!(session.call("teller__tell")["result"].is_object());
        let mut stream = Listening::get(&session, more);
        while stream.next().unwrap() != said("first") {}
        scene.companion.set("teller", "TOKEN", NEW);
        scene.tell();
        let is_new = |one: &Received| one.method() == "GET" && Scene::has_new_value(one);
        scene.server.wait_for("a stream with the new value", is_new);
        let seen: Vec<Value> =
            std::iter::from_fn(|| stream.next()).take_while(|one| *one != said("first")).collect();
        assert!(!format!("{seen:?}").contains(NEW), "{seen:?}");
    }
}

#[test]
fn a_running_call_ends_with_one_error() {
    for (slug, slow) in [(Some("teller"), "slow"), (None, "teller__slow")] {
        let scene = Scene::new();
        let session = scene.session(slug);
        let mut stream = Listening::post(&session, &message("tools/call", &json!({"name": slow})));
        assert_eq!(stream.next().unwrap(), said("first"));
        scene.companion.set("teller", "TOKEN", NEW);
        scene.tell();
        let rest = rest(&mut stream);
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!(rest[0]["error"]["data"]["reason"], "secrets_changed", "{rest:?}");
    }
}

#[test]
fn a_deleted_credential_leaves_no_stream() {
    let scene = Scene::new();
    let session = scene.session(Some("teller"));
    let mut stream = Listening::get(&session, "");
    assert_eq!(stream.next().unwrap(), said("first"));
    let path = "/api/v1/admin/mcp-servers/teller/secrets/TOKEN";
    assert_eq!(scene.companion.admin("DELETE", path, None).status, 204);
    assert!(session.call("tell")["result"].is_object());
    assert_eq!(rest(&mut stream), change());
}

#[test]
fn a_change_that_nobody_used_here_ends_streams_too() {
    let scene = Scene::new();
    let session = scene.session(Some("teller"));
    let mut stream = Listening::get(&session, "");
    let mut call = Listening::post(&session, &message("tools/call", &json!({"name": "slow"})));
    assert_eq!(stream.next().unwrap(), said("first"));
    assert_eq!(call.next().unwrap(), said("first"));
    scene.companion.set("teller", "TOKEN", NEW);
    assert_eq!(rest(&mut stream), change());
    assert_eq!(rest(&mut call)[0]["error"]["data"]["reason"], "secrets_changed");
}

/// Begins a call, and answers what came of it after the values were used by somebody else.
fn late(scene: &Scene, slug: Option<&str>, tool: &str, values: &[&str]) -> Value {
    let session = scene.session(slug);
    let name = if slug.is_some() { tool.to_owned() } else { format!("teller__{tool}") };
    std::thread::scope(|threads| {
        let call = threads.spawn(|| session.call(&name));
        scene.server.wait_for("the call", |one| one.json()["params"]["name"] == tool);
        for value in values {
            scene.companion.set("teller", "TOKEN", value);
            scene.tell();
        }
        call.join().unwrap()
    })
}

#[test]
fn a_late_answer_is_filtered_for_the_new_value_too() {
    for slug in [Some("teller"), None] {
        for tool in ["late", "begun"] {
            let answer = late(&Scene::new(), slug, tool, &[NEW]);
            let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
            assert!(text.split(' ').all(|value| value == "[redacted]"), "{slug:?} {tool}: {text}");
        }
    }
}

#[test]
fn a_late_answer_after_too_many_changes_is_not_passed_on() {
    let mut values: Vec<String> = (0..32).map(|number| format!("value-number-{number:02}")).collect();
    values.push(NEWEST.to_owned());
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for slug in [Some("teller"), None] {
        let answer = late(&Scene::new(), slug, "often", &values);
        assert_eq!(answer["error"]["data"]["reason"], "secrets_changed", "{answer}");
        let answer = late(&Scene::new(), slug, "often", &values[1..]);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(text.split(' ').all(|value| value == "[redacted]"), "{slug:?}: {text}");
    }
}

/// Some servers end the calls of a session with it: the member learns why.
#[test]
fn a_call_that_its_server_ends_with_the_session_says_so() {
    let server = Talker::start(|me, request, socket| match request.method().as_str() {
        "initialize" => {
            let info = json!({"name": "s", "version": "1"});
            let result =
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "one")];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "tools/call" => {
            me.wait_for("the end of the session", |one| one.method() == "DELETE");
            say_status(socket, "500 Internal Server Error")
        }
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        "DELETE" => say_status(socket, "200 OK"),
        _ => say_status(socket, "202 Accepted"),
    });
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    companion.set("s", "TOKEN", "the-first-value");
    let session = companion.session(&companion.token("default"), None);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| session.call("s__x"));
        server.wait_for("the call", |one| one.method() == "tools/call");
        companion.set("s", "TOKEN", "the-second-value");
        session.tools();
        let answer = calling.join().unwrap();
        assert_eq!(answer["error"]["data"]["reason"], "secrets_changed", "{answer}");
    });
}
