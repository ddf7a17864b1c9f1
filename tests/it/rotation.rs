//! "Takes effect on next tool call": a change that was acknowledged is obeyed by every
//! request that comes after it.

use aerostack::server::demo_upstream::{DemoUpstream, hash_prefix};
use serde_json::{Value, json};

use crate::harness::Companion;

fn seen(answer: &Value, header: &str) -> Option<String> {
    let headers = &answer["result"]["structuredContent"]["headers"];
    assert!(headers.is_object(), "{answer}");
    headers[header].as_str().map(str::to_owned)
}

#[test]
fn a_thousand_sets_are_each_seen_by_the_next_call() {
    let (companion, demo) = (Companion::start(), DemoUpstream::start().unwrap());
    companion.add_server("demo-mcp", &demo.url());
    companion.set("demo-mcp", "TOKEN", "value-0");
    let rule = json!({"type": "header", "header": "X-Token"});
    assert_eq!(companion.inject("demo-mcp", "TOKEN", &rule).status, 200);
    let session = companion.session(&companion.token("default"), None);
    for round in 1..=1000 {
        let value = format!("value-{round}");
        companion.set("demo-mcp", "TOKEN", &value);
        let answer = session.call("demo-mcp__whoami");
        assert_eq!(seen(&answer, "x-token"), Some(hash_prefix(value.as_bytes())), "round {round}");
    }
}
