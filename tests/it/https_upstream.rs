//! Upstreams over https: a second companion with TLS is the MCP server, and the secret is
//! the workspace token that it asks for. Its certificate is checked.

use serde_json::json;

use crate::harness::{McpSession, Running, aerostack, request};

fn admin(server: &Running, method: &str, path: &str, body: &serde_json::Value) -> u16 {
    let bearer = format!("Bearer {}", server.variable("AEROSTACK_API_KEY"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(server.address(), method, path, &headers, body.to_string().as_bytes()).status
}

/// A front server that has the back server as `back-mcp`, and the answer of a call through both.
fn call_through(front: &Running, back: &Running, host: &str) -> serde_json::Value {
    let url = format!("https://{host}:{}/ws/default/demo-mcp", back.address().port());
    let servers = "/api/v1/admin/mcp-servers";
    assert_eq!(admin(front, "POST", servers, &json!({"slug": "back-mcp", "url": url})), 201);
    let set = json!({
        "name": "BACK_TOKEN",
        "value": back.variable("AEROSTACK_TOKEN"),
        "injection": {"type": "bearer"},
    });
    assert_eq!(admin(front, "POST", &format!("{servers}/back-mcp/secrets"), &set), 201);
    let session = McpSession::open(front.address(), "/ws/default", front.variable("AEROSTACK_TOKEN"));
    session.rpc("tools/call", &json!({"name": "back-mcp__echo", "arguments": {"text": "through both"}}))
}

#[test]
fn a_secret_goes_out_over_https_to_a_server_whose_certificate_is_good() {
    let back = aerostack(&["mock", "--listen", "127.0.0.1:0", "--tls"]).start("AEROSTACK_CA_CERT");
    let authority = back.variable("AEROSTACK_CA_CERT").to_owned();
    let mock = || aerostack(&["mock", "--listen", "127.0.0.1:0"]);

    let front = mock().env("SSL_CERT_FILE", &authority).start("AEROSTACK_TOKEN");
    let answer = call_through(&front, &back, "127.0.0.1");
    assert_eq!(answer["result"]["content"][0]["text"], "through both", "{answer}");

    // The same authority, but a name that the certificate does not have.
    let front = mock().env("SSL_CERT_FILE", &authority).start("AEROSTACK_TOKEN");
    let answer = call_through(&front, &back, "[::ffff:127.0.0.1]");
    assert_eq!(answer["error"]["data"]["reason"], "unreachable", "{answer}");

    // An authority that nobody trusts here.
    let front = mock().start("AEROSTACK_TOKEN");
    let answer = call_through(&front, &back, "127.0.0.1");
    assert_eq!(answer["error"]["data"]["reason"], "unreachable", "{answer}");
}
