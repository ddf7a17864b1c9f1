//! An upstream that writes its answers itself, piece by piece, and a client that reads events
//! as they come: for conversations that go on in both directions at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mcp::{BOTH_TYPES, McpSession, message};
use super::upstream::{Received, read_request};

/// Longest wait for anything, after which a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Head of an event stream that ends with the connection.
pub const EVENTS_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

/// What arrived, and who waits for more.
#[derive(Default)]
struct Log {
    received: Mutex<Vec<Received>>,
    more: Condvar,
}

/// An upstream whose answers are written by a function on the socket; the connection is closed
/// after it if the answer is `false`.
pub struct Talker {
    pub address: SocketAddr,
    log: Arc<Log>,
}

impl Talker {
    pub fn start(answer: impl Fn(&Self, &Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, answer) = (Arc::<Log>::default(), Arc::new(answer));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (me, answer) = (Self { address, log: Arc::clone(&kept) }, Arc::clone(&answer));
                thread::spawn(move || {
                    let mut reader = BufReader::new(socket.try_clone().unwrap());
                    let mut socket = socket;
                    while let Some(request) = read_request(&mut reader) {
                        me.log.received.lock().unwrap().push(request.clone());
                        me.log.more.notify_all();
                        if !answer(&me, &request, &mut socket) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, log }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.log.received.lock().unwrap().clone()
    }

    pub fn received_of(&self, method: &str) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.method() == method).collect()
    }

    /// Waits until a request came for which this holds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&Received) -> bool) -> Received {
        let received = self.log.received.lock().unwrap();
        let missing = |all: &mut Vec<Received>| !all.iter().any(&is_it);
        let (all, timeout) = self.log.more.wait_timeout_while(received, PATIENCE, missing).unwrap();
        assert!(!timeout.timed_out(), "{what} did not come; there was {:?}", methods(&all));
        all.iter().rev().find(|one| is_it(one)).unwrap().clone()
    }

    /// Waits for the answer to a request of this upstream's.
    #[track_caller]
    pub fn wait_for_answer(&self, id: &Value) -> Value {
        let is_it = |one: &Received| one.json()["method"].is_null() && one.json()["id"] == *id;
        self.wait_for(&format!("an answer to {id}"), is_it).json()
    }
}

fn methods(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| format!("{} {}", one.method(), String::from_utf8_lossy(&one.body))).collect()
}

/// Writes a JSON-RPC result.
pub fn say_result(socket: &mut TcpStream, request: &Received, result: &Value) -> bool {
    let document = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result});
    socket.write_all(&super::upstream::json_answer(&document)).is_ok()
}

/// Writes a bare status.
pub fn say_status(socket: &mut TcpStream, status: &str) -> bool {
    socket.write_all(&super::upstream::http_answer(status, &[], "")).is_ok()
}

/// Writes an event.
pub fn say(socket: &mut TcpStream, message: &Value) {
    let _ = socket.write_all(format!("event: message\ndata: {message}\n\n").as_bytes());
}

/// A client's request whose answer is read event by event.
pub struct Listening {
    reader: BufReader<TcpStream>,
    pub status: u16,
    head: String,
    /// What was read of chunks and is no whole line yet.
    rest: Vec<u8>,
    /// How much of that is known to hold no line end.
    searched: usize,
}

impl Listening {
    /// Opens the session's GET stream.
    pub fn get(session: &McpSession, more: &str) -> Self {
        Self::send(session, "GET", more, "")
    }

    /// Posts a message.
    pub fn post(session: &McpSession, message: &Value) -> Self {
        Self::send(session, "POST", "", &message.to_string())
    }

    /// Posts a message with more headers, each with its line end.
    pub fn post_with(session: &McpSession, more: &str, message: &Value) -> Self {
        Self::send(session, "POST", more, &message.to_string())
    }

    fn send(session: &McpSession, method: &str, more: &str, body: &str) -> Self {
        let mut socket = TcpStream::connect(session.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (path, host, token, id) = (&session.path, session.address, &session.token, &session.id);
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Accept: {BOTH_TYPES}\r\nContent-Type: application/json\r\nMcp-Session-Id: {id}\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "no answer: {head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { reader, status, head: head.to_ascii_lowercase(), rest: Vec::new(), searched: 0 }
    }

    /// The next line of the body; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        assert!(self.head.contains("transfer-encoding: chunked"), "{}", self.head);
        loop {
            let end = self.rest[self.searched..].iter().position(|byte| *byte == b'\n');
            let searched = std::mem::replace(&mut self.searched, self.rest.len());
            if let Some(end) = end {
                self.searched = 0;
                let line: Vec<u8> = self.rest.drain(..=searched + end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let mut size = String::new();
            self.reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("cut: {size:?}"));
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                assert!(self.rest.is_empty());
                return None;
            }
            self.rest.extend_from_slice(&chunk[..size]);
        }
    }

    /// The next message; `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Value> {
        // Signs of life must not keep a test waiting for ever.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line()?;
            assert!(Instant::now() < deadline, "no message came");
            if let Some(data) = line.strip_prefix("data: ").filter(|data| !data.is_empty()) {
                return Some(serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")));
            }
        }
    }

    /// Reads on until a message of this method comes.
    pub fn until(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("the stream ended before {method}"));
            if message["method"] == method {
                return message;
            }
        }
    }

    /// Whether the answer is an event stream.
    pub fn is_stream(&self) -> bool {
        self.head.contains("text/event-stream")
    }

    /// A body that says how long it is.
    fn whole(&mut self) -> Vec<u8> {
        let length = self.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.reader.read_exact(&mut body).unwrap();
        body
    }

    /// A JSON answer, or the last message of a stream.
    pub fn answer(mut self) -> Value {
        if !self.head.contains("text/event-stream") {
            return serde_json::from_slice(&self.whole()).unwrap();
        }
        if self.head.contains("content-length: ") {
            let body = String::from_utf8(self.whole()).unwrap();
            let last = body.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
            return serde_json::from_str(last.unwrap()).unwrap();
        }
        let mut last = Value::Null;
        while let Some(message) = self.next() {
            last = message;
        }
        last
    }
}

/// A request with an id of choice.
pub fn request_with_id(id: &Value, method: &str, params: &Value) -> Value {
    let mut request = message(method, params);
    request["id"] = id.clone();
    request
}
