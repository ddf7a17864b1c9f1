//! An MCP server that repeats the secrets it was sent, in every place and every form: none
//! of them reaches a member or the log, and all else passes as it is. (Every form at every
//! split, and benign texts: `src/server/gateway/redaction/tests.rs`.)

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::companion::KEY;
use crate::harness::mcp::message;
use crate::harness::upstream::{Received, http_answer};
use crate::harness::{Answer, Companion, McpSession, Upstream, aerostack, mcp_answer};
use crate::streaming::{ByHand, Client, EVENTS_HEAD, chunk};

pub const ROUTES: [(Option<&str>, &str); 2] = [(None, "echo__say"), (Some("echo"), "say")];
pub const TOKEN: &str = "ghp_AbCdEf/0123+456789";
const STRANGE: &str = "p\u{e4}ss\"w\\rd <\u{20ac}&\u{1f511}'%>";
const REDACTED: &str = "[redacted]";

/// The values that the injected headers bring, without prefix.
fn values(request: &Received) -> [String; 2] {
    let first = request.values("authorization").concat();
    [first.strip_prefix("Bearer ").unwrap_or(&first).to_owned(), request.values("x-strange").concat()]
}

fn json_ascii(text: &str) -> String {
    text.encode_utf16().flat_map(|unit| format!("\\u{unit:04X}").into_bytes()).map(char::from).collect()
}

fn percent(text: &str) -> String {
    text.bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes()).map(char::from).collect()
}

type Write = fn(&str) -> String;

/// The ways in which the upstream writes a value into a JSON text.
const FORMS: [(&str, Write); 9] = [
    ("JSON", |value| json!(value).to_string().trim_matches('"').to_owned()),
    ("JSON in JSON", |value| {
        let inner = json!({"header": value}).to_string();
        json!(inner).to_string().trim_matches('"').replace("{\\\"header\\\":\\\"", "").replace("\\\"}", "")
    }),
    ("JSON in ASCII", json_ascii),
    ("slashes", |value| json!(value).to_string().trim_matches('"').replace('/', "\\/")),
    ("base64", |value| STANDARD.encode(value)),
    ("base64 with a name", |value| STANDARD.encode(format!("user:{value}")).replace('/', "\\/")),
    ("base64 with a prefix", |value| URL_SAFE_NO_PAD.encode(format!("Bearer {value}"))),
    ("hex", |value| hex::encode_upper(value)),
    ("percent", percent),
];

/// What must not stand in an answer, whatever else does.
pub fn must_not_leak(whole: &[u8]) {
    let text = String::from_utf8_lossy(whole);
    for value in [TOKEN, STRANGE] {
        // The middle of a form is the same, whatever stands before and after the value.
        for (name, write) in FORMS {
            let written = write(value);
            let middle: String = written.chars().skip(written.chars().count() / 2).take(8).collect();
            assert!(!text.contains(&middle), "{name} of {value}: {middle} in {text}");
        }
        assert!(!text.contains(value), "{value} in {text}");
    }
}

pub fn body(request: &Received) -> String {
    let id = request.json()["id"].clone();
    let form = request.json()["params"]["arguments"]["form"].as_u64().unwrap_or(0);
    let write = FORMS[usize::try_from(form).unwrap()].1;
    let [token, strange] = values(request).map(|value| write(&value));
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"a {token} b {strange} c"}}]}}}}"#
    )
}

/// An answer in chunks of so many bytes.
pub fn chunked(kind: &str, more: &str, body: &[u8], size: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{more}Transfer-Encoding: chunked\r\n\r\n");
    let chunks: Vec<u8> = body.chunks(size).flat_map(chunk).collect();
    [head.as_bytes(), &chunks, b"0\r\n\r\n"].concat()
}

/// Answers calls with both values in the form, kind and pieces that the arguments name.
fn echo(request: &Received) -> Vec<u8> {
    let message = request.json();
    if message["method"] != "tools/call" {
        return mcp_answer(request);
    }
    let arguments = &message["params"]["arguments"];
    let size = usize::try_from(arguments["size"].as_u64().unwrap_or(1 << 20)).unwrap();
    if arguments["events"] == true {
        let event = format!(": {}\nid: 1\ndata: {}\n\n", values(request)[0], body(request));
        return chunked("text/event-stream", "", event.as_bytes(), size);
    }
    chunked("application/json", "", body(request).as_bytes(), size)
}

