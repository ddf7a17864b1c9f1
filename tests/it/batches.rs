//! Versions of the protocol on both routes: batches, which 2025-03-26 has and no other, and
//! versions that nobody could carry.

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::message;
use crate::harness::{Companion, McpSession, Upstream, mcp_answer};

/// A session of the one version that has batches.
fn with_batches(companion: &Companion, slug: Option<&str>, token: &str) -> McpSession {
    let (address, path, token) = (companion.address, gateway_path(slug), token.to_owned());
    let session = McpSession { address, path, token, id: String::new() };
    let answer = session.send(&message("initialize", &json!({"protocolVersion": "2025-03-26"})), &[]);
    let id = answer.header("Mcp-Session-Id").unwrap().to_owned();
    McpSession { id, ..session }
}

#[test]
fn batches_are_taken_in_the_one_version_that_has_them() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    for slug in [None, Some("raw")] {
        let session = with_batches(&companion, slug, &companion.token("default"));
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

/// A call without an id would be made, and neither counted nor recorded.
#[test]
fn a_request_without_an_id_goes_nowhere() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    let limited = companion.token_with("default", &json!({"name": "a", "tools": ["raw__*"]}));
    for token in [companion.token("default"), limited] {
        for (slug, tool) in [(None, "raw__echo"), (Some("raw"), "echo")] {
            let session = with_batches(&companion, slug, &token);
            let good = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            let hidden = json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": tool}});
            let unknown = json!({"jsonrpc": "2.0", "method": "own/thing"});
            let ping = json!({"jsonrpc": "2.0", "id": 7, "method": "ping"});
            for refused in [&hidden, &unknown, &json!([hidden]), &json!([good, hidden])] {
                let answer = session.send(refused, &[]);
                assert_eq!(
                    (answer.status, &answer.json()["error"]["code"]),
                    (400, &json!(-32600)),
                    "{refused}"
                );
            }
            let answer = session.send(&json!([hidden, ping]), &[]);
            assert_eq!((answer.status, answer.json().as_array().map(Vec::len)), (200, Some(1)));
            assert_eq!(session.send(&good, &[]).status, 202);
            assert_eq!(session.send(&json!([good]), &[]).status, 202);
        }
    }
    let gone_through: Vec<_> = upstream
        .received()
        .into_iter()
        .filter(|one| ["tools/call", "own/thing"].contains(&one.method().as_str()))
        .collect();
    assert!(gone_through.is_empty(), "{gone_through:?}");
}

#[test]
fn a_batch_that_the_rate_limit_refuses_as_a_whole() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    let token = companion.token_with("default", &json!({"name": "a", "rate_limit": 1}));
    let session = with_batches(&companion, None, &token);
    let call = |id: i32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "raw__echo"}});
    let codes = |answers: Value| {
        answers.as_array().unwrap().iter().map(|one| one["error"]["code"].clone()).collect::<Vec<_>>()
    };
    let some = session.send(&json!([call(1), call(2)]), &[]);
    assert_eq!((some.status, some.header("Retry-After")), (200, None));
    assert_eq!(codes(some.json()), [Value::Null, json!(-32005)]);
    let none = session.send(&json!([call(3), call(4)]), &[]);
    assert_eq!((none.status, codes(none.json())), (429, vec![json!(-32005), json!(-32005)]));
    let wait = none.json()[0]["error"]["data"]["retry_after"].clone();
    assert_eq!(none.header("Retry-After"), Some(wait.to_string().as_str()));
    assert_eq!(
        (none.header("X-RateLimit-Remaining"), none.header("Content-Type")),
        (Some("0"), Some("application/json"))
    );
    // What is no call has a quota of its own.
    let ping = json!({"jsonrpc": "2.0", "id": 5, "method": "ping"});
    assert_eq!(session.send(&json!([call(3), ping]), &[]).status, 200);
    assert_eq!(upstream.received_of("tools/call").len(), 1);
}
