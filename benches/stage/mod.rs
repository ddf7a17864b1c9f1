//! What the benches of the server stand on: the server as a process of its own with a fresh
//! database, an MCP server behind it, and plain HTTP/1.1.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    api_key: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it with this level of its log.
    pub(crate) fn start(log: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("bench.db").display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_aerostack"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .env_clear()
            .env("WORKFLOW_SECRETS_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
            .env("AEROSTACK_LOG", log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut variable = |name: &str| {
            let start = format!("export {name}=");
            let mut values = lines.by_ref().map(Result::unwrap);
            values.find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap()
        };
        let api_key = variable("AEROSTACK_API_KEY");
        let address = variable("AEROSTACK_API_URL").rsplit_once('/').unwrap().1.parse().unwrap();
        Self { child, address, api_key, _folder: folder }
    }

    /// One POST to the admin API: the document that comes back.
    pub(crate) fn admin(&self, path: &str, body: &str) -> serde_json::Value {
        let (_, document) = self.post(path, &self.api_key, body);
        serde_json::from_str(&document).unwrap()
    }

    /// Registers the MCP server `b`, and makes a token without limits and a member's session: both.
    pub(crate) fn set_up(&self, upstream: SocketAddr) -> (String, String) {
        let add = format!(r#"{{"slug":"b","url":"http://{upstream}/mcp","allow_private_network":true}}"#);
        self.admin("/api/v1/admin/mcp-servers", &add);
        let unlimited = r#"{"name":"bench","rate_limit":"none"}"#;
        let created = self.admin("/api/v1/admin/workspaces/default/tokens", unlimited);
        let token = created["secret"].as_str().unwrap();
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"b","version":"1"}}}"#;
        let (head, _) = self.post("/ws/default", token, initialize);
        let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
        (token.to_owned(), format!("Mcp-Session-Id: {session}\r\n"))
    }

    fn post(&self, path: &str, key: &str, body: &str) -> (String, String) {
        Connection::open(self.address).send(&post(self.address, path, key, "", body))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a POST with a credential; `more` are further headers, each with its line end.
pub(crate) fn post(address: SocketAddr, path: &str, key: &str, more: &str, body: &str) -> Vec<u8> {
    let (types, length) = ("application/json, text/event-stream", body.len());
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n");
    let head = format!("{head}Content-Type: application/json\r\nAccept: {types}\r\n{more}");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A client's connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(BufReader::new(socket))
    }

    /// Head and body of the answer.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> (String, String) {
        self.0.get_mut().write_all(bytes).unwrap();
        read_message(&mut self.0).unwrap()
    }
}

fn read_message(reader: &mut impl BufRead) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// An MCP server that answers at once, calls with this result. Each request but `initialize`
/// must have `wanted` in its head.
pub(crate) fn upstream(result: String, wanted: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            let result = result.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(socket);
                while let Some((head, body)) = read_message(&mut reader) {
                    let opens = body.contains("initialize");
                    assert!(opens || head.contains(wanted), "the secret is missing");
                    let result = if body.contains("\"initialize\"") {
                        r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"b","version":"1"}}"#
                    } else {
                        &result
                    };
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
                    let length = answer.len();
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
                    let answer = format!("{head}Content-Length: {length}\r\n\r\n{answer}");
                    reader.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}
