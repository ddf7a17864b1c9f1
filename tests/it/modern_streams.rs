//! Streams of clients of the modern era: what servers of both eras tell unasked, and the end
//! of a stream as the cancellation of its request. And how long a server may be silent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, Upstream, http_answer};
use crate::harness::{Companion, McpSession};

const VERSION: &str = "2026-07-28";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server of the legacy era whose GET stream and calls are in the hands of the test.
pub fn legacy(
    listening: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    calling: impl Fn(&Received, &mut TcpStream) + Send + Sync + 'static,
) -> Talker {
    legacy_with(&json!([]), listening, calling)
}

/// The same with resources.
fn legacy_with(
    resources: &Value,
    listening: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    calling: impl Fn(&Received, &mut TcpStream) + Send + Sync + 'static,
) -> Talker {
    let listed = json!({"resources": resources});
    Talker::start(move |_, request, socket| match request.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}, "resources": {"subscribe": true}});
            let result = json!({
                "protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"},
            });
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "held")];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "GET" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            listening(socket);
            let _ = socket.read(&mut [0; 1]);
            false
        }
        "tools/call" => {
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            calling(request, socket);
            false
        }
        "server/discover" => say_status(socket, "404 Not Found"),
        "tools/list" => say_result(socket, request, &json!({"tools": []})),
        "resources/list" => say_result(socket, request, &listed),
        method if method.starts_with("resources/") => say_result(socket, request, &json!({})),
        "DELETE" => say_status(socket, "200 OK"),
        _ => say_status(socket, "202 Accepted"),
    })
}

/// A server of the modern era with one subscription stream.
fn modern(told: &'static [(&'static str, &'static str)]) -> Talker {
    Talker::start(move |_, request, socket| {
        let message = request.json();
        match request.method().as_str() {
            "server/discover" => {
                let result = json!({"resultType": "complete", "supportedVersions": [VERSION], "capabilities": {"tools": {}}});
                say_result(socket, request, &result)
            }
            "subscriptions/listen" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                let meta = json!({SUBSCRIPTION: message["id"]});
                let acknowledged = "notifications/subscriptions/acknowledged";
                let params = json!({"_meta": meta, "notifications": message["params"]["notifications"]});
                say(socket, &json!({"jsonrpc": "2.0", "method": acknowledged, "params": params}));
                for (method, uri) in told {
                    let params = json!({"_meta": meta, "uri": uri});
                    say(socket, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
                }
                let _ = socket.read(&mut [0; 1]);
                false
            }
            _ => say_result(socket, request, &json!({"resultType": "complete", "tools": []})),
        }
    })
}

/// A request of a client of the modern era whose answer is read as it comes.
pub fn ask(companion: &Companion, token: &str, method: &str, id: &Value, params: Value) -> Listening {
    ask_at(companion, token, None, method, id, params)
}

/// The same on a route of choice.
pub fn ask_at(
    companion: &Companion,
    token: &str,
    slug: Option<&str>,
    method: &str,
    id: &Value,
    mut params: Value,
) -> Listening {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(VERSION);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let name = params["name"].as_str().map(|name| format!("Mcp-Name: {name}\r\n")).unwrap_or_default();
    let headers = format!("MCP-Protocol-Version: {VERSION}\r\nMcp-Method: {method}\r\n{name}");
    let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let (path, token) = (gateway_path(slug), token.to_owned());
    let session = McpSession { address: companion.address, path, token, id: String::new() };
    Listening::post_with(&session, &headers, &message)
}

#[test]
fn a_subscription_hears_servers_of_both_eras() {
    let old = legacy(
        |socket| {
            for (method, uri) in [
                ("notifications/resources/list_changed", "-"),
                ("notifications/tools/list_changed", "-"),
                ("notifications/resources/updated", "x://1/part"),
                ("notifications/resources/updated", "x://1"),
            ] {
                say(socket, &json!({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}}));
            }
        },
        |_, _| {},
    );
    let new =
        modern(&[("notifications/prompts/list_changed", "-"), ("notifications/resources/updated", "y://2")]);
    // Nothing of this one was asked for, so nothing of its resources is told.
    let unasked = modern(&[("notifications/resources/updated", "x://1")]);
    let companion = Companion::start();
    companion.add_server("old", &old.url());
    companion.add_server("new", &new.url());
    companion.add_server("unasked", &unasked.url());
    let wanted = json!({
        "toolsListChanged": true, "resourceSubscriptions": ["old+x://1", "new+y://2", "gone+z://3"],
    });
    let token = companion.token("default");
    let id = json!("listen-1");
    let mut stream = ask(&companion, &token, "subscriptions/listen", &id, json!({"notifications": wanted}));
    assert_eq!(stream.status, 200);
    // The acknowledgment is the first, with what can be told.
    let first = stream.next().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["old+x://1", "new+y://2"]});
    assert_eq!(first["params"]["notifications"], agreed);
    let mut told = Vec::new();
    while told.len() < 4 {
        let message = stream.next().unwrap();
        assert_eq!(message["params"]["_meta"][SUBSCRIPTION], id, "{message}");
        told.push((message["method"].as_str().unwrap().to_owned(), message["params"]["uri"].clone()));
    }
    told.sort_by_key(|(method, uri)| format!("{method} {uri}"));
    let updated = "notifications/resources/updated".to_owned();
    assert_eq!(told[0], (updated.clone(), json!("new+y://2")));
    assert_eq!(told[1], (updated.clone(), json!("old+x://1")));
    // A part of what was subscribed to is told with its own name.
    assert_eq!(told[2], (updated, json!("old+x://1/part")));
    assert_eq!(told[3].0, "notifications/tools/list_changed");
    // Both servers were asked for the resources that they have.
    old.wait_for("the subscription", |one| one.method() == "resources/subscribe");
    let listened = new.wait_for("the subscription", |one| one.method() == "subscriptions/listen");
    assert_eq!(listened.json()["params"]["notifications"]["resourceSubscriptions"], json!(["y://2"]));
    // A change of the workspace is told too.
    companion.add_server("third", &Upstream::mcp().url());
    assert_eq!(stream.until("notifications/tools/list_changed")["params"]["_meta"][SUBSCRIPTION], id);
    // The end of the stream ends what was held for it.
    drop(stream);
    old.wait_for("the end of the session", |one| one.method() == "DELETE");
}

