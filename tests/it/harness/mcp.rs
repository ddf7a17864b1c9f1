//! An MCP session over the plain HTTP client, for tests that look at bytes. (Real MCP
//! clients have tests of their own.)

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::http::{Answer, request};

/// Both types a client must accept.
pub const BOTH_TYPES: &str = "application/json, text/event-stream";

/// An open session.
pub struct McpSession {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
    pub id: String,
}

impl McpSession {
    /// Sends `initialize` and `notifications/initialized`.
    pub fn open(address: SocketAddr, path: &str, token: &str) -> Self {
        Self::open_with(address, path, token, &json!({}))
    }

    /// The same with capabilities of the client.
    pub fn open_with(address: SocketAddr, path: &str, token: &str, capabilities: &Value) -> Self {
        let mut session = Self { address, path: path.to_owned(), token: token.to_owned(), id: String::new() };
        let client = json!({"name": "test", "version": "1"});
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client});
        let answer = session.send(&message("initialize", &params), &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.header("Mcp-Session-Id");
        session.id = id.unwrap_or_else(|| panic!("{}", answer.text())).into();
        let answer = session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), &[]);
        assert_eq!(answer.status, 202, "{}", answer.text());
        session
    }

    /// Posts one message with further headers.
    pub fn send(&self, message: &Value, more: &[(&str, &str)]) -> Answer {
        self.post(&message.to_string(), more)
    }

    /// Posts a body of any kind with further headers.
    pub fn post(&self, body: &str, more: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", BOTH_TYPES),
        ];
        if !self.id.is_empty() {
            headers.push(("Mcp-Session-Id", self.id.as_str()));
        }
        headers.extend_from_slice(more);
        request(self.address, "POST", &self.path, &headers, body.as_bytes())
    }

    /// Sends a request and reads the JSON-RPC answer, from JSON or from an event stream.
    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        json_rpc(&self.send(&message(method, params), &[]))
    }

    /// Calls a tool without arguments: the JSON-RPC answer.
    pub fn call(&self, tool: &str) -> Value {
        self.rpc("tools/call", &json!({"name": tool, "arguments": {}}))
    }

    /// Names of all tools.
    pub fn tools(&self) -> Vec<String> {
        let answer = self.rpc("tools/list", &json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// A JSON-RPC request with id 1.
pub fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The JSON-RPC answer in a JSON body or in an event stream.
pub fn json_rpc(answer: &Answer) -> Value {
    if answer.header("Content-Type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
        let text = answer.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        let mut messages = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        return messages.find(|message| message.get("id").is_some()).unwrap_or_else(|| panic!("{text}"));
    }
    answer.json()
}
