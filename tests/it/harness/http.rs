//! A plain HTTP/1.1 client on a socket: what is sent is exactly what the test says, and
//! what comes back is kept whole.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer, after which a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// `error.code` of the contract's error document.
    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Answer {
    /// Fails the test unless this is the contract's error document of this kind, whole and
    /// with the request id of the header. The answer is its `error`.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        let document = self.json();
        let error = document["error"].as_object().unwrap_or_else(|| panic!("{document}"));
        assert_eq!(document.as_object().map(serde_json::Map::len), Some(1), "{document}");
        assert_eq!(error["code"], code, "{document}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{document}");
        let known = |member: &String| {
            ["code", "message", "hint", "request_id", "problems"].contains(&member.as_str())
        };
        assert!(error.keys().all(known), "{document}");
        let id = self.header("X-Request-Id").expect("X-Request-Id");
        assert!(!id.is_empty() && error["request_id"] == id, "{id} {document}");
        document["error"].clone()
    }

    /// Head and body, to look for what must not be in them.
    pub fn whole(&self) -> String {
        format!("{:?}{}", self.headers, self.text())
    }
}

/// Sends one request on a connection of its own. `Host` and `Content-Length` are added
/// unless the headers have them.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let has = |name: &str| headers.iter().any(|(one, _)| one.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !has("Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    if !has("Content-Length") && !has("Transfer-Encoding") && (!body.is_empty() || method != "GET") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    raw(address, &bytes).expect("an answer")
}

/// Sends these very bytes; `None` if the server closes without an answer.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    // The server may refuse before it has read all of it.
    let _ = socket.write_all(bytes);
    read_answer(&mut BufReader::new(socket))
}

/// Reads one answer.
pub fn read_answer(reader: &mut impl BufRead) -> Option<Answer> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let status = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    if status == 100 {
        return read_answer(reader);
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = read_body(reader, &answer)?;
    Some(answer)
}

fn read_body(reader: &mut impl BufRead, answer: &Answer) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = answer.header("Content-Length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
    } else if answer.header("Transfer-Encoding").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if !matches!(answer.status, 202 | 204 | 304) {
        reader.read_to_end(&mut body).ok()?;
    }
    Some(body)
}
