//! Upstream sessions: one for each client session and server, never shared, opened with
//! the secrets as they are, ended when these change, opened again when the upstream has
//! lost them. And client sessions: good for their own token and route only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::http::request;
use crate::harness::mcp::message;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, McpSession, Upstream};

const BOTH_ROUTES: [(Option<&str>, &str); 2] = [(None, "keeper__where"), (Some("keeper"), "where")];

/// What an upstream remembers.
#[derive(Default)]
pub struct Memory {
    opened: usize,
    live: HashSet<String>,
    /// Calls that were executed.
    executed: usize,
    /// Its answer to a session it does not know: status line and body.
    lost: Option<(&'static str, &'static str)>,
    /// Added to the head of each answer to a call.
    stray_header: bool,
}

/// An upstream that demands sessions; its tool `where` answers the id of the session.
pub struct Keeper {
    pub upstream: Upstream,
    memory: Arc<Mutex<Memory>>,
}

impl Keeper {
    fn start() -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let kept = Arc::clone(&memory);
        let upstream = Upstream::start(move |request| answer(&mut kept.lock().unwrap(), request));
        Self { upstream, memory }
    }

    /// A companion with two of them, `keeper` and `other`, each with a secret in `X-Token`.
    pub fn pair() -> (Companion, Self, Self) {
        let (companion, keeper, other) = (Companion::start(), Self::start(), Self::start());
        for (slug, one) in [("keeper", &keeper), ("other", &other)] {
            companion.add_server(slug, &one.upstream.url());
            companion.set(slug, "TOKEN", &format!("value-of-{slug}"));
            let rule = json!({"type": "header", "header": "X-Token"});
            assert_eq!(companion.inject(slug, "TOKEN", &rule).status, 200);
        }
        (companion, keeper, other)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// Method and upstream session of each request from the `from`th on.
    pub fn seen(&self, from: usize) -> Vec<(String, String)> {
        let received = self.upstream.received().into_iter().skip(from);
        received.map(|one| (one.method(), one.values("Mcp-Session-Id").concat())).collect()
    }

    fn count(&self) -> usize {
        self.upstream.received().len()
    }
}

fn answer(memory: &mut Memory, request: &Received) -> Vec<u8> {
    let (method, message) = (request.method(), request.json());
    let id = &message["id"];
    if method == "initialize" {
        memory.opened += 1;
        let session = format!("upstream-session-{}", memory.opened);
        memory.live.insert(session.clone());
        let info = json!({"name": "keeper", "version": "1"});
        let result =
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info});
        let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", session.as_str())];
        return http_answer("200 OK", &headers, &body);
    }
    let session = request.values("Mcp-Session-Id").concat();
    if !memory.live.contains(&session) {
        let (status, body) = memory.lost.unwrap_or(("404 Not Found", "gone"));
        return http_answer(status, &[("Content-Type", "application/json")], body);
    }
    let result = match method.as_str() {
        "DELETE" => {
            memory.live.remove(&session);
            return http_answer("200 OK", &[], "");
        }
        "GET" => return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n".to_vec(),
        "tools/list" => json!({"tools": [{"name": "where", "inputSchema": {"type": "object"}}]}),
        "tools/call" => {
            memory.executed += 1;
            json!({"content": [{"type": "text", "text": session}]})
        }
        _ if id.is_null() => return http_answer("202 Accepted", &[], ""),
        _ => json!({}),
    };
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
    if memory.stray_header {
        let error =
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "no"}}).to_string();
        let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "stray-session")];
        return http_answer("200 OK", &headers, &error);
    }
    json_answer(&body)
}

#[track_caller]
pub fn place(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A bare GET or DELETE in a session.
fn bare(session: &McpSession, method: &str) -> u16 {
    let authorization = format!("Bearer {}", session.token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "text/event-stream"),
        ("Mcp-Session-Id", session.id.as_str()),
    ];
    request(session.address, method, &session.path, &headers, b"").status
}

#[test]
fn each_client_session_has_an_upstream_session_of_its_own() {
    let (companion, keeper, _other) = Keeper::pair();
    let tokens = [companion.token("default"), companion.token("default")];
    let mut places = HashSet::new();
    for (slug, tool) in BOTH_ROUTES {
        let clients: Vec<_> =
            [&tokens[0], &tokens[0], &tokens[1]].map(|token| companion.session(token, slug)).into();
        let first: Vec<String> = clients.iter().map(|client| place(&client.call(tool))).collect();
        for _ in 0..3 {
            let again: Vec<String> = clients.iter().map(|client| place(&client.call(tool))).collect();
            assert_eq!(again, first, "kept across calls");
        }
        for (client, place) in clients.iter().zip(first) {
            assert_ne!(client.id, place, "the upstream's id stays with the gateway");
            assert!(places.insert(place.clone()), "{place} is shared");
        }
    }
    assert_eq!(keeper.memory().opened, 6);
}

#[test]
fn calls_at_once_in_a_new_session_open_one_upstream_session() {
    let (companion, keeper, _other) = Keeper::pair();
    let session = companion.session(&companion.token("default"), None);
    let call = || place(&session.call("keeper__where"));
    let places: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(places.iter().collect::<HashSet<_>>().len(), 1, "{places:?}");
    assert_eq!(keeper.memory().opened, 1);
}

