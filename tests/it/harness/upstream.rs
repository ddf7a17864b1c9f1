//! Upstreams on raw sockets, also with TLS: every byte that arrives is kept, and the answer is
//! what the test's function makes of the request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Request line and headers, byte for byte, without the empty line.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// Values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        let text = self.head_text();
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.strip_prefix(' ').unwrap_or(value).to_owned()).collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The JSON-RPC method, `GET` or `DELETE`.
    pub fn method(&self) -> String {
        let json = self.json();
        let http = self.head_text().split(' ').next().unwrap_or_default().to_owned();
        json["method"].as_str().map_or(http, str::to_owned)
    }
}

type Respond = dyn Fn(&Received) -> Vec<u8> + Send + Sync;

/// A listening upstream. Its threads end with the test's process.
pub struct Upstream {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Listens on 127.0.0.1 and answers each request with the bytes of `respond`; no bytes
    /// mean that the connection is closed without an answer.
    pub fn start(respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", respond)
    }

    /// The same on an address of choice.
    pub fn on(address: &str, respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::accepting(address, respond, |_, socket| Some(socket))
    }

    /// The same behind TLS, with a certificate for these names, which is in PEM beside it. The
    /// first `dropped` connections are closed before a byte is answered.
    pub fn tls(
        names: &[&str],
        dropped: usize,
        respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
    ) -> (Self, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let chain = vec![made.cert.der().clone()];
        (Self::with_chain(chain, &made.signing_key, dropped, respond), made.cert.pem())
    }

    /// The same with these certificates, the server's own first.
    pub fn with_chain(
        chain: Vec<CertificateDer<'static>>,
        key: &rcgen::KeyPair,
        dropped: usize,
        respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(chain, key.into()).unwrap();
        let config = Arc::new(config);
        let accept = move |number: usize, socket: TcpStream| {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            (number > dropped).then(|| StreamOwned::new(tls, socket))
        };
        Self::accepting("127.0.0.1:0", respond, accept)
    }

    /// Makes of each connection, by its number from 1, what is spoken on, if anything.
    fn accepting<S: Read + Write>(
        address: &str,
        respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
        accept: impl Fn(usize, TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let respond: Arc<Respond> = Arc::new(respond);
        let accept = Arc::new(accept);
        let (kept, counted) = (Arc::clone(&received), Arc::clone(&connections));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let (kept, respond) = (Arc::clone(&kept), Arc::clone(&respond));
                let accept = Arc::clone(&accept);
                thread::spawn(move || {
                    if let Some(stream) = accept(number, socket) {
                        serve(stream, &kept, respond.as_ref());
                    }
                });
            }
        });
        Self { address, received, connections }
    }

    /// An MCP server with the tool `echo`, without sessions.
    pub fn mcp() -> Self {
        Self::start(mcp_answer)
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Everything that arrived so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The requests of one JSON-RPC method.
    pub fn received_of(&self, method: &str) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.method() == method).collect()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(stream: impl Read + Write, kept: &Mutex<Vec<Received>>, respond: &Respond) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream) {
        kept.lock().unwrap().push(request.clone());
        let answer = respond(&request);
        let sent = stream.get_mut().write_all(&answer).and_then(|()| stream.get_mut().flush());
        if answer.is_empty() || sent.is_err() || !has_length(&answer) {
            return;
        }
    }
}

/// Whether the client can tell where the answer ends while the connection stays open.
fn has_length(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.contains("content-length:") || head.contains("transfer-encoding:") || head.contains(" 202 ")
}

/// Reads one request; `None` at the end of the connection.
pub fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b"\r\n" {
            break;
        }
        head.extend_from_slice(&line);
    }
    let mut request = Received { head, body: Vec::new() };
    if let Some(length) = request.values("Content-Length").first() {
        request.body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

/// An HTTP answer with a body.
pub fn http_answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A JSON answer with status 200.
pub fn json_answer(document: &Value) -> Vec<u8> {
    http_answer("200 OK", &[("Content-Type", "application/json")], &document.to_string())
}

/// What a small MCP server with the tool `echo` answers.
pub fn mcp_answer(request: &Received) -> Vec<u8> {
    let message = request.json();
    let Some(id) = message.get("id") else { return http_answer("202 Accepted", &[], "") };
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "raw", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
        "tools/call" => json!({"content": [{"type": "text", "text": message["params"].to_string()}]}),
        _ => json!({}),
    };
    json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}
