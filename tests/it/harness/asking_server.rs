//! A server of the legacy era that asks its client in the middle of a call, and a client of the
//! modern era before it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use super::talker::{EVENTS_HEAD, Listening, PATIENCE, Talker, say, say_result, say_status};
use super::upstream::{Received, http_answer};
use super::{Companion, McpSession};

pub const VERSION: &str = "2026-07-28";

/// What a client can be asked for, with more than the gateway knows.
pub fn all() -> Value {
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

/// The id of a question whose answer comes too late.
const LOST: &str = "lost";

/// A server with sessions whose tools ask. What is told on the receiver is the tool whose
/// connection ended without its answer. A `late` one begins its GET stream with the first event.
fn server(late: bool) -> (Talker, Receiver<String>) {
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
            if !late {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            }
            *listening.lock().unwrap() = socket.try_clone().ok();
            let _ = socket.read(&mut [0; 1]);
            false
        }
        "server/discover" => say_status(socket, "404 Not Found"),
        "tools/list" => say_result(socket, received, &json!({"tools": []})),
        "resources/list" => say_result(socket, received, &json!({"resources": []})),
        "tools/call" | "prompts/get" | "resources/read" => {
            let name = received.json()["params"]["name"].clone();
            let asks_elsewhere =
                ["elsewhere", "json", "long", "left", "pieces"].iter().any(|tool| name == *tool);
            let mut get = asks_elsewhere.then(|| other_stream(me, &listening));
            if let Some(get) = get.as_mut().filter(|_| late) {
                get.write_all(EVENTS_HEAD.as_bytes()).unwrap();
            }
            let ended = ended.lock().unwrap().clone();
            call(me, received, socket, get, &ended)
        }
        "DELETE" => say_status(socket, "200 OK"),
        // It has lost the session in which it asked.
        _ if received.json()["id"] == LOST => say_status(socket, "404 Not Found"),
        _ => say_status(socket, "202 Accepted"),
    });
    (talker, is_ended)
}

/// The GET stream, which a busy machine may be late with.
fn other_stream(me: &Talker, listening: &Mutex<Option<TcpStream>>) -> TcpStream {
    me.wait_for("the other stream", |one| one.method() == "GET");
    loop {
        if let Some(stream) = &*listening.lock().unwrap() {
            return stream.try_clone().unwrap();
        }
        std::thread::yield_now();
    }
}

/// A result, or the code of an error.
fn outcome(answer: &Value) -> String {
    let of = if answer["error"].is_null() { &answer["result"] } else { &answer["error"]["code"] };
    of.to_string()
}

/// Asks on the other stream in the midst of its answer, which is a long event.
fn asks_while_it_answers(me: &Talker, socket: &mut TcpStream, get: &mut TcpStream, id: &Value, own: &Value) {
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": text(&"x".repeat(3 << 20))}).to_string();
    let (first, last) = answer.split_at(2 << 20);
    write!(socket, "data: {first}").unwrap();
    say(get, &request(own, "roots/list", &json!({})));
    assert_eq!(outcome(&me.wait_for_answer(own)), "-32601");
    write!(socket, "{last}\n\n").unwrap();
}

/// Asks on the other stream; what is told on `ended` is that the caller has left meanwhile.
fn asked_elsewhere(
    me: &Talker,
    socket: &TcpStream,
    get: &mut TcpStream,
    id: &Value,
    ended: &Sender<String>,
) -> Value {
    say(get, &form(id, "elsewhere"));
    let (mut watched, ended) = (socket.try_clone().unwrap(), ended.clone());
    std::thread::spawn(move || {
        let _ = watched.set_read_timeout(Some(PATIENCE));
        if matches!(watched.read(&mut [0]), Ok(0)) {
            let _ = ended.send("json".to_owned());
        }
    });
    me.wait_for_answer(id)
}

/// Until another call is made, of this tool.
fn wait_for_call(me: &Talker, tool: &str) {
    me.wait_for(&format!("a call of {tool}"), |one| one.json()["params"]["name"] == tool);
}

