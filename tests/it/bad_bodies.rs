//! Bodies that are not what a route takes: a 4xx of the contract with an error document,
//! and not a byte of the body in the answer or, at trace level, in the server's log.

use serde_json::{Value, json};

use crate::harness::{Answer, Companion, Mock, request};

/// Stands in every position of a body. Nowhere is it legal.
const CANARY: &str = "c4n4ry\u{7} x";
/// What is looked for.
const MARK: &str = "c4n4ry";

const SERVERS: &str = "/api/v1/admin/mcp-servers";
const SERVER: &str = "/api/v1/admin/mcp-servers/demo-mcp";
const SECRETS: &str = "/api/v1/admin/mcp-servers/demo-mcp/secrets";
const BATCH: &str = "/api/v1/admin/mcp-servers/demo-mcp/secrets/batch";
const INJECTION: &str = "/api/v1/admin/mcp-servers/demo-mcp/secrets/TOKEN/injection";
const WORKSPACES: &str = "/api/v1/admin/workspaces";
const TOKENS: &str = "/api/v1/admin/workspaces/default/tokens";

/// Every route that takes a body, with one that has all of its fields.
fn routes() -> [(&'static str, &'static str, Value); 7] {
    let url = "https://a.example/";
    let rule = json!({"type": "header", "header": "X-A", "prefix": "p"});
    [
        (
            "POST",
            SERVERS,
            json!({"slug": "a", "url": url, "name": "A", "allow_private_network": true, "redact_responses": true}),
        ),
        (
            "PATCH",
            SERVER,
            json!({"url": url, "name": "A", "enabled": true, "allow_private_network": true, "redact_responses": true, "detach_secrets": true}),
        ),
        (
            "POST",
            SECRETS,
            json!({"name": "TOKEN", "value": "x", "injection": rule, "must_exist": false, "must_not_exist": false}),
        ),
        (
            "POST",
            BATCH,
            json!({"secrets": [{"name": "TOKEN", "value": "x"}], "prune": true, "dry_run": false}),
        ),
        ("PUT", INJECTION, rule),
        ("POST", WORKSPACES, json!({"name": "Team A"})),
        ("POST", TOKENS, json!({"name": "anna", "expires_in": 60})),
    ]
}

/// Where to send and with which key.
struct Target {
    address: std::net::SocketAddr,
    authorization: String,
}

impl Target {
    fn of(companion: &Companion) -> Self {
        Self { address: companion.address, authorization: format!("Bearer {}", companion.api_key) }
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.send_as("application/json", method, path, body)
    }

    fn send_as(&self, content_type: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", content_type)];
        request(self.address, method, path, &headers, body)
    }
}

/// A companion with the server and the secret that the routes name.
fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("demo-mcp", "https://demo.example/");
    companion.set("demo-mcp", "TOKEN", "x");
    companion
}

/// What an admin can see; no refused body may change it.
fn state(target: &Target) -> Vec<Value> {
    let get = |path: &str| target.send("GET", path, b"").json();
    vec![get(SERVERS), get(SECRETS), get(WORKSPACES), get(TOKENS)]
}

/// The document with the canary in every position: as each value (of each type), as a
/// member's name, as a further member.
fn with_canaries(document: &Value) -> Vec<Value> {
    let mut all = vec![json!(CANARY), json!([CANARY]), json!({CANARY: CANARY})];
    let members = document.as_object().unwrap();
    for (name, value) in members {
        let mut replace = |by: Value| {
            let mut changed = members.clone();
            changed.insert(name.clone(), by);
            all.push(Value::Object(changed));
        };
        for by in [json!(CANARY), json!([CANARY]), json!({CANARY: 1}), json!([[CANARY]])] {
            replace(by);
        }
        if value.is_object() {
            with_canaries(value).into_iter().for_each(replace);
        } else if let Some(entry) = value.get(0) {
            // In the second place: what stands before it is not done either.
            let list = |by: Value| json!([{"name": "FIRST", "value": "x"}, by]);
            with_canaries(entry).into_iter().map(list).for_each(replace);
        }
        let mut renamed = members.clone();
        let value = renamed.remove(name).unwrap();
        renamed.insert(CANARY.to_owned(), value);
        all.push(Value::Object(renamed));
    }
    let mut extended = members.clone();
    extended.insert(CANARY.to_owned(), json!(CANARY));
    all.push(Value::Object(extended));
    all
}

