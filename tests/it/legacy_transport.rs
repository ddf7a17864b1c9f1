//! The legacy transport (2025-11-25, "Streamable HTTP") as a server must speak it: each
//! status, each JSON-RPC code, and what is refused before it is looked at. What is refused
//! reaches no upstream.

use serde_json::json;

use crate::harness::companion::gateway_path;
use crate::harness::http::{Answer, request};
use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::talker::Listening;
use crate::harness::{Companion, McpSession, Upstream};

const ROUTES: [Option<&str>; 2] = [None, Some("raw")];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const ACCEPT: (&str, &str) = ("Accept", BOTH_TYPES);

struct Stage {
    companion: Companion,
    upstream: Upstream,
    token: String,
}

impl Stage {
    fn set() -> Self {
        let (companion, upstream) = (Companion::start(), Upstream::mcp());
        companion.add_server("raw", &upstream.url());
        let token = companion.token("default");
        Self { companion, upstream, token }
    }

    /// Both routes, each with an open session.
    fn sessions(&self) -> [McpSession; 2] {
        ROUTES.map(|slug| self.companion.session(&self.token, slug))
    }
}

/// A request in a session with exactly these further headers.
fn send(session: &McpSession, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let authorization = format!("Bearer {}", session.token);
    let mut all = vec![("Authorization", authorization.as_str()), ("Mcp-Session-Id", session.id.as_str())];
    all.extend_from_slice(headers);
    request(session.address, method, &session.path, &all, body)
}

fn ping() -> Vec<u8> {
    message("ping", &json!({})).to_string().into_bytes()
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: i32) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(
        (&document["jsonrpc"], &document["error"]["code"]),
        (&json!("2.0"), &json!(code)),
        "{document}"
    );
}

#[test]
fn accept_and_content_type() {
    let stage = Stage::set();
    for session in &stage.sessions() {
        let before = stage.upstream.received().len();
        for accept in [
            "application/json",
            "text/event-stream",
            "text/html, image/*",
            "application/jsonx, text/event-streamx",
        ] {
            refused(&send(session, "POST", &[JSON, ("Accept", accept)], &ping()), 406, -32600);
        }
        refused(&send(session, "POST", &[JSON], &ping()), 406, -32600);
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
            "",
        ] {
            refused(&send(session, "POST", &[ACCEPT, ("Content-Type", kind)], &ping()), 415, -32600);
        }
        refused(&send(session, "POST", &[ACCEPT], &ping()), 415, -32600);
        assert_eq!(stage.upstream.received().len(), before);
        for accept in [
            BOTH_TYPES,
            "*/*",
            "application/*;q=0.5, Text/Event-Stream ; q=1",
            "text/event-stream,application/json",
        ] {
            for kind in ["application/json", "Application/JSON; charset=utf-8"] {
                let answer = send(session, "POST", &[("Accept", accept), ("Content-Type", kind)], &ping());
                assert_eq!(
                    (answer.status, answer.json()["result"].clone()),
                    (200, json!({})),
                    "{accept} {kind}"
                );
            }
        }
        let two_lines = [JSON, ("Accept", "application/json"), ("Accept", "text/event-stream")];
        assert_eq!(send(session, "POST", &two_lines, &ping()).status, 200);
    }
}

#[test]
fn what_is_no_message() {
    let stage = Stage::set();
    for session in &stage.sessions() {
        let before = stage.upstream.received().len();
        let no_json: [&[u8]; 8] = [
            b"",
            b"{",
            b"nonsense",
            b"{\"jsonrpc\":\"2.0\",",
            b"\xff\xfe",
            b"{}{}",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xff\"}",
        ];
        for body in no_json {
            refused(&send(session, "POST", &[ACCEPT, JSON], body), 400, -32700);
        }
        let batch = format!("[{0},{0}]", String::from_utf8(ping()).unwrap());
        for body in [
            batch.as_str(),
            "[]",
            "7",
            "null",
            "{}",
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        ] {
            refused(&send(session, "POST", &[ACCEPT, JSON], body.as_bytes()), 400, -32600);
        }
        assert_eq!(stage.upstream.received().len(), before);
    }
}

