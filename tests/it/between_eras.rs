//! What the bridge changes between a client of the modern era and a server of the legacy one, and
//! what it must not leave in: each era has members, codes and ids that the other does not know.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::json_rpc;
use crate::harness::talker::say;
use crate::harness::upstream::{Received, http_answer, json_answer, mcp_answer};
use crate::harness::{Answer, Companion, McpSession, Upstream};
use crate::modern_era::ask;
use crate::modern_streams::{ask as ask_for_events, legacy};

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const TASKS: &str = "io.modelcontextprotocol/tasks";

fn refusal(request: &Received, status: &str, code: i32) -> Vec<u8> {
    let error = json!({"code": code, "message": "refused", "data": {"supported": ["2026-07-28"]}});
    let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error}).to_string();
    http_answer(status, &[("Content-Type", "application/json")], &body)
}

fn result(request: &Received, result: &str) -> Vec<u8> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.json()["id"]);
    http_answer("200 OK", &[("Content-Type", "application/json")], &body)
}

/// A server of the legacy era; the answers to some requests are up to the test.
fn server(answer: impl Fn(&Received) -> Option<Vec<u8>> + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |request| match request.method().as_str() {
        _ if let Some(answer) = answer(request) => answer,
        "server/discover" => refusal(request, "400 Bad Request", -32601),
        _ => mcp_answer(request),
    })
}

struct Scene {
    companion: Companion,
    token: String,
}

impl Scene {
    fn of(server: &Upstream) -> Self {
        let companion = Companion::start();
        companion.add_server("s", &server.url());
        let token = companion.token("default");
        Self { companion, token }
    }

    fn ask(&self, slug: Option<&str>, method: &str, params: Value) -> Answer {
        ask(&self.companion, &self.token, slug, method, params, &[])
    }

    fn session(&self, slug: Option<&str>, capabilities: &Value) -> McpSession {
        McpSession::open_with(self.companion.address, &gateway_path(slug), &self.token, capabilities)
    }
}

#[test]
fn a_legacy_server_gets_nothing_that_only_the_modern_era_has() {
    // As servers that speak both eras do it, which tell them apart by this.
    let server = server(|request| {
        let meta = &request.json()["params"]["_meta"];
        (!meta[META_VERSION].is_null()).then(|| refusal(request, "400 Bad Request", -32020))
    });
    let scene = Scene::of(&server);
    let meta = json!({
        "progressToken": 5, "a.example/x": {"y": 1}, "traceparent": "t",
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
        "io.modelcontextprotocol/logLevel": "debug",
    });
    let params = json!({"name": "s__echo", "arguments": {"_meta": {META_VERSION: "its own"}}, "_meta": meta});
    let answer = json_rpc(&scene.ask(None, "tools/call", params));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    let call = server.received_of("tools/call").pop().unwrap().json();
    assert_eq!(
        call["params"]["_meta"],
        json!({"progressToken": 5, "a.example/x": {"y": 1}, "traceparent": "t"})
    );
    assert_eq!(call["params"]["arguments"], json!({"_meta": {META_VERSION: "its own"}}));
}

#[test]
fn a_gateway_behind_the_gateway() {
    let (far, near) = (Companion::start(), Companion::start());
    far.add_server("old", &server(|_| None).url());
    near.add_server("far", &format!("{}{}", far.base_url, gateway_path(Some("old"))));
    near.set("far", "TOKEN", &far.token("default"));
    assert_eq!(near.inject("far", "TOKEN", &json!({"type": "bearer"})).status, 200);
    let token = near.token("default");
    let params = json!({"name": "far__echo", "arguments": {}});
    let answer = json_rpc(&ask(&near, &token, None, "tools/call", params, &[]));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
}

