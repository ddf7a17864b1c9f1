//! Open streams end within five seconds when their token or their server goes away, whoever
//! took it away: the server's admin API, the clock, or another program on the same database.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::read_answer;
use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::program::until;
use crate::harness::upstream::read_request;
use crate::harness::{Companion, McpSession, mcp_answer};

const PATIENCE: Duration = Duration::from_secs(30);
/// The promise.
const BOUND: Duration = Duration::from_secs(5);
const EVENT: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";

/// A companion with one server that leaves calls of `echo` and GET streams open after an
/// event, and never begins to answer calls of `silent`.
struct Scene {
    companion: Companion,
    /// Open streams and calls, as the upstream sees them.
    open: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let companion = Companion::start();
        companion.add_server("open-mcp", &format!("http://{}/mcp", listener.local_addr().unwrap()));
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                thread::spawn(move || serve(&socket, &counted));
            }
        });
        Self { companion, open }
    }

    fn streams(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Opens streams of all three kinds in turn, each in a session of its own, and waits for
    /// their first event.
    fn open(&self, token: &str, number: usize) -> Vec<BufReader<TcpStream>> {
        let kinds =
            [(Some("open-mcp"), None), (Some("open-mcp"), Some("echo")), (None, Some("open-mcp__echo"))];
        let start = |at: usize| {
            let (slug, tool) = kinds[at % kinds.len()];
            let mut stream = send(&self.companion.session(token, slug), tool);
            let mut line = String::new();
            while !line.starts_with("data:") {
                line.clear();
                assert!(stream.read_line(&mut line).unwrap() > 0, "no event");
            }
            stream
        };
        (0..number).map(start).collect()
    }
}

fn serve(socket: &TcpStream, open: &AtomicUsize) {
    let mut reader = BufReader::new(socket);
    while let Some(request) = read_request(&mut reader) {
        let mut writer = socket;
        let is_silent = request.json()["params"]["name"] == "silent";
        if !matches!(request.method().as_str(), "tools/call" | "GET") {
            writer.write_all(&mcp_answer(&request)).unwrap();
            continue;
        }
        open.fetch_add(1, Ordering::SeqCst);
        if !is_silent {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            writer.write_all(format!("{head}{EVENT}").as_bytes()).unwrap();
        }
        let _ = reader.read(&mut [0; 1]);
        open.fetch_sub(1, Ordering::SeqCst);
        return;
    }
}

/// Sends a call, or a GET without a tool, and returns without waiting for the answer.
fn send(session: &McpSession, tool: Option<&str>) -> BufReader<TcpStream> {
    let body = tool.map(|tool| message("tools/call", &json!({"name": tool})).to_string()).unwrap_or_default();
    let method = if tool.is_some() { "POST" } else { "GET" };
    let (address, path, token, id) = (session.address, &session.path, &session.token, &session.id);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nMcp-Session-Id: {id}\r\n\
         Accept: {BOTH_TYPES}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    BufReader::new(socket)
}

/// Reads to the end of the answer.
fn read_to_end(stream: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap_or_else(|error| panic!("still open: {error}")) > 0 {
        if line == "0\r\n" {
            return;
        }
        line.clear();
    }
}

#[track_caller]
fn assert_all_end(scene: &Scene, streams: Vec<BufReader<TcpStream>>, since: Instant, stay: usize) {
    for mut stream in streams {
        read_to_end(&mut stream);
    }
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    until(PATIENCE, || (scene.streams() == stay).then_some(())).expect("the upstreams' ends close too");
}

