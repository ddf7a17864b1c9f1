//! Tool calls are recorded with who, what, how long and how it ended, on both routes, with
//! no argument and no result; the admin API tells them in groups and one by one.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::http::read_answer;
use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::program::until;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Answer, Companion, McpSession, Upstream, mcp_answer, request};

pub const ANALYTICS: &str = "/api/v1/admin/workspaces/default/analytics";
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer by the tool's name.
pub fn answer_by_tool(request: &Received) -> Vec<u8> {
    let message = request.json();
    if message["method"] != "tools/call" {
        return mcp_answer(request);
    }
    let id = &message["id"];
    let result = json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}});
    match message["params"]["name"].as_str().unwrap_or_default() {
        "events" => {
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
            let body = format!("data: {note}\r\n\r\nid: 7\r\ndata: {result}\r\n\r\n");
            http_answer("200 OK", &[("Content-Type", "text/event-stream")], &body)
        }
        "says_error" => json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": {"isError": true}})),
        "is_error" => json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "m"}})),
        "refused" => http_answer(
            "400 Bad Request",
            &[("Content-Type", "application/json")],
            &json!({"jsonrpc": "2.0", "id": id, "error": {"code": 2, "message": "m"}}).to_string(),
        ),
        "status" => http_answer("503 Service Unavailable", &[], "busy"),
        "cut" => Vec::new(),
        _ => json_answer(&result),
    }
}

pub fn analytics(companion: &Companion, query: &str) -> Answer {
    companion.admin("GET", &format!("{ANALYTICS}{query}"), None)
}

/// The log once it has so many calls.
#[track_caller]
pub fn logged(companion: &Companion, count: usize) -> Vec<Value> {
    let read = || {
        let calls = analytics(companion, "/calls").json()["calls"].as_array().unwrap().clone();
        (calls.len() >= count).then_some(calls)
    };
    let calls = until(PATIENCE, read).expect("the calls are recorded");
    assert_eq!(calls.len(), count);
    calls
}

fn groups(companion: &Companion, query: &str) -> Vec<Value> {
    analytics(companion, query).json()["groups"].as_array().unwrap().clone()
}

fn send(session: &McpSession, tool: &str) -> Answer {
    session.send(&message("tools/call", &json!({"name": tool, "arguments": {}})), &[])
}

const ENDS: [(&str, &str); 7] = [
    ("good", "success"),
    ("events", "success"),
    ("says_error", "tool_error"),
    ("is_error", "rpc_error"),
    ("refused", "rpc_error"),
    ("status", "http_status"),
    ("cut", "cut"),
];

