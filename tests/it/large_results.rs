//! A result of 64 MiB streams through: the server's memory stays far below its size.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::harness::mcp::{BOTH_TYPES, McpSession, message};
use crate::harness::shell::Mock;
use crate::harness::talker::{PATIENCE, Talker, say_status};
use crate::harness::upstream::mcp_answer;
use crate::harness::{Answer, request};

const SIZE: usize = 64 << 20;
/// What the server's memory may grow by at its peak, in KiB. It holds no more than two
/// mebibytes of an answer, sockets' buffers aside.
const ROOM_KIB: u64 = 24 << 10;

/// An upstream whose tool answers with 64 MiB in one string, as JSON or as one event.
fn large() -> Talker {
    Talker::start(|_, request, socket| {
        if request.method() != "tools/call" {
            return socket.write_all(&mcp_answer(request)).is_ok() || say_status(socket, "500 Error");
        }
        let as_events = request.json()["params"]["name"] == "events";
        let kind = if as_events { "text/event-stream" } else { "application/json" };
        let before = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""#;
        let (start, end) = if as_events { ("data: ", "\n\n") } else { ("", "") };
        let _ = write!(
            socket,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{start}{before}"
        );
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..SIZE / piece.len() {
            if socket.write_all(&piece).is_err() {
                return false;
            }
        }
        let _ = write!(socket, r#""}}]}}}}{end}"#);
        false
    })
}

/// A line of `/proc/<pid>/status`, in KiB.
fn memory(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|one| one.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Calls the tool and counts the bytes of the answer without keeping them.
fn count(session: &McpSession, tool: &str) -> usize {
    let body = message("tools/call", &json!({"name": tool, "arguments": {}})).to_string();
    let mut socket = TcpStream::connect(session.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        socket,
        "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: {BOTH_TYPES}\r\n\
         Content-Type: application/json\r\nMcp-Session-Id: {}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        session.path,
        session.address,
        session.token,
        session.id,
        body.len()
    )
    .unwrap();
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (mut total, mut piece, mut end) = (0, vec![0; 1 << 16], Vec::new());
    loop {
        let size = reader.read(&mut piece).unwrap();
        if size == 0 {
            assert!(end.ends_with(b"0\r\n\r\n"), "it did not end cleanly");
            return total;
        }
        total += piece[..size].iter().map(|byte| usize::from(*byte == b'x')).sum::<usize>();
        end.extend_from_slice(&piece[size.saturating_sub(8)..size]);
        end.drain(..end.len().saturating_sub(8));
    }
}

#[test]
fn sixty_four_mebibytes_in_bounded_memory() {
    let (mock, upstream) = (Mock::start(), large());
    let address: SocketAddr = mock.running.address();
    let key = format!("Bearer {}", mock.running.variable("AEROSTACK_API_KEY"));
    let headers = [("Authorization", key.as_str()), ("Content-Type", "application/json")];
    let server = json!({"slug": "large", "url": upstream.url()}).to_string();
    let added: Answer = request(address, "POST", "/api/v1/admin/mcp-servers", &headers, server.as_bytes());
    assert_eq!(added.status, 201, "{}", added.text());
    let token = mock.running.variable("AEROSTACK_TOKEN").to_owned();
    for (path, prefix) in [("/ws/default", "large__"), ("/ws/default/large", "")] {
        let session = McpSession::open(address, path, &token);
        let before = memory(mock.running.id(), "VmRSS");
        for tool in ["json", "events"] {
            assert_eq!(count(&session, &format!("{prefix}{tool}")), SIZE + 2, "and those of two times text");
            let peak = memory(mock.running.id(), "VmHWM");
            assert!(
                peak < before + ROOM_KIB,
                "{tool} on {path}: {before} KiB before, {peak} KiB at the peak"
            );
        }
    }
}