/// Its client leaves; later it asks on the other stream, while the call `held` runs.
fn asks_when_it_was_left(me: &Talker, get: &mut TcpStream, own: &Value) {
    me.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    wait_for_call(me, "held");
    say(get, &request(own, "roots/list", &json!({})));
}

/// A JSON answer in two halves, the second one after a call of `go`.
fn begun(me: &Talker, socket: &mut TcpStream, id: &Value) {
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": text("begun")}).to_string();
    let answer = http_answer("200 OK", &[("Content-Type", "application/json")], &answer);
    let (first, last) = answer.split_at(answer.len() - 20);
    socket.write_all(first).unwrap();
    wait_for_call(me, "go");
    let _ = socket.write_all(last);
}

/// Progress with a message of this length, as an event without its end, and that end.
fn long_progress(message: &Value, length: usize) -> (String, &'static str) {
    let token = &message["params"]["_meta"]["progressToken"];
    let params = json!({"progressToken": token, "progress": 1, "message": "m".repeat(length)});
    let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string();
    (format!("data: {}", told.trim_end_matches('}')), "}}\n\n")
}

/// Says much: the outcome of its form, or `None` if its client has left.
fn much(
    me: &Talker,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    name: &str,
    (message, own): (&Value, &Value),
) -> Option<Value> {
    let kept = match name {
        "pieces" => long_progress(message, 9 << 20),
        "stuck" => long_progress(message, 8_250_000),
        "talks" => long_progress(message, 3 << 20),
        _ => long_progress(message, 900 << 10),
    };
    if ["pieces", "stuck"].contains(&name) {
        write!(socket, "{}", kept.0).ok()?;
        if let Some(mut get) = get {
            say(&mut get, &request(own, "roots/list", &json!({})));
        }
        wait_for_call(me, "go");
        write!(socket, "{}", kept.1).ok()?;
        return Some(if name == "stuck" { json!({}) } else { me.wait_for_answer(own) });
    }
    say(socket, &form(own, "?"));
    let before = if name == "tells" {
        Some(me.wait_for_answer(own))
    } else {
        wait_for_call(me, "go");
        None
    };
    for _ in 0..8 {
        write!(socket, "{}{}", kept.0, kept.1).ok()?;
    }
    Some(before.unwrap_or_else(|| me.wait_for_answer(own)))
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
    if name == "never" {
        return socket.read(&mut [0]).is_err();
    }
    if name == "json" {
        let answer = asked_elsewhere(me, socket, &mut get.unwrap(), &id("a"), ended);
        return say_result(socket, received, &text(&answer["result"].to_string()));
    }
    if name == "begun" {
        begun(me, socket, &message["id"]);
        return false;
    }
    let _ = socket.write_all(EVENTS_HEAD.as_bytes());
    let progress = |socket: &mut TcpStream, progress: u64| {
        let params =
            json!({"progressToken": message["params"]["_meta"]["progressToken"], "progress": progress});
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
            text(&["b", "a"].map(|one| outcome(&me.wait_for_answer(&id(one)))).join(" "))
        }
        "rounds" => {
            say(socket, &form(&id("a"), "one"));
            me.wait_for_answer(&id("a"));
            say(socket, &form(&id("b"), "two"));
            text(&me.wait_for_answer(&id("b"))["result"].to_string())
        }
        "elsewhere" => {
            say(&mut get.unwrap(), &request(&id("a"), "roots/list", &json!({})));
            text(&outcome(&me.wait_for_answer(&id("a"))))
        }
        "back" => {
            say(socket, &form(&id("a"), "never mind"));
            let params = json!({"requestId": id("a")});
            wait_for_call(me, "go");
            say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
            text("given up")
        }
        "refused" => {
            say(socket, &request(&id("a"), "sampling/createMessage", &json!({"messages": []})));
            text(&outcome(&me.wait_for_answer(&id("a"))))
        }
        "ever" | "large" | "lost" => {
            let own = if name == "lost" { json!(LOST) } else { id("a") };
            say(socket, &form(&own, &"?".repeat(if name == "large" { 6 << 20 } else { 1 })));
            let _ = socket.set_read_timeout(Some(PATIENCE));
            if matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
                ended.send(name).unwrap();
            }
            return false;
        }
        "probe" => {
            say(socket, &form(&id("a"), &"?".repeat(400 << 10)));
            text(&outcome(&me.wait_for_answer(&id("a"))))
        }
        "grows" => {
            say(socket, &form(&id("a"), "?"));
            wait_for_call(me, "go");
            say(socket, &form(&id("b"), &"?".repeat(6 << 20)));
            text(&outcome(&me.wait_for_answer(&id("b"))))
        }
        "pieces" | "stuck" | "talks" | "tells" => {
            let Some(answer) = much(me, socket, get, &name, (&message, &id("a"))) else { return false };
            text(&outcome(&answer))
        }
        "held" => {
            wait_for_call(me, "go");
            text("held")
        }
        "left" => {
            asks_when_it_was_left(me, &mut get.unwrap(), &json!("of the left one"));
            return false;
        }
        "long" => {
            asks_while_it_answers(me, socket, &mut get.unwrap(), &message["id"], &id("a"));
            return false;
        }
        "resource" => {
            say(socket, &form(&id("a"), "Which?"));
            let _ = me.wait_for_answer(&id("a"));
            json!({"contents": []})
        }
        _ => text("gone"),
    };
    say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    false
}

