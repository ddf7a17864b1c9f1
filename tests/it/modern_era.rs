//! The modern era (2026-07-28) through the gateway, and the bridge: in one workspace a server
//! of each era, seen by a client of each era. The upstreams are raw sockets, so every byte
//! that they get is looked at.

use serde_json::{Value, json};

use crate::harness::Companion;
use crate::harness::companion::gateway_path;
use crate::harness::http::{Answer, request};
use crate::harness::mcp::{BOTH_TYPES, McpSession, json_rpc};
use crate::harness::upstream::{Received, Upstream, http_answer, json_answer, mcp_answer};

const VERSION: &str = "2026-07-28";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A server of the modern era only, as strict as the specification wants it.
fn modern_answer(request: &Received) -> Vec<u8> {
    let message = request.json();
    let id = &message["id"];
    let refuse = |status: &str, code: i32| {
        let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "refused"}});
        http_answer(status, &[("Content-Type", "application/json")], &body.to_string())
    };
    let meta = &message["params"]["_meta"];
    let method = message["method"].as_str().unwrap_or_default();
    let headers_fit = request.values("MCP-Protocol-Version") == [VERSION]
        && request.values("Mcp-Method") == [method]
        && request.values("Mcp-Session-Id").is_empty();
    if meta[META_VERSION] != VERSION || !meta[META_CAPABILITIES].is_object() {
        return refuse("400 Bad Request", -32602);
    }
    if !headers_fit {
        return refuse("400 Bad Request", -32020);
    }
    let result = match method {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": [VERSION], "capabilities": {"tools": {}, "prompts": {}},
            "instructions": "Modern.", "ttlMs": 0, "cacheScope": "public",
        }),
        "tools/list" => json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "public", "tools": [
            {"name": "where", "inputSchema": {"type": "object", "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer", "x-mcp-header": "N"},
            }}},
            {"name": "plain", "inputSchema": {"type": "object"}},
            {"name": "wrong", "inputSchema": {"type": "object", "properties": {
                "x": {"type": "number", "x-mcp-header": "X"},
            }}},
        ]}),
        "tools/call" => {
            if request.values("Mcp-Name") != [message["params"]["name"].as_str().unwrap_or_default()] {
                return refuse("400 Bad Request", -32020);
            }
            let arguments = &message["params"]["arguments"];
            let region = request.values("Mcp-Param-Region");
            if arguments["region"].as_str().map(str::to_owned) != region.first().cloned() {
                return refuse("400 Bad Request", -32020);
            }
            json!({"resultType": "complete", "content": [{"type": "text", "text": arguments.to_string()}]})
        }
        "prompts/list" => json!({"resultType": "complete", "prompts": [{"name": "greet"}]}),
        _ => return refuse("404 Not Found", -32601),
    };
    json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

struct Stage {
    companion: Companion,
    legacy: Upstream,
    modern: Upstream,
    token: String,
}

impl Stage {
    fn set() -> Self {
        let companion = Companion::start();
        let (legacy, modern) = (Upstream::mcp(), Upstream::start(modern_answer));
        companion.add_server("old", &legacy.url());
        companion.add_server("new", &modern.url());
        let token = companion.token("default");
        Self { companion, legacy, modern, token }
    }

    fn ask(&self, slug: Option<&str>, method: &str, params: Value) -> Answer {
        ask(&self.companion, &self.token, slug, method, params, &[])
    }

    fn result(&self, slug: Option<&str>, method: &str, params: Value) -> Value {
        let answer = self.ask(slug, method, params);
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_rpc(&answer)["result"].clone()
    }
}