#[test]
fn a_server_that_failed_when_it_was_asked_is_asked_again() {
    let discoveries = AtomicUsize::new(0);
    let server = server(move |request| {
        let is_modern = request.values("MCP-Protocol-Version") == ["2026-07-28"];
        match request.method().as_str() {
            "server/discover" if discoveries.fetch_add(1, Ordering::SeqCst) == 0 => {
                Some(http_answer("500 Internal Server Error", &[], ""))
            }
            "server/discover" => Some(result(
                request,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
            )),
            "tools/call" if is_modern => Some(result(request, r#"{"resultType":"complete","era":"modern"}"#)),
            // It would have been a request of the other era.
            "tools/call" => Some(refusal(request, "400 Bad Request", -32022)),
            _ => None,
        }
    });
    let scene = Scene::of(&server);
    for count in [2, 3] {
        let answer = json_rpc(&scene.ask(None, "tools/call", json!({"name": "s__echo", "arguments": {}})));
        assert_eq!(answer["result"]["era"], "modern", "{answer}");
        assert_eq!(server.received_of("tools/call").len(), count, "refused once, before it ran");
    }
    assert_eq!(server.received_of("server/discover").len(), 2);
}

#[test]
fn a_refusal_that_only_sounds_modern_is_the_answer() {
    let server = server(|request| {
        (request.method() == "tools/call").then(|| refusal(request, "400 Bad Request", -32022))
    });
    let scene = Scene::of(&server);
    let answer = json_rpc(&scene.ask(None, "tools/call", json!({"name": "s__echo", "arguments": {}})));
    assert_eq!(answer["error"]["message"], "refused", "{answer}");
    assert_eq!(server.received_of("tools/call").len(), 1);
}

#[test]
fn log_messages_come_if_the_request_asks_for_them() {
    let server = legacy(
        |_| {},
        |request, socket| {
            for level in ["debug", "info", "warning", "error", "loud"] {
                let params = json!({"level": level, "data": {"n": 1}});
                say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}));
            }
            say(socket, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"content": []}}));
        },
    );
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    let token = companion.token("default");
    for (level, expected) in [("warning", vec!["warning", "error"]), ("emergency", vec![])] {
        let meta = json!({"io.modelcontextprotocol/logLevel": level});
        let params = json!({"name": "s__talk", "arguments": {}, "_meta": meta});
        let mut stream = ask_for_events(&companion, &token, "tools/call", &json!(7), params);
        let mut told = Vec::new();
        let last = loop {
            let message = stream.next().unwrap();
            if message["method"] != "notifications/message" {
                break message;
            }
            assert_eq!(message["params"]["data"], json!({"n": 1}));
            told.push(message["params"]["level"].as_str().unwrap().to_owned());
        };
        assert_eq!((told, &last["id"]), (expected.iter().map(ToString::to_string).collect(), &json!(7)));
    }
    for wrong in [json!("loud"), json!(7)] {
        let meta = json!({"io.modelcontextprotocol/logLevel": wrong});
        let params = json!({"name": "s__talk", "arguments": {}, "_meta": meta});
        let answer = ask(&companion, &token, None, "tools/call", params, &[]);
        assert_eq!((answer.status, json_rpc(&answer)["error"]["code"].as_i64()), (400, Some(-32602)));
    }
}

#[test]
fn codes_that_the_modern_era_forbids() {
    let server = server(|request| {
        let code = match request.method().as_str() {
            "resources/read" => -32002,
            "tools/call" => -32042,
            _ => return None,
        };
        Some(refusal(request, "200 OK", code))
    });
    let scene = Scene::of(&server);
    for (method, params, code) in [
        ("resources/read", json!({"uri": "s+x://1"}), -32602),
        ("tools/call", json!({"name": "s__echo", "arguments": {}}), -32603),
    ] {
        let error = json_rpc(&scene.ask(None, method, params))["error"].clone();
        let expected = json!({"code": code, "message": "refused", "data": {"supported": ["2026-07-28"]}});
        assert_eq!(error, expected, "{method}");
    }
    // In its own era the server's word stays.
    let session = scene.companion.session(&scene.token, None);
    assert_eq!(session.rpc("resources/read", &json!({"uri": "s+x://1"}))["error"]["code"], -32002);
}

