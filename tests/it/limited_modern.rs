//! Tokens that are limited to tools, in the modern era: they hear of changed tools and of nothing
//! else, see what is there for them, and nothing that they get is for other tokens.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::harness::Companion;
use crate::harness::mcp::json_rpc;
use crate::harness::talker::{EVENTS_HEAD, Talker, say, say_result};
use crate::harness::upstream::http_answer;
use crate::modern_era::ask;
use crate::modern_streams::ask_at;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server that tells everything to whoever listens, whatever was asked for.
fn server() -> Talker {
    Talker::start(|_, request, socket| {
        let message = request.json();
        match request.method().as_str() {
            "server/discover" => {
                let list = json!({"listChanged": true});
                let capabilities = json!({
                    "tools": list, "logging": {}, "prompts": list, "resources": list, "completions": {},
                    "extensions": {"a/b": {}},
                });
                let result = json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities,
                    "ttlMs": 60_000, "cacheScope": "public",
                });
                say_result(socket, request, &result)
            }
            "tools/list" => {
                let tools = json!([{"name": "get_one"}, {"name": "delete_all"}]);
                let result =
                    json!({"resultType": "complete", "tools": tools, "ttlMs": 5, "cacheScope": "public"});
                say_result(socket, request, &result)
            }
            "subscriptions/listen" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                let meta = json!({SUBSCRIPTION: message["id"]});
                let mut tell = |method: &str, mut params: Value| {
                    params["_meta"] = meta.clone();
                    say(socket, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
                };
                let agreed = json!({"notifications": message["params"]["notifications"]});
                tell("notifications/subscriptions/acknowledged", agreed);
                tell("notifications/resources/updated", json!({"uri": "x:1"}));
                tell("notifications/prompts/list_changed", json!({}));
                tell("notifications/tools/list_changed", json!({}));
                say(socket, &json!({"jsonrpc": "2.0", "id": "another", "result": {"tools": []}}));
                if message["params"]["notifications"].get("promptsListChanged").is_some() {
                    let _ = socket.read(&mut [0; 1]);
                    return false;
                }
                let result = json!({"resultType": "complete", "_meta": meta});
                say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
                false
            }
            _ => {
                let headers = [("Content-Type", "application/json")];
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}});
                socket.write_all(&http_answer("404 Not Found", &headers, &body.to_string())).is_ok()
            }
        }
    })
}

fn stage() -> (Companion, Talker, String) {
    let (companion, server) = (Companion::start(), server());
    companion.add_server("one", &server.url());
    let token = companion.token_with("default", &json!({"name": "limited", "tools": ["one__get_*"]}));
    (companion, server, token)
}

fn everything() -> Value {
    json!({"notifications": {
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        "resourceSubscriptions": ["x:1", "one+x:1"],
    }})
}

#[test]
fn changed_tools_are_all_that_is_told() {
    let (companion, server, token) = stage();
    for slug in [None, Some("one")] {
        let mut stream =
            ask_at(&companion, &token, slug, "subscriptions/listen", &json!("mine"), everything());
        assert_eq!(stream.status, 200, "{slug:?}");
        let first = stream.next().unwrap();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}), "{slug:?}");
        let second = stream.next().unwrap();
        assert_eq!(second["method"], "notifications/tools/list_changed", "{slug:?}: {second}");
        assert_eq!(second["params"]["_meta"][SUBSCRIPTION], "mine");
        if slug.is_some() {
            // The end of the subscription is told, and no other answer.
            assert_eq!(stream.next().unwrap()["id"], "mine");
            let asked = server.received_of("subscriptions/listen").pop().unwrap().json();
            assert_eq!(asked["params"]["notifications"], json!({"toolsListChanged": true}));
        }
    }
    let wrong = ask_at(&companion, &token, Some("one"), "subscriptions/listen", &json!(1), json!({}));
    assert_eq!(wrong.answer()["error"]["code"], -32602);
    // In the older era there is no such method for it.
    let session = companion.session(&token, Some("one"));
    let before = server.received_of("subscriptions/listen").len();
    assert_eq!(session.rpc("subscriptions/listen", &everything())["error"]["code"], -32601);
    assert_eq!(server.received_of("subscriptions/listen").len(), before);
}

#[test]
fn what_is_announced_is_there_and_for_this_token() {
    let (companion, _server, token) = stage();
    for slug in [None, Some("one")] {
        let get = |token: &str, method: &str| {
            json_rpc(&ask(&companion, token, slug, method, json!({}), &[]))["result"].clone()
        };
        let discovered = get(&token, "server/discover");
        let announced = discovered["capabilities"].as_object().unwrap_or_else(|| panic!("{discovered}"));
        assert_eq!(announced.keys().collect::<Vec<_>>(), ["logging", "tools"], "{slug:?}");
        assert_eq!(discovered["cacheScope"], "private", "{slug:?}");
        let list = get(&token, "tools/list");
        assert_eq!((list["tools"].as_array().unwrap().len(), &list["cacheScope"]), (1, &json!("private")));
        if slug.is_some() {
            // To a token without limits the server's own word passes.
            let open = companion.token("default");
            assert!(get(&open, "server/discover")["capabilities"]["prompts"].is_object());
            assert_eq!(get(&open, "tools/list")["cacheScope"], "public");
        }
    }
}