fn modern_message(method: &str, mut params: Value) -> Value {
    params["_meta"][META_VERSION] = json!(VERSION);
    if params["_meta"][META_CAPABILITIES].is_null() {
        params["_meta"][META_CAPABILITIES] = json!({});
    }
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// One request of a client of the modern era.
pub fn ask(
    companion: &Companion,
    token: &str,
    slug: Option<&str>,
    method: &str,
    params: Value,
    more: &[(&str, &str)],
) -> Answer {
    let message = modern_message(method, params);
    let name = ["name", "uri", "taskId"].into_iter().find_map(|name| message["params"][name].as_str());
    let mut headers = vec![("MCP-Protocol-Version", VERSION), ("Mcp-Method", method)];
    if let Some(name) = name {
        headers.push(("Mcp-Name", name));
    }
    headers.extend_from_slice(more);
    post(companion, token, slug, &message, &headers)
}

pub fn post(
    companion: &Companion,
    token: &str,
    slug: Option<&str>,
    message: &Value,
    more: &[(&str, &str)],
) -> Answer {
    let authorization = format!("Bearer {token}");
    let mut headers = vec![
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
        ("Accept", BOTH_TYPES),
    ];
    headers.extend_from_slice(more);
    request(companion.address, "POST", &gateway_path(slug), &headers, message.to_string().as_bytes())
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let entries = list[member].as_array().unwrap_or_else(|| panic!("{list}"));
    entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_modern_client_sees_and_calls_servers_of_both_eras() {
    let stage = Stage::set();
    stage.companion.set("old", "GITHUB_TOKEN", "canary-old");
    stage.companion.set("new", "STRIPE_KEY", "canary-new");
    let discovered = stage.result(None, "server/discover", json!({}));
    assert_eq!(discovered["resultType"], "complete");
    assert_eq!(discovered["supportedVersions"], json!([VERSION]));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aerostack");
    let list = stage.result(None, "tools/list", json!({}));
    assert_eq!(names(&list, "tools"), ["new__where", "new__plain", "old__echo"]);
    assert_eq!((&list["resultType"], &list["cacheScope"]), (&json!("complete"), &json!("private")));
    assert!(list["ttlMs"].is_u64());

    let result = stage.result(None, "tools/call", json!({"name": "old__echo", "arguments": {"a": 1}}));
    assert_eq!(result["resultType"], "complete", "{result}");
    assert!(result["content"][0]["text"].as_str().unwrap().contains("echo"));
    let params = json!({"name": "new__where", "arguments": {"region": "eu"}});
    let answer =
        ask(&stage.companion, &stage.token, None, "tools/call", params, &[("Mcp-Param-Region", "eu")]);
    assert_eq!(json_rpc(&answer)["result"]["content"][0]["text"], r#"{"region":"eu"}"#);
    // The secret is on every request, those that find out the era too.
    for (upstream, header, value) in
        [(&stage.legacy, "GITHUB_TOKEN", "canary-old"), (&stage.modern, "STRIPE_KEY", "canary-new")]
    {
        let received = upstream.received();
        assert!(received.len() >= 3);
        assert!(received.iter().all(|one| one.values(header) == [value]), "{received:?}");
        assert!(received.iter().all(|one| one.values("Authorization").is_empty()));
    }
    // The modern one was never initialized, the other one once.
    assert!(stage.modern.received_of("initialize").is_empty());
    assert_eq!(stage.legacy.received_of("initialize").len(), 1);
    assert_eq!(stage.legacy.received_of("server/discover").len(), 1);
}

#[test]
fn a_legacy_client_sees_and_calls_servers_of_both_eras() {
    let stage = Stage::set();
    let session = stage.companion.session(&stage.token, None);
    // A tool whose marks are against the rules is left out.
    assert_eq!(session.tools(), ["new__where", "new__plain", "old__echo"]);
    let arguments = json!({"region": "eu", "n": 5});
    let answer = session.rpc("tools/call", &json!({"name": "new__where", "arguments": arguments}));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), arguments);
    let call = stage.modern.received_of("tools/call").pop().unwrap();
    assert_eq!(call.values("Mcp-Param-N"), ["5"]);
    assert!(session.call("old__echo")["result"].is_object());
    assert!(session.call("new__plain")["result"].is_object());
    let wrong = session.rpc("tools/call", &json!({"name": "new__wrong", "arguments": {"x": 1}}));
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
    assert_eq!(stage.modern.received_of("tools/call").len(), 2);
    // The server of the legacy era is not asked about the other one.
    assert!(stage.legacy.received_of("server/discover").is_empty());
}

#[test]
fn one_server_of_either_era_on_its_own_route() {
    let stage = Stage::set();
    // A server of the legacy era is better spoken to in that era: clients of both go on with it.
    for (method, params) in
        [("server/discover", json!({})), ("tools/call", json!({"name": "echo", "arguments": {}}))]
    {
        let answer = stage.ask(Some("old"), method, params);
        let error = json_rpc(&answer)["error"].clone();
        assert_eq!((answer.status, error["code"].as_i64()), (400, Some(-32600)), "{error}");
        assert_eq!(error["data"], Value::Null);
    }
    assert!(stage.legacy.received_of("tools/call").is_empty());
    // What a server of the same era says passes as it is, refusals too.
    assert_eq!(stage.result(Some("new"), "server/discover", json!({}))["instructions"], "Modern.");
    let tools = stage.result(Some("new"), "tools/list", json!({}));
    assert_eq!(names(&tools, "tools"), ["where", "plain", "wrong"]);
    let answer = stage.ask(Some("new"), "completion/complete", json!({}));
    assert_eq!((answer.status, json_rpc(&answer)["error"]["code"].as_i64()), (404, Some(-32601)));

    let session = McpSession::open(stage.companion.address, &gateway_path(Some("new")), &stage.token);
    assert_eq!(session.tools(), ["where", "plain", "wrong"]);
    let call = session.rpc("tools/call", &json!({"name": "where", "arguments": {"region": "\u{e9}"}}));
    assert_eq!(call["error"]["code"], -32020, "the server compares without decoding: {call}");
    let call = session.rpc("tools/call", &json!({"name": "where", "arguments": {"region": "us"}}));
    assert_eq!(call["result"]["content"][0]["text"], r#"{"region":"us"}"#);
    assert_eq!(session.rpc("ping", &json!({}))["result"], json!({}));
}

#[test]
fn what_a_modern_request_must_have() {
    let stage = Stage::set();
    let good = modern_message("tools/call", json!({"name": "old__echo", "arguments": {}}));
    let (version, method, name) =
        (("MCP-Protocol-Version", VERSION), ("Mcp-Method", "tools/call"), ("Mcp-Name", "old__echo"));
    let mut no_capabilities = good.clone();
    no_capabilities["params"]["_meta"] = json!({META_VERSION: VERSION});
    let mut other_version = good.clone();
    other_version["params"]["_meta"][META_VERSION] = json!("1900-01-01");
    let mut bare = good.clone();
    bare["params"].as_object_mut().unwrap().remove("_meta");
    let response = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
    for (message, headers, code) in [
        (&good, vec![method, name], -32020),
        (&good, vec![version, name], -32020),
        (&good, vec![version, method], -32020),
        (&good, vec![version, method, ("Mcp-Name", "new__where")], -32020),
        (&good, vec![version, ("Mcp-Method", "tools/list"), name], -32020),
        (&good, vec![version, ("Mcp-Method", "=?base64?dG9vbHMvY2FsbA==?="), name], -32020),
        (&good, vec![("MCP-Protocol-Version", "2025-11-25"), method, name], -32020),
        (&no_capabilities, vec![version, method, name], -32602),
        (&other_version, vec![("MCP-Protocol-Version", "1900-01-01"), method, name], -32022),
        (&bare, vec![version, method, name], -32602),
        (&response, vec![version], -32600),
    ] {
        let answer = post(&stage.companion, &stage.token, None, message, &headers);
        let document = json_rpc(&answer);
        assert_eq!(
            (answer.status, document["error"]["code"].as_i64()),
            (400, Some(code)),
            "{message} {headers:?}"
        );
        if code != -32600 {
            assert_eq!(document["id"], 7);
        }
    }
    let answer = post(
        &stage.companion,
        &stage.token,
        None,
        &other_version,
        &[("MCP-Protocol-Version", "1900-01-01"), method, name],
    );
    assert_eq!(
        json_rpc(&answer)["error"]["data"],
        json!({"supported": [VERSION], "requested": "1900-01-01"})
    );
    for gone in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "nope"] {
        let answer = stage.ask(None, gone, json!({}));
        assert_eq!(
            (answer.status, json_rpc(&answer)["error"]["code"].as_i64()),
            (404, Some(-32601)),
            "{gone}"
        );
    }
    let unknown = stage.ask(None, "tools/call", json!({"name": "nope__echo"}));
    assert_eq!(json_rpc(&unknown)["error"]["code"], -32602);
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/x", "params": good["params"]});
    assert_eq!(post(&stage.companion, &stage.token, None, &notification, &[version]).status, 202);
    // Nothing of this reached a server.
    assert!(stage.legacy.received().is_empty());
    assert!(stage.modern.received().is_empty());
}

#[test]
fn initialize_is_of_the_older_era_whatever_its_header_says() {
    let stage = Stage::set();
    let params =
        json!({"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let initialize = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": params});
    for slug in [None, Some("old"), Some("new")] {
        let answer =
            post(&stage.companion, &stage.token, slug, &initialize, &[("MCP-Protocol-Version", VERSION)]);
        assert_eq!(answer.status, 200, "{slug:?}: {}", answer.text());
        assert_eq!(json_rpc(&answer)["result"]["protocolVersion"], "2025-11-25", "{slug:?}");
        assert!(answer.header("Mcp-Session-Id").is_some());
    }
}

#[test]
fn no_version_is_offered_that_the_server_does_not_speak() {
    let stage = Stage::set();
    let mut other = modern_message("tools/list", json!({}));
    other["params"]["_meta"][META_VERSION] = json!("1900-01-01");
    let headers = [("MCP-Protocol-Version", "1900-01-01"), ("Mcp-Method", "tools/list")];
    for (slug, code) in [("old", -32600), ("new", -32022)] {
        let answer = post(&stage.companion, &stage.token, Some(slug), &other, &headers);
        assert_eq!((answer.status, json_rpc(&answer)["error"]["code"].as_i64()), (400, Some(code)), "{slug}");
    }
}

#[test]
fn tokens_do_not_share_what_is_held_for_them() {
    let stage = Stage::set();
    let other = stage.companion.token("default");
    let call = || json!({"name": "old__echo", "arguments": {}});
    stage.result(None, "tools/call", call());
    stage.result(None, "tools/call", call());
    assert_eq!(stage.legacy.received_of("initialize").len(), 1);
    let answer = ask(&stage.companion, &other, None, "tools/call", call(), &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(stage.legacy.received_of("initialize").len(), 2);
    // A rotation ends what was opened with the older value.
    stage.companion.set("old", "GITHUB_TOKEN", "canary-1");
    stage.result(None, "tools/call", call());
    assert_eq!(stage.legacy.received_of("initialize").len(), 3);
    assert_eq!(stage.legacy.received_of("tools/call").pop().unwrap().values("GITHUB_TOKEN"), ["canary-1"]);
}

#[test]
fn a_server_that_was_brought_up_to_date_is_found_out() {
    let is_modern = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = std::sync::Arc::clone(&is_modern);
    let upstream = Upstream::start(move |request| {
        if switch.load(std::sync::atomic::Ordering::SeqCst) {
            modern_answer(request)
        } else {
            mcp_answer(request)
        }
    });
    let companion = Companion::start();
    companion.add_server("s", &upstream.url());
    let token = companion.token("default");
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["s__echo"]);
    is_modern.store(true, std::sync::atomic::Ordering::SeqCst);
    // The old session there is refused; a new session of the client finds the new era.
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["s__where", "s__plain"]);
    is_modern.store(false, std::sync::atomic::Ordering::SeqCst);
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["s__echo"]);
}
