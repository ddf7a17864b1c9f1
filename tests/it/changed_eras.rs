//! Servers that change their era behind the same address: what was open goes on, because what
//! they refuse of the other era they refuse before it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::mcp::json_rpc;
use crate::harness::program::until;
use crate::harness::upstream::{Received, http_answer, json_answer, mcp_answer};
use crate::harness::{Companion, Upstream};
use crate::modern_era::ask;

const PATIENCE: Duration = Duration::from_secs(20);

pub fn refusal(code: i32, id: &Value) -> Vec<u8> {
    let error = json!({"code": code, "message": "Bad Request: Server not initialized", "data": {"supported": ["2026-07-28"]}});
    let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
    http_answer("400 Bad Request", &[("Content-Type", "application/json")], &body)
}

fn result(request: &Received, result: &Value) -> Vec<u8> {
    json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
}

/// Speaks the modern era alone while the switch is on, else the legacy one alone.
fn changing(is_modern: Arc<AtomicBool>) -> Upstream {
    Upstream::start(move |request| {
        let message = request.json();
        let says_modern = request.values("MCP-Protocol-Version") == ["2026-07-28"];
        if !is_modern.load(Ordering::SeqCst) {
            // As the official SDK does it: an error without the id.
            return if says_modern { refusal(-32000, &Value::Null) } else { mcp_answer(request) };
        }
        if !says_modern {
            return refusal(-32022, &message["id"]);
        }
        match request.method().as_str() {
            "server/discover" => discovered(request),
            "tools/list" => result(
                request,
                &json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                    "tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
            ),
            _ => result(request, &json!({"resultType": "complete", "content": []})),
        }
    })
}

#[test]
fn what_is_open_survives_a_change_of_the_era() {
    for begins_modern in [false, true] {
        let is_modern = Arc::new(AtomicBool::new(begins_modern));
        let (server, companion) = (changing(Arc::clone(&is_modern)), Companion::start());
        companion.add_server("s", &server.url());
        let token = companion.token("default");
        let routes = [(None, "s__echo"), (Some("s"), "echo")];
        let sessions = routes.map(|(slug, tool)| (companion.session(&token, slug), tool));
        let listed =
            |method: &str, params: Value| json_rpc(&ask(&companion, &token, None, method, params, &[]));
        let works = || {
            // Lists first: who sees no tools calls none.
            let answer = listed("tools/list", json!({}));
            assert_eq!(answer["result"]["tools"][0]["name"], "s__echo", "{begins_modern}: {answer}");
            let answer = listed("tools/call", json!({"name": "s__echo", "arguments": {}}));
            assert!(answer["id"] == 7 && answer["result"].is_object(), "{begins_modern}: {answer}");
            for (session, tool) in &sessions {
                assert_eq!(session.tools(), [*tool], "{begins_modern}");
                let answer = session.call(tool);
                assert!(answer["result"].is_object(), "{begins_modern}: {answer}");
            }
            for (slug, tool) in routes {
                let new = companion.session(&token, slug);
                assert_eq!(new.tools(), [tool], "{begins_modern}");
            }
        };
        works();
        is_modern.store(!begins_modern, Ordering::SeqCst);
        works();
    }
}

/// A server that is of the modern era alone, and answered the first question in words of its own.
#[test]
fn an_odd_first_answer_is_not_believed_for_long() {
    for odd in ["<html>", r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"starting"}}"#] {
        let is_first = AtomicBool::new(true);
        let (status, kind) = if odd.starts_with('<') {
            ("200 OK", "text/html")
        } else {
            ("400 Bad Request", "application/json")
        };
        let modern = Arc::new(AtomicBool::new(true));
        let inner = changing(modern);
        let address = inner.address;
        let server = Upstream::start(move |request| {
            if request.method() == "server/discover" && is_first.swap(false, Ordering::SeqCst) {
                return http_answer(status, &[("Content-Type", kind)], odd);
            }
            let pass = ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"]
                .map(|name| (name, request.values(name).concat()));
            let pass: Vec<(&str, &str)> = pass.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = crate::harness::request(address, "POST", "/mcp", &pass, &request.body);
            let kind = [("Content-Type", "application/json")];
            http_answer(
                if answer.status == 200 { "200 OK" } else { "400 Bad Request" },
                &kind,
                &answer.text(),
            )
        });
        let companion = Companion::start();
        companion.add_server("s", &server.url());
        let token = companion.token("default");
        let answer = json_rpc(&ask(&companion, &token, None, "tools/list", json!({}), &[]));
        assert_eq!(answer["result"]["tools"][0]["name"], "s__echo", "{odd}: {answer}");
    }
}

#[test]
fn a_refusal_without_an_id_gets_it() {
    let inner = changing(Arc::new(AtomicBool::new(true)));
    let address = inner.address;
    let server = Upstream::start(move |request| {
        if request.method() == "tools/call" {
            return refusal(-32000, &Value::Null);
        }
        let pass = [("MCP-Protocol-Version", "2026-07-28")];
        let answer = crate::harness::request(address, "POST", "/mcp", &pass, &request.body);
        http_answer("200 OK", &[("Content-Type", "application/json")], &answer.text())
    });
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    let params = json!({"name": "s__echo", "arguments": {}});
    let answer = ask(&companion, &companion.token("default"), None, "tools/call", params, &[]);
    let error = (&answer.json()["id"], &answer.json()["error"]["code"]);
    assert_eq!((answer.status, error), (200, (&json!(7), &json!(-32000))), "{}", answer.text());
}