#[test]
fn the_injected_header_is_on_every_request() {
    let (companion, keeper, other) = Keeper::pair();
    let token = companion.token("default");
    for (slug, tool) in BOTH_ROUTES {
        let session = companion.session(&token, slug);
        session.tools();
        session.call(tool);
        if slug.is_some() {
            assert_eq!(bare(&session, "GET"), 200);
        }
        assert_eq!(bare(&session, "DELETE"), 204);
    }
    let methods: HashSet<String> = keeper.upstream.received().iter().map(Received::method).collect();
    let expected = ["initialize", "notifications/initialized", "tools/list", "tools/call", "GET", "DELETE"];
    assert_eq!(methods, expected.map(str::to_owned).into());
    for (slug, one) in [("keeper", &keeper), ("other", &other)] {
        for request in one.upstream.received() {
            assert_eq!(request.values("X-Token"), [format!("value-of-{slug}")], "{}", request.head_text());
        }
    }
}

#[test]
fn a_changed_secret_ends_the_upstream_session_before_the_next_call() {
    let (companion, keeper, other) = Keeper::pair();
    let token = companion.token("default");
    let rule = json!({"type": "header", "header": "X-Token", "prefix": "Key "});
    let path = "/api/v1/admin/mcp-servers/keeper/secrets/TOKEN";
    for (slug, tool) in BOTH_ROUTES {
        companion.set("keeper", "TOKEN", "value-1");
        companion.inject("keeper", "TOKEN", &json!({"type": "header", "header": "X-Token"}));
        let session = companion.session(&token, slug);
        let mut old = place(&session.call(tool));
        let elsewhere = slug.is_none().then(|| place(&session.call("other__where")));
        let set = || drop(companion.set("keeper", "TOKEN", "value-2"));
        let inject = || assert_eq!(companion.inject("keeper", "TOKEN", &rule).status, 200);
        let add = || drop(companion.set("keeper", "SECOND", "another"));
        let delete = || assert_eq!(companion.admin("DELETE", path, None).status, 204);
        let changes: [(&dyn Fn(), Option<&str>); 4] = [
            (&set, Some("value-2")),
            (&inject, Some("Key value-2")),
            (&add, Some("Key value-2")),
            (&delete, None),
        ];
        for (change, value) in changes {
            let before = keeper.count();
            change();
            assert_eq!(keeper.count(), before, "a change contacts nobody");
            let new = place(&session.call(tool));
            let pair = |method: &str, session: &str| (method.to_owned(), session.to_owned());
            let expected = [
                pair("DELETE", &old),
                pair("initialize", ""),
                pair("notifications/initialized", &new),
                pair("tools/call", &new),
            ];
            assert_eq!(keeper.seen(before), expected);
            for request in keeper.upstream.received().iter().skip(before) {
                assert_eq!(
                    request.values("X-Token"),
                    value.map(str::to_owned).into_iter().collect::<Vec<_>>()
                );
            }
            old = new;
        }
        if let Some(elsewhere) = elsewhere {
            assert_eq!(place(&session.call("other__where")), elsewhere, "another server's session stays");
        }
    }
    assert_eq!(other.memory().opened, 1);
}

