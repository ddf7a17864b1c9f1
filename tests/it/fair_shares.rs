//! What one member or one server does must not hide servers from the others, and what a token
//! may not use is not announced to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::http::raw;
use crate::harness::mcp::{BOTH_TYPES, json_rpc, message};
use crate::harness::talker::Listening;
use crate::harness::upstream::{Received, Upstream, http_answer, json_answer, mcp_answer};
use crate::harness::{Companion, McpSession};

const WAIT: Duration = Duration::from_mins(1);

/// A server that refuses what a client with this name sends it.
fn choosy(request: &Received) -> Vec<u8> {
    let body = request.json();
    if body["params"]["clientInfo"]["name"] == "bad" || !request.values("Mcp-Param-X").is_empty() {
        let error = json!({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32602, "message": "no"}});
        return http_answer("400 Bad Request", &[("Content-Type", "application/json")], &error.to_string());
    }
    mcp_answer(request)
}

#[test]
fn a_request_that_a_server_refuses_hides_it_from_nobody() {
    let (server, companion) = (Upstream::start(choosy), Companion::start());
    companion.add_server("choosy", &server.url());
    let good = companion.session(&companion.token("default"), None);
    assert_eq!(good.tools(), ["choosy__echo"]);
    // Another member: one whose `initialize` is refused there, and one whose list is.
    let token = companion.token("default");
    let client = json!({"name": "bad", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let closed =
        McpSession { address: companion.address, path: gateway_path(None), token, id: String::new() };
    let answer = closed.send(&message("initialize", &params), &[]);
    let bad = McpSession { id: answer.header("Mcp-Session-Id").unwrap().to_owned(), ..closed };
    assert!(bad.tools().is_empty());
    assert_eq!(good.tools(), ["choosy__echo"]);
    let list = good.send(&message("tools/list", &json!({})), &[("Mcp-Param-X", "y")]);
    assert_eq!(json_rpc(&list)["result"]["tools"], json!([]));
    assert_eq!(good.tools(), ["choosy__echo"]);
}

#[test]
fn who_listens_is_told_that_a_server_is_back() {
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let server =
        Upstream::start(
            move |request| {
                if switch.load(Ordering::SeqCst) { mcp_answer(request) } else { Vec::new() }
            },
        );
    let companion = Companion::start();
    companion.add_server("weak", &server.url());
    let session = companion.session(&companion.token("default"), None);
    assert!(session.tools().is_empty());
    let health =
        || companion.admin("GET", "/api/v1/admin/mcp-servers", None).json()["servers"][0]["health"].clone();
    assert_eq!(health()["state"], "failing", "a list shows it, though nothing was called: {}", health());
    let mut stream = Listening::get(&session, "");
    works.store(true, Ordering::SeqCst);
    // Nobody asks for a list meanwhile.
    stream.until("notifications/tools/list_changed");
    assert_eq!(session.tools(), ["weak__echo"]);
    assert_eq!(health()["state"], "ok");
}

#[test]
fn a_token_for_tools_is_told_of_tools_only() {
    let server = Upstream::start(|request| {
        if request.method() != "initialize" {
            return mcp_answer(request);
        }
        let all = json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true}, "completions": {}, "logging": {}});
        let result = json!({"protocolVersion": "2025-11-25", "capabilities": all, "serverInfo": {"name": "s", "version": "1"}});
        json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
    });
    let companion = Companion::start();
    companion.add_server("s", &server.url());
    let token = companion.token_with("default", &json!({"name": "t", "tools": ["s__*"]}));
    for slug in [None, Some("s")] {
        let session = McpSession {
            address: companion.address,
            path: gateway_path(slug),
            token: token.clone(),
            id: String::new(),
        };
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let answer = session.send(&message("initialize", &params), &[]).json();
        let announced = answer["result"]["capabilities"].as_object().unwrap();
        assert_eq!(announced.keys().collect::<Vec<_>>(), ["logging", "tools"], "{slug:?}");
    }
    // In the modern era an unknown method has a status of its own.
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let session =
        McpSession { address: companion.address, path: gateway_path(None), token, id: String::new() };
    let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "prompts/list")];
    let answer = session.send(&message("prompts/list", &json!({"_meta": meta})), &headers);
    assert_eq!((answer.status, json_rpc(&answer)["error"]["code"].as_i64()), (404, Some(-32601)));
}

