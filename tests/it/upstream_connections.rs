//! Connections to upstreams are used again, but never one that has anything left over
//! (T18): no member gets the answer to another one's request.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::upstream::read_request;
use crate::harness::{Companion, Upstream, mcp_answer};

/// An upstream that sends each answer a second time, a moment later.
fn stammering() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut writer = socket.try_clone().unwrap();
                let mut reader = BufReader::new(socket);
                while let Some(request) = read_request(&mut reader) {
                    let answer = mcp_answer(&request);
                    if writer.write_all(&answer).is_err() {
                        return;
                    }
                    let until = Instant::now() + Duration::from_micros(300);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    let _ = writer.write_all(&answer);
                }
            });
        }
    });
    address
}

#[test]
fn members_never_get_each_other_s_answers() {
    let companion = Companion::start();
    companion.add_server("a", &format!("http://{}/mcp", stammering()));
    thread::scope(|scope| {
        for member in 0..6 {
            let companion = &companion;
            scope.spawn(move || {
                let session = companion.session(&companion.token("default"), None);
                for round in 0..60 {
                    let params =
                        json!({"name": "a__echo", "arguments": {"text": format!("{member}-{round}")}});
                    let answer = session.rpc("tools/call", &params).to_string();
                    // A broken call is allowed for such an upstream; another member's text is not.
                    let is_result = answer.contains(r#""result""#);
                    assert!(
                        !is_result || answer.contains(&format!("{member}-")),
                        "member {member}: {answer}"
                    );
                }
            });
        }
    });
}

#[test]
fn a_connection_is_used_again_by_its_token_only() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("a", &upstream.url());
    let count_after = |token: &str| {
        let session = companion.session(token, None);
        for _ in 0..10 {
            assert!(session.call("a__echo")["result"].is_object());
        }
        upstream.connections()
    };
    // Each connection of the client may land on another core, and each core has its own pool.
    let cores = thread::available_parallelism().unwrap().get();
    let first = count_after(&companion.token("default"));
    assert!((1..=cores).contains(&first), "{first} connections for 12 requests");
    let second = count_after(&companion.token("default"));
    assert!((first + 1..=2 * cores).contains(&second), "{second} connections for two tokens");
}

#[test]
fn bodies_that_never_end_hold_up_neither_a_hello_nor_a_goodbye() {
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let upstream = Upstream::start(move |request| match request.method().as_str() {
        "notifications/initialized" | "DELETE" => endless.as_bytes().to_vec(),
        "initialize" => {
            let text = String::from_utf8(mcp_answer(request)).unwrap();
            text.replacen("\r\n", "\r\nMcp-Session-Id: s\r\n", 1).into_bytes()
        }
        _ => mcp_answer(request),
    });
    let companion = Companion::start();
    companion.add_server("a", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["a__echo"]);
    companion.set("a", "TOKEN", "value");
    assert_eq!(session.tools(), ["a__echo"]);
    assert_eq!(upstream.received_of("DELETE").len(), 1);
}

#[test]
fn an_initialize_that_is_never_finished_ends_in_time() {
    let upstream = Upstream::start(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{".to_vec()
    });
    let companion = Companion::start();
    companion.add_server("a", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.call("a__echo")["error"]["data"]["reason"], "timed_out");
}