#[test]
fn calls_of_both_routes_with_their_ends() {
    let companion = Companion::start();
    let upstream = Upstream::start(answer_by_tool);
    companion.add_server("up", &upstream.url());
    let token = companion.token("default");
    let mut expected = Vec::new();
    for slug in [None, Some("up")] {
        let session = companion.session(&token, slug);
        session.tools();
        for (tool, outcome) in ENDS {
            let name = slug.map_or_else(|| format!("up__{tool}"), |_| tool.to_owned());
            let answer = send(&session, &name);
            let id = answer.header("X-Request-Id").unwrap().to_owned();
            expected.push((tool, outcome, id));
        }
    }
    // What does not get as far as a server is no call.
    let session = companion.session(&token, None);
    for nothing in ["other__good", "good", ""] {
        assert!(send(&session, nothing).json()["error"].is_object(), "{nothing}");
    }
    let calls = logged(&companion, expected.len());
    for (call, (tool, outcome, id)) in calls.iter().rev().zip(&expected) {
        assert_eq!(
            (&call["tool"], &call["outcome"], &call["request_id"]),
            (&json!(tool), &json!(outcome), &json!(id))
        );
        assert_eq!((&call["server"], &call["token"]), (&json!("up"), &json!(token[4..16])));
        assert_eq!((&call["token_name"], &call["success"]), (&json!("test"), &json!(*outcome == "success")));
        assert!((0.0..30_000.0).contains(&call["ms"].as_f64().unwrap()), "{call}");
        let age = jiff::Timestamp::now().duration_since(call["time"].as_str().unwrap().parse().unwrap());
        assert!((0..60).contains(&age.as_secs()), "{call}");
        assert_eq!(call.as_object().unwrap().len(), 9, "{call}");
    }
    for query in ["", "?by=tool", "?by=tool&since=1h", "?since=2020-01-01T00:00:00Z"] {
        let groups = groups(&companion, query);
        assert_eq!(groups.len(), ENDS.len(), "{query}");
        for group in groups {
            let (_, outcome) = ENDS.iter().find(|(tool, _)| group["tool"] == *tool).unwrap();
            let failures = if *outcome == "success" { 0 } else { 2 };
            assert_eq!((&group["calls"], &group["failures"]), (&json!(2), &json!(failures)), "{group}");
            let mean: f64 = calls_of(&calls, &group).iter().sum::<f64>() / 2.0;
            assert!((group["mean_ms"].as_f64().unwrap() - mean).abs() < 0.002, "{group} {mean}");
        }
    }
    let whole = groups(&companion, "?by=server");
    assert_eq!((whole.len(), &whole[0]["calls"], &whole[0]["failures"]), (1, &json!(14), &json!(10)));
    assert_eq!((&whole[0]["server"], whole[0].get("tool")), (&json!("up"), None));
    let by_token = groups(&companion, "?by=token,tool");
    assert_eq!((by_token.len(), &by_token[0]["token_name"]), (7, &json!("test")));
    assert_eq!(groups(&companion, "?since=0s&by=server"), Vec::<Value>::new());
}

fn calls_of(calls: &[Value], group: &Value) -> Vec<f64> {
    let own = calls.iter().filter(|call| call["tool"] == group["tool"]);
    own.map(|call| call["ms"].as_f64().unwrap()).collect()
}

/// An upstream whose calls wait until the test lets them go on.
fn held() -> (Upstream, Sender<Vec<u8>>) {
    let (sender, answers) = channel::<Vec<u8>>();
    let answers = Mutex::new(answers);
    let upstream = Upstream::start(move |request: &Received| {
        if request.method() != "tools/call" {
            return mcp_answer(request);
        }
        answers.lock().unwrap().recv().unwrap_or_default()
    });
    (upstream, sender)
}