#[test]
fn resources_without_a_slug_are_told_of_too() {
    let told = |socket: &mut TcpStream| {
        for uri in ["x://1", "x://1/part"] {
            let params = json!({"uri": uri});
            say(
                socket,
                &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}),
            );
        }
    };
    // Only one of them lists it.
    let has_not = legacy(told, |_, _| {});
    let has = legacy_with(&json!([{"uri": "x://1", "name": "one"}]), told, |_, _| {});
    let companion = Companion::start();
    companion.add_server("has", &has.url());
    companion.add_server("other", &has_not.url());
    let wanted = json!({"resourceSubscriptions": ["x://1", "y://nobody"]});
    let token = companion.token("default");
    let mut stream =
        ask(&companion, &token, "subscriptions/listen", &json!(1), json!({"notifications": wanted}));
    let first = stream.next().unwrap();
    assert_eq!(first["params"]["notifications"], json!({"resourceSubscriptions": ["x://1"]}), "{first}");
    // As the client named it; a part of it is known by its full name.
    let mut uris = [stream.next().unwrap(), stream.next().unwrap()].map(|one| one["params"]["uri"].clone());
    uris.sort_by_key(Value::to_string);
    assert_eq!(uris, ["has+x://1/part", "x://1"]);
    has.wait_for("the subscription", |one| one.method() == "resources/subscribe");
    assert!(has_not.received_of("resources/subscribe").is_empty());
}

#[test]
fn what_is_no_subscription() {
    let companion = Companion::start();
    let token = companion.token("default");
    for params in [
        json!({}),
        json!({"notifications": 5}),
        json!({"notifications": []}),
        json!({"notifications": {"toolsListChanged": "yes"}}),
    ] {
        let answer = ask(&companion, &token, "subscriptions/listen", &json!(1), params.clone()).answer();
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
    }
}

#[test]
fn a_closed_stream_cancels_the_call_of_a_legacy_server() {
    let server = legacy(
        |_| {},
        |request, socket| {
            let token = &request.json()["params"]["_meta"]["progressToken"];
            let params = json!({"progressToken": token, "progress": 1});
            say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
            let _ = socket.read(&mut [0; 1]);
        },
    );
    let companion = Companion::start();
    companion.add_server("old", &server.url());
    let token = companion.token("default");
    let mut call =
        ask(&companion, &token, "tools/call", &json!(1), json!({"name": "old__wait", "arguments": {}}));
    assert_eq!(call.until("notifications/progress")["params"]["progress"], 1);
    drop(call);
    let told = server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let asked = server.received_of("tools/call").pop().unwrap();
    assert_eq!(told.json()["params"]["requestId"], asked.json()["id"]);
    assert!(asked.json()["id"].is_string(), "two clients of a token both count from 1");
}

#[test]
fn a_modern_client_gets_no_requests_and_no_log_messages() {
    let server = legacy(
        |_| {},
        |request, socket| {
            let ask =
                |id: Value, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}});
            say(socket, &ask(json!(0), "ping"));
            say(socket, &ask(json!("e"), "elicitation/create"));
            say(
                socket,
                &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}}),
            );
            let result = json!({"content": []});
            say(socket, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}));
        },
    );
    let companion = Companion::start();
    companion.add_server("old", &server.url());
    let token = companion.token("default");
    let params = json!({"name": "old__talk", "arguments": {}});
    let mut call = ask(&companion, &token, "tools/call", &json!(7), params);
    let only = call.next().unwrap();
    assert_eq!((&only["id"], &only["result"]["resultType"]), (&json!(7), &json!("complete")), "{only}");
    assert_eq!(call.next(), None);
    // The server gets its answers from the gateway.
    assert_eq!(server.wait_for_answer(&json!(0))["result"], json!({}));
    assert_eq!(server.wait_for_answer(&json!("e"))["error"]["code"], -32601);
}

#[test]
fn progress_is_a_sign_of_life_and_silence_is_not() {
    let server = legacy(
        |_| {},
        |request, socket| {
            let message = request.json();
            let rounds = if message["params"]["name"] == "busy" { 8 } else { 1 };
            for number in 0..rounds {
                let params = json!({"progressToken": 1, "progress": number});
                say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
                // The pace of the server, well below its limit.
                thread::sleep(Duration::from_millis(400));
            }
            if rounds == 1 {
                let _ = socket.read(&mut [0; 1]);
                return;
            }
            let result = json!({"content": []});
            say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
        },
    );
    let mut companion = Companion::start();
    companion.patience = Duration::from_secs(2);
    companion.restart();
    companion.add_server("old", &server.url());
    let session = companion.session(&companion.token("default"), None);
    // It takes longer than the limit, but it is never silent for so long.
    assert_eq!(session.call("old__busy")["result"], json!({"content": []}));
    let error = session.call("old__silent")["error"]["data"].clone();
    assert_eq!(error, json!({"server": "old", "reason": "timed_out"}));
}