pub fn discovered(request: &Received) -> Vec<u8> {
    result(
        request,
        &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "s", "version": "2"}}),
    )
}

/// The Python SDK answers errors of a tool's own with status 400 too, in words that may be about
/// anything; and what a server does not say in JSON-RPC says nothing of its era.
#[test]
fn a_call_that_may_have_run_is_not_repeated() {
    let page = [("Content-Type", "text/html")];
    let later = [
        (
            -32600,
            "the tool ran and failed",
            http_answer(
                "400 Bad Request",
                &[("Content-Type", "application/json")],
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no such method"}}"#,
            ),
        ),
        (
            -32000,
            "the browser session was closed after the payment",
            http_answer("400 Bad Request", &page, "<html>"),
        ),
        (-32000, "the session was closed", http_answer("405 Method Not Allowed", &page, "<html>")),
        (-32000, "the session was closed", http_answer("500 Internal Server Error", &[], "")),
    ];
    for (code, words, later) in later {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let server = Upstream::start(move |request| match request.method().as_str() {
            "tools/call" => {
                count.fetch_add(1, Ordering::SeqCst);
                let error = json!({"code": code, "message": words});
                let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error}).to_string();
                http_answer("400 Bad Request", &[("Content-Type", "application/json")], &body)
            }
            "server/discover" if count.load(Ordering::SeqCst) > 0 => later.clone(),
            "server/discover" => discovered(request),
            _ => mcp_answer(request),
        });
        let companion = Companion::start();
        companion.add_server("s", &server.url());
        let params = json!({"name": "s__echo", "arguments": {}});
        let answer = json_rpc(&ask(&companion, &companion.token("default"), None, "tools/call", params, &[]));
        assert_eq!((&answer["error"]["code"], runs.load(Ordering::SeqCst)), (&json!(code), 1), "{answer}");
    }
}

/// All of them are refused before they run, and all are made in the other era.
#[test]
fn calls_side_by_side_survive_a_change_of_the_era() {
    const CALLS: usize = 6;
    for is_legacy_client in [false, true] {
        let is_modern = Arc::new(AtomicBool::new(true));
        let inner = changing(Arc::clone(&is_modern));
        let (address, arrived, switch) = (inner.address, AtomicUsize::new(0), Arc::clone(&is_modern));
        let server = Upstream::start(move |request| {
            let version = request.values("MCP-Protocol-Version").concat();
            if request.method() == "tools/call" && version == "2026-07-28" {
                // The change comes when all are on their way.
                arrived.fetch_add(1, Ordering::SeqCst);
                let all = until(PATIENCE, || (arrived.load(Ordering::SeqCst) == CALLS).then_some(()));
                all.expect("all calls at once");
                switch.store(false, Ordering::SeqCst);
            }
            let pass = [("MCP-Protocol-Version", version.as_str())];
            let answer = crate::harness::request(address, "POST", "/mcp", &pass, &request.body);
            let status = format!("{} X", answer.status);
            let session = answer.header("Mcp-Session-Id").unwrap_or_default().to_owned();
            let mut headers = vec![("Content-Type", "application/json")];
            if !session.is_empty() {
                headers.push(("Mcp-Session-Id", &session));
            }
            http_answer(&status, &headers, &answer.text())
        });
        let companion = Companion::start();
        companion.add_server("s", &server.url());
        let token = companion.token("default");
        let session = companion.session(&token, None);
        session.tools();
        let call = || {
            if is_legacy_client {
                return session.call("s__echo");
            }
            let params = json!({"name": "s__echo", "arguments": {}});
            json_rpc(&ask(&companion, &token, None, "tools/call", params, &[]))
        };
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
            for call in calls {
                let answer = call.join().unwrap();
                assert!(answer["result"].is_object(), "legacy client: {is_legacy_client}: {answer}");
            }
        });
    }
}

/// Two releases behind one address, for one.
#[test]
fn a_server_that_changes_to_and_fro_is_not_followed() {
    let (calls, turns) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = Upstream::start(move |request| match request.method().as_str() {
        "tools/call" => {
            count.fetch_add(1, Ordering::SeqCst);
            refusal(-32000, &Value::Null)
        }
        "server/discover" if turns.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) => discovered(request),
        "initialize" => refusal(-32022, &request.json()["id"]),
        _ => refusal(-32601, &request.json()["id"]),
    });
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    let token = companion.token("default");
    let params = json!({"name": "s__echo", "arguments": {}});
    assert!(json_rpc(&ask(&companion, &token, None, "tools/call", params, &[]))["error"].is_object());
    assert!(companion.session(&token, None).call("s__echo")["error"].is_object());
    assert!(calls.load(Ordering::SeqCst) <= 6, "{} calls of two", calls.load(Ordering::SeqCst));
}