/// The canary's texts that are no JSON document of a route at all.
fn broken_texts() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "true",
        "12",
        "[]",
        r#""c4n4ry""#,
        "c4n4ry",
        "{c4n4ry",
        r#"{"c4n4ry"#,
        r#"{"c4n4ry":"#,
        r#"{"name":"c4n4ry","#,
        r#"{"name":c4n4ry}"#,
        r"{'name':'c4n4ry'}",
        r#"{"name":"c4n4ry\q"}"#,
        r#"{"name":"c4n4ry\ud800"}"#,
        r#"{"name":"\udc00c4n4ry"}"#,
        r#"{"name":"\ud800\u0041c4n4ry"}"#,
        r#"{"name":"c4n4ry"} c4n4ry"#,
        r#"{"name":"c4n4ry"}{"name":"c4n4ry"}"#,
        "name=c4n4ry&value=c4n4ry",
        "\u{feff}{\"name\":\"c4n4ry\"}",
        "{\"name\":\"c4n4ry\n\"}",
        r#"{"name":1e999,"value":"c4n4ry"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    all.push("[".repeat(100_000).into_bytes());
    all.push(format!("{}\"{MARK}\"", r#"{"name":"#.repeat(20_000)).into_bytes());
    all.push(format!(r#"{{"name":{}"{MARK}"}}"#, "[".repeat(100_000)).into_bytes());
    all.push(b"{\"name\":\"c4n4ry\xff\"}".to_vec());
    all
}

/// Every field of the document given twice, the second time with the canary.
fn with_duplicates(document: &Value) -> Vec<String> {
    let text = document.to_string();
    let inner = text.strip_prefix('{').unwrap();
    let members = document.as_object().unwrap().iter();
    members.map(|(name, value)| format!(r#"{{"{name}":{value},{inner}"#)).collect()
}

/// Fails unless this is a refusal of the body that tells nothing of it.
#[track_caller]
fn refused(answer: &Answer, body: &[u8]) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]);
    assert!(matches!(answer.status, 400 | 422), "{} for {shown}", answer.status);
    let code = if answer.status == 400 { "invalid_request" } else { "invalid_value" };
    answer.expect_error(answer.status, code);
    assert!(!answer.whole().contains(MARK), "{} for {shown}", answer.text());
}

fn send_everything(target: &Target) {
    for (method, path, document) in routes() {
        for body in with_canaries(&document) {
            let body = body.to_string().into_bytes();
            refused(&target.send(method, path, &body), &body);
        }
        for body in broken_texts() {
            refused(&target.send(method, path, &body), &body);
        }
        for body in with_duplicates(&document) {
            let answer = target.send(method, path, body.as_bytes());
            answer.expect_error(400, "invalid_request");
        }
        let whole = document.to_string().replacen(":\"", &format!(":\"{MARK}"), 1);
        for end in 0..whole.len() {
            refused(&target.send(method, path, &whole.as_bytes()[..end]), &whole.as_bytes()[..end]);
        }
    }
}

#[test]
fn every_route_refuses_and_nothing_changes() {
    let companion = companion();
    let target = Target::of(&companion);
    let before = state(&target);
    send_everything(&target);
    assert_eq!(state(&target), before);
}

#[test]
fn neither_answer_nor_trace_log_has_a_byte_of_it() {
    let mock = Mock::start_logging("trace");
    let key = mock.running.variable("AEROSTACK_API_KEY");
    let target = Target { address: mock.running.address(), authorization: format!("Bearer {key}") };
    let set = json!({"name": "TOKEN", "value": "c4n4ry-good"}).to_string();
    assert_eq!(target.send("POST", SECRETS, set.as_bytes()).status, 201);
    send_everything(&target);
    // Further places: the path, the query, the content type, the credential.
    for path in [
        "/api/v1/admin/c4n4ry",
        "/api/v1/admin/mcp-servers/c4n4ry/secrets?workspace=c4n4ry",
        "/api/v1/admin/mcp-servers/demo-mcp/secrets/c4n4ry-x",
        "/c4n4ry",
    ] {
        for method in ["GET", "DELETE", "C4N4RY"] {
            let answer = target.send(method, path, b"c4n4ry");
            assert!((400..500).contains(&answer.status), "{}", answer.status);
            assert!(!answer.whole().contains(MARK), "{}", answer.text());
        }
    }
    let answer = target.send_as("text/c4n4ry", "POST", SECRETS, set.as_bytes());
    assert!(!answer.whole().contains(MARK), "{}", answer.text());
    let stranger = Target { address: target.address, authorization: "Bearer ak_c4n4ry".to_owned() };
    let answer = stranger.send("POST", SECRETS, set.as_bytes());
    assert!(answer.status == 401 && !answer.whole().contains(MARK), "{}", answer.text());
    let api_key = key.to_owned();
    let token = mock.running.variable("AEROSTACK_TOKEN").to_owned();
    let (code, log) = mock.running.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("TRACE aerostack::server"), "the log is not at trace: {log}");
    assert!(log.lines().count() > 500, "the log misses requests");
    for hidden in [MARK, "C4N4RY", &api_key, &token] {
        assert!(!log.contains(hidden), "{hidden} is in the log");
    }
}

#[test]
fn wrong_types_of_each_field() {
    let companion = companion();
    let target = Target::of(&companion);
    let before = state(&target);
    for (method, path, document) in routes() {
        for (name, value) in document.as_object().unwrap() {
            let others =
                [json!(1), json!(-1), json!(1.5), json!(true), json!("c4n4ry\n"), json!([]), json!({})];
            for other in others.iter().filter(|other| !same_type(value, other)) {
                let mut changed = document.clone();
                changed[name] = other.clone();
                let body = changed.to_string().into_bytes();
                refused(&target.send(method, path, &body), &body);
            }
        }
    }
    for (path, required) in [
        (SERVERS, ["slug", "url"].as_slice()),
        (SECRETS, &["name", "value"]),
        (BATCH, &["secrets"]),
        (WORKSPACES, &["name"]),
        (TOKENS, &["name"]),
    ] {
        let (_, _, document) = routes().into_iter().find(|route| route.1 == path).unwrap();
        for name in required {
            let mut missing = document.clone();
            missing.as_object_mut().unwrap().remove(*name);
            target.send("POST", path, missing.to_string().as_bytes()).expect_error(400, "invalid_request");
            missing[*name] = Value::Null;
            target.send("POST", path, missing.to_string().as_bytes()).expect_error(400, "invalid_request");
        }
    }
    assert_eq!(state(&target), before);
}

/// A beginning can be reserved; what follows it may be anything.
#[test]
fn a_reserved_header_is_not_repeated() {
    let companion = companion();
    let target = Target::of(&companion);
    for header in ["content-c4n4ry", "Mcp_c4n4ry", "X-Forwarded-c4n4ry"] {
        let rule = json!({"type": "header", "header": header});
        let body = rule.to_string().into_bytes();
        refused(&target.send("PUT", INJECTION, &body), &body);
        let body = json!({"name": "NEW", "value": "x", "injection": rule}).to_string().into_bytes();
        refused(&target.send("POST", SECRETS, &body), &body);
    }
    let body = json!({"name": "CONTENT_c4n4ry", "value": "x"}).to_string().into_bytes();
    refused(&target.send("POST", SECRETS, &body), &body);
}

/// An injection rule is also no text, and numbers of seconds are whole and positive.
fn same_type(one: &Value, other: &Value) -> bool {
    match one {
        Value::Number(_) => other.as_u64().is_some(),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other) && !one.is_object(),
    }
}

