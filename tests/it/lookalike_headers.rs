//! Headers that a client sends to look like an injected one, to push one out, or to reach
//! the upstream at all: nothing of the client's arrives but `Mcp-Param-*` and trace
//! context, and each injected header arrives exactly once.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::parts::{PartUpstream, part, parts};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession, Upstream};

/// What the gateway itself sends.
const OWN: [&str; 7] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "content-type",
    "content-length",
    "mcp-protocol-version",
];
/// Injected by the rules of `give_secrets`, with their whole values.
const INJECTED: [(&str, &str); 3] = [
    ("github_token", "injected-by-name"),
    ("x-api-key", "Key injected-by-header"),
    ("authorization", "Bearer injected-as-bearer"),
];

/// One secret of each form: by name, in a header with a prefix, as bearer token.
fn give_secrets(companion: &Companion, slug: &str) {
    companion.set(slug, "GITHUB_TOKEN", "injected-by-name");
    companion.set(slug, "OTHER", "injected-by-header");
    let header = json!({"type": "header", "header": "X-Api-Key", "prefix": "Key "});
    assert_eq!(companion.inject(slug, "OTHER", &header).status, 200);
    companion.set(slug, "THIRD", "injected-as-bearer");
    assert_eq!(companion.inject(slug, "THIRD", &json!({"type": "bearer"})).status, 200);
}

fn call_with(session: &McpSession, tool: &str, headers: &[(&str, &str)]) -> Value {
    let call = crate::harness::mcp::message("tools/call", &json!({"name": tool, "arguments": {}}));
    let answer = session.send(&call, headers);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Case and the difference between `-` and `_` folded, as CGI-like servers do.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn headers_of(request: &Received) -> Vec<(String, String)> {
    let text = request.head_text();
    let lines = text.lines().skip(1).map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")));
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
}

/// Says the method; servers of the newer era look for it.
const METHOD: &str = "mcp-method";

fn passes(name: &str) -> bool {
    name.starts_with("mcp-param-") || matches!(name, "traceparent" | "tracestate")
}

/// What arrived is the gateway's own, the injected, and what may pass, each as it should be.
fn check(request: &Received, token: &str, sent: &[(String, String)]) {
    let arrived = headers_of(request);
    for (name, value) in INJECTED {
        let alike: Vec<_> = arrived.iter().filter(|(one, _)| folded(one) == folded(name)).collect();
        assert_eq!(alike, [&(name.to_owned(), value.to_owned())]);
    }
    // The gateway says one method in a header, and says it itself.
    let method = Some(request.method()).filter(|method| method == "initialize");
    assert_eq!(request.values(METHOD), Vec::from_iter(method));
    let known =
        |name: &str| name == METHOD || OWN.contains(&name) || INJECTED.iter().any(|(one, _)| *one == name);
    let mut passed: Vec<_> = arrived.iter().filter(|(name, _)| !known(name)).cloned().collect();
    let lower = sent.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut expected: Vec<_> = lower.filter(|(name, _)| passes(name)).collect();
    passed.sort();
    expected.sort();
    assert_eq!(passed, expected, "sent: {sent:?}");
    for name in OWN {
        assert!(request.values(name).len() <= 1, "{name}");
    }
    let whole = format!("{}{}", request.head_text(), String::from_utf8_lossy(&request.body));
    assert!(!whole.contains("mwt_") && !whole.contains(token), "{whole}");
    assert!(!whole.contains("evil"), "{whole}");
}

const TRICKS: [(&str, &str); 16] = [
    ("Github-Token", "evil"),
    ("github_token", "evil"),
    ("GITHUB-TOKEN", "evil"),
    ("GITHUB_TOKEN", "evil"),
    ("GitHub_Token", "evil"),
    ("X-Api-Key", "evil"),
    ("x_api_key", "evil"),
    ("Cookie", "session=evil"),
    ("Proxy-Authorization", "Basic evil"),
    ("X-Forwarded-For", "evil"),
    ("Mcp-Secret-GITHUB-TOKEN", "evil"),
    ("X-Mcp-Secret-GITHUB-TOKEN", "evil"),
    ("Mcp-Name", "evil"),
    ("User-Agent", "evil"),
    ("Last-Event-ID", "evil"),
    ("baggage", "evil=1"),
];

#[test]
fn a_wsgi_server_that_folds_names_sees_the_injected_values_only() {
    let Some(folder) = parts("a_wsgi_server_that_folds_names_sees_the_injected_values_only") else { return };
    let mut command = part(&folder, "wsgi_upstream.py");
    command.arg("dangerous");
    let (upstream, companion) = (PartUpstream::start(command), Companion::start());
    companion.add_server("wsgi", &upstream.url());
    // It answers with what it got, and that is what is looked at here.
    let off = json!({"redact_responses": false});
    assert_eq!(companion.admin("PATCH", "/api/v1/admin/mcp-servers/wsgi", Some(&off)).status, 200);
    let token = companion.token("default");
    for (slug, tool) in [(None, "wsgi__environ"), (Some("wsgi"), "environ")] {
        let session = companion.session(&token, slug);
        // Without a secret, nothing stands in its place either.
        let environ = call_with(&session, tool, &TRICKS)["result"]["structuredContent"].clone();
        assert!(environ.is_object() && !environ.to_string().contains("evil"), "{environ}");
        assert!(environ.get("HTTP_AUTHORIZATION").is_none(), "{environ}");
    }
    give_secrets(&companion, "wsgi");
    for (slug, tool) in [(None, "wsgi__environ"), (Some("wsgi"), "environ")] {
        let session = companion.session(&token, slug);
        let environ = call_with(&session, tool, &TRICKS)["result"]["structuredContent"].clone();
        let environ = environ.as_object().unwrap();
        let mut names: Vec<&str> = environ.keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected = [
            "HTTP_ACCEPT",
            "HTTP_ACCEPT_ENCODING",
            "HTTP_AUTHORIZATION",
            "HTTP_GITHUB_TOKEN",
            "HTTP_HOST",
            "HTTP_MCP_PROTOCOL_VERSION",
            "HTTP_USER_AGENT",
            "HTTP_X_API_KEY",
        ];
        assert_eq!(names, expected);
        for (name, value) in INJECTED {
            let variable = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(environ[&variable], value);
        }
    }
}

/// A header of a client: random, alike to an injected one, one that may pass, or one that
/// means something to servers. Those that make up the client's own request are left out.
fn header() -> impl Strategy<Value = (String, String)> {
    let random = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,24}";
    let alike = (prop::sample::select(INJECTED.map(|(name, _)| name).to_vec()), any::<u32>()).prop_map(
        |(name, bits)| {
            let letter = |(index, letter): (usize, char)| match (letter, bits >> index & 1) {
                ('-' | '_', 0) => '-',
                ('-' | '_', _) => '_',
                (letter, 1) => letter.to_ascii_uppercase(),
                (letter, _) => letter,
            };
            name.char_indices().map(letter).collect::<String>()
        },
    );
    let passing =
        prop_oneof![Just("traceparent".to_owned()), Just("TraceState".to_owned()), "Mcp-Param-[A-Za-z]{1,8}"];
    let meaning =
        ["Cookie", "X-Request-Id", "Referer", "Via", "Forwarded", "Range", "Mcp-Method", "Keep-Alive", "TE"];
    let name =
        prop_oneof![random, alike, passing, prop::sample::select(meaning.to_vec()).prop_map(str::to_owned)];
    let value = "[!-~]([ -~]{0,30}[!-~])?";
    let own =
        ["host", "accept", "content-type", "content-length", "transfer-encoding", "authorization", "origin"];
    let also = ["connection", "expect", "upgrade", "mcp-session-id", "mcp-protocol-version"];
    let usable = move |name: &str| {
        let name = name.to_ascii_lowercase();
        !own.contains(&name.as_str()) && !also.contains(&name.as_str())
    };
    (name, value)
        .prop_filter("part of the client's own request", move |(name, _)| usable(name))
        .prop_map(|(name, value)| {
            if passes(&name.to_ascii_lowercase()) { (name, value) } else { (name, format!("evil{value}")) }
        })
        .prop_filter("the word that must not arrive", |(name, value)| {
            !passes(&name.to_ascii_lowercase()) || !value.contains("evil")
        })
}

