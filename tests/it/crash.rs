//! kill -9 at any time: no acknowledged `set` is lost, and what is found afterwards works.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use aerostack::server::demo_upstream::{DemoUpstream, hash_prefix};
use serde_json::{Value, json};

use crate::harness::companion::KEY;
use crate::harness::{McpSession, Running, aerostack, request};

const ROUNDS: u64 = 50;

fn serve(database: &str) -> Running {
    let serve = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", database]);
    serve.env("WORKFLOW_SECRETS_KEY", KEY).start("AEROSTACK_API_URL")
}

struct Admin {
    key: String,
}

impl Admin {
    fn headers(&self) -> String {
        format!("Bearer {}", self.key)
    }

    fn post(&self, address: SocketAddr, path: &str, body: &Value) -> Value {
        let bearer = self.headers();
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = request(address, "POST", path, &headers, body.to_string().as_bytes());
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.json()
    }

    /// Writes a `set` and does not wait for the answer.
    fn begin_set(&self, address: SocketAddr, value: &str) -> TcpStream {
        let body = json!({"name": "TOKEN", "value": value}).to_string();
        let mut socket = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/v1/admin/mcp-servers/demo-mcp/secrets HTTP/1.1\r\nHost: {address}\r\nAuthorization: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.headers(),
            body.len()
        );
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        socket
    }
}

/// A small generator, so that the moments differ from round to round and every run is the same.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn fifty_kills_lose_no_acknowledged_set() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("aerostack.db").display());
    let demo = DemoUpstream::start().unwrap();
    let mut running = serve_first(&database);
    let admin = Admin { key: running.variable("AEROSTACK_API_KEY").to_owned() };
    let add = json!({"slug": "demo-mcp", "url": demo.url(), "allow_private_network": true});
    admin.post(running.address(), "/api/v1/admin/mcp-servers", &add);
    let token =
        admin.post(running.address(), "/api/v1/admin/workspaces/default/tokens", &json!({"name": "t"}));
    let token = token["secret"].as_str().unwrap().to_owned();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut count = 0_u64;
    for round in 0..ROUNDS {
        let address = running.address();
        let mut acknowledged = 0;
        for _ in 0..=next(&mut random) % 8 {
            count += 1;
            let body = json!({"name": "TOKEN", "value": format!("value-{count}")});
            let answer = admin.post(address, "/api/v1/admin/mcp-servers/demo-mcp/secrets", &body);
            acknowledged = answer["secret"]["version"].as_u64().unwrap();
        }
        let last = count;
        count += 1;
        let pending = admin.begin_set(address, &format!("value-{count}"));
        for _ in 0..next(&mut random) % 60_000 {
            std::hint::spin_loop();
        }
        running.kill();
        drop(pending);
        running = serve(&database);
        check(running.address(), &admin, &token, acknowledged, [last, count], round);
    }
    let (code, _) = running.terminate();
    assert_eq!(code, 0);
}

fn serve_first(database: &str) -> Running {
    let running = serve(database);
    assert!(running.variables.contains_key("AEROSTACK_API_KEY"), "the first start prints the key");
    running
}

/// The version is at least the acknowledged one, and the value one of the last two.
fn check(address: SocketAddr, admin: &Admin, token: &str, acknowledged: u64, values: [u64; 2], round: u64) {
    let bearer = admin.headers();
    let headers = [("Authorization", bearer.as_str())];
    let list = request(address, "GET", "/api/v1/admin/mcp-servers/demo-mcp/secrets", &headers, b"").json();
    let version = list["secrets"][0]["version"].as_u64().unwrap();
    assert!(version >= acknowledged, "round {round}: version {version}, acknowledged {acknowledged}");
    let answer = McpSession::open(address, "/ws/default", token).call("demo-mcp__whoami");
    let seen =
        answer["result"]["structuredContent"]["headers"]["token"].as_str().unwrap_or_default().to_owned();
    let expected = values[usize::from(version > acknowledged)];
    assert_eq!(seen, hash_prefix(format!("value-{expected}").as_bytes()), "round {round}: {answer}");
}