/// Sends a call and leaves the answer to the caller.
fn call_on_a_socket(session: &McpSession, tool: &str) -> TcpStream {
    let body = message("tools/call", &json!({"name": tool, "arguments": {}})).to_string();
    let mut socket = TcpStream::connect(session.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (path, host, token, id) = (&session.path, session.address, &session.token, &session.id);
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAccept: {BOTH_TYPES}\r\n\
         Content-Type: application/json\r\nMcp-Session-Id: {id}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    socket
}

#[test]
fn a_client_that_leaves_and_a_stream_that_is_cut() {
    let companion = Companion::start();
    let (upstream, answers) = held();
    companion.add_server("up", &upstream.url());
    let token = companion.token("default");
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
    let mut count = 0;
    for (slug, tool) in [(None, "up__slow"), (Some("up"), "slow")] {
        let session = companion.session(&token, slug);
        // Before an answer, and in the middle of a stream.
        let asked = |more: usize| {
            until(PATIENCE, || (upstream.received_of("tools/call").len() >= more).then_some(())).unwrap();
        };
        let before = upstream.received_of("tools/call").len();
        let socket = call_on_a_socket(&session, tool);
        asked(before + 1);
        drop(socket);
        count += 1;
        assert_eq!(logged(&companion, count)[0]["outcome"], "client_left");
        answers.send(Vec::new()).unwrap();

        for (answer, outcome) in [
            // After an interim answer the upstream closes, whatever length the next one names.
            (format!("HTTP/1.1 100 Continue\r\n\r\n{events}Content-Length: 50\r\n\r\n: hello\n\n"), "cut"),
            (format!("{events}\r\n: hello\n\n"), "cut"),
        ] {
            let began = Instant::now();
            let socket = call_on_a_socket(&session, tool);
            asked(1);
            answers.send(answer.into_bytes()).unwrap();
            let _ = read_answer(&mut BufReader::new(socket));
            count += 1;
            let call = logged(&companion, count).remove(0);
            assert_eq!(call["outcome"], outcome);
            assert!(call["ms"].as_f64().unwrap() <= began.elapsed().as_secs_f64() * 1e3, "{call}");
        }
    }
    let group = groups(&companion, "?by=server").remove(0);
    assert_eq!((&group["calls"], &group["failures"]), (&json!(count), &json!(count)));
}

#[test]
fn a_stream_lasts_until_its_end() {
    let companion = Companion::start();
    let (upstream, answers) = held();
    companion.add_server("up", &upstream.url());
    let token = companion.token("default");
    let session = companion.session(&token, Some("up"));
    let socket = call_on_a_socket(&session, "slow");
    until(PATIENCE, || (!upstream.received_of("tools/call").is_empty()).then_some(())).unwrap();
    // A lower bound: while nobody answers, the call goes on.
    let waited = Instant::now();
    until(Duration::from_millis(60), || None::<()>);
    let waited = waited.elapsed();
    assert!(analytics(&companion, "/calls").json()["calls"].as_array().unwrap().is_empty());
    answers.send(json_answer(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}))).unwrap();
    read_answer(&mut BufReader::new(socket)).unwrap();
    let call = logged(&companion, 1).remove(0);
    assert_eq!(call["outcome"], "success");
    assert!(call["ms"].as_f64().unwrap() >= waited.as_secs_f64() * 1e3 - 1.0, "{call} {waited:?}");
}

