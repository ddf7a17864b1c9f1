//! A redirect would carry the secret to another place: none is followed, whatever the rule,
//! the status and the message. The member gets an error that names neither the place nor
//! the secret.

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::message;
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, McpSession, Upstream, mcp_answer};

const STATUSES: [&str; 6] = [
    "301 Moved",
    "302 Found",
    "303 See Other",
    "307 Temporary Redirect",
    "308 Permanent Redirect",
    "300 Choices",
];
const METHODS: [&str; 3] = ["initialize", "tools/list", "tools/call"];

/// The forms of a rule (`--mcp-secret` is a header of its own), and what then arrives.
fn rules() -> [(Value, &'static str, &'static str); 4] {
    [
        (json!({"type": "name"}), "API_TOKEN", "canary-7f3a"),
        (json!({"type": "header", "header": "X-Key", "prefix": "Key "}), "X-Key", "Key canary-7f3a"),
        (json!({"type": "bearer"}), "Authorization", "Bearer canary-7f3a"),
        (
            json!({"type": "header", "header": "X-Mcp-Secret-API-TOKEN"}),
            "X-Mcp-Secret-API-TOKEN",
            "canary-7f3a",
        ),
    ]
}

/// An upstream that answers `method` with a redirect to the collector.
fn redirecting(status: &'static str, method: &'static str, location: String) -> Upstream {
    Upstream::start(move |request: &Received| {
        if request.method() == method {
            let body = format!("<a href=\"{location}\">moved</a>");
            return http_answer(status, &[("Location", &location), ("Content-Type", "text/html")], &body);
        }
        mcp_answer(request)
    })
}

/// A JSON-RPC error that tells a member nothing but what kind of trouble it is.
#[track_caller]
fn is_closed_about_it(answer: &Value) {
    assert_eq!(answer["error"]["data"], json!({"server": "moved", "reason": "redirect"}), "{answer}");
    let text = answer.to_string();
    for told in
        ["127.0.0.", "http", "canary", "API_TOKEN", "API-TOKEN", "X-Key", "Authorization", "collector-path"]
    {
        assert!(!text.contains(told), "{text}");
    }
}

fn check(companion: &Companion, method: &str) {
    let token = companion.token("default");
    let (all, path) = (companion.session(&token, None), gateway_path(Some("moved")));
    if method == "tools/list" {
        assert_eq!(all.tools(), Vec::<String>::new());
    } else {
        is_closed_about_it(&all.call("moved__echo"));
    }
    if method == "initialize" {
        let own = McpSession { address: companion.address, path, token, id: String::new() };
        let answer = own.send(&message("initialize", &json!({"protocolVersion": "2025-11-25"})), &[]);
        assert_eq!((answer.status, answer.header("Location")), (200, None));
        assert_eq!(answer.header("Mcp-Session-Id"), None);
        return is_closed_about_it(&answer.json());
    }
    let own = companion.session(&token, Some("moved"));
    let answer = own.send(&message(method, &json!({"name": "echo"})), &[]);
    assert_eq!((answer.status, answer.header("Location")), (200, None));
    is_closed_about_it(&answer.json());
}

fn never_followed(rule: usize) {
    let collector = Upstream::on("127.0.0.2:0", mcp_answer);
    let (rule, header, value) = rules()[rule].clone();
    let companion = Companion::start();
    for status in STATUSES {
        for method in METHODS {
            let upstream =
                redirecting(status, method, format!("http://{}/collector-path", collector.address));
            companion.add_server("moved", &upstream.url());
            companion.set("moved", "API_TOKEN", "canary-7f3a");
            assert_eq!(companion.inject("moved", "API_TOKEN", &rule).status, 200);
            check(&companion, method);
            // The upstream itself was asked, with its secret.
            let asked = upstream.received_of(method);
            assert!(asked.len() >= 2, "{method}");
            assert!(asked.iter().all(|request| request.values(header) == [value]), "{asked:?}");
            let path = "/api/v1/admin/mcp-servers/moved";
            assert_eq!(companion.admin("DELETE", path, None).status, 204);
        }
    }
    assert_eq!(collector.connections(), 0);
}

#[test]
fn with_a_secret_by_name() {
    never_followed(0);
}

#[test]
fn with_a_secret_in_a_header_with_a_prefix() {
    never_followed(1);
}

#[test]
fn with_a_bearer_token() {
    never_followed(2);
}

#[test]
fn with_a_secret_for_a_hosted_server() {
    never_followed(3);
}