/// As older and newer SDKs, and what stands before them, say it.
const LOST: [(&str, &str); 11] = [
    ("404 Not Found", "gone"),
    ("404 Not Found", r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#),
    (
        "400 Bad Request",
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"No valid session ID"},"id":null}"#,
    ),
    ("400 Bad Request", r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Session unknown"}}"#),
    ("400 Bad Request", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Not initialized"}}"#),
    ("400 Bad Request", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"Session not found"}}"#),
    ("400 Bad Request", r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Session not found"}}"#),
    ("400 Bad Request", "Bad Request: No valid session ID provided"),
    ("400 Bad Request", "Server not initialized"),
    (
        "400 Bad Request",
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"Server not initialized\"}}",
    ),
    ("401 Unauthorized", "Unauthorized: Session not found"),
];

#[test]
fn a_lost_upstream_session_is_opened_again_and_the_call_runs_once() {
    let (companion, keeper, _other) = Keeper::pair();
    let token = companion.token("default");
    for (slug, tool) in BOTH_ROUTES {
        for lost in LOST {
            keeper.memory().lost = Some(lost);
            let session = companion.session(&token, slug);
            let old = place(&session.call(tool));
            let (before, executed) = (keeper.count(), keeper.memory().executed);
            keeper.memory().live.clear(); // it was restarted
            let new = place(&session.call(tool));
            let methods: Vec<(String, String)> = keeper.seen(before);
            let pair = |method: &str, session: &str| (method.to_owned(), session.to_owned());
            let expected = [
                pair("tools/call", &old),
                pair("initialize", ""),
                pair("notifications/initialized", &new),
                pair("tools/call", &new),
            ];
            assert_eq!(methods, expected, "{lost:?}");
            assert_eq!(keeper.memory().executed, executed + 1, "{lost:?}");
            keeper.memory().live.clear();
            assert_eq!(session.tools().len(), if slug.is_none() { 2 } else { 1 }, "lists too: {lost:?}");
        }
    }
}

#[test]
fn an_upstream_that_loses_every_session_is_asked_twice_and_no_more() {
    for (status, body) in LOST {
        let upstream = Upstream::start(move |request| {
            if request.method() == "initialize" {
                return answer(&mut Memory::default(), request);
            }
            http_answer(status, &[("Content-Type", "application/json")], body)
        });
        let companion = Companion::start();
        companion.add_server("keeper", &upstream.url());
        let token = companion.token("default");
        for (slug, tool) in BOTH_ROUTES {
            let session = companion.session(&token, slug);
            let before = upstream.received_of("tools/call").len();
            assert!(session.call(tool)["error"].is_object());
            assert_eq!(upstream.received_of("tools/call").len() - before, 2, "{status} {body}");
        }
    }
}

#[test]
fn other_refusals_are_passed_on_and_not_sent_again() {
    let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad arguments"}}"#;
    let of_its_own = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such session"}}"#;
    for (status, body, code) in [
        ("400 Bad Request", refusal, -32602),
        ("409 Conflict", refusal, -32602),
        ("404 Not Found", refusal, -32602),
        ("400 Bad Request", "not JSON", -32603),
        ("400 Bad Request", of_its_own, -32602),
        ("401 Unauthorized", "who is it?", -32603),
        ("429 Too Many Requests", "later", -32603),
        ("500 Internal Server Error", refusal, -32603),
        ("503 Service Unavailable", "", -32603),
    ] {
        let (companion, keeper, _other) = Keeper::pair();
        let token = companion.token("default");
        for (slug, tool) in BOTH_ROUTES {
            let session = companion.session(&token, slug);
            session.call(tool);
            keeper.memory().live.clear();
            keeper.memory().lost = Some((status, body));
            let before = keeper.count();
            assert_eq!(session.call(tool)["error"]["code"], code, "{status} {body}");
            assert_eq!(keeper.count() - before, 1, "{status} {body}");
        }
    }
}

#[test]
fn session_ids_on_error_answers_are_not_adopted() {
    let (companion, keeper, _other) = Keeper::pair();
    let token = companion.token("default");
    for (slug, tool) in BOTH_ROUTES {
        let session = companion.session(&token, slug);
        let first = place(&session.call(tool));
        keeper.memory().stray_header = true;
        let answer = session.send(&message("tools/call", &json!({"name": tool})), &[]);
        assert_eq!(answer.json()["error"]["code"], -32000);
        assert_eq!(answer.header("Mcp-Session-Id"), None);
        keeper.memory().stray_header = false;
        assert_eq!(place(&session.call(tool)), first);
    }
    // The same on `initialize`: an error, with status 200 or 400, opens nothing.
    for status in ["200 OK", "400 Bad Request"] {
        let upstream = Upstream::start(move |request| {
            let error = json!({"code": -32602, "message": "no such version"});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error}).to_string();
            http_answer(status, &[("Content-Type", "application/json"), ("Mcp-Session-Id", "stray")], &body)
        });
        let slug = if status == "200 OK" { "says-ok" } else { "says-bad" };
        companion.add_server(slug, &upstream.url());
        let path = gateway_path(Some(slug));
        let bare = McpSession { address: companion.address, path, token: token.clone(), id: String::new() };
        let answer = bare.send(&message("initialize", &json!({"protocolVersion": "2025-11-25"})), &[]);
        assert_eq!(answer.header("Mcp-Session-Id"), None);
        assert_eq!(answer.json()["error"]["code"], -32602, "{}", answer.text());
        let session = companion.session(&token, None);
        assert!(session.call(&format!("{slug}__x"))["error"].is_object());
        assert_eq!(upstream.received_of("tools/call").len(), 0);
    }
}

#[test]
fn the_clients_delete_ends_its_upstream_sessions_and_no_other() {
    let (companion, keeper, other) = Keeper::pair();
    let token = companion.token("default");
    for (slug, tool) in BOTH_ROUTES {
        let (session, neighbour) = (companion.session(&token, slug), companion.session(&token, slug));
        let mut held = vec![(&keeper, place(&session.call(tool)))];
        if slug.is_none() {
            held.push((&other, place(&session.call("other__where"))));
        }
        let theirs = place(&neighbour.call(tool));
        assert_eq!(bare(&session, "DELETE"), 204);
        for (upstream, id) in held {
            let ended: Vec<_> = upstream
                .seen(0)
                .into_iter()
                .filter(|seen| *seen == ("DELETE".to_owned(), id.clone()))
                .collect();
            assert_eq!(ended.len(), 1, "{id}");
            assert!(!upstream.memory().live.contains(&id));
        }
        let calls = keeper.count();
        assert_eq!(session.send(&message("tools/call", &json!({"name": tool})), &[]).status, 404);
        assert_eq!(bare(&session, "DELETE"), 404);
        assert_eq!(keeper.count(), calls);
        assert_eq!(place(&neighbour.call(tool)), theirs);
    }
}