#[test]
fn sixteen_mebibytes_and_no_byte_more() {
    let stage = Stage::set();
    let [all, one] = stage.sessions();
    let mut body = ping();
    body.resize(16 << 20, b' ');
    for session in [&all, &one] {
        let answer = send(session, "POST", &[ACCEPT, JSON], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    body.push(b' ');
    let before = stage.upstream.received().len();
    for session in [&all, &one] {
        refused(&send(session, "POST", &[ACCEPT, JSON], &body), 413, -32600);
    }
    assert_eq!(stage.upstream.received().len(), before);
}

#[test]
fn notifications_and_answers_get_202_and_nothing_else() {
    let stage = Stage::set();
    for session in &stage.sessions() {
        for body in [
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}),
            json!({"jsonrpc": "2.0", "method": "notifications/unheard-of"}),
            json!({"jsonrpc": "2.0", "id": 5, "result": {}}),
            json!({"jsonrpc": "2.0", "id": 5, "error": {"code": -1, "message": "no"}}),
        ] {
            let answer = session.send(&body, &[]);
            assert_eq!((answer.status, answer.body.as_slice()), (202, &b""[..]), "{body}");
        }
    }
}

#[test]
fn unknown_methods_and_tools() {
    let stage = Stage::set();
    let session = stage.companion.session(&stage.token, None);
    for method in ["tasks/list", "server/nonsense", "sampling/createMessage", "nonsense", ""] {
        let answer = session.send(&message(method, &json!({})), &[]);
        refused(&answer, 200, -32601);
        assert_eq!(answer.json()["id"], 1);
    }
    let before = stage.upstream.received().len();
    for params in [
        json!({"name": "echo"}),
        json!({"name": "nowhere__echo"}),
        json!({"name": "Raw__echo"}),
        json!({"name": "raw_echo"}),
        json!({"name": "__echo"}),
        json!({"name": "../raw__echo"}),
        json!({"name": ""}),
        json!({"name": 5}),
        json!({"name": null}),
        json!({}),
        json!([]),
    ] {
        refused(&session.send(&message("tools/call", &params), &[]), 200, -32602);
    }
    refused(&session.send(&message("tools/list", &json!({"cursor": "made-up"})), &[]), 200, -32602);
    assert_eq!(stage.upstream.received().len(), before);
}

#[test]
fn other_methods_of_http() {
    let stage = Stage::set();
    let [all, one] = stage.sessions();
    for method in ["PUT", "PATCH", "OPTIONS", "TRACE"] {
        for session in [&all, &one] {
            let answer = send(session, method, &[("Accept", "text/event-stream")], b"");
            refused(&answer, 405, -32600);
            assert_eq!(answer.header("Allow"), Some("GET, POST, DELETE"));
        }
    }
    // This upstream answers a GET with JSON: it has no stream.
    refused(&send(&one, "GET", &[("Accept", "text/event-stream")], b""), 405, -32600);
    for session in [&all, &one] {
        refused(&send(session, "GET", &[("Accept", "application/json")], b""), 406, -32600);
        refused(&send(session, "GET", &[], b""), 406, -32600);
    }
    for session in [&all, &one] {
        let answer = send(session, "DELETE", &[], b"");
        assert_eq!((answer.status, answer.body.as_slice()), (204, &b""[..]));
        refused(&session.send(&message("ping", &json!({})), &[]), 404, -32001);
    }
}

#[test]
fn the_version_header() {
    let stage = Stage::set();
    for session in &stage.sessions() {
        let before = stage.upstream.received().len();
        for version in ["2026-07-28", "1999-01-01", "2025-11-25x", "", "latest"] {
            refused(
                &session.send(&message("ping", &json!({})), &[("MCP-Protocol-Version", version)]),
                400,
                -32600,
            );
            // A stream would not end.
            let more = format!("MCP-Protocol-Version: {version}\r\n");
            assert_eq!(Listening::get(session, &more).status, 400);
            refused(&send(session, "DELETE", &[("MCP-Protocol-Version", version)], b""), 400, -32600);
        }
        assert_eq!(stage.upstream.received().len(), before);
        for version in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] {
            assert_eq!(
                session.send(&message("ping", &json!({})), &[("MCP-Protocol-Version", version)]).status,
                200
            );
        }
    }
}

