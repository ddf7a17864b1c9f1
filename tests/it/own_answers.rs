//! Lists and resources that the gateway reads itself, from servers that close the stream early
//! and go on with it on another connection, and that ask something meanwhile.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::talker::{EVENTS_HEAD, Talker, say, say_result, say_status};
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Companion, Upstream, mcp_answer};

const URI: &str = "note://one";

/// A server with sessions that gives its list of tools and its resource in two parts. Between
/// them it pings and asks for roots, and it goes on when both were answered.
fn in_parts(rest: bool) -> Talker {
    Talker::start(move |me, request, socket| match request.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}, "resources": {}});
            let info = json!({"name": "s", "version": "1"});
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": info});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "of-parts")];
            socket.write_all(&http_answer("200 OK", &headers, &body)).is_ok()
        }
        "tools/list" | "resources/read" => {
            let _ = socket.write_all(format!("{EVENTS_HEAD}id: p+1\nretry: 1\ndata:\n\n").as_bytes());
            false
        }
        "GET" if rest && request.values("Last-Event-ID") == ["p+1"] => {
            assert_eq!(request.values("Mcp-Session-Id"), ["of-parts"]);
            let _ = socket.write_all(EVENTS_HEAD.as_bytes());
            let asked = last_request(me);
            let number = me.received().len();
            let (ping, roots) = (json!(number), json!(format!("roots-{number}")));
            say(socket, &json!({"jsonrpc": "2.0", "id": ping, "method": "ping"}));
            say(socket, &json!({"jsonrpc": "2.0", "id": roots, "method": "roots/list"}));
            assert_eq!(me.wait_for_answer(&ping)["result"], json!({}));
            assert_eq!(me.wait_for_answer(&roots)["error"]["code"], -32601);
            let result = match asked["method"].as_str().unwrap() {
                "tools/list" => json!({"tools": [{"name": "late", "inputSchema": {"type": "object"}}]}),
                _ => json!({"contents": [{"uri": URI, "text": "late"}]}),
            };
            say(socket, &json!({"jsonrpc": "2.0", "id": "another", "result": {}}));
            say(socket, &json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}));
            false
        }
        "GET" => say_status(socket, "405 Method Not Allowed"),
        "ping" => say_result(socket, request, &json!({})),
        _ => say_status(socket, "202 Accepted"),
    })
}

fn last_request(server: &Talker) -> Value {
    let is_asked = |one: &&Received| ["tools/list", "resources/read"].contains(&one.method().as_str());
    server.received().iter().rfind(is_asked).unwrap().json()
}

#[test]
fn what_comes_in_two_parts_is_read_whole() {
    let (server, companion) = (in_parts(true), Companion::start());
    companion.add_server("parts", &server.url());
    let all = companion.token("default");
    assert_eq!(companion.session(&all, None).tools(), ["parts__late"]);
    let limited = companion.token_with("default", &json!({"name": "limited", "tools": ["parts__l*"]}));
    assert_eq!(companion.session(&limited, Some("parts")).tools(), ["late"]);
    assert_eq!(companion.session(&limited, None).tools(), ["parts__late"]);
    let report = companion.admin("POST", "/api/v1/admin/mcp-servers/parts/test", None).json();
    assert_eq!((&report["ok"], &report["tools"]), (&json!(true), &json!(1)), "{report}");
    // One of several servers that may have the resource.
    let other = Upstream::start(mcp_answer);
    companion.add_server("other", &other.url());
    let read = companion.session(&all, None).rpc("resources/read", &json!({"uri": URI}));
    assert_eq!(read["result"]["contents"][0]["text"], "late", "{read}");
    assert_eq!(server.received_of("tools/list").len(), 4, "nothing is asked twice");
}

#[test]
fn a_rest_that_is_refused_is_a_cut_list() {
    let (server, companion) = (in_parts(false), Companion::start());
    companion.add_server("parts", &server.url());
    let report = companion.admin("POST", "/api/v1/admin/mcp-servers/parts/test", None).json();
    assert_eq!((&report["ok"], &report["findings"][0]["code"]), (&json!(false), &json!("cut")), "{report}");
    assert_eq!(server.received_of("GET").len(), 1);
}
