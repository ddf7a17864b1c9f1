//! What a tool call costs the server: CPU time per call, from `/proc`, with the server as a
//! process of its own, so that neither the client nor the upstream counts. `/healthz` is
//! measured in turns with it, as the yardstick of the same machine in the same minute.
//! Run: `cargo bench --bench gateway`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

const CALLS: u32 = 20_000;
const ROUNDS: u32 = 5;
const CONNECTIONS: u32 = 4;
/// Clock ticks of `/proc/PID/stat` in a second, on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

struct Server {
    child: Child,
    address: SocketAddr,
    api_key: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("bench.db").display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_aerostack"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database", &database])
            .env_clear()
            .env("WORKFLOW_SECRETS_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
            .env("AEROSTACK_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut variable = |name: &str| {
            let start = format!("export {name}=");
            loop {
                let line = lines.next().unwrap().unwrap();
                if let Some(value) = line.strip_prefix(&start) {
                    return value.to_owned();
                }
            }
        };
        let api_key = variable("AEROSTACK_API_KEY");
        let address = variable("AEROSTACK_API_URL").rsplit_once('/').unwrap().1.parse().unwrap();
        Self { child, address, api_key, _folder: folder }
    }

    /// Seconds of CPU that the process has used.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
    }

    fn admin(&self, path: &str, body: &str) -> String {
        let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.api_key);
        let mut connection = Connection::open(self.address);
        connection.send(&request(self.address, "POST", path, &headers, body)).1
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(BufReader::new(socket))
    }

    /// Head and body of the answer.
    fn send(&mut self, bytes: &[u8]) -> (String, String) {
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

/// An MCP server that answers at once with a result of about 200 bytes.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(socket);
                while let Some((head, body)) = read_message(&mut reader) {
                    assert!(
                        body.contains("initialize") || head.contains("ghp_bench"),
                        "the secret is missing"
                    );
                    let result = if body.contains("\"initialize\"") {
                        r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"b","version":"1"}}"#.to_owned()
                    } else {
                        format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, "x".repeat(128))
                    };
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
                    let length = answer.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                    );
                    reader.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// Sends a request `CALLS` times over some connections; microseconds of the server's CPU for each.
fn measure(server: &Server, bytes: &[u8], expected: &str) -> f64 {
    let before = server.cpu();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address);
                for _ in 0..CALLS / CONNECTIONS {
                    let (head, body) = connection.send(bytes);
                    assert!(body.contains(expected), "{head}{body}");
                }
            });
        }
    });
    (server.cpu() - before) * 1e6 / f64::from(CALLS)
}

fn field(document: &str, name: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    document[name].as_str().unwrap().to_owned()
}

fn main() {
    let server = Server::start();
    let add = format!(r#"{{"slug":"b","url":"http://{}/mcp","allow_private_network":true}}"#, upstream());
    server.admin("/api/v1/admin/mcp-servers", &add);
    server.admin(
        "/api/v1/admin/mcp-servers/b/secrets",
        r#"{"name":"TOKEN","value":"ghp_bench_0123456789012345678901234567"}"#,
    );
    let token = field(
        &server.admin("/api/v1/admin/workspaces/default/tokens", r#"{"name":"bench","rate_limit":"none"}"#),
        "secret",
    );
    let common = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    );
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"b","version":"1"}}}"#;
    let (head, _) = Connection::open(server.address).send(&request(
        server.address,
        "POST",
        "/ws/default",
        &common,
        initialize,
    ));
    let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
    let headers = format!("{common}Mcp-Session-Id: {session}\r\n");
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__t","arguments":{"a":1}}}"#;
    let call = request(server.address, "POST", "/ws/default", &headers, body);
    let health = request(server.address, "GET", "/healthz", "", "");
    measure(&server, &call, "\"result\"");
    println!("round   tool call   /healthz   ratio   (CPU microseconds of the server per request)");
    let (mut calls, mut yardsticks) = (0.0, 0.0);
    for round in 1..=ROUNDS {
        let (one, two) = (measure(&server, &call, "\"result\""), measure(&server, &health, "ok"));
        println!("{round:>5}   {one:>9.1}   {two:>8.1}   {:>5.2}", one / two);
        (calls, yardsticks) = (calls + one, yardsticks + two);
    }
    let rounds = f64::from(ROUNDS);
    println!(" mean   {:>9.1}   {:>8.1}   {:>5.2}", calls / rounds, yardsticks / rounds, calls / yardsticks);
}
