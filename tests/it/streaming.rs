//! Results and event streams pass byte for byte and piece by piece: the test writes the
//! next piece only after the client has the last one, so nothing can have been held back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::upstream::read_request;
use crate::harness::{Companion, McpSession, mcp_answer};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const BOTH_ROUTES: [(Option<&str>, &str); 2] = [(None, "hand__echo"), (Some("hand"), "echo")];

/// An upstream that hands the sockets of calls and of GET streams to the test.
pub struct ByHand {
    sockets: Mutex<Receiver<TcpStream>>,
    pub companion: Companion,
    token: String,
}

impl ByHand {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let companion = Companion::start();
        companion.add_server("hand", &format!("http://{}/mcp", listener.local_addr().unwrap()));
        let (sender, sockets) = channel();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || {
                    let mut reader = BufReader::new(socket.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader) {
                        if matches!(request.method().as_str(), "tools/call" | "GET") {
                            let _ = sender.send(socket);
                            return;
                        }
                        let _ = (&socket).write_all(&mcp_answer(&request));
                    }
                });
            }
        });
        let token = companion.token("default");
        Self { sockets: Mutex::new(sockets), companion, token }
    }

    pub fn session(&self, slug: Option<&str>) -> McpSession {
        self.companion.session(&self.token, slug)
    }

    /// The upstream's end of the request that was sent last.
    pub fn socket(&self) -> TcpStream {
        let socket = self.sockets.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }
}

/// The client's end: reads the answer as it comes.
pub struct Client {
    reader: BufReader<TcpStream>,
    head: Vec<String>,
    chunked: bool,
    /// Bytes left of the chunk, or of the whole body.
    left: usize,
}

impl Client {
    fn send(session: &McpSession, method: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(session.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (path, host, token, id) = (&session.path, session.address, &session.token, &session.id);
        let length = body.len();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Accept: {BOTH_TYPES}\r\nContent-Type: application/json\r\nMcp-Session-Id: {id}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        socket
    }

    pub fn call(session: &McpSession, tool: &str) -> TcpStream {
        let call = message("tools/call", &json!({"name": tool, "arguments": {}}));
        Self::send(session, "POST", &call.to_string())
    }

    /// Reads the head of the answer.
    pub fn answered(socket: TcpStream) -> Self {
        let mut reader = BufReader::new(socket);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no answer");
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_ascii_lowercase());
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        Self { reader, head, chunked: length.is_none(), left: length.unwrap_or(0) }
    }

    #[track_caller]
    fn is_ok_with(&self, lines: &[&str]) {
        assert_eq!(self.head[0], "http/1.1 200 ok");
        for line in lines {
            assert!(self.head.iter().any(|one| one == line), "{line} in {:?}", self.head);
        }
    }

    /// Some more of the body; nothing at its clean end, an error if it was cut.
    fn more(&mut self) -> io::Result<Vec<u8>> {
        if self.chunked && self.left == 0 {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16);
            self.left = size.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            if self.left == 0 {
                self.reader.read_exact(&mut [0; 2])?;
            }
        }
        if self.left == 0 {
            return Ok(Vec::new());
        }
        let mut piece = vec![0; self.left.min(1 << 16)];
        let size = self.reader.read(&mut piece)?;
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(size);
        self.left -= size;
        if self.chunked && self.left == 0 {
            self.reader.read_exact(&mut [0; 2])?;
        }
        Ok(piece)
    }

    pub fn exactly(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < size {
            let more = self.more().unwrap();
            assert!(!more.is_empty(), "it ended early: {}", String::from_utf8_lossy(&bytes));
            bytes.extend(more);
        }
        bytes
    }

    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let more = self.more()?;
            if more.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(more);
        }
    }
}

/// A piece as a chunk of HTTP/1.1.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

pub const EVENTS_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
pub const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

/// Legal, and unlike what most servers write: each event, and how it looks on the route of the
/// workspace, if otherwise.
const EVENTS: [(&str, Option<&str>); 7] = [
    ("\u{feff}: a comment\r\n:\r\n\n", None),
    (
        "id: 1\r\nretry: 1500\r\nevent: message\r\n\
         data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"日本 🔑\"}}\r\n\n",
        Some(
            "id: hand+1\nretry: 1500\nevent: message\n\
             data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"日本 🔑\"}}\n\n",
        ),
    ),
    ("id\ndata\n\n", Some("id: \ndata\n\n")),
    ("data: {\"jsonrpc\":\"2.0\",\rdata:\"id\":1,\"result\":\ndata:  {\"content\": []}}\n\n", None),
    ("unknown: field\n\n", None),
    ("\n", None),
    (": bye\n\n", None),
];

/// Writes each event, in pieces, after the client has got the one before.
fn in_pieces(stage: &ByHand, slug: Option<&str>, tool: &str, size: usize, chunked: bool) {
    let session = stage.session(slug);
    let client = Client::call(&session, tool);
    let mut upstream = stage.socket();
    let framing = if chunked { "Transfer-Encoding: chunked\r\n\r\n" } else { "Connection: close\r\n\r\n" };
    upstream.write_all(format!("{EVENTS_HEAD}{framing}").as_bytes()).unwrap();
    let mut client = Client::answered(client);
    client.is_ok_with(&["content-type: text/event-stream"]);
    for (event, on_workspace) in EVENTS {
        for piece in event.as_bytes().chunks(size) {
            let framed = if chunked { chunk(piece) } else { piece.to_vec() };
            upstream.write_all(&framed).unwrap();
        }
        let expected = on_workspace.filter(|_| slug.is_none()).unwrap_or(event);
        assert_eq!(String::from_utf8(client.exactly(expected.len())).unwrap(), expected);
    }
    if chunked {
        upstream.write_all(b"0\r\n\r\n").unwrap();
    } else {
        drop(upstream);
    }
    assert_eq!(client.rest().unwrap(), b"");
}