#[test]
fn names_of_tools_are_bounded_and_escaped() {
    let companion = Companion::start();
    let upstream = Upstream::start(answer_by_tool);
    companion.add_server("up", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    send(&session, &format!("up__{}", "x".repeat(5000)));
    send(&session, "up__a\u{1b}[2J\u{202e}\n|b");
    let calls = logged(&companion, 2);
    assert_eq!(calls[1]["tool"], "x".repeat(128));
    assert_eq!(calls[0]["tool"], "a\u{1b}[2J\u{202e}\n|b");
    for arguments in [&["analytics"][..], &["analytics", "--calls"], &["analytics", "--json"]] {
        let out = crate::harness::cli(&companion, arguments).expect(0).out;
        assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'), "{out}");
        assert!(out.contains("u{1b}") || out.contains("u001b"), "{out}");
    }
}

#[test]
fn every_route_wants_an_api_key() {
    let companion = Companion::start();
    let token = companion.token("default");
    let get = |path: &str, headers: &[(&str, &str)]| request(companion.address, "GET", path, headers, b"");
    let (member, wrong) =
        (format!("Bearer {token}"), format!("Bearer ak_{}_{}", "a".repeat(12), "b".repeat(43)));
    for path in [ANALYTICS.to_owned(), format!("{ANALYTICS}/calls")] {
        get(&path, &[("Authorization", &member)]).expect_error(403, "forbidden");
        get(&path, &[("Authorization", &wrong)]).expect_error(401, "unauthorized");
        get(&path, &[]).expect_error(401, "unauthorized");
        assert_eq!(companion.admin("POST", &path, Some(&json!({}))).status, 404);
    }
    for (query, status, code) in [
        ("?by=arguments", 422, "invalid_value"),
        ("?by=", 422, "invalid_value"),
        ("?since=yesterday", 422, "invalid_value"),
        ("?by=tool&by=token", 400, "invalid_request"),
        ("/calls?after=x", 422, "invalid_value"),
        ("/calls?after=-1", 422, "invalid_value"),
        ("/calls?token=000000000000", 404, "not_found"),
        ("/other", 404, "not_found"),
    ] {
        analytics(&companion, query).expect_error(status, code);
    }
    let unknown = "/api/v1/admin/workspaces/zzz/analytics";
    companion.admin("GET", unknown, None).expect_error(404, "not_found");
}

#[test]
fn a_workspace_sees_its_own_calls_only() {
    let companion = Companion::start();
    let answer = companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Team A"})));
    assert_eq!(answer.status, 201);
    let upstream = Upstream::start(answer_by_tool);
    let body = json!({"slug": "up", "url": upstream.url()});
    for workspace in ["default", "team-a"] {
        let path = format!("/api/v1/admin/mcp-servers?workspace={workspace}");
        assert_eq!(companion.admin("POST", &path, Some(&body)).status, 201);
    }
    let (own, other) = (companion.token("default"), companion.token("team-a"));
    companion.session(&own, Some("up")).call("good");
    let session = McpSession::open(companion.address, "/ws/team-a", &other);
    session.call("up__says_error");
    let calls = logged(&companion, 1);
    assert_eq!((&calls[0]["tool"], &calls[0]["token"]), (&json!("good"), &json!(own[4..16])));
    let theirs = |query: &str| {
        companion.admin("GET", &format!("/api/v1/admin/workspaces/team-a/analytics{query}"), None)
    };
    until(PATIENCE, || (theirs("/calls").json()["calls"].as_array().unwrap().len() == 1).then_some(()))
        .unwrap();
    assert_eq!(theirs("").json()["groups"][0]["tool"], "says_error");
    // The other's token is as unknown as any.
    let foreign = analytics(&companion, &format!("/calls?token={}", &other[4..16]));
    let unknown = analytics(&companion, "/calls?token=000000000000");
    let (foreign, unknown) = (foreign.expect_error(404, "not_found"), unknown.expect_error(404, "not_found"));
    assert_eq!((&foreign["message"], &foreign["hint"]), (&unknown["message"], &unknown["hint"]));
    let filtered = theirs(&format!("/calls?token={}", &other[4..16])).json();
    assert_eq!(filtered["calls"].as_array().unwrap().len(), 1);
}

#[test]
fn the_last_use_of_a_token() {
    let companion = Companion::start();
    let (used, unused) = (companion.token("default"), companion.token("default"));
    let rows = || {
        let answer = companion.admin("GET", "/api/v1/admin/workspaces/default/tokens", None);
        answer.json()["tokens"].as_array().unwrap().clone()
    };
    let last = |token: &str| {
        let row = rows().into_iter().find(|row| row["id"] == token[4..16]).unwrap();
        row["last_used_at"].as_str().map(str::to_owned)
    };
    assert_eq!((last(&used), last(&unused)), (None, None));
    let before = jiff::Timestamp::now().as_second();
    companion.session(&used, None);
    let noted = until(PATIENCE, || last(&used)).expect("the use is noted");
    let noted: jiff::Timestamp = noted.parse().unwrap();
    assert!((before..before + 60).contains(&noted.as_second()), "{noted}");
    assert_eq!(last(&unused), None);
    let table = crate::harness::cli(&companion, &["workspace", "token", "list", "default"]).expect(0).out;
    let line = table.lines().find(|line| line.contains(&used[4..16])).unwrap();
    assert_eq!(line.matches(&noted.to_string()[..10]).count(), 2, "created and used: {line}");
    // A token that is not accepted is not used.
    let refused = format!("Bearer {}x", &unused[..unused.len() - 1]);
    request(companion.address, "GET", "/ws/default", &[("Authorization", &refused)], b"");
    companion.session(&used, None);
    assert_eq!(last(&unused), None);
}