#[test]
fn nothing_is_there_twice_and_events_have_no_ids() {
    let server = server(|request| match request.method().as_str() {
        "resources/read" => Some(result(
            request,
            r#"{"cacheScope":"public","contents":[{"uri":"x://1","text":"\"ttlMs\":1"}], "ttlMs":5000,"resultType":"x","n":1.50}"#,
        )),
        "tools/call" => {
            let id = &request.json()["id"];
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            let mut answer = head.as_bytes().to_vec();
            write!(answer, "id: 1\nretry: 5\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":1,\"progress\":1}}}}\n\n").unwrap();
            write!(
                answer,
                "id: 2\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"y\"}}}}\n\n"
            )
            .unwrap();
            Some(answer)
        }
        _ => None,
    });
    let scene = Scene::of(&server);
    let read = scene.ask(None, "resources/read", json!({"uri": "s+x://1"})).text();
    assert!(
        read.ends_with(
            r#""result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[{"uri":"x://1","text":"\"ttlMs\":1"}],"n":1.50}}"#
        ),
        "{read}"
    );
    let call = scene.ask(None, "tools/call", json!({"name": "s__echo", "arguments": {}}));
    let (text, result) = (call.text(), json_rpc(&call)["result"].clone());
    assert_eq!(result, json!({"resultType": "complete"}), "{text}");
    let is_of_the_other_era = |line: &str| line.starts_with("id:") || line.starts_with("retry:");
    assert!(text.contains("progressToken") && !text.lines().any(is_of_the_other_era), "{text}");
    // A client of its own era may go on after them.
    let session = scene.companion.session(&scene.token, None);
    let own = session.send(
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "s__echo"}}),
        &[],
    );
    assert!(own.text().contains("id: s+2") && own.text().contains(r#"{"resultType":"y"}"#), "{}", own.text());
}

/// A server of the modern era with extensions.
fn modern() -> Upstream {
    Upstream::start(|request| {
        let capabilities = json!({"tools": {}, "resources": {}, "extensions": {"a/ui": {"x": 1}, TASKS: {}}});
        let result = match request.method().as_str() {
            "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities}),
            "tools/list" => json!({"tools": []}),
            "resources/read" => json!({"contents": [], "ttlMs": 60_000, "cacheScope": "public"}),
            "tools/call" | "tasks/get" => json!({"content": []}),
            _ => return refusal(request, "400 Bad Request", -32600),
        };
        json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
    })
}

#[test]
fn extensions_are_told_from_era_to_era() {
    let (old, new) = (server(|_| None), modern());
    let scene = Scene::of(&new);
    scene.companion.add_server("old", &old.url());
    let further = json!({"extensions": {"a/ui": {"types": ["html"]}}, "experimental": {"b": {"c": 1}}});
    let mut said = further.clone();
    said["extensions"][TASKS] = json!({});
    let arguments = json!({"name": "old__echo", "arguments": {}, "_meta": {META_CAPABILITIES: said}});
    assert_eq!(scene.ask(None, "tools/call", arguments).status, 200);
    assert_eq!(old.received_of("initialize").pop().unwrap().json()["params"]["capabilities"], further);
    for (slug, tool) in [(None, "s__t"), (Some("s"), "t")] {
        let session = scene.session(slug, &said);
        assert!(session.call(tool)["result"].is_object());
        let call = new.received_of("tools/call").pop().unwrap().json();
        assert_eq!(call["params"]["_meta"][META_CAPABILITIES], further, "{slug:?}");
    }
    // What the servers have is announced, but for tasks, which a workspace cannot serve.
    let discovered = json_rpc(&scene.ask(None, "server/discover", json!({})))["result"].clone();
    assert_eq!(discovered["capabilities"]["extensions"], json!({"a/ui": {"x": 1}}), "{discovered}");
}

#[test]
fn tasks_are_for_the_route_of_their_server() {
    let server = modern();
    let scene = Scene::of(&server);
    let capabilities = json!({"extensions": {TASKS: {}, "a/ui": {}}, "roots": {}});
    let call = |name: &str| json!({"name": name, "_meta": {META_CAPABILITIES: capabilities}});
    for (slug, name, arrives) in [
        (None, "s__t", json!({"extensions": {"a/ui": {}}, "roots": {}})),
        (Some("s"), "t", capabilities.clone()),
    ] {
        assert_eq!(scene.ask(slug, "tools/call", call(name)).status, 200);
        let arrived = server.received_of("tools/call").pop().unwrap().json();
        assert_eq!(arrived["params"]["_meta"][META_CAPABILITIES], arrives, "{slug:?}");
    }
    assert_eq!(scene.ask(Some("s"), "tasks/get", json!({"taskId": "t-1"})).status, 200);
    assert_eq!(server.received_of("tasks/get").pop().unwrap().values("Mcp-Name"), ["t-1"]);
    assert_eq!(scene.ask(None, "tasks/get", json!({"taskId": "t-1"})).status, 404);
    assert_eq!(server.received_of("tasks/get").len(), 1);
}

#[test]
fn a_resource_on_the_route_of_a_workspace_is_for_its_token() {
    let server = modern();
    let scene = Scene::of(&server);
    for (slug, uri, kept_for) in
        [(None, "s+x://1", "private"), (None, "x://1", "private"), (Some("s"), "x://1", "public")]
    {
        let read = json_rpc(&scene.ask(slug, "resources/read", json!({"uri": uri})))["result"].clone();
        assert_eq!(read, json!({"contents": [], "ttlMs": 60_000, "cacheScope": kept_for}), "{slug:?} {uri}");
    }
}
