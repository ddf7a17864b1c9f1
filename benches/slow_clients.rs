//! What 500 slow connections cost a good client: the time of its tool calls with and
//! without them, in turns, so that both meet the same machine. Half of the slow ones send a
//! head and half a body, a byte a second each; who is cut off comes again at once.
//! Run: `cargo bench --bench slow_clients`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SLOW: usize = 500;
/// Longer than the server bears a slow one, so that each phase sees them cut off.
const PHASE: Duration = Duration::from_secs(12);
const ROUNDS: usize = 5;
const HEADERS: &str = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";

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
            .env("AEROSTACK_LOG", "error")
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

    fn post(&self, path: &str, key: &str, more: &str, body: &str) -> (String, String) {
        let mut reader = BufReader::new(TcpStream::connect(self.address).unwrap());
        reader.get_mut().write_all(&request(self.address, path, key, more, body)).unwrap();
        read_message(&mut reader).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: SocketAddr, path: &str, key: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n{HEADERS}");
    format!("{head}{more}Content-Length: {length}\r\n\r\n{body}").into_bytes()
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

/// An MCP server that answers at once.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            socket.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(socket);
                while let Some((_, body)) = read_message(&mut reader) {
                    let result = if body.contains("\"initialize\"") {
                        r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"b","version":"1"}}"#
                    } else {
                        r#"{"content":[]}"#
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

/// Slow connections, until told to stop.
struct Slow {
    stop: Arc<AtomicBool>,
    cut_off: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Slow {
    fn start(address: SocketAddr, token: &str) -> Self {
        let (stop, cut_off) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let body = request(address, "/ws/default", token, "", &"x".repeat(1000));
        let body_head = body[..body.len() - 1000].to_vec();
        let head = b"GET /healthz HTTP/1.1\r\nX: ".to_vec();
        let open = move |number: usize| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(if number.is_multiple_of(2) { &head } else { &body_head }).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let mut sockets: Vec<TcpStream> = (0..SLOW).map(&open).collect();
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&cut_off));
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for (number, socket) in sockets.iter_mut().enumerate() {
                    let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
                    let is_open =
                        socket.write_all(b"x").is_ok() && socket.read(&mut [0; 512]).is_err_and(waits);
                    if !is_open {
                        counted.fetch_add(1, Ordering::Relaxed);
                        *socket = open(number);
                    }
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self { stop, cut_off, thread }
    }

    /// How many were cut off.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.cut_off.load(Ordering::Relaxed)
    }
}

/// The times of calls, one after the other, for a phase; in microseconds.
fn measure(address: SocketAddr, call: &[u8]) -> Vec<u128> {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket);
    let mut times = Vec::new();
    let end = Instant::now() + PHASE;
    while Instant::now() < end {
        let start = Instant::now();
        reader.get_mut().write_all(call).unwrap();
        let (head, body) = read_message(&mut reader).unwrap();
        times.push(start.elapsed().as_micros());
        assert!(body.contains("\"result\""), "{head}{body}");
    }
    times
}

/// Median and 99th percentile.
fn percentiles(times: &[u128]) -> (u128, u128) {
    let mut times = times.to_vec();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn main() {
    let server = Server::start();
    let add = format!(r#"{{"slug":"b","url":"http://{}/mcp","allow_private_network":true}}"#, upstream());
    server.post("/api/v1/admin/mcp-servers", &server.api_key, "", &add);
    let limits = r#"{"name":"bench","rate_limit":"none"}"#;
    let (_, created) = server.post("/api/v1/admin/workspaces/default/tokens", &server.api_key, "", limits);
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    let token = created["secret"].as_str().unwrap();
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"b","version":"1"}}}"#;
    let (head, _) = server.post("/ws/default", token, "", initialize);
    let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__t"}}"#;
    let session = format!("Mcp-Session-Id: {session}\r\n");
    let call = request(server.address, "/ws/default", token, &session, call);
    println!("          alone                     beside {SLOW} slow connections     (microseconds)");
    println!("round     calls  median     p99     calls  median     p99  cut off   ratio of p99");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let one = measure(server.address, &call);
        let slow = Slow::start(server.address, token);
        let two = measure(server.address, &call);
        print_row(&round.to_string(), &one, &two, slow.stop());
        alone.extend(one);
        beside.extend(two);
    }
    print_row("all", &alone, &beside, 0);
}

fn print_row(name: &str, alone: &[u128], beside: &[u128], cut_off: usize) {
    let ((median, p99), (slow_median, slow_p99)) = (percentiles(alone), percentiles(beside));
    #[expect(clippy::cast_precision_loss, reason = "microseconds are small")]
    let ratio = slow_p99 as f64 / p99 as f64;
    let (calls, slow_calls) = (alone.len(), beside.len());
    println!(
        "{name:>5}   {calls:>7} {median:>7} {p99:>7}   {slow_calls:>7} {slow_median:>7} {slow_p99:>7} {cut_off:>8}   {ratio:>12.2}"
    );
}