#[test]
fn events_are_passed_on_as_they_come() {
    let stage = ByHand::start();
    for (slug, tool) in BOTH_ROUTES {
        for size in [1, 7, 64, 4096] {
            in_pieces(&stage, slug, tool, size, true);
            in_pieces(&stage, slug, tool, size, false);
        }
    }
}

#[test]
fn the_stream_of_one_server_is_passed_on_as_it_comes() {
    let stage = ByHand::start();
    let session = stage.session(Some("hand"));
    let client = Client::send(&session, "GET", "");
    let mut upstream = stage.socket();
    upstream.write_all(format!("{EVENTS_HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let mut client = Client::answered(client);
    client.is_ok_with(&["content-type: text/event-stream"]);
    let events: String = EVENTS.iter().map(|(event, _)| *event).collect();
    for piece in events.as_bytes().chunks(20) {
        upstream.write_all(&chunk(piece)).unwrap();
        assert_eq!(client.exactly(piece.len()), piece);
    }
}

#[test]
fn json_is_passed_on_as_it_was_written() {
    let stage = ByHand::start();
    let results = [
        "\r\n\t {\"id\" : 1 ,\"jsonrpc\":\"2.0\",\n\"x-unknown\":{\"b\":[1e400,-0,1.50,1E+2,12345678901234567890123],\"a\":null},\
         \"result\":{ \"isError\" : false,\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\\ud83d\\udd11\\/\\ud800 \u{e9}\u{7f}\"}]} }\n\n",
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"no","data":{"z":1,"a":0.10}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ];
    let headers = "Set-Cookie: a=b\r\nServer: secret-server\r\nX-Upstream: yes\r\nMcp-Session-Id: stray\r\nWWW-Authenticate: Bearer\r\n";
    for (slug, tool) in BOTH_ROUTES {
        for result in results {
            let session = stage.session(slug);
            let client = Client::call(&session, tool);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: Application/JSON; charset=utf-8\r\n{headers}Content-Length: {}\r\n\r\n",
                result.len()
            );
            stage.socket().write_all(format!("{head}{result}").as_bytes()).unwrap();
            let mut client = Client::answered(client);
            client.is_ok_with(&["content-type: application/json; charset=utf-8"]);
            for name in ["set-cookie", "server", "x-upstream", "mcp-session-id", "www-authenticate"] {
                assert!(
                    !client.head.iter().any(|line| line.starts_with(&format!("{name}:"))),
                    "{:?}",
                    client.head
                );
            }
            assert_eq!(String::from_utf8(client.rest().unwrap()).unwrap(), result);
        }
    }
}

#[test]
fn a_compressed_body_is_unpacked() {
    let stage = ByHand::start();
    let gzip = "1f8b0800000000000203ab56ca2acecf2b2a4856b25232d23350d251ca4c51b232d4512a4a2d2ecd2951b2aa564acecf2b49cd0332a3636b6b01367de60130000000";
    let body = hex::decode(gzip).unwrap();
    for (slug, tool) in BOTH_ROUTES {
        let client = Client::call(&stage.session(slug), tool);
        let head = format!("{JSON_HEAD}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        stage.socket().write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut client = Client::answered(client);
        client.is_ok_with(&["content-type: application/json"]);
        assert!(!client.head.iter().any(|line| line.starts_with("content-encoding")), "{:?}", client.head);
        let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
        assert_eq!(String::from_utf8(client.rest().unwrap()).unwrap(), result);
    }
}

#[test]
fn twenty_mebibytes_pass() {
    let stage = ByHand::start();
    let text = "0123456 \u{1f511} ".repeat(20 << 17);
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": text}]}})
        .to_string();
    assert!(body.len() > 20 << 20);
    for (slug, tool) in BOTH_ROUTES {
        let client = Client::call(&stage.session(slug), tool);
        let mut upstream = stage.socket();
        thread::scope(|scope| {
            scope.spawn(|| {
                upstream
                    .write_all(format!("{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
                    .unwrap();
                body.as_bytes().chunks(100_000).for_each(|piece| upstream.write_all(&chunk(piece)).unwrap());
                upstream.write_all(b"0\r\n\r\n").unwrap();
            });
            assert!(Client::answered(client).rest().unwrap() == body.as_bytes());
        });
    }
}

#[test]
fn a_client_that_leaves_closes_the_upstreams_connection() {
    let stage = ByHand::start();
    for (slug, tool) in BOTH_ROUTES {
        let client = Client::call(&stage.session(slug), tool);
        let mut upstream = stage.socket();
        let first = chunk(b": hello\n\n");
        upstream.write_all(format!("{EVENTS_HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        upstream.write_all(&first).unwrap();
        let mut client = Client::answered(client);
        assert_eq!(client.exactly(9), b": hello\n\n");
        drop(client);
        let ended = upstream.read(&mut [0; 1]);
        let reset = ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert!(matches!(ended, Ok(0)) || reset, "{ended:?}");
    }
}
