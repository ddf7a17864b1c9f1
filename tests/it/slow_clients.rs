//! Clients that are slow, many or deep (T16): each is cut off after a written bound, and
//! others are served meanwhile.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use aerostack::server::ConnectionLimits;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::harness::http::{raw, read_answer};
use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::program::until;
use crate::harness::upstream::read_request;
use crate::harness::{Answer, Companion, Upstream, mcp_answer, request};

/// The bound is 15 seconds; the machine may be busy.
const BOUND: Duration = Duration::from_secs(25);

/// A connection from this loopback address.
fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(BOUND)).unwrap();
    socket
}

fn health_from(source: &str, address: SocketAddr) -> Option<Answer> {
    let mut socket = connect_from(source, address);
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    // A connection over the limit may be closed before all of it is written.
    socket.write_all(head.as_bytes()).ok()?;
    read_answer(&mut BufReader::new(socket))
}

/// Waits until the server closes; everything it said before.
#[track_caller]
fn said_before_the_end(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    match socket.read_to_end(&mut said) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("not closed"),
        _ => String::from_utf8_lossy(&said).into_owned(),
    }
}

#[test]
fn connections_of_one_address() {
    let companion = Companion::start_with(ConnectionLimits { total: 100, per_address: 3 });
    let held: Vec<TcpStream> = (0..3).map(|_| connect_from("127.0.0.5", companion.address)).collect();
    // The three are in once the fourth is refused.
    until(BOUND, || health_from("127.0.0.5", companion.address).is_none().then_some(())).expect("refused");
    assert_eq!(health_from("127.0.0.6", companion.address).unwrap().status, 200, "others are answered");
    drop(held);
    let again = until(BOUND, || health_from("127.0.0.5", companion.address));
    assert_eq!(again.expect("taken again").status, 200);
}

#[test]
fn connections_in_all() {
    let companion = Companion::start_with(ConnectionLimits { total: 3, per_address: 2 });
    let held: Vec<TcpStream> =
        ["127.0.0.5", "127.0.0.6", "127.0.0.7"].map(|source| connect_from(source, companion.address)).into();
    until(BOUND, || health_from("127.0.0.8", companion.address).is_none().then_some(())).expect("refused");
    drop(held);
    assert!(until(BOUND, || health_from("127.0.0.8", companion.address)).is_some());
}

/// Sends a byte twice a second until it is refused or the time is over.
fn drip(socket: &TcpStream) {
    let mut socket = socket.try_clone().unwrap();
    thread::spawn(move || {
        let end = Instant::now() + BOUND;
        while Instant::now() < end && socket.write_all(b"a").is_ok() {
            thread::sleep(Duration::from_millis(500));
        }
    });
}

fn head(companion: &Companion, token: &str, length: usize) -> String {
    let address = companion.address;
    format!(
        "POST /ws/default HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: {BOTH_TYPES}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[test]
fn heads_and_bodies_that_come_byte_by_byte() {
    let companion = Companion::start();
    let mut nothing = connect_from("127.0.0.1", companion.address);
    let mut slow_head = connect_from("127.0.0.1", companion.address);
    slow_head.write_all(b"GET /healthz HTTP/1.1\r\nX: ").unwrap();
    let mut slow_body = connect_from("127.0.0.1", companion.address);
    slow_body.write_all(head(&companion, &companion.token("default"), 1000).as_bytes()).unwrap();
    drip(&slow_head);
    drip(&slow_body);
    said_before_the_end(&mut nothing);
    said_before_the_end(&mut slow_head);
    let said = said_before_the_end(&mut slow_body);
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("too slowly"), "{said}");
    assert_eq!(health_from("127.0.0.1", companion.address).unwrap().status, 200);
}

/// An upstream whose calls are answered with so many bytes; says how many were taken.
fn flood(length: usize) -> (SocketAddr, std::sync::mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, taken) = channel();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(&socket);
                while let Some(request) = read_request(&mut reader) {
                    let mut writer = &socket;
                    if request.method() != "tools/call" {
                        writer.write_all(&mcp_answer(&request)).unwrap();
                        continue;
                    }
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                    writer.write_all(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes()).unwrap();
                    let (mut sent, piece) = (0, vec![b' '; 65_536]);
                    while sent < length && writer.write_all(&piece).is_ok() {
                        sent += 65_536;
                    }
                    let _ = sender.send(sent);
                    return;
                }
            });
        }
    });
    (address, taken)
}

