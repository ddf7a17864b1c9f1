//! Clients of the legacy era at servers of the modern one: the level of log messages goes with
//! each request, subscriptions with the stream, and a call does not depend on the list of tools.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Listening, Talker, say, say_result, say_status};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession};

const VERSION: &str = "2026-07-28";
const LEVEL: &str = "io.modelcontextprotocol/logLevel";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server that tells of each resource that its stream was asked for, and of its tools. What
/// becomes of `tools/list` is up to the test.
fn server(list: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Talker {
    Talker::start(move |_, request, socket| {
        let message = request.json();
        match request.method().as_str() {
            "server/discover" => {
                let capabilities = json!({"tools": {}, "logging": {}, "resources": {"subscribe": true}});
                let result = json!({"resultType": "complete", "supportedVersions": [VERSION], "capabilities": capabilities});
                say_result(socket, request, &result)
            }
            "subscriptions/listen" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                let meta = json!({SUBSCRIPTION: message["id"]});
                let tell = |socket: &mut TcpStream, method: &str, mut params: Value| {
                    params["_meta"] = meta.clone();
                    say(socket, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
                };
                let wanted = &message["params"]["notifications"];
                tell(socket, "notifications/subscriptions/acknowledged", json!({"notifications": wanted}));
                tell(socket, "notifications/tools/list_changed", json!({}));
                for uri in wanted["resourceSubscriptions"].as_array().into_iter().flatten() {
                    tell(socket, "notifications/resources/updated", json!({"uri": uri}));
                }
                let _ = socket.read(&mut [0; 1]);
                false
            }
            "tools/list" => list(request, socket),
            "tools/call" => {
                let _ = socket.write_all(EVENTS_HEAD.as_bytes());
                let level = &message["params"]["_meta"][LEVEL];
                if !level.is_null() {
                    let params = json!({"level": level, "data": "said"});
                    say(
                        socket,
                        &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}),
                    );
                }
                let result = json!({"resultType": "complete", "content": []});
                say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
                false
            }
            _ => say_result(socket, request, &json!({"resultType": "complete"})),
        }
    })
}

fn no_tools(request: &Received, socket: &mut TcpStream) -> bool {
    say_result(socket, request, &json!({"resultType": "complete", "tools": []}))
}

/// A session on the route of the workspace, or of the server itself, and what goes before the
/// names there.
fn routes(companion: &Companion) -> [(McpSession, &'static str, &'static str); 2] {
    let token = companion.token("default");
    [(companion.session(&token, None), "new__", "new+"), (companion.session(&token, Some("new")), "", "")]
}

fn call(session: &McpSession, tool: &str) -> Listening {
    let params = json!({"name": tool, "arguments": {}});
    Listening::post(session, &json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}))
}

#[test]
fn the_level_of_log_messages_goes_with_each_request() {
    let server = server(no_tools);
    let companion = Companion::start();
    companion.add_server("new", &server.url());
    for (session, prefix, _) in routes(&companion) {
        let tool = format!("{prefix}t");
        assert_eq!(call(&session, &tool).answer()["result"]["content"], json!([]));
        let before = server.received_of("tools/call").pop().unwrap().json();
        assert_eq!(before["params"]["_meta"][LEVEL], Value::Null, "the client did not set one");
        for level in ["debug", "error"] {
            assert_eq!(session.rpc("logging/setLevel", &json!({"level": level}))["result"], json!({}));
            let mut stream = call(&session, &tool);
            let told = stream.until("notifications/message");
            assert_eq!(told["params"], json!({"level": level, "data": "said"}), "{tool}");
            assert_eq!(stream.answer()["id"], 7);
        }
        let refused = session.rpc("logging/setLevel", &json!({"level": "loud"}));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        call(&session, &tool).answer();
        let after = server.received_of("tools/call").pop().unwrap().json();
        assert_eq!(after["params"]["_meta"][LEVEL], "error");
    }
}

#[test]
fn what_is_subscribed_to_while_the_stream_is_open_is_told() {
    let server = server(no_tools);
    let companion = Companion::start();
    companion.add_server("new", &server.url());
    for (session, _, prefix) in routes(&companion) {
        let mut stream = Listening::get(&session, "");
        let first = stream.next().unwrap();
        assert_eq!(first["method"], "notifications/tools/list_changed", "not what the server says of it");
        assert_eq!(first["params"]["_meta"].get(SUBSCRIPTION), None);
        for uri in ["x://1", "x://2"] {
            let uri = format!("{prefix}{uri}");
            assert_eq!(session.rpc("resources/subscribe", &json!({"uri": uri}))["result"], json!({}));
            let told = stream.until("notifications/resources/updated")["params"].clone();
            let told = if told["uri"] == uri {
                told
            } else {
                stream.until("notifications/resources/updated")["params"].clone()
            };
            assert_eq!((&told["uri"], told["_meta"].get(SUBSCRIPTION)), (&json!(uri), None));
        }
        session.rpc("resources/unsubscribe", &json!({"uri": format!("{prefix}x://1")}));
        server.wait_for("the smaller wish", |one| {
            one.json()["params"]["notifications"]["resourceSubscriptions"] == json!(["x://2"])
        });
        session.rpc("resources/unsubscribe", &json!({"uri": format!("{prefix}x://2")}));
        let count = server.received_of("subscriptions/listen").len();
        assert!(count <= 5 * 2, "one for each change at most: {count}");
    }
}

#[test]
fn a_call_does_not_depend_on_the_list_of_tools() {
    let failing = server(|_, socket| say_status(socket, "500 Internal Server Error"));
    let hanging = server(|_, socket| socket.read(&mut [0; 1]).is_err());
    for server in [failing, hanging] {
        let companion = Companion::start();
        companion.add_server("new", &server.url());
        for (session, prefix, _) in routes(&companion) {
            let before = server.received_of("tools/list").len();
            for _ in 0..2 {
                assert_eq!(call(&session, &format!("{prefix}t")).answer()["result"]["content"], json!([]));
            }
            let asked = server.received_of("tools/list").len() - before;
            assert!(asked <= 1, "the second call does not wait for it again: {asked}");
        }
    }
}
