//! A server of the legacy era that asks its client in the middle of a call, and a client of the
//! modern era before it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use super::talker::{EVENTS_HEAD, Listening, PATIENCE, Talker, say, say_result, say_status};
use super::upstream::{Received, http_answer};
use super::waiting_tools::{asks_when_it_was_left, begun, later_result, wait_for_call};
use super::{Companion, McpSession};

pub const VERSION: &str = "2026-07-28";

/// What a client can be asked for, with more than the gateway knows.
pub fn all() -> Value {
    json!({"roots": {}, "elicitation": {"form": {"x": 1}}, "sampling": {}, "extensions": {"y": {}}})
}

pub fn request(id: &Value, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// An id of its own for what is asked in a call.
pub fn own_id(message: &Value, suffix: &str) -> Value {
    json!(format!("{}-{suffix}", message["id"].as_str().unwrap()))
}

pub fn form(id: &Value, message: &str) -> Value {
    request(id, "elicitation/create", &json!({"message": message, "requestedSchema": {"n": 1.50}}))
}

pub fn text(text: &str) -> Value {
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
                ["elsewhere", "json", "long", "left", "proxied", "pieces"].iter().any(|tool| name == *tool);
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
pub fn outcome(answer: &Value) -> String {
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

fn call(
    me: &Talker,
    received: &Received,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    ended: &Sender<String>,
) -> bool {
    let message = received.json();
    let name = message["params"]["name"].as_str().unwrap_or("resource").to_owned();
    if name == "never" {
        return socket.read(&mut [0]).is_err();
    }
    if name == "json" {
        let answer = asked_elsewhere(me, socket, &mut get.unwrap(), &own_id(&message, "a"), ended);
        return say_result(socket, received, &text(&answer["result"].to_string()));
    }
    if name == "begun" {
        begun(me, socket, &message["id"]);
        return false;
    }
    if name == "proxied" {
        // What stands before the server does not wait any longer.
        let answered = say_status(socket, "504 Gateway Timeout");
        asks_when_it_was_left(me, &mut get.unwrap());
        return answered;
    }
    let _ = socket.write_all(EVENTS_HEAD.as_bytes());
    if let Some(result) = result(me, socket, get, (&name, &message), ended) {
        say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    }
    false
}

/// What a tool says in the end, as an event; `None` if there is no such thing.
fn result(
    me: &Talker,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    (name, message): (&str, &Value),
    ended: &Sender<String>,
) -> Option<Value> {
    let id = |suffix: &str| own_id(message, suffix);
    let progress = |socket: &mut TcpStream, progress: u64| {
        let params =
            json!({"progressToken": message["params"]["_meta"]["progressToken"], "progress": progress});
        say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
    };
    let result = match name {
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
        "ever" | "medium" | "large" | "lost" => {
            let own = if name == "lost" { json!(LOST) } else { id("a") };
            let sizes = [("medium", 400 << 10), ("large", 6 << 20)];
            let size = sizes.iter().find(|(tool, _)| *tool == name).map_or(1, |(_, size)| *size);
            say(socket, &form(&own, &"?".repeat(size)));
            let _ = socket.set_read_timeout(Some(PATIENCE));
            if matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
                ended.send(name.to_owned()).unwrap();
            }
            return None;
        }
        "long" => {
            asks_while_it_answers(me, socket, &mut get.unwrap(), &message["id"], &id("a"));
            return None;
        }
        "resource" => {
            say(socket, &form(&id("a"), "Which?"));
            let _ = me.wait_for_answer(&id("a"));
            json!({"contents": []})
        }
        _ => return later_result(me, socket, get, (name, message), ended),
    };
    Some(result)
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