/// Both values set, the first as bearer.
pub fn stage(
    respond: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
) -> (Companion, String, Upstream) {
    let upstream = Upstream::start(respond);
    let companion = Companion::start();
    companion.add_server("echo", &upstream.url());
    companion.set("echo", "TOKEN", TOKEN);
    assert_eq!(companion.inject("echo", "TOKEN", &json!({"type": "bearer"})).status, 200);
    companion.set("echo", "STRANGE", STRANGE);
    let rule = json!({"type": "header", "header": "X-Strange"});
    assert_eq!(companion.inject("echo", "STRANGE", &rule).status, 200);
    let token = companion.token("default");
    (companion, token, upstream)
}

pub fn call(session: &McpSession, tool: &str, arguments: &Value) -> Answer {
    session.send(&message("tools/call", &json!({"name": tool, "arguments": arguments})), &[])
}

pub fn switch(companion: &Companion, on: bool) {
    let path = "/api/v1/admin/mcp-servers/echo";
    let answer = companion.admin("PATCH", path, Some(&json!({"redact_responses": on})));
    assert_eq!((answer.status, &answer.json()["redact_responses"]), (200, &json!(on)));
}

#[test]
fn every_form_in_json_and_events_in_pieces() {
    let (companion, token, _upstream) = stage(echo);
    for (slug, tool) in ROUTES {
        let session = companion.session(&token, slug);
        for (form, (name, _)) in FORMS.iter().enumerate() {
            for (events, size) in [(false, 1), (true, 1), (false, 7), (true, 64), (false, 1 << 20)] {
                let arguments = json!({"form": form, "events": events, "size": size});
                let answer = call(&session, tool, &arguments);
                let text = answer.text();
                must_not_leak(answer.whole().as_bytes());
                assert_eq!(text.matches(REDACTED).count(), 2 + usize::from(events), "{name}: {text}");
                // The rest is there: all of it where nothing stands before the value in its base64.
                if !name.starts_with("base64 with") {
                    assert!(text.contains(&format!("\"text\":\"a {REDACTED} b {REDACTED} c\"")), "{text}");
                }
            }
        }
    }
}

#[test]
fn the_switch_holds_from_the_next_call_on() {
    let (companion, token, _upstream) = stage(echo);
    for (slug, tool) in ROUTES {
        let session = companion.session(&token, slug);
        let says = |text: &str| call(&session, tool, &json!({"form": 0})).text().contains(text);
        assert!(says(REDACTED) && !says(TOKEN));
        switch(&companion, false);
        assert!(says(TOKEN) && !says(REDACTED));
        switch(&companion, true);
        assert!(says(REDACTED) && !says(TOKEN));
    }
}

#[test]
fn a_new_value_is_redacted_and_the_old_one_is_no_secret_any_more() {
    let (companion, token, _upstream) = stage(|request| {
        let text = format!("{TOKEN} {}", values(request)[0]);
        let id = &request.json()["id"];
        match request.method().as_str() {
            "tools/call" => http_answer(
                "200 OK",
                &[("Content-Type", "application/json")],
                &json!({"jsonrpc": "2.0", "id": id, "result": {"text": text}}).to_string(),
            ),
            _ => mcp_answer(request),
        }
    });
    for (slug, tool) in ROUTES {
        companion.set("echo", "TOKEN", TOKEN);
        let session = companion.session(&token, slug);
        assert_eq!(session.call(tool)["result"]["text"], "[redacted] [redacted]");
        companion.set("echo", "TOKEN", "another-value");
        assert_eq!(session.call(tool)["result"]["text"], format!("{TOKEN} [redacted]"));
    }
}

