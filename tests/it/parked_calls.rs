//! Servers of the legacy era ask a client of the modern one in the middle of its call. The
//! client gets that as the result `input_required`; the server's stream stays open until the
//! client makes the call again with its answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, PATIENCE, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, McpSession};

const VERSION: &str = "2026-07-28";

fn all() -> Value {
    json!({"roots": {}, "elicitation": {"form": {"x": 1}}, "sampling": {}, "extensions": {"y": {}}})
}

fn request(id: &Value, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn form(id: &Value, message: &str) -> Value {
    request(id, "elicitation/create", &json!({"message": message, "requestedSchema": {"n": 1.50}}))
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// A server with sessions whose tools ask. What is told on the receiver is the tool whose
/// connection ended without its answer.
fn server() -> (Talker, Receiver<String>) {
    let (ended, is_ended) = channel();
    let (listening, ended) = (Mutex::new(None::<TcpStream>), Mutex::new(ended));
    let talker = Talker::start(move |me, received, socket| match received.method().as_str() {
        "initialize" => {
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}, "resources": {}},
                "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": received.json()["id"], "result": result}).to_string();
            let session = format!("held-{}", me.received_of("initialize").len());
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", session.as_str())];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "GET" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            *listening.lock().unwrap() = socket.try_clone().ok();
            let _ = socket.read(&mut [0; 1]);
            false
        }
        "server/discover" => say_status(socket, "404 Not Found"),
        "tools/list" => say_result(socket, received, &json!({"tools": []})),
        "resources/list" => say_result(socket, received, &json!({"resources": []})),
        "tools/call" | "prompts/get" | "resources/read" => {
            let get = listening.lock().unwrap().as_ref().map(|get| get.try_clone().unwrap());
            call(me, received, socket, get, &ended.lock().unwrap().clone())
        }
        "DELETE" => say_status(socket, "200 OK"),
        _ => say_status(socket, "202 Accepted"),
    });
    (talker, is_ended)
}

fn call(
    me: &Talker,
    received: &Received,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    ended: &Sender<String>,
) -> bool {
    let message = received.json();
    let name = message["params"]["name"].as_str().unwrap_or("resource").to_owned();
    let id = |suffix: &str| json!(format!("{}-{suffix}", message["id"].as_str().unwrap()));
    if name == "json" {
        // Asks on the other stream, and answers in JSON.
        say(&mut get.unwrap(), &form(&id("a"), "elsewhere"));
        let answer = me.wait_for_answer(&id("a"));
        return say_result(socket, received, &text(&answer["result"].to_string()));
    }
    let _ = socket.write_all(EVENTS_HEAD.as_bytes());
    let progress = |socket: &mut TcpStream, progress: u64| {
        let params = json!({"progressToken": "t", "progress": progress});
        say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
    };
    let result = match name.as_str() {
        "form" => {
            progress(socket, 1);
            say(socket, &form(&json!(0), "Who?"));
            let answer = me.wait_for_answer(&json!(0));
            progress(socket, 2);
            text(&answer.to_string())
        }
        "two" => {
            say(socket, &form(&id("a"), "one"));
            say(socket, &request(&id("b"), "roots/list", &json!({})));
            let answers = [me.wait_for_answer(&id("b")), me.wait_for_answer(&id("a"))];
            text(&format!("{} {}", answers[0]["result"], answers[1]["result"]))
        }
        "rounds" => {
            say(socket, &form(&id("a"), "one"));
            me.wait_for_answer(&id("a"));
            say(socket, &form(&id("b"), "two"));
            text(&me.wait_for_answer(&id("b"))["result"].to_string())
        }
        "elsewhere" => {
            say(&mut get.unwrap(), &request(&id("a"), "roots/list", &json!({})));
            text(&me.wait_for_answer(&id("a"))["result"].to_string())
        }
        "back" => {
            say(socket, &form(&id("a"), "never mind"));
            let params = json!({"requestId": id("a")});
            me.wait_for("the next call", |one| one.json()["params"]["name"] == "go");
            say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
            text("given up")
        }
        "refused" => {
            say(socket, &request(&id("a"), "sampling/createMessage", &json!({"messages": []})));
            text(&me.wait_for_answer(&id("a"))["error"]["code"].to_string())
        }
        "ever" => {
            say(socket, &form(&id("a"), "Who?"));
            let _ = socket.set_read_timeout(Some(PATIENCE));
            if matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
                ended.send(name).unwrap();
            }
            return false;
        }
        "resource" => {
            say(socket, &form(&id("a"), "Which?"));
            me.wait_for_answer(&id("a"));
            json!({"contents": []})
        }
        _ => text("gone"),
    };
    say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    false
}

