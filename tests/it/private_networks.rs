//! Which addresses an upstream may have (T8): under `serve` a server on loopback or in a
//! private network is called only if it was added with that flag; metadata addresses never.

use serde_json::json;

use crate::harness::companion::KEY;
use crate::harness::{Companion, McpSession, Upstream};

fn call(companion: &Companion, token: &str, slug: &str) -> serde_json::Value {
    McpSession::open(companion.address, "/ws/default", token).call(&format!("{slug}__echo"))
}

#[test]
fn loopback_needs_the_flag_in_every_spelling() {
    let (mut companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.open(KEY, false, None).unwrap();
    let token = companion.token("default");
    let port = upstream.address.port();
    for (number, host) in
        ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
            .iter()
            .enumerate()
    {
        let slug = format!("s{number}");
        companion.add_server(&slug, &format!("http://{host}:{port}/mcp"));
        companion.set(&slug, "TOKEN", "canary");
        let answer = call(&companion, &token, &slug);
        assert_eq!(answer["error"]["data"]["reason"], "address_refused", "{host}: {answer}");
        assert!(!answer.to_string().contains("127."), "{answer}");
    }
    assert_eq!(upstream.connections(), 0);
    let path = "/api/v1/admin/mcp-servers/s0";
    let allow = companion.admin("PATCH", path, Some(&json!({"allow_private_network": true})));
    assert_eq!(allow.status, 200);
    assert!(call(&companion, &token, "s0")["result"].is_object());
    assert_eq!(upstream.received_of("tools/call")[0].values("TOKEN"), ["canary"]);
    // Taken back, it holds for the next call, although a connection is at rest.
    let refuse = companion.admin("PATCH", path, Some(&json!({"allow_private_network": false})));
    assert_eq!(refuse.status, 200);
    for _ in 0..4 {
        let answer = call(&companion, &token, "s0");
        assert_eq!(answer["error"]["data"]["reason"], "address_refused", "{answer}");
    }
    assert_eq!(upstream.received_of("tools/call").len(), 1);
}

#[test]
fn metadata_addresses_are_never_called() {
    let companion = Companion::start();
    let token = companion.token("default");
    for (number, host) in ["169.254.169.254", "[::ffff:a9fe:a9fe]", "[fe80::1]", "0.0.0.0", "100.100.100.200"]
        .iter()
        .enumerate()
    {
        let slug = format!("m{number}");
        let body = json!({"slug": slug, "url": format!("http://{host}/mcp"), "allow_private_network": true});
        assert_eq!(companion.admin("POST", "/api/v1/admin/mcp-servers", Some(&body)).status, 201);
        let answer = call(&companion, &token, &slug);
        assert_eq!(answer["error"]["data"]["reason"], "address_refused", "{host}: {answer}");
    }
}
