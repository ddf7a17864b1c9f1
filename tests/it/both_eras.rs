//! One workspace with upstreams of every kind: one that knows only the older revisions, one
//! that knows only 2026-07-28, and one like a hosted worker, which answers JSON and keeps
//! no sessions. Every client that we did not write sees all tools and calls one of each.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::parts::{ClientSession, PartUpstream, part, parts, run_client};
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Upstream};
use crate::rmcp_client as rmcp;

const WORKER_TOOLS: [&str; 2] = ["lookup", "store"];

/// What a hosted worker answers: JSON only, no session id, everything with status 200, and a
/// notification with an error without an id.
fn worker(request: &Received) -> Vec<u8> {
    let head = request.head_text();
    if head.starts_with("GET ") {
        return json_answer(&json!({"name": "worker", "status": "ok"}));
    }
    if head.starts_with("DELETE ") {
        return http_answer("405 Method Not Allowed", &[("Allow", "GET, POST")], "");
    }
    let message = request.json();
    let schema = json!({"type": "object", "properties": {"key": {"type": "string"}}});
    let tool = |name: &str| json!({"name": name, "description": "A tool.", "inputSchema": schema});
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => Some(json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "worker", "version": "1.0.0"},
        })),
        "tools/list" => Some(json!({"tools": WORKER_TOOLS.map(tool)})),
        "tools/call" => {
            let key = &message["params"]["arguments"]["key"];
            Some(json!({"content": [{"type": "text", "text": format!("worker: {key}")}]}))
        }
        _ => None,
    };
    let mut answer = json!({"jsonrpc": "2.0"});
    if let Some(id) = message.get("id") {
        answer["id"] = id.clone();
    }
    match result {
        Some(result) => answer["result"] = result,
        None => answer["error"] = json!({"code": -32601, "message": "Method not found"}),
    }
    json_answer(&answer)
}

struct Stage {
    folder: PathBuf,
    companion: Companion,
    older: PartUpstream,
    newer: PartUpstream,
    _worker: Upstream,
    token: String,
}

impl Stage {
    fn set(test: &str) -> Option<Self> {
        let folder = parts(test)?;
        let older = PartUpstream::start(part(&folder, "everything.mjs"));
        let mut newer = part(&folder, "conformance_upstream.mjs");
        newer.env("MCP_ERA", "modern");
        let newer = PartUpstream::start(newer);
        let worker = Upstream::start(worker);
        let companion = Companion::start();
        companion.add_server("older", &older.url());
        companion.add_server("newer", &newer.url());
        companion.add_server("worker", &worker.url());
        let token = companion.token("default");
        Some(Self { folder, companion, older, newer, _worker: worker, token })
    }

    fn url(&self) -> String {
        format!("{}{}", self.companion.base_url, gateway_path(None))
    }

    fn list(&self, program: &str, url: &str) -> Vec<String> {
        let (code, answer) = run_client(part(&self.folder, program), &self.token, &[url, "list"]);
        assert_eq!(code, 0, "{program}: {answer}");
        serde_json::from_value(answer["tools"].clone()).unwrap()
    }

    /// The tools of all, by slug and then as their server has them.
    fn all_tools(&self) -> Vec<String> {
        let newer = self.list("ts2_client.mjs", &self.newer.url());
        let older = self.list("ts_client.mjs", &self.older.url());
        assert!(newer.len() > 10 && older.len() > 10, "{newer:?} {older:?}");
        let worker = WORKER_TOOLS.map(str::to_owned).to_vec();
        let named = [("newer", newer), ("older", older), ("worker", worker)];
        let prefixed = named
            .map(|(slug, tools)| tools.into_iter().map(|tool| format!("{slug}__{tool}")).collect::<Vec<_>>());
        prefixed.concat()
    }
}

/// A call of a tool of each, one whose argument stands in a header too, and what comes back.
fn calls() -> [(&'static str, Value, &'static str); 4] {
    [
        ("older__echo", json!({"message": "héllo"}), "Echo: héllo"),
        ("newer__test_simple_text", json!({}), "This is a simple text response for testing."),
        ("newer__test_custom_header", json!({"region": "eu-1"}), "region: eu-1"),
        ("worker__lookup", json!({"key": "k"}), "worker: \"k\""),
    ]
}

#[track_caller]
fn sees_and_calls_all(test: &str, program: &str) {
    let Some(stage) = Stage::set(test) else { return };
    assert_eq!(stage.list(program, &stage.url()), stage.all_tools());
    let mut session = ClientSession::start(part(&stage.folder, program), &stage.token, &stage.url());
    for (tool, arguments, expected) in calls() {
        let answer = session.call(tool, &arguments);
        assert_eq!(answer["result"]["content"][0]["text"], expected, "{tool}: {answer}");
    }
}

#[test]
fn typescript_1() {
    sees_and_calls_all("typescript_1", "ts_client.mjs");
}

#[test]
fn typescript_2() {
    sees_and_calls_all("typescript_2", "ts2_client.mjs");
}

#[test]
fn python_1() {
    sees_and_calls_all("python_1", "py1_client.py");
}

#[test]
fn python_2() {
    sees_and_calls_all("python_2", "py_client.py");
}

#[test]
fn fastmcp() {
    sees_and_calls_all("fastmcp", "fastmcp_client.py");
}

#[test]
fn rmcp_in_both_modes() {
    let Some(stage) = Stage::set("rmcp_in_both_modes") else { return };
    let all = stage.all_tools();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for mode in rmcp::both_modes() {
            let client = rmcp::connect(&stage.companion, None, &stage.token, mode).await.unwrap();
            assert_eq!(rmcp::tools(&client).await, all);
            for (tool, arguments, expected) in calls() {
                let result = rmcp::call(&client, tool, &arguments).await.unwrap();
                assert_eq!(result["content"][0]["text"], expected, "{tool}: {result}");
            }
            client.cancel().await.unwrap();
        }
    });
}

#[test]
fn a_worker_alone_behaves_as_one() {
    let worker = Upstream::start(worker);
    let companion = Companion::start();
    companion.add_server("worker", &worker.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), WORKER_TOOLS.map(|tool| format!("worker__{tool}")));
    let answer = session.rpc("tools/call", &json!({"name": "worker__store", "arguments": {"key": 1}}));
    assert_eq!(answer["result"]["content"][0]["text"], "worker: 1", "{answer}");
    assert!(worker.received().iter().all(|request| request.values("Mcp-Session-Id").is_empty()));
}
