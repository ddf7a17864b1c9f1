//! Client sessions of the gateway: good for the token and the route that opened them, and
//! for nothing else. What is refused here reaches no upstream.

use serde_json::json;

use crate::harness::companion::gateway_path;
use crate::harness::http::{Answer, request};
use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::{Companion, McpSession, Upstream};

/// `method` with this token, on this route, in the session with this id (or none).
fn send(companion: &Companion, method: &str, slug: Option<&str>, token: &str, id: Option<&str>) -> Answer {
    let authorization = format!("Bearer {token}");
    let mut headers = vec![
        ("Authorization", authorization.as_str()),
        ("Accept", BOTH_TYPES),
        ("Content-Type", "application/json"),
    ];
    headers.extend(id.map(|id| ("Mcp-Session-Id", id)));
    let body = message("tools/list", &json!({})).to_string();
    let body = if method == "POST" { body.as_bytes() } else { b"" };
    request(companion.address, method, &gateway_path(slug), &headers, body)
}

fn project() -> (Companion, Upstream) {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    companion.add_server("raw-two", &upstream.url());
    (companion, upstream)
}

#[track_caller]
fn session_error(answer: &Answer, status: u16, code: i32) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], code, "{}", answer.text());
}

#[test]
fn a_session_is_good_for_its_own_token_and_route_only() {
    let (companion, upstream) = project();
    let (token, other_token) = (companion.token("default"), companion.token("default"));
    let routes = [None, Some("raw"), Some("raw-two")];
    let sessions: Vec<McpSession> = routes.map(|slug| companion.session(&token, slug)).into();
    let before = upstream.received().len();
    for method in ["POST", "GET", "DELETE"] {
        for (slug, own) in routes.iter().zip(&sessions) {
            let refused = session_error;
            refused(&send(&companion, method, *slug, &token, None), 400, -32600);
            for unknown in
                ["x", "", &"y".repeat(43), &format!("{}x", own.id), &own.id.to_ascii_lowercase(), "\u{e9}"]
            {
                refused(&send(&companion, method, *slug, &token, Some(unknown)), 404, -32001);
            }
            refused(&send(&companion, method, *slug, &other_token, Some(&own.id)), 404, -32001);
            for foreign in sessions.iter().filter(|one| one.id != own.id) {
                refused(&send(&companion, method, *slug, &token, Some(&foreign.id)), 404, -32001);
            }
        }
    }
    assert_eq!(upstream.received().len(), before, "nothing of it went upstream");
    for (slug, own) in routes.iter().zip(&sessions) {
        assert_eq!(send(&companion, "POST", *slug, &token, Some(&own.id)).status, 200, "still open");
    }
}

#[test]
fn another_workspace_is_another_world() {
    let (companion, upstream) = project();
    let created = companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Second"})));
    assert_eq!(created.status, 201, "{}", created.text());
    let (token, theirs) = (companion.token("default"), companion.token("second"));
    let session = companion.session(&token, None);
    let before = upstream.received().len();
    for (path, token) in [
        ("/ws/second", &token),
        ("/ws/default", &theirs),
        ("/ws/second/raw", &token),
        ("/ws/nowhere", &token),
    ] {
        let there = McpSession {
            address: companion.address,
            path: path.to_owned(),
            token: token.clone(),
            id: session.id.clone(),
        };
        let answer = there.send(&message("tools/list", &json!({})), &[]);
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
    }
    let second = McpSession::open(companion.address, "/ws/second", &theirs);
    assert_eq!(second.tools(), Vec::<String>::new(), "the servers of the first are not there");
    assert_eq!(upstream.received().len(), before);
}

#[test]
fn a_revoked_token_is_refused_at_once() {
    let (companion, upstream) = project();
    let (token, other) = (companion.token("default"), companion.token("default"));
    let sessions = [None, Some("raw")].map(|slug| companion.session(&token, slug));
    let others = companion.session(&other, None);
    let id = &token["mwt_".len()..][..12];
    let path = format!("/api/v1/admin/workspaces/default/tokens/{id}");
    assert_eq!(companion.admin("DELETE", &path, None).status, 204);
    let before = upstream.received().len();
    for session in &sessions {
        for method in ["tools/list", "tools/call", "initialize", "ping"] {
            let answer = session.send(&message(method, &json!({"name": "raw__echo"})), &[]);
            assert_eq!(answer.status, 401, "{method}: {}", answer.text());
        }
    }
    for method in ["GET", "DELETE"] {
        assert_eq!(send(&companion, method, Some("raw"), &token, Some(&sessions[1].id)).status, 401);
    }
    assert_eq!(upstream.received().len(), before);
    assert_eq!(others.tools().len(), 2, "another token works on");
}

#[test]
fn a_server_that_is_disabled_or_removed_is_gone_for_open_sessions_too() {
    let (companion, upstream) = project();
    let token = companion.token("default");
    let (all, own) = (companion.session(&token, None), companion.session(&token, Some("raw")));
    assert_eq!(all.tools(), ["raw__echo", "raw-two__echo"]);
    let path = "/api/v1/admin/mcp-servers/raw";
    let enable = |enabled: bool| companion.admin("PATCH", path, Some(&json!({"enabled": enabled}))).status;
    assert_eq!(enable(false), 200);
    let before = upstream.received_of("tools/call").len();
    assert_eq!(all.tools(), ["raw-two__echo"]);
    assert_eq!(all.call("raw__echo")["error"]["code"], -32602);
    assert_eq!(own.send(&message("tools/call", &json!({"name": "echo"})), &[]).status, 404);
    assert_eq!(enable(true), 200);
    assert!(all.call("raw__echo")["result"].is_object());
    assert!(own.call("echo")["result"].is_object());
    assert_eq!(companion.admin("DELETE", path, None).status, 204);
    assert_eq!(all.call("raw__echo")["error"]["code"], -32602);
    assert_eq!(own.send(&message("tools/call", &json!({"name": "echo"})), &[]).status, 404);
    // Another server of the same name is not the one the session was opened with.
    companion.add_server("raw", &upstream.url());
    assert_eq!(own.send(&message("tools/call", &json!({"name": "echo"})), &[]).status, 404);
    assert_eq!(upstream.received_of("tools/call").len() - before, 2);
}
