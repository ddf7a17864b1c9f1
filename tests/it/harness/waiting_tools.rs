//! Tools of a server of the legacy era that wait for another call, and those that say much.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use super::asking_server::{form, outcome, own_id, request, text};
use super::talker::{Talker, say};
use super::upstream::http_answer;

/// Until another call is made, of this tool.
pub fn wait_for_call(me: &Talker, tool: &str) {
    me.wait_for(&format!("a call of {tool}"), |one| one.json()["params"]["name"] == tool);
}

/// Its client has left; it asks on the other stream, while the call `held` runs.
pub fn asks_when_it_was_left(me: &Talker, get: &mut TcpStream) {
    let own = &json!("of the left one");
    wait_for_call(me, "held");
    say(get, &request(own, "roots/list", &json!({})));
}

/// A JSON answer in two halves, the second one after a call of `go`.
pub fn begun(me: &Talker, socket: &mut TcpStream, id: &Value) {
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

/// Says much: the outcome of its question, or `None` if nobody waits for it.
fn much(
    me: &Talker,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    name: &str,
    (message, own): (&Value, &Value),
) -> Option<Value> {
    let (asked, length, count) = match name {
        "pieces" => (0, 9 << 20, 1),
        "talks" => (1, 3 << 20, 8),
        "bursts" => (1, 8_250_000, 1),
        _ => (5_590_000, 10_000, 1),
    };
    let (event, end) = long_progress(message, length);
    if let Some(mut get) = get {
        write!(socket, "{event}").ok()?;
        say(&mut get, &request(own, "roots/list", &json!({})));
        wait_for_call(me, "go");
        write!(socket, "{end}").ok()?;
        return Some(me.wait_for_answer(own));
    }
    say(socket, &form(own, &"?".repeat(asked)));
    wait_for_call(me, "go");
    for _ in 0..count {
        write!(socket, "{event}{end}").ok()?;
    }
    if name == "full" {
        return Some(Value::Null);
    }
    Some(me.wait_for_answer(own))
}

/// What a tool says in the end; those that wait for another call.
pub fn later_result(
    me: &Talker,
    socket: &mut TcpStream,
    get: Option<TcpStream>,
    (name, message): (&str, &Value),
    ended: &Sender<String>,
) -> Option<Value> {
    let id = |suffix: &str| own_id(message, suffix);
    let result = match name {
        "huge" => {
            say(socket, &form(&id("a"), &"?".repeat(8_250_000)));
            text(&outcome(&me.wait_for_answer(&id("a"))))
        }
        "grows" => {
            say(socket, &form(&id("a"), "?"));
            wait_for_call(me, "go");
            say(socket, &form(&id("b"), &"?".repeat(6 << 20)));
            text(&outcome(&me.wait_for_answer(&id("b"))))
        }
        "full" => {
            much(me, socket, get, name, (message, &id("a")))?;
            // Until the gateway gives it up.
            let _ = socket.read(&mut [0]);
            ended.send(name.to_owned()).unwrap();
            return None;
        }
        "pieces" | "talks" | "bursts" => {
            let answer = much(me, socket, get, name, (message, &id("a")))?;
            text(&outcome(&answer))
        }
        "held" => {
            wait_for_call(me, "go");
            text("held")
        }
        "left" => {
            me.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
            asks_when_it_was_left(me, &mut get.unwrap());
            return None;
        }
        _ => text("gone"),
    };
    Some(result)
}