#[test]
fn an_answer_that_is_not_read() {
    const LENGTH: usize = 256 << 20;
    let companion = Companion::start();
    let (address, taken) = flood(LENGTH);
    companion.add_server("flood-mcp", &format!("http://{address}/mcp"));
    let session = companion.session(&companion.token("default"), None);
    let body = message("tools/call", &json!({"name": "flood-mcp__t"})).to_string();
    let head = head(&companion, &session.token, body.len());
    let head = head.replacen("\r\n", &format!("\r\nMcp-Session-Id: {}\r\n", session.id), 1);
    let mut client = connect_from("127.0.0.1", companion.address);
    client.write_all(format!("{head}{body}").as_bytes()).unwrap();
    // Not a byte is read before the upstream's end is closed.
    let sent = taken.recv_timeout(BOUND).expect("still open");
    assert!(sent < LENGTH, "{sent}");
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        read += count;
    }
    assert!(read < LENGTH, "{read}");
}

#[test]
fn a_message_of_brackets() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    let token = companion.token("default");
    for (slug, tool) in [(None, "github-mcp__echo"), (Some("github-mcp"), "echo")] {
        let session = companion.session(&token, slug);
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let arguments = format!(r#"{{"a":{open}{close}}}"#);
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
            )
        };
        let before = upstream.received_of("tools/call").len();
        for bomb in [nested(200), nested(4_000_000), "[".repeat(16 << 20), r#"{"a":"#.repeat(1 << 20)] {
            let answer = session.post(&bomb, &[]);
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32600)));
        }
        assert_eq!(upstream.received_of("tools/call").len(), before);
        assert!(session.post(&nested(100), &[]).json()["result"].is_object());
    }
    let admin = companion.admin("POST", "/api/v1/admin/mcp-servers", None);
    assert_eq!(admin.status, 400);
    let authorization = format!("Bearer {}", companion.api_key);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let bomb = r#"{"slug":"#.to_owned() + &"[".repeat(1_000_000);
    let path = "/api/v1/admin/mcp-servers";
    request(companion.address, "POST", path, &headers, bomb.as_bytes()).expect_error(400, "invalid_request");
}

#[test]
fn heads_over_the_limits() {
    let companion = Companion::start();
    let get = |headers: &str| {
        raw(
            companion.address,
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes(),
        )
    };
    assert_eq!(get("Connection: close\r\n").unwrap().status, 200);
    for headers in ["X: a\r\n".repeat(101), format!("X: {}\r\n", "a".repeat(200_000))] {
        // What is not read of it may reset the connection before the answer is read.
        let answer = get(&headers);
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 431), "{answer:?}");
    }
    assert_eq!(get(&"X: a\r\n".repeat(101)).unwrap().status, 431);
}

#[test]
fn five_hundred_slow_connections_beside_a_good_client() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    let begin = |number: usize| {
        let mut socket = connect_from("127.0.0.1", companion.address);
        let some =
            ["GET", "GET / HTTP/1.1\r\nHost: a\r\nX-", "POST /ws/default HTTP/1.1\r\nContent-Length: 99\r\n"];
        socket.write_all(some[number % some.len()].as_bytes()).unwrap();
        socket
    };
    let mut slow: Vec<TcpStream> = (0..500).map(begin).collect();
    let since = Instant::now();
    for _ in 0..50 {
        assert!(session.call("github-mcp__echo")["result"].is_object());
    }
    for socket in &mut slow {
        said_before_the_end(socket);
    }
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    assert!(session.call("github-mcp__echo")["result"].is_object());
}