#[test]
fn a_message_that_says_it_is_too_long_is_refused_at_once() {
    let companion = Companion::start();
    let token = companion.token("default");
    let began = Instant::now();
    let head = format!(
        "POST /ws/default HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nAccept: {BOTH_TYPES}\r\n\
         Content-Type: application/json\r\nContent-Length: 17825792\r\n\r\n",
        companion.address
    );
    assert_eq!(raw(companion.address, head.as_bytes()).unwrap().status, 413);
    assert!(began.elapsed() < Duration::from_secs(8), "it waited for a body: {:?}", began.elapsed());
}

#[test]
fn an_endless_list_is_cut_off() {
    let server = Upstream::start(|request| {
        if request.method() != "tools/list" {
            return mcp_answer(request);
        }
        let tools: Vec<Value> = (0..10_050).map(|number| json!({"name": format!("t{number}")})).collect();
        json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": {"tools": tools}}))
    });
    let companion = Companion::start();
    companion.add_server("many", &server.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools().len(), 10_000);
}

#[test]
fn a_test_that_takes_too_long_leaves_no_session_behind() {
    let server = Upstream::start(|request| {
        if request.method() == "initialize" {
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
            let body = json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}).to_string();
            return http_answer(
                "200 OK",
                &[("Content-Type", "application/json"), ("Mcp-Session-Id", "held")],
                &body,
            );
        }
        if request.method() == "tools/list" {
            // Longer than the one who asks waits.
            std::thread::sleep(Duration::from_secs(6));
        }
        mcp_answer(request)
    });
    let companion = Companion::start();
    companion.add_server("slow", &server.url());
    let path = "/api/v1/admin/mcp-servers/slow/test";
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        companion.address, companion.api_key
    );
    let mut socket = std::net::TcpStream::connect(companion.address).unwrap();
    std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
    let deadline = Instant::now() + WAIT;
    while server.received_of("tools/list").is_empty() {
        assert!(Instant::now() < deadline, "the test never began");
        std::thread::yield_now();
    }
    drop(socket);
    while server.received_of("DELETE").is_empty() {
        assert!(Instant::now() < deadline, "the session was not ended");
        std::thread::yield_now();
    }
}

/// A server with tools whose other lists, and whose resources, come to nothing.
fn half_broken(failure: &'static str) -> Upstream {
    Upstream::start(move |request| match request.method().as_str() {
        "initialize" => {
            let offers = json!({"tools": {}, "prompts": {}, "resources": {}});
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": {"name": "s", "version": "1"}});
            json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
        }
        "resources/list" | "resources/templates/list" | "prompts/list" | "resources/read" => match failure {
            "status" => http_answer("500 Internal Server Error", &[], ""),
            _ => Vec::new(),
        },
        _ => mcp_answer(request),
    })
}

#[test]
fn a_list_that_fails_hides_no_other_list() {
    for failure in ["status", "cut"] {
        let (server, companion) = (half_broken(failure), Companion::start());
        companion.add_server("half", &server.url());
        let (one, other) = [(); 2].map(|()| companion.session(&companion.token("default"), None)).into();
        for method in ["resources/list", "resources/templates/list", "prompts/list", "resources/list"] {
            assert!(one.rpc(method, &json!({}))["result"].is_object(), "{method}");
            let session: [&McpSession; 2] = [&one, &other];
            for session in session {
                assert_eq!(session.tools(), ["half__echo"], "{failure}: {method}");
            }
        }
        let asked = server.received().iter().filter(|one| one.method() == "resources/list").count();
        assert_eq!(asked, 1, "the list itself rests");
        let new = companion.session(&companion.token("default"), None);
        assert_eq!(new.tools(), ["half__echo"], "{failure}");
    }
}

#[test]
fn a_read_that_makes_servers_fail_hides_them_from_nobody() {
    for failure in ["status", "cut"] {
        let (servers, companion) = ([half_broken(failure), half_broken(failure)], Companion::start());
        for (slug, server) in ["one", "two"].iter().zip(&servers) {
            companion.add_server(slug, &server.url());
        }
        let (bad, good) = [(); 2].map(|()| companion.session(&companion.token("default"), None)).into();
        for _ in 0..3 {
            let answer = bad.rpc("resources/read", &json!({"uri": "file:///nope"}));
            assert!(answer["error"].is_object(), "{answer}");
            assert_eq!(good.tools(), ["one__echo", "two__echo"], "{failure}");
        }
        let asked = |server: &Upstream| {
            server.received().iter().filter(|one| one.method() == "resources/read").count()
        };
        assert_eq!([asked(&servers[0]), asked(&servers[1])], [3, 3]);
    }
}