#[test]
fn seven_bytes_stay_eight_go_and_a_value_in_a_value_goes_with_it() {
    let (companion, token, _upstream) = stage(echo);
    for (one, two, shown) in [
        ("1234567", "12345678", "a 1234567 b [redacted] c"),
        ("12345678", "1234567", "a [redacted] b 1234567 c"),
        ("abcdefgh", "abcdefghijklmnop", "a [redacted] b [redacted] c"),
        ("xyzabcdefgh", "abcdefgh", "a [redacted] b [redacted] c"),
    ] {
        companion.set("echo", "TOKEN", one);
        companion.set("echo", "STRANGE", two);
        for (slug, tool) in ROUTES {
            let session = companion.session(&token, slug);
            for size in [1, 9, 1000] {
                let answer = call(&session, tool, &json!({"form": 0, "size": size}));
                assert_eq!(answer.json()["result"]["content"][0]["text"], shown);
            }
        }
    }
}

/// Repeats the values wherever an upstream can write something, with this status for calls.
fn everywhere(request: &Received, status: &str) -> Vec<u8> {
    let [token, strange] = values(request);
    let said = format!("{token} {} {strange}", STANDARD.encode(&token));
    let id = request.json()["id"].clone();
    let session = format!("session-{token}");
    let kind = format!("application/json; note=\"{token}\"");
    let headers = [
        ("Content-Type", kind.as_str()),
        ("Mcp-Session-Id", &session),
        ("X-Echo", &token),
        (token.split('/').next().unwrap(), "a name"),
        ("Location", &token),
        ("WWW-Authenticate", &token),
    ];
    let error = || json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32042, "message": said, "data": {"in": said}}});
    match request.method().as_str() {
        "initialize" => {
            let server = json!({"name": said, "version": "1"});
            let result =
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": server});
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
            http_answer("200 OK", &headers, &answer)
        }
        "tools/list" => {
            let tool = json!({"name": "say", "description": said, "inputSchema": {"type": "object"}});
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"tools": [tool]}}).to_string();
            http_answer("200 OK", &headers, &answer)
        }
        "tools/call" => http_answer(status, &headers, &error().to_string()),
        _ => http_answer("202 Accepted", &headers, ""),
    }
}

#[test]
fn nothing_of_it_in_headers_lists_sessions_and_refusals() {
    for status in ["200 OK", "400 Bad Request", "422 No", "401 Unauthorized", "302 Found", "500 No"] {
        let (companion, token, upstream) = stage(move |request| everywhere(request, status));
        for (slug, tool) in ROUTES {
            let session = companion.session(&token, slug);
            must_not_leak(session.id.as_bytes());
            let initialize = message(
                "initialize",
                &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}),
            );
            let answers = [
                session.send(&initialize, &[]),
                session.send(&message("tools/list", &json!({})), &[]),
                call(&session, tool, &json!({})),
            ];
            for answer in &answers {
                must_not_leak(answer.whole().as_bytes());
            }
            assert!(
                answers[1].text().contains("\"description\":\"[redacted] [redacted] [redacted]\""),
                "{}",
                answers[1].text()
            );
            let refused = answers[2].json();
            if matches!(&status[..1], "2" | "4") && status != "401 Unauthorized" {
                assert_eq!(refused["error"]["code"], -32042, "{refused}");
                assert_eq!(refused["error"]["data"]["in"], "[redacted] [redacted] [redacted]");
            } else {
                assert_eq!(refused["error"]["code"], -32603, "{refused}");
            }
        }
        // The upstream's session goes on, although its id holds the secret.
        let calls = upstream.received_of("tools/call");
        assert!(calls.iter().all(|call| call.values("mcp-session-id") == [format!("session-{TOKEN}")]));
        assert_eq!(calls.len(), 2);
    }
}

