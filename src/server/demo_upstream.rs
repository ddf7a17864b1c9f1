//! `demo-mcp`: a small MCP server on a port of its own, with the tools `echo` and
//! `whoami`. `whoami` tells which headers arrived and the beginning of a SHA-256 of each
//! value, so anyone can see injection work without seeing a secret.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use aws_lc_rs::digest;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::body::read_limited;
use super::gateway::LEGACY_VERSIONS;
use super::listener;
use super::startup::StartError;

/// Slug under which it is registered.
pub const DEMO_SLUG: &str = "demo-mcp";
/// Hexadecimal digits of a value's SHA-256 that `whoami` shows.
pub const HASH_DIGITS: usize = 16;
const BODY_LIMIT: usize = 1 << 20;

/// A running demo server. Dropping it stops it.
pub struct DemoUpstream {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl DemoUpstream {
    /// Starts it on a free loopback port; it listens when this returns.
    ///
    /// # Errors
    /// [`StartError`] when there is no port or thread.
    pub fn start() -> Result<Self, StartError> {
        let socket = listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr().map_err(|error| StartError::System(error.to_string()))?;
        let runtime = listener::current_thread_runtime()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(socket) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("demo-mcp".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StartError::System(error.to_string()))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Its MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for DemoUpstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(socket: std::net::TcpListener) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(serving);
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = read_limited(body, BODY_LIMIT).await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let Some(id) = message.get("id") else { return Ok(status(StatusCode::ACCEPTED)) };
    let outcome = match message.get("method").and_then(Value::as_str).unwrap_or_default() {
        "initialize" => Ok(initialize(&message)),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools()})),
        "tools/call" => call(&message, &parts.headers),
        _ => Err(json!({"code": -32601, "message": "no such method"})),
    };
    let document = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
    };
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

fn initialize(message: &Value) -> Value {
    let wanted = message.pointer("/params/protocolVersion").and_then(Value::as_str);
    let known = LEGACY_VERSIONS.into_iter().find(|version| Some(*version) == wanted);
    let version = known.unwrap_or(LEGACY_VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": DEMO_SLUG, "version": env!("CARGO_PKG_VERSION")},
    })
}

fn tools() -> Value {
    json!([
        {
            "name": "echo",
            "description": "Answers the text it is given",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        },
        {
            "name": "whoami",
            "description": "Answers the names of the headers that arrived, with the beginning of each value's SHA-256",
            "inputSchema": {"type": "object", "properties": {}},
        },
    ])
}

fn call(message: &Value, headers: &HeaderMap) -> Result<Value, Value> {
    let text = |text: String| json!({"content": [{"type": "text", "text": text}]});
    match message.pointer("/params/name").and_then(Value::as_str).unwrap_or_default() {
        "echo" => {
            let given = message.pointer("/params/arguments/text").and_then(Value::as_str);
            Ok(text(given.ok_or_else(|| json!({"code": -32602, "message": "text is missing"}))?.to_owned()))
        }
        "whoami" => {
            let seen = json!({"headers": hashes(headers)});
            let mut result = text(seen.to_string());
            result["structuredContent"] = seen;
            Ok(result)
        }
        _ => Err(json!({"code": -32602, "message": "no such tool"})),
    }
}

/// Name and beginning of the SHA-256 of each header's value.
fn hashes(headers: &HeaderMap) -> Map<String, Value> {
    let entry = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), Value::from(hash_prefix(value.as_bytes())))
    };
    headers.iter().map(entry).collect()
}

/// The first [`HASH_DIGITS`] hexadecimal digits of the SHA-256 of a value.
pub fn hash_prefix(value: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, value);
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    hash.as_ref().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).take(HASH_DIGITS).collect()
}
