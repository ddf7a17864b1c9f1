//! Batches: version 2025-03-26 of the protocol has them, and no other.

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::message;
use crate::harness::{Companion, McpSession, Upstream};

#[test]
fn batches_are_taken_in_the_one_version_that_has_them() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    for slug in [None, Some("raw")] {
        let (path, token) = (gateway_path(slug), companion.token("default"));
        let mut session = McpSession { address: companion.address, path, token, id: String::new() };
        let answer = session.send(&message("initialize", &json!({"protocolVersion": "2025-03-26"})), &[]);
        session.id = answer.header("Mcp-Session-Id").unwrap().to_owned();
        let request = |id: i32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let tool = if slug.is_none() { "raw__echo" } else { "echo" };
        let call = request(2, "tools/call", json!({"name": tool}));
        let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer = session.send(&json!([request(1, "ping", json!({})), notification, call]), &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answers = answer.json();
        assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
        assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!(2)));
        assert!(answers[1]["result"]["content"].is_array(), "{answers}");
        let answer = session.send(&json!([notification, notification]), &[]);
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        let initialize = request(1, "initialize", json!({}));
        for refused_batch in
            [json!([]), json!([7]), json!([initialize]), json!([[notification]]), json!([{}])]
        {
            let answer = session.send(&refused_batch, &[]);
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32600)));
        }
    }
}