#[test]
fn whatever_headers_a_client_sends() {
    let (upstream, companion) = (Upstream::mcp(), Companion::start());
    companion.add_server("raw", &upstream.url());
    give_secrets(&companion, "raw");
    let token = companion.token("default");
    let sessions =
        [(companion.session(&token, None), "raw__echo"), (companion.session(&token, Some("raw")), "echo")];
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let requests = (prop::collection::vec(header(), 0..12), 0..2_usize);
    let outcome = TestRunner::new(config).run(&requests, |(headers, route)| {
        let (session, tool) = &sessions[route];
        let sent: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        call_with(session, tool, &sent);
        check(upstream.received_of("tools/call").last().unwrap(), &token, &headers);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn connection_tokens_take_no_injected_header_away() {
    let (upstream, companion) = (Upstream::mcp(), Companion::start());
    companion.add_server("raw", &upstream.url());
    give_secrets(&companion, "raw");
    let token = companion.token("default");
    for (slug, tool) in [(None, "raw__echo"), (Some("raw"), "echo")] {
        let session = companion.session(&token, slug);
        for trick in [
            "authorization, github_token, x-api-key",
            "close, Authorization",
            "GITHUB_TOKEN",
            "keep-alive, X-Api-Key, mcp-protocol-version, host",
        ] {
            call_with(
                &session,
                tool,
                &[("Connection", trick), ("Keep-Alive", "timeout=5"), ("TE", "trailers")],
            );
            check(upstream.received_of("tools/call").last().unwrap(), &token, &[]);
        }
    }
}

#[test]
fn handshakes_and_lists_carry_none_of_them_either() {
    let (upstream, companion) = (Upstream::mcp(), Companion::start());
    companion.add_server("raw", &upstream.url());
    give_secrets(&companion, "raw");
    let token = companion.token("default");
    for slug in [None, Some("raw")] {
        let session = companion.session(&token, slug);
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        for (method, params) in [("initialize", params), ("tools/list", json!({})), ("ping", json!({}))] {
            let answer = session.send(&crate::harness::mcp::message(method, &params), &TRICKS);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), &TRICKS);
    }
    let received = upstream.received();
    assert!(received.len() > 8, "{received:?}");
    for request in &received {
        check(request, &token, &[]);
    }
}