struct Stage {
    companion: Companion,
    server: Talker,
    ended: Receiver<String>,
    token: String,
}

impl Stage {
    fn set() -> Self {
        let (companion, (server, ended)) = (Companion::start(), server());
        companion.add_server("old", &server.url());
        let token = companion.token("default");
        Self { companion, server, ended, token }
    }

    fn send(&self, token: &str, method: &str, id: &Value, params: &Value, capabilities: &Value) -> Listening {
        let mut params = params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": capabilities, "progressToken": "t",
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap();
        let headers =
            format!("MCP-Protocol-Version: {VERSION}\r\nMcp-Method: {method}\r\nMcp-Name: {name}\r\n");
        let (path, token) = ("/ws/default".to_owned(), token.to_owned());
        let session = McpSession { address: self.companion.address, path, token, id: String::new() };
        Listening::post_with(&session, &headers, &request(id, method, &params))
    }

    fn call(&self, id: &Value, tool: &str) -> Listening {
        self.send(&self.token, "tools/call", id, &arguments(tool), &all())
    }

    /// The call made again.
    fn again(&self, id: &Value, tool: &str, state: &Value, answers: &Value) -> Listening {
        self.again_with(&self.token, id, &arguments(tool), state, answers)
    }

    fn again_with(
        &self,
        token: &str,
        id: &Value,
        params: &Value,
        state: &Value,
        answers: &Value,
    ) -> Listening {
        let mut params = params.clone();
        (params["requestState"], params["inputResponses"]) = (state.clone(), answers.clone());
        self.send(token, "tools/call", id, &params, &all())
    }
}

fn arguments(tool: &str) -> Value {
    json!({"name": format!("old__{tool}"), "arguments": {"n": 1}})
}

/// What a result asks for, and its state.
#[track_caller]
fn asked(answer: &Value) -> (Vec<(String, Value)>, Value) {
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required", "{answer}");
    let requests = result["inputRequests"].as_object().unwrap();
    let state = result["requestState"].clone();
    assert!(state.as_str().is_some_and(|state| state.len() >= 43), "{answer}");
    (requests.iter().map(|(key, request)| (key.clone(), request.clone())).collect(), state)
}

fn said(answer: &Value) -> &str {
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_form_in_the_middle_of_a_call() {
    let stage = Stage::set();
    let mut stream = stage.call(&json!(7), "form");
    assert_eq!(stream.until("notifications/progress")["params"]["progress"], 1);
    let first = stream.answer();
    assert_eq!(first["id"], 7);
    let (requests, state) = asked(&first);
    let [(key, wanted)] = requests.as_slice() else { panic!("{requests:?}") };
    let params = json!({"message": "Who?", "requestedSchema": {"n": 1.50}});
    assert_eq!(*wanted, json!({"method": "elicitation/create", "params": params}));
    let answers = json!({key: {"action": "accept", "content": {"name": "n"}}, "more": {}});
    let mut stream = stage.again(&json!("eight"), "form", &state, &answers);
    assert_eq!(stream.until("notifications/progress")["params"]["progress"], 2);
    let last = stream.answer();
    assert_eq!(last["id"], "eight");
    let answer: Value = serde_json::from_str(said(&last)).unwrap();
    let result = json!({"action": "accept", "content": {"name": "n"}});
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 0, "result": result}));
    // It ran once, in a session that says what the client can do, and was not cancelled.
    assert_eq!(stage.server.received_of("tools/call").len(), 1);
    let initialize = stage.server.received_of("initialize").pop().unwrap().json();
    let known = json!({"roots": {}, "elicitation": {"form": {}}, "sampling": {}});
    assert_eq!(initialize["params"]["capabilities"], known);
    let after = stage.again(&json!(9), "form", &state, &answers).answer();
    assert_eq!(after["error"]["code"], -32602, "a state is good for once: {after}");
    assert!(stage.server.received_of("notifications/cancelled").is_empty());
}