#[test]
fn an_event_is_delivered_before_the_next_one_is_sent() {
    let hand = ByHand::start();
    hand.companion.set("hand", "TOKEN", TOKEN);
    let call_events = [
        (
            "data: {\"progress\":1,\"token\":\"ghp_AbCdE\"}\n\n",
            "data: {\"progress\":1,\"token\":\"ghp_AbCdE\"}\n\n",
        ),
        (": ghp_AbCdEf/0123+456789\r\n\r\n", ": [redacted]\r\n\r\n"),
        ("data: Z2hwX0FiQ2RFZi8wMTIzKzQ1Njc4OQ==\n\n", "data: [redacted]\n\n"),
        ("data: \\\\\\\n\n", "data: \\\\\\\n\n"),
        (": %67%68%7\r\r", ": %67%68%7\r\r"),
        (": ping\n\n", ": ping\n\n"),
    ];
    for (slug, tool) in [(None, "hand__echo"), (Some("hand"), "echo")] {
        let session = hand.session(slug);
        let client = Client::call(&session, tool);
        let mut upstream = hand.socket();
        upstream.write_all(format!("{EVENTS_HEAD}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        let mut client = Client::answered(client);
        for (event, expected) in call_events {
            upstream.write_all(&chunk(event.as_bytes())).unwrap();
            assert_eq!(String::from_utf8(client.exactly(expected.len())).unwrap(), expected);
        }
        // The beginning of an event is none; that the answer is missing is said.
        upstream.write_all(&chunk(b"data: ghp_AbCd")).unwrap();
        upstream.write_all(b"0\r\n\r\n").unwrap();
        let rest = String::from_utf8(client.rest().unwrap()).unwrap();
        assert!(rest.contains(r#""reason":"cut""#) && !rest.contains("ghp_"), "{rest}");
    }
}

#[test]
fn nothing_of_it_reaches_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("aerostack.db").display());
    let statuses = ["200 OK", "400 Bad Request", "401 Unauthorized", "500 No", "302 Found"];
    let upstreams = statuses.map(|status| Upstream::start(move |request| everywhere(request, status)));
    let serve = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    let server =
        serve.env("WORKFLOW_SECRETS_KEY", KEY).env("AEROSTACK_LOG", "trace").start("AEROSTACK_API_URL");
    let program = |arguments: &[&str]| {
        let run = aerostack(arguments)
            .env("AEROSTACK_API_URL", server.variable("AEROSTACK_API_URL"))
            .env("AEROSTACK_API_KEY", server.variable("AEROSTACK_API_KEY"));
        run.run().expect(0).out
    };
    for (number, upstream) in upstreams.iter().enumerate() {
        let slug = format!("echo-{number}");
        program(&["mcp", "add", &slug, "--url", &upstream.url(), "--allow-private-network"]);
        program(&["secrets", "set", &slug, "TOKEN", TOKEN, "--bearer"]);
        program(&["secrets", "set", &slug, "STRANGE", STRANGE, "--header", "X-Strange"]);
    }
    let made = program(&["workspace", "token", "create", "default", "--name", "t", "--json"]);
    let token = serde_json::from_str::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned();
    let session = McpSession::open(server.address(), "/ws/default", &token);
    session.tools();
    for number in 0..statuses.len() {
        session.call(&format!("echo-{number}__say"));
        McpSession::open(server.address(), &format!("/ws/default/echo-{number}"), &token).call("say");
    }
    let (code, log) = server.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("TRACE") && log.contains("a call failed"), "{log}");
    must_not_leak(log.as_bytes());
}

#[test]
fn the_names_in_a_certificate_are_not_logged() {
    let (upstream, certificate) = Upstream::tls(&["ghp-abcdef.example"], 0, mcp_answer);
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, certificate).unwrap();
    let server = aerostack(&["mock", "--listen", "127.0.0.1:0"])
        .env("AEROSTACK_LOG", "trace")
        .env("SSL_CERT_FILE", &authority)
        .start("AEROSTACK_TOKEN");
    let added = aerostack(&["mcp", "add", "tls", "--url", &format!("https://{}/", upstream.address)])
        .env("AEROSTACK_API_URL", server.variable("AEROSTACK_API_URL"))
        .env("AEROSTACK_API_KEY", server.variable("AEROSTACK_API_KEY"));
    added.run().expect(0);
    let session = McpSession::open(server.address(), "/ws/default", server.variable("AEROSTACK_TOKEN"));
    assert_eq!(session.call("tls__x")["error"]["data"]["reason"], "unreachable");
    let (_, log) = server.terminate();
    assert!(log.contains("TLS with an upstream failed") && log.contains("not for 127.0.0.1"), "{log}");
    assert!(!log.contains("ghp-abcdef"), "{log}");
}