fn is_open(stream: &mut BufReader<TcpStream>) -> bool {
    stream.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let read = stream.read(&mut [0; 64]);
    // What is left of the first event may still come.
    matches!(read, Ok(1..)) || read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn fifty_streams_of_a_revoked_token() {
    let scene = Scene::new();
    let (token, other) = (scene.companion.token("default"), scene.companion.token("default"));
    let streams = scene.open(&token, 50);
    let mut others = scene.open(&other, 3);
    assert_eq!(scene.streams(), 53);
    scene.companion.revoke("default", &token);
    assert_all_end(&scene, streams, Instant::now(), 3);
    assert!(others.iter_mut().all(is_open), "those of the other token stay");
}

#[test]
fn revoked_by_another_program() {
    let scene = Scene::new();
    let token = scene.companion.token("default");
    let streams = scene.open(&token, 3);
    let database = rusqlite::Connection::open(&scene.companion.database).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.execute("UPDATE workspace_tokens SET revoked_at = 1 WHERE id = ?1", [&token[4..16]]).unwrap();
    assert_all_end(&scene, streams, Instant::now(), 0);
}

#[test]
fn a_token_that_expires() {
    let scene = Scene::new();
    let start = Instant::now();
    let token = scene.companion.token_with("default", &json!({"name": "short", "expires_in": 4}));
    let streams = scene.open(&token, 3);
    assert_all_end(&scene, streams, start + Duration::from_secs(4), 0);
    assert!(start.elapsed() >= Duration::from_secs(4), "ended early");
}

#[test]
fn a_server_that_is_disabled_or_removed() {
    let server = "/api/v1/admin/mcp-servers/open-mcp";
    let changes: [(&str, Option<Value>); 2] = [("PATCH", Some(json!({"enabled": false}))), ("DELETE", None)];
    for (method, body) in changes {
        let scene = Scene::new();
        let streams = scene.open(&scene.companion.token("default"), 6);
        let answer = scene.companion.admin(method, server, body.as_ref());
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
        assert_all_end(&scene, streams, Instant::now(), 0);
    }
}

#[test]
fn a_workspace_that_is_deleted() {
    let scene = Scene::new();
    let streams = scene.open(&scene.companion.token("default"), 3);
    // The default workspace itself cannot be deleted through the API; its tokens can.
    let database = rusqlite::Connection::open(&scene.companion.database).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    database.execute_batch("PRAGMA foreign_keys = ON; DELETE FROM workspaces").unwrap();
    assert_all_end(&scene, streams, Instant::now(), 0);
}

#[test]
fn a_call_that_still_waits_for_its_upstream() {
    let scene = Scene::new();
    let token = scene.companion.token("default");
    for (slug, tool) in [(None, "open-mcp__silent"), (Some("open-mcp"), "silent")] {
        let (token, before) = (scene.companion.token("default"), scene.streams());
        let mut call = send(&scene.companion.session(&token, slug), Some(tool));
        until(PATIENCE, || (scene.streams() > before).then_some(())).expect("the call arrived");
        scene.companion.revoke("default", &token);
        let since = Instant::now();
        read_answer(&mut call).expect("an answer").expect_error(401, "unauthorized");
        assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
        until(PATIENCE, || (scene.streams() == before).then_some(())).expect("the upstream's end closes");
    }
    assert!(is_open(&mut scene.open(&token, 1)[0]));
}

#[test]
fn a_call_whose_server_is_disabled_meanwhile() {
    for (slug, tool) in [(None, "open-mcp__silent"), (Some("open-mcp"), "silent")] {
        let scene = Scene::new();
        let session = scene.companion.session(&scene.companion.token("default"), slug);
        let before = scene.streams();
        let mut call = send(&session, Some(tool));
        until(PATIENCE, || (scene.streams() > before).then_some(())).expect("the call arrived");
        let server = "/api/v1/admin/mcp-servers/open-mcp";
        assert_eq!(scene.companion.admin("PATCH", server, Some(&json!({"enabled": false}))).status, 200);
        let since = Instant::now();
        let answer = read_answer(&mut call).expect("an answer");
        assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
        // The token is good, so it is not said that it is not.
        assert_ne!(answer.status, 401, "{}", answer.text());
        if slug.is_none() {
            assert_eq!(answer.json()["error"]["data"], json!({"server": "open-mcp", "reason": "removed"}));
        }
    }
}
