//! Servers that are slow to open a session, that are taken away, or whose secrets change while
//! they are called: what the callers see.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::{json_rpc, message};
use crate::harness::talker::{EVENTS_HEAD, Listening, PATIENCE, Talker, say, say_result, say_status};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession};
use crate::modern_era::ask;

fn initialized() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}})
}

/// A server without sessions; `treat` answers what it wants to (`None` for all the rest).
fn server(
    treat: impl Fn(&Talker, &Received, &mut TcpStream) -> Option<bool> + Send + Sync + 'static,
) -> Talker {
    Talker::start(move |me, received, socket| {
        if let Some(treated) = treat(me, received, socket) {
            return treated;
        }
        match received.method().as_str() {
            "initialize" => say_result(socket, received, &initialized()),
            "server/discover" => say_status(socket, "404 Not Found"),
            "tools/list" => {
                let tool = json!({"name": "t", "inputSchema": {"type": "object"}});
                say_result(socket, received, &json!({"tools": [tool]}))
            }
            "tools/call" => say_result(socket, received, &json!({"content": []})),
            "GET" => say_status(socket, "405 Method Not Allowed"),
            _ => say_status(socket, "202 Accepted"),
        }
    })
}

/// A door that a test opens.
#[derive(Default)]
struct Door(Mutex<bool>, Condvar);

impl Door {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.lock().unwrap();
        drop(self.1.wait_timeout_while(closed, PATIENCE, |open| !*open).unwrap());
    }
}

fn leak<T>(of: T) -> &'static T {
    Box::leak(Box::new(of))
}

#[test]
fn a_stream_whose_server_is_taken_away_ends_with_an_error() {
    for slug in [None, Some("s")] {
        for is_removed in [true, false] {
            let hanging = server(|_, received, socket| {
                if received.method() != "tools/call" {
                    return None;
                }
                std::io::Write::write_all(socket, EVENTS_HEAD.as_bytes()).unwrap();
                say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
                let _ = socket.read(&mut [0]);
                Some(false)
            });
            let companion = Companion::start();
            companion.add_server("s", &hanging.url());
            let session = companion.session(&companion.token("default"), slug);
            let tool = if slug.is_some() { "t" } else { "s__t" };
            let mut stream = Listening::post(&session, &message("tools/call", &json!({"name": tool})));
            stream.until("notifications/progress");
            let path = "/api/v1/admin/mcp-servers/s";
            let gone = if is_removed {
                companion.admin("DELETE", path, None)
            } else {
                companion.admin("PATCH", path, Some(&json!({"enabled": false})))
            };
            assert!(gone.status < 300, "{}", gone.text());
            let last = stream.answer();
            assert_eq!(last["error"]["data"]["reason"], "removed", "{slug:?}: {last}");
            assert_eq!(last["id"], 1);
        }
    }
}

/// Its second session takes longer to open than a list may.
#[test]
fn a_server_that_is_slow_to_open_a_session_is_listed_later() {
    let door: &'static Door = leak(Door::default());
    let slow = server(move |me, received, _| {
        if received.method() == "initialize" && me.received_of("initialize").len() > 1 {
            door.pass();
        }
        None
    });
    let companion = Companion::start();
    companion.add_server("slow", &slow.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["slow__t"]);
    companion.set("slow", "TOKEN", "a-new-value");
    assert_eq!(session.tools(), [""; 0], "a list does not wait for ever");
    door.open();
    let deadline = Instant::now() + PATIENCE;
    while session.tools() != ["slow__t"] {
        assert!(Instant::now() < deadline, "it never came");
    }
    assert_eq!(slow.received_of("initialize").len(), 2, "nobody cut the opening off");
}

/// Its sessions are lost, and no new one can be opened.
#[test]
fn many_calls_wait_for_one_opening_only() {
    let lost: &'static AtomicBool = leak(AtomicBool::new(false));
    let hanging = server(move |_, received, socket| match received.method().as_str() {
        "initialize" if lost.load(Ordering::SeqCst) => {
            let _ = socket.set_read_timeout(Some(PATIENCE));
            let _ = socket.read(&mut [0]);
            Some(false)
        }
        "initialize" => {
            let body =
                json!({"jsonrpc": "2.0", "id": received.json()["id"], "result": initialized()}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "held")];
            let answer = crate::harness::upstream::http_answer("200 OK", &headers, &body);
            Some(std::io::Write::write_all(socket, &answer).is_ok())
        }
        "tools/call" if lost.load(Ordering::SeqCst) => Some(say_status(socket, "404 Not Found")),
        _ => None,
    });
    let companion = Companion::start();
    companion.add_server("s", &hanging.url());
    let session = companion.session(&companion.token("default"), None);
    assert!(session.call("s__t")["result"].is_object());
    lost.store(true, Ordering::SeqCst);
    std::thread::scope(|threads| {
        for _ in 0..5 {
            threads.spawn(|| {
                let answer = session.call("s__t");
                assert_eq!(answer["error"]["data"]["reason"], "timed_out", "{answer}");
            });
        }
    });
    assert_eq!(hanging.received_of("initialize").len(), 2, "one more for all of them");
}

#[test]
fn a_change_of_secrets_costs_a_modern_client_no_call() {
    let (companion, quick) = (Companion::start(), server(|_, _, _| None));
    companion.add_server("s", &quick.url());
    let token = companion.token_with("default", &json!({"name": "t", "rate_limit": 100_000}));
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let params = json!({"name": "s__t", "arguments": {}});
                    let answer = json_rpc(&ask(&companion, &token, None, "tools/call", params, &[]));
                    assert!(answer["result"].is_object(), "{answer}");
                }
            });
        }
        for number in 0..60 {
            companion.set("s", "TOKEN", &format!("value-number-{number}"));
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_list_of_one_server_must_not_take_long() {
    let silent = server(|_, received, socket| {
        if received.method() != "tools/list" {
            return None;
        }
        let _ = socket.set_read_timeout(Some(Duration::from_mins(2)));
        let _ = socket.read(&mut [0]);
        Some(false)
    });
    let companion = Companion::start();
    companion.add_server("s", &silent.url());
    let session = companion.session(&companion.token("default"), Some("s"));
    let answer = session.rpc("tools/list", &json!({}));
    assert_eq!(answer["error"]["data"]["reason"], "timed_out", "{answer}");
}

#[test]
fn one_slash_at_the_end_is_no_part_of_a_slug() {
    let (companion, quick) = (Companion::start(), server(|_, _, _| None));
    companion.add_server("s", &quick.url());
    let path = format!("{}/", gateway_path(Some("s")));
    let session = McpSession::open(companion.address, &path, &companion.token("default"));
    assert_eq!(session.tools(), ["t"]);
}