/// Both, with the gateway between them.
pub struct Scene {
    pub companion: Companion,
    pub server: Talker,
    ended: Mutex<Receiver<String>>,
    pub token: String,
}

impl Scene {
    pub fn set() -> Self {
        Self::with(false)
    }

    /// The same with a server that begins its other stream late.
    pub fn late() -> Self {
        Self::with(true)
    }

    fn with(late: bool) -> Self {
        let (companion, (server, ended)) = (Companion::start(), server(late));
        companion.add_server("old", &server.url());
        let token = companion.token("default");
        Self { companion, server, ended: Mutex::new(ended), token }
    }

    /// The tool whose connection ended without its answer.
    pub fn tool_left(&self) -> String {
        self.ended.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    pub fn send(
        &self,
        token: &str,
        method: &str,
        id: &Value,
        params: &Value,
        capabilities: &Value,
    ) -> Listening {
        let mut params = params.clone();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": capabilities, "progressToken": id,
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).unwrap();
        let headers =
            format!("MCP-Protocol-Version: {VERSION}\r\nMcp-Method: {method}\r\nMcp-Name: {name}\r\n");
        let (path, token) = ("/ws/default".to_owned(), token.to_owned());
        let session = McpSession { address: self.companion.address, path, token, id: String::new() };
        Listening::post_with(&session, &headers, &request(id, method, &params))
    }

    pub fn call(&self, id: &Value, tool: &str) -> Listening {
        self.send(&self.token, "tools/call", id, &arguments(tool), &all())
    }

    /// The call made again.
    pub fn again(&self, id: &Value, tool: &str, state: &Value, answers: &Value) -> Listening {
        self.again_with(&self.token, id, &arguments(tool), state, answers)
    }

    pub fn again_with(
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

/// Parameters of a call of one of its tools.
pub fn arguments(tool: &str) -> Value {
    json!({"name": format!("old__{tool}"), "arguments": {"n": 1}})
}

/// What a result asks for, and its state.
#[track_caller]
pub fn asked(answer: &Value) -> (Vec<(String, Value)>, Value) {
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required", "{answer}");
    let requests = result["inputRequests"].as_object().unwrap();
    let state = result["requestState"].clone();
    assert!(state.as_str().is_some_and(|state| state.len() >= 43), "{answer}");
    (requests.iter().map(|(key, request)| (key.clone(), request.clone())).collect(), state)
}
