//! Versions of the protocol on both routes: batches, which 2025-03-26 has and no other, and
//! versions that nobody could carry.

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::message;
use crate::harness::{Companion, McpSession, Upstream, mcp_answer};

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

#[test]
fn a_version_that_is_not_known_goes_no_further() {
    let (companion, echoing) = (Companion::start(), Upstream::mcp());
    companion.add_server("echoing", &echoing.url());
    let newer = Upstream::start(|request| {
        let mut answer = mcp_answer(request);
        if request.method() == "initialize" {
            let text = String::from_utf8(answer).unwrap();
            answer = text.replace("2025-11-25", "2099-01-01").into_bytes();
        }
        answer
    });
    companion.add_server("newer", &newer.url());
    let token = companion.token("default");
    let initialize = |slug: &str, version: &str| {
        let (address, path, token) = (companion.address, gateway_path(Some(slug)), token.clone());
        let session = McpSession { address, path, token, id: String::new() };
        session.send(&message("initialize", &json!({"protocolVersion": version})), &[])
    };
    assert_eq!(initialize("echoing", "2099-01-01").json()["result"]["protocolVersion"], "2025-11-25");
    let sent = echoing.received_of("initialize")[0].json();
    assert_eq!(sent["params"]["protocolVersion"], "2025-11-25");
    let answer = initialize("newer", "2025-11-25");
    assert_eq!(answer.json()["error"]["data"]["reason"], "unknown_version", "{}", answer.text());
    assert_eq!(answer.header("Mcp-Session-Id"), None);
}