#[test]
fn what_is_not_answered_is_asked_again() {
    let stage = Stage::set();
    let (mut answers, mut state) = (json!({}), Value::Null);
    let mut open = Vec::new();
    for _ in 0..3 {
        let answer = if state.is_null() {
            stage.call(&json!(1), "two").answer()
        } else {
            stage.again(&json!(2), "two", &state, &answers).answer()
        };
        (open, state) = asked(&answer);
        answers = json!({});
        if open.len() == 2 {
            break;
        }
    }
    let of = |method: &str| open.iter().find(|(_, one)| one["method"] == method).unwrap().0.clone();
    let (form, roots) = (of("elicitation/create"), of("roots/list"));
    let answers = json!({roots: {"roots": []}});
    let (left, state) = asked(&stage.again(&json!(3), "two", &state, &answers).answer());
    assert_eq!(left.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&form]);
    let last = stage.again(&json!(4), "two", &state, &json!({form: {"action": "decline"}})).answer();
    assert_eq!(said(&last), r#"{"roots":[]} {"action":"decline"}"#);
}

#[test]
fn several_rounds() {
    let stage = Stage::set();
    let mut answer = stage.call(&json!(1), "rounds").answer();
    for (number, message) in ["one", "two"].into_iter().enumerate() {
        let (requests, state) = asked(&answer);
        let (key, wanted) = &requests[0];
        assert_eq!(wanted["params"]["message"], message);
        let answers = json!({key: {"action": "accept", "content": {"of": message}}});
        answer = stage.again(&json!(number + 2), "rounds", &state, &answers).answer();
    }
    assert_eq!(said(&answer), r#"{"action":"accept","content":{"of":"two"}}"#);
}

#[test]
fn what_is_asked_on_the_other_stream() {
    let stage = Stage::set();
    for (tool, method) in [("elsewhere", "roots/list"), ("json", "elicitation/create")] {
        let (requests, state) = asked(&stage.call(&json!(1), tool).answer());
        let (key, wanted) = &requests[0];
        assert_eq!(wanted["method"], method);
        let last = stage.again(&json!(2), tool, &state, &json!({key: {"of": tool}})).answer();
        assert_eq!((&last["id"], said(&last)), (&json!(2), json!({"of": tool}).to_string().as_str()));
    }
    // One stream for all calls of the session.
    assert_eq!(stage.server.received_of("GET").len(), 1);
    assert_eq!(stage.server.received_of("initialize").len(), 1);
}

#[test]
fn a_state_is_for_its_own_call_and_member() {
    let stage = Stage::set();
    let (requests, state) = asked(&stage.call(&json!(1), "form").answer());
    let answers = json!({&requests[0].0: {"action": "accept"}});
    let foreign = stage.companion.token("default");
    let other = json!({"name": "old__form", "arguments": {"n": 2}});
    for answer in [
        stage.again_with(&foreign, &json!(2), &arguments("form"), &state, &answers),
        stage.again_with(&stage.token, &json!(2), &other, &state, &answers),
        stage.again(&json!(2), "other", &state, &answers),
        stage.again(&json!(2), "form", &json!("made-up"), &answers),
        stage.again(&json!(2), "form", &state, &json!([])),
    ] {
        let answer = answer.answer();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    let no_answer = |one: &Received| one.json()["method"].is_null() && one.json()["id"] == 0;
    assert!(!stage.server.received().iter().any(no_answer));
    said(&stage.again(&json!(3), "form", &state, &answers).answer());
}

#[test]
fn a_resource_can_ask_too() {
    let stage = Stage::set();
    // With the slug, and without one while two servers may have it: the other is of the modern era.
    let other = Talker::start(|_, received, socket| match received.method().as_str() {
        "server/discover" => {
            let capabilities = json!({"resources": {}});
            let result = json!({"resultType": "complete", "supportedVersions": [VERSION], "capabilities": capabilities});
            say_result(socket, received, &result)
        }
        _ => {
            let error = json!({"code": -32602, "message": "no such resource"});
            let body = json!({"jsonrpc": "2.0", "id": received.json()["id"], "error": error}).to_string();
            socket.write_all(&http_answer("200 OK", &[("Content-Type", "application/json")], &body)).is_ok()
        }
    });
    stage.companion.add_server("new", &other.url());
    for uri in ["old+x://1", "x://1"] {
        let params = json!({"uri": uri});
        let answer = stage.send(&stage.token, "resources/read", &json!(1), &params, &all()).answer();
        let (requests, state) = asked(&answer);
        let params = json!({"uri": uri, "requestState": state, "inputResponses": {&requests[0].0: {}}});
        let answer = stage.send(&stage.token, "resources/read", &json!(2), &params, &all()).answer();
        let result = &answer["result"];
        assert_eq!((&result["contents"], &result["cacheScope"]), (&json!([]), &json!("private")), "{answer}");
    }
    // It was asked before it was known whose the resource is, and has not seen the state.
    assert_eq!(other.received_of("resources/read").len(), 1);
}

#[test]
fn a_server_that_takes_it_back() {
    let stage = Stage::set();
    let (requests, state) = asked(&stage.call(&json!(1), "back").answer());
    said(&stage.call(&json!(2), "go").answer());
    let last = stage.again(&json!(3), "back", &state, &json!({&requests[0].0: {}})).answer();
    assert_eq!(said(&last), "given up");
    assert!(
        !stage.server.received().iter().any(|one| one.json()["result"].is_object()),
        "an answer to nothing"
    );
}

#[test]
fn who_cannot_be_asked_is_not() {
    let stage = Stage::set();
    let only_forms = json!({"elicitation": {}});
    for capabilities in [json!({}), only_forms] {
        let params = arguments("refused");
        let call = stage.send(&stage.token, "tools/call", &json!(1), &params, &capabilities);
        assert_eq!(said(&call.answer()), "-32601");
        let initialize = stage.server.received_of("initialize").pop().unwrap().json();
        assert_eq!(initialize["params"]["capabilities"], capabilities);
    }
    // A client that can be asked for nothing needs no stream.
    assert_eq!(stage.server.received_of("GET").len(), 1);
}

#[test]
fn a_client_that_leaves_for_good() {
    let stage = Stage::set();
    let (requests, state) = asked(&stage.call(&json!(1), "ever").answer());
    // It comes back, and closes the stream: that is how it cancels.
    drop(stage.again(&json!(2), "ever", &state, &json!({&requests[0].0: {}})));
    let told = stage.server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let call = stage.server.received_of("tools/call").pop().unwrap();
    assert_eq!(told.json()["params"]["requestId"], call.json()["id"]);
    assert_eq!(stage.ended.recv_timeout(PATIENCE).unwrap(), "ever");
    // A token that is revoked takes its waiting calls with it.
    asked(&stage.call(&json!(3), "ever").answer());
    stage.companion.revoke("default", &stage.token);
    assert_eq!(stage.ended.recv_timeout(PATIENCE).unwrap(), "ever");
}

#[test]
fn changed_secrets_end_what_waits() {
    let stage = Stage::set();
    stage.companion.set("old", "KEY", "first-value-of-it");
    let (requests, state) = asked(&stage.call(&json!(1), "ever").answer());
    stage.companion.set("old", "KEY", "second-value-of-it");
    let again = stage.again(&json!(2), "ever", &state, &json!({&requests[0].0: {}})).answer();
    assert_eq!(again["error"]["data"]["reason"], "secrets_changed", "{again}");
    assert_eq!(stage.ended.recv_timeout(PATIENCE).unwrap(), "ever");
    let no_answer = |one: &Received| one.json()["method"].is_null() && one.json()["result"].is_object();
    assert!(!stage.server.received().iter().any(no_answer));
}