#[test]
fn one_mebibyte_is_read_and_one_byte_more_is_refused() {
    let companion = companion();
    let target = Target::of(&companion);
    let (frame, limit) = (r#"{"name":""}"#.len(), 1 << 20);
    for (method, path, _) in routes().into_iter().filter(|route| route.1 != BATCH) {
        let body = |size: usize| format!(r#"{{"name":"{}"}}"#, "x".repeat(size - frame)).into_bytes();
        let fits = target.send(method, path, &body(limit));
        assert!(matches!(fits.status, 400 | 422), "{method} {path}: {}", fits.status);
        let error = target.send(method, path, &body(limit + 1)).expect_error(413, "too_large");
        assert!(!error.to_string().contains("xxx"));
        target.send(method, path, &body(8 << 20)).expect_error(413, "too_large");
    }
    // Without a declared length.
    let chunk = "x".repeat(0x10000);
    let body = format!("{}0\r\n\r\n", format!("10000\r\n{chunk}\r\n").repeat(17));
    let headers = [("Authorization", target.authorization.as_str()), ("Transfer-Encoding", "chunked")];
    let answer = request(target.address, "POST", SECRETS, &headers, body.as_bytes());
    answer.expect_error(413, "too_large");
    // Nor an end: it need not be waited for.
    let body = body.strip_suffix("0\r\n\r\n").unwrap();
    let answer = request(target.address, "POST", SECRETS, &headers, body.as_bytes());
    answer.expect_error(413, "too_large");
}

#[test]
fn only_json_is_taken() {
    let companion = companion();
    let target = Target::of(&companion);
    let before = state(&target);
    for (method, path, document) in routes() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
            "*",
        ] {
            let answer = target.send_as(kind, method, path, document.to_string().as_bytes());
            let error = answer.expect_error(400, "invalid_request");
            assert_eq!(error["hint"], "send Content-Type: application/json");
        }
    }
    assert_eq!(state(&target), before);
    let body = json!({"name": "TOKEN", "value": "y"}).to_string();
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(target.send_as(kind, "POST", SECRETS, body.as_bytes()).status, 200, "{kind}");
    }
}

#[test]
fn a_body_that_is_cut_off_gets_400_or_nothing() {
    use std::io::{BufReader, Write};
    let companion = companion();
    let target = Target::of(&companion);
    let mut socket = std::net::TcpStream::connect(target.address).unwrap();
    let head = format!(
        "POST {SECRETS} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: 1000\r\n\r\n{{\"name\":\"NEW\"",
        target.address, target.authorization
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(answer) = crate::harness::http::read_answer(&mut BufReader::new(socket)) {
        answer.expect_error(400, "invalid_request");
    }
    assert_eq!(state(&target)[1]["secrets"].as_array().unwrap().len(), 1);
}