#[test]
fn versions_are_negotiated() {
    let stage = Stage::set();
    for (wanted, chosen) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let path = gateway_path(None);
        let session = McpSession {
            address: stage.companion.address,
            path,
            token: stage.token.clone(),
            id: String::new(),
        };
        let answer = session.send(&message("initialize", &json!({"protocolVersion": wanted})), &[]);
        assert_eq!(answer.json()["result"]["protocolVersion"], chosen);
        let id = answer.header("Mcp-Session-Id").unwrap();
        assert!(id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }
}

#[test]
fn web_pages_of_other_origins_and_names() {
    let stage = Stage::set();
    let (address, port) = (stage.companion.address, stage.companion.address.port());
    for session in &stage.sessions() {
        let before = stage.upstream.received().len();
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            &format!("http://127.0.0.1.evil.example:{port}"),
        ] {
            let answer = session.send(&message("ping", &json!({})), &[("Origin", origin)]);
            assert_eq!((answer.status, answer.error_code().as_str()), (403, "forbidden"), "{origin}");
        }
        for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.nip.io", "10.0.0.1"] {
            let answer = send(session, "POST", &[ACCEPT, JSON, ("Host", host)], &ping());
            assert_eq!((answer.status, answer.error_code().as_str()), (403, "forbidden"), "{host}");
        }
        assert_eq!(stage.upstream.received().len(), before);
        let own = format!("http://{address}");
        assert_eq!(session.send(&message("ping", &json!({})), &[("Origin", &own)]).status, 200);
        let name = format!("localhost:{port}");
        assert_eq!(send(session, "POST", &[ACCEPT, JSON, ("Host", &name)], &ping()).status, 200);
    }
}

#[test]
fn without_a_token_there_is_no_authorization_server_to_find() {
    let stage = Stage::set();
    let address = stage.companion.address;
    let api_key = format!("Bearer {}", stage.companion.api_key);
    let (basic, twice) = (format!("Basic {}", stage.token), format!("Bearer {0} {0}", stage.token));
    let wrong = format!("Bearer {}", stage.token.to_ascii_uppercase());
    for path in ["/ws/default", "/ws/default/raw", "/ws/nowhere", "/ws/default/nowhere"] {
        for credential in [None, Some(&api_key), Some(&basic), Some(&twice), Some(&wrong)] {
            let mut headers = vec![ACCEPT, JSON];
            headers.extend(credential.map(|credential| ("Authorization", credential.as_str())));
            let answer = request(address, "POST", path, &headers, &ping());
            assert_eq!((answer.status, answer.error_code().as_str()), (401, "unauthorized"), "{path}");
            let challenge = answer.header("WWW-Authenticate").unwrap();
            assert!(
                challenge.starts_with("Bearer") && !challenge.contains("resource_metadata"),
                "{challenge}"
            );
        }
    }
    let found = "/.well-known/oauth-protected-resource";
    for (method, path) in [
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", found),
        ("GET", &format!("{found}/ws/default")),
        ("POST", "/register"),
        ("GET", "/ws/.well-known-not"),
    ] {
        let answer = request(address, method, path, &[JSON], b"");
        let expected = if path.starts_with("/ws/") { (401, "unauthorized") } else { (404, "not_found") };
        assert_eq!((answer.status, answer.error_code().as_str()), expected, "{path}: {}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    assert_eq!(stage.upstream.received().len(), 0);
}

#[test]
fn a_progress_token_is_of_both_eras() {
    let stage = Stage::set();
    let session = stage.companion.session(&stage.token, None);
    let params = json!({"name": "raw__echo", "_meta": {"progressToken": 1}});
    assert_eq!(session.send(&message("tools/call", &params), &[]).status, 200);
}

#[test]
fn an_initialize_that_would_fill_the_memory_is_refused() {
    let stage = Stage::set();
    for session in stage.sessions() {
        let fresh = McpSession { id: String::new(), ..session };
        let client = |length: usize| json!({"name": "x".repeat(length), "version": "1"});
        let params = |length| json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client(length)});
        assert_eq!(fresh.send(&message("initialize", &params(60_000)), &[]).status, 200);
        refused(&fresh.send(&message("initialize", &params(70_000)), &[]), 413, -32600);
    }
}
