//! Secrets of one server never reach another: what each upstream receives is compared
//! byte for byte, with two servers, one secret each, and a client that sends too much.

use serde_json::json;

use crate::harness::upstream::Received;
use crate::harness::{Companion, Upstream};

const CLIENT_HEADERS: [(&str, &str); 8] = [
    ("Cookie", "session=member"),
    ("X-Api-Key", "client-key"),
    ("Github-Token", "client-look-alike"),
    ("User-Agent", "client-agent"),
    ("X-Forwarded-For", "10.9.8.7"),
    ("Mcp-Param-Region", "eu"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("Last-Event-ID", "client-event"),
];

/// The header block of a request as sorted lines, the request line first.
fn lines(request: &Received) -> Vec<String> {
    let text = request.head_text();
    let mut lines: Vec<String> =
        text.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

#[test]
fn each_upstream_receives_its_own_secret_and_nothing_else() {
    let (companion, github, slack) = (Companion::start(), Upstream::mcp(), Upstream::mcp());
    companion.add_server("github-mcp", &github.url());
    companion.add_server("slack-mcp", &slack.url());
    companion.set("github-mcp", "GITHUB_TOKEN", "ghp_only_for_github");
    companion.set("slack-mcp", "SLACK_TOKEN", "xoxb_only_for_slack");
    assert_eq!(companion.inject("slack-mcp", "SLACK_TOKEN", &json!({"type": "bearer"})).status, 200);
    let token = companion.token("default");
    for slug in [None, Some("github-mcp"), Some("slack-mcp")] {
        let session = companion.session(&token, slug);
        session.tools();
        let tools = match slug {
            None => vec!["github-mcp__echo", "slack-mcp__echo"],
            Some(_) => vec!["echo"],
        };
        for tool in tools {
            let message =
                crate::harness::mcp::message("tools/call", &json!({"name": tool, "arguments": {"a": 1}}));
            let answer = session.send(&message, &CLIENT_HEADERS);
            assert!(answer.text().contains(r#""result""#), "{}", answer.text());
        }
    }
    check(&github, "GITHUB_TOKEN: ghp_only_for_github".to_lowercase().as_str(), &[&token, "xoxb", "SLACK"]);
    check(&slack, "authorization: Bearer xoxb_only_for_slack", &[&token, "ghp_", "GITHUB"]);
}

/// Every request has the injected line once and nothing foreign; a call has exactly these lines.
fn check(upstream: &Upstream, injected: &str, never: &[&str]) {
    let received = upstream.received();
    assert!(received.len() >= 8, "{}", received.len());
    for request in &received {
        let text = format!("{}\n{}", request.head_text(), String::from_utf8_lossy(&request.body));
        let lower = text.to_lowercase();
        assert_eq!(lower.matches(&injected.to_lowercase()).count(), 1, "{text}");
        for word in never.iter().chain(&["mwt_", "Cookie", "client-", "10.9.8.7", "session=member"]) {
            assert!(!lower.contains(&word.to_lowercase()), "{word} in {text}");
        }
    }
    let call = upstream.received_of("tools/call").pop().unwrap();
    let mut expected = vec![
        "accept: application/json, text/event-stream".to_owned(),
        "accept-encoding: identity".to_owned(),
        format!("content-length: {}", call.body.len()),
        "content-type: application/json".to_owned(),
        format!("host: {}", upstream.address),
        "mcp-param-region: eu".to_owned(),
        "mcp-protocol-version: 2025-11-25".to_owned(),
        format!("traceparent: {}", CLIENT_HEADERS[6].1),
        concat!("user-agent: aerostack-gateway/", env!("CARGO_PKG_VERSION")).to_owned(),
        injected.to_owned(),
    ];
    expected.sort();
    expected.insert(0, "POST /mcp HTTP/1.1".to_owned());
    assert_eq!(lines(&call), expected);
    assert_eq!(
        call.body,
        br#"{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"a":1},"name":"echo"}}"#
    );
}

#[test]
fn the_same_name_on_two_servers_and_in_two_workspaces_is_four_secrets() {
    let companion = Companion::start();
    let made = companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Other"})));
    assert_eq!(made.status, 201);
    let upstreams: Vec<Upstream> = (0..4).map(|_| Upstream::mcp()).collect();
    let places = [("default", "a"), ("default", "b"), ("other", "a"), ("other", "b")];
    for ((workspace, slug), upstream) in places.iter().zip(&upstreams) {
        let add = json!({"slug": slug, "url": upstream.url()});
        let path = format!("/api/v1/admin/mcp-servers?workspace={workspace}");
        assert_eq!(companion.admin("POST", &path, Some(&add)).status, 201);
        let path = format!("/api/v1/admin/mcp-servers/{slug}/secrets?workspace={workspace}");
        let set = json!({"name": "KEY", "value": format!("value-{workspace}-{slug}")});
        assert_eq!(companion.admin("POST", &path, Some(&set)).status, 201);
    }
    for workspace in ["default", "other"] {
        let token = companion.token(workspace);
        let path = format!("/ws/{workspace}");
        let session = crate::harness::McpSession::open(companion.address, &path, &token);
        assert_eq!(session.tools(), ["a__echo", "b__echo"]);
    }
    for ((workspace, slug), upstream) in places.iter().zip(&upstreams) {
        for request in upstream.received() {
            assert_eq!(request.values("KEY"), [format!("value-{workspace}-{slug}")]);
        }
    }
}
