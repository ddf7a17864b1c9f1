//! `aerostack mcp test` against servers that work and servers that are broken in one way
//! each; and the health in `mcp list`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::companion::KEY;
use crate::harness::program::until;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Upstream, cli, mcp_answer, request};

/// What a refusing or broken server says, which must stay with it.
pub const CANARY: &str = "canary-of-the-upstream";
pub const SECRET: &str = "canary-value-0d2f";

pub fn report(companion: &Companion, slug: &str) -> Value {
    let answer = companion.admin("POST", &format!("/api/v1/admin/mcp-servers/{slug}/test"), None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.whole().contains("canary"), "{}", answer.whole());
    answer.json()
}

pub fn codes(report: &Value) -> Vec<String> {
    let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(code).collect()
}

/// Fails the test unless this one error was found; its message and the exit code.
#[track_caller]
pub fn finds(companion: &Companion, slug: &str, code: &str, exit: i32, word: &str) {
    let report = report(companion, slug);
    let finding = &report["findings"][0];
    assert_eq!(
        (&report["ok"], &finding["level"], &finding["code"]),
        (&json!(false), &json!("error"), &json!(code)),
        "{report}"
    );
    assert_eq!((&report["tools"], &report["protocol"]), (&Value::Null, &Value::Null));
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains(word) && !message.contains("ask a workspace admin"), "{word} in {message}");
    assert!(finding["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{finding}");
    let ended = cli(companion, &["mcp", "test", slug]).expect(exit);
    assert_eq!(ended.out, "");
    assert!(ended.err.contains(&format!("error: {slug} does not work: {message}\nhint: ")), "{}", ended.err);
    assert!(!ended.err.contains("canary"), "{}", ended.err);
    let as_json = cli(companion, &["mcp", "test", slug, "--json"]).expect(exit);
    let document: Value = serde_json::from_str(&as_json.out).unwrap();
    assert_eq!(document["findings"], report["findings"]);
    assert!(as_json.err.starts_with("{\"error\":{"), "{}", as_json.err);
}

/// A companion with one server, `up`, that answers so.
pub fn scene(answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> (Companion, Upstream) {
    let (companion, upstream) = (Companion::start(), Upstream::start(answer));
    companion.add_server("up", &upstream.url());
    (companion, upstream)
}

#[test]
fn a_server_that_works() {
    let (companion, upstream) = scene(|request| {
        let message = request.json();
        let page = |tools: Value, next: Value| {
            json_answer(
                &json!({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools, "nextCursor": next}}),
            )
        };
        match (message["method"].as_str(), message["params"]["cursor"].as_str()) {
            (Some("tools/list"), None) => page(json!([{"name": "a"}, {"name": "b"}]), json!("more")),
            (Some("tools/list"), Some(_)) => page(json!([{"name": "c"}]), Value::Null),
            _ => mcp_answer(request),
        }
    });
    companion.set("up", "API_TOKEN", SECRET);
    let report = report(&companion, "up");
    assert_eq!((&report["ok"], &report["tools"]), (&json!(true), &json!(3)));
    assert_eq!(codes(&report), ["underscore_header"], "nginx lets such a list through without the header");
    assert_eq!((&report["protocol"], &report["era"]), (&json!("2025-11-25"), &json!("legacy")));
    let ended = cli(&companion, &["mcp", "test", "up"]).expect(0);
    assert!(ended.out.starts_with("up works: MCP 2025-11-25 (legacy era), 3 tools, "), "{}", ended.out);
    assert!(ended.err.starts_with("warning: the header API_TOKEN has an underscore: "), "{}", ended.err);
    assert!(ended.err.contains("that it lists tools does not show that it arrived"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    // Every request had the secret, and no tool was called.
    assert!(upstream.received().iter().all(|one| one.values("API_TOKEN") == [SECRET]));
    assert!(upstream.received_of("tools/call").is_empty());
    let document = cli(&companion, &["mcp", "test", "up", "--json"]).document();
    assert_eq!(document["tools"], 3);
    // Nothing to say where no header can be dropped.
    assert_eq!(companion.inject("up", "API_TOKEN", &json!({"type": "bearer"})).status, 200);
    assert_eq!(cli(&companion, &["mcp", "test", "up"]).expect(0).err, "");
}

/// Like one behind nginx: the header is dropped, the list is there for everybody, and calls fail.
#[test]
fn a_list_for_everybody_says_nothing_of_the_credential() {
    let (companion, upstream) = scene(|request| {
        let refused = request.method() == "tools/call" && request.values("X-Api-Key") != [SECRET];
        if refused { http_answer("401 Unauthorized", &[], CANARY) } else { mcp_answer(request) }
    });
    companion.set("up", "X_API_KEY", SECRET);
    let warnings = || codes(&report(&companion, "up"));
    assert_eq!(warnings(), ["underscore_header"]);
    let ended = cli(&companion, &["mcp", "test", "up"]).expect(0);
    assert!(
        ended.err.contains("(send it in another header: aerostack secrets inject up X_API_KEY --mcp-secret)")
    );
    let header = json!({"type": "header", "header": "X-Api-Key"});
    assert_eq!(companion.inject("up", "X_API_KEY", &header).status, 200);
    assert_eq!(warnings(), Vec::<String>::new());
    assert!(upstream.received_of("tools/call").is_empty());
}

#[test]
fn no_connection() {
    let companion = Companion::start();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    companion.add_server("refused", &format!("http://{refused}/mcp"));
    finds(&companion, "refused", "connection_refused", 7, "the connection was refused");
    companion.add_server("nowhere", "http://no-such-host.invalid/mcp");
    finds(
        &companion,
        "nowhere",
        "dns_failed",
        7,
        "the host name of http://no-such-host.invalid:80 has no address",
    );
    let (self_signed, _) = Upstream::tls(&["localhost", "127.0.0.1"], 0, mcp_answer);
    companion.add_server("self-signed", &format!("https://{}/mcp", self_signed.address));
    finds(&companion, "self-signed", "tls_failed", 7, "the certificate of https://127.0.0.1");
    let plain = Upstream::mcp();
    companion.add_server("plain", &format!("https://{}/mcp", plain.address));
    finds(&companion, "plain", "tls_failed", 7, "does not answer the TLS handshake");
    let talker = TcpListener::bind("127.0.0.1:0").unwrap();
    companion.add_server("talker", &format!("https://{}/mcp", talker.local_addr().unwrap()));
    std::thread::spawn(move || {
        for socket in talker.incoming().flatten() {
            let _ = (&socket).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = (&socket).read(&mut [0; 1000]);
        }
    });
    finds(&companion, "talker", "tls_failed", 7, "does not speak TLS");
}

#[test]
fn an_address_that_is_not_allowed() {
    let (mut companion, _upstream) = scene(mcp_answer);
    companion.open(KEY, false, None).unwrap();
    finds(&companion, "up", "address_refused", 6, "a loopback, private or reserved address");
    // No option helps with these, so none is proposed.
    companion.add_server("metadata", "http://169.254.169.254/mcp");
    let findings = companion.admin("POST", "/api/v1/admin/mcp-servers/metadata/test", None).json();
    let finding = &findings["findings"][0];
    assert_eq!(finding["code"], "address_refused", "{findings}");
    assert!(finding["message"].as_str().unwrap().contains("which no setting allows"), "{finding}");
    assert!(!finding["hint"].as_str().unwrap().contains("--allow-private-network"), "{finding}");
}

#[test]
fn answers_that_are_not_mcp() {
    let html = |status: &'static str| {
        move |_: &Received| http_answer(status, &[("Content-Type", "text/html")], CANARY)
    };
    for (status, code, word) in [
        ("404 Not Found", "http_status", "404"),
        ("500 Internal Server Error", "http_status", "500"),
        ("302 Found", "redirect", "redirect"),
        ("200 OK", "not_mcp", "not MCP"),
    ] {
        let (companion, _upstream) = scene(html(status));
        finds(&companion, "up", code, 1, word);
    }
    let (companion, _upstream) = scene(|_| json_answer(&json!({"canary": CANARY})));
    finds(&companion, "up", "not_mcp", 1, "not MCP");
    let (companion, _upstream) = scene(|request| {
        let id = request.json()["id"].clone();
        json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": CANARY}}))
    });
    finds(&companion, "up", "not_initialized", 1, "refused to open a session");
    let (companion, _upstream) = scene(|_| Vec::new());
    finds(&companion, "up", "cut", 7, "closed the connection before an answer was complete");
}

#[test]
fn a_credential_that_is_missing_or_refused() {
    let refusal = |_: &Received| {
        http_answer("401 Unauthorized", &[("WWW-Authenticate", "Bearer realm=\"canary\"")], CANARY)
    };
    let (companion, _upstream) = scene(refusal);
    finds(&companion, "up", "no_credential", 6, "no secret is set");
    companion.set("up", "GITHUB_TOKEN", SECRET);
    companion.set("up", "KEY", SECRET);
    assert_eq!(companion.inject("up", "KEY", &json!({"type": "bearer"})).status, 200);
    let sent = "GITHUB_TOKEN (in the header GITHUB_TOKEN), KEY (as a bearer token)";
    finds(&companion, "up", "credential_refused", 6, sent);
    let ended = cli(&companion, &["mcp", "test", "up"]).expect(6);
    let warning = "warning: the header GITHUB_TOKEN has an underscore: nginx, gunicorn and Django drop";
    assert!(ended.err.contains(warning) && ended.err.contains("GITHUB_TOKEN --mcp-secret"), "{}", ended.err);
    let header = json!({"type": "header", "header": "X-Github-Token"});
    assert_eq!(companion.inject("up", "GITHUB_TOKEN", &header).status, 200);
    let report = report(&companion, "up");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "no underscore any more: {report}");
}

/// A server like one behind nginx, which drops headers with an underscore, and demands one.
#[test]
fn a_header_that_is_dropped_on_the_way() {
    let (companion, _upstream) = scene(|request: &Received| {
        if request.values("X-Api-Key") == [SECRET] {
            return mcp_answer(request);
        }
        http_answer("403 Forbidden", &[], CANARY)
    });
    companion.set("up", "X_API_KEY", SECRET);
    assert_eq!(codes(&report(&companion, "up")), ["credential_refused", "underscore_header"]);
    assert_eq!(
        companion.inject("up", "X_API_KEY", &json!({"type": "header", "header": "X-Api-Key"})).status,
        200
    );
    assert_eq!(codes(&report(&companion, "up")), Vec::<String>::new());
}

#[test]
fn warnings_do_not_fail() {
    let (companion, _upstream) = scene(|request| {
        let message = request.json();
        let tools = json!([{"name": "x".repeat(48)}, {"name": "canary".repeat(9)}]);
        match message["method"].as_str() {
            Some("tools/list") => {
                json_answer(&json!({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}}))
            }
            _ => mcp_answer(request),
        }
    });
    let patch = json!({"enabled": false});
    assert_eq!(companion.admin("PATCH", "/api/v1/admin/mcp-servers/up", Some(&patch)).status, 200);
    let findings = report(&companion, "up")["findings"].clone();
    assert_eq!((&findings[0]["code"], &findings[1]["code"]), (&json!("disabled"), &json!("long_names")));
    // mcp__default__up__ has 18 characters: 66 and 72.
    let message = findings[1]["message"].as_str().unwrap();
    assert!(
        message.starts_with("2 of 2 tools have names over 64 characters (the longest has 72)"),
        "{message}"
    );
    let ended = cli(&companion, &["mcp", "test", "up"]).expect(0);
    assert!(ended.out.contains("up works:") && ended.err.matches("warning: ").count() == 2, "{}", ended.err);
}

/// A server may lack its credential without saying so.
#[test]
fn headers_that_may_be_dropped_on_the_way() {
    let of_list = [json!({"error": {"code": -32601, "message": CANARY}}), json!({"result": {"tools": []}})];
    for (answer, word) in of_list.into_iter().zip(["refuses to list tools", "lists no tools"]) {
        let (companion, _upstream) = scene(move |request| {
            let (message, mut answer) = (request.json(), answer.clone());
            (answer["jsonrpc"], answer["id"]) = (json!("2.0"), message["id"].clone());
            if message["method"] == "tools/list" { json_answer(&answer) } else { mcp_answer(request) }
        });
        companion.set("up", "MY_API_KEY", "a-value-of-some-length");
        let report = report(&companion, "up");
        assert_eq!((&report["ok"], &report["tools"]), (&json!(true), &json!(0)));
        let codes = [&report["findings"][0]["code"], &report["findings"][1]["code"]];
        assert_eq!(codes, ["no_tools", "underscore_header"], "{report}");
        assert!(report["findings"][0]["message"].as_str().unwrap().contains(word), "{report}");
    }
    for status in ["400 Bad Request", "404 Not Found", "500 Internal Server Error"] {
        let (companion, _upstream) = scene(move |_| http_answer(status, &[], ""));
        companion.set("up", "MY_API_KEY", "a-value-of-some-length");
        let report = report(&companion, "up");
        assert_eq!(report["findings"][0]["code"], "http_status");
        let is_said = report["findings"][1]["code"] == "underscore_header";
        assert_eq!(is_said, !status.starts_with("500"), "{report}");
    }
}

#[test]
fn only_for_admins_and_only_for_servers_that_are_there() {
    let (companion, upstream) = scene(mcp_answer);
    let member = format!("Bearer {}", companion.token("default"));
    let path = "/api/v1/admin/mcp-servers/up/test";
    let post = |headers: &[(&str, &str)]| request(companion.address, "POST", path, headers, b"");
    post(&[("Authorization", &member)]).expect_error(403, "forbidden");
    post(&[]).expect_error(401, "unauthorized");
    companion.admin("GET", path, None).expect_error(404, "not_found");
    let unknown = "/api/v1/admin/mcp-servers/other/test";
    companion.admin("POST", unknown, None).expect_error(404, "not_found");
    let elsewhere = "/api/v1/admin/mcp-servers/up/test?workspace=zzz";
    companion.admin("POST", elsewhere, None).expect_error(404, "not_found");
    assert!(upstream.received().is_empty());
    cli(&companion, &["mcp", "test", "other"]).expect(3);
}

#[test]
fn the_list_shows_what_calls_have_shown() {
    let (companion, _upstream) = scene(crate::analytics::answer_by_tool);
    let health = || cli(&companion, &["mcp", "list", "--json"]).document()["servers"][0]["health"].clone();
    let column = || cli(&companion, &["mcp", "list"]).expect(0).out.lines().last().unwrap().to_owned();
    assert_eq!(health(), json!({"state": "unknown"}));
    assert!(column().ends_with("   unknown"), "{}", column());
    let session = companion.session(&companion.token("default"), Some("up"));
    let after = |tool: &str, state: &str| {
        session.call(tool);
        until(Duration::from_secs(20), || (health()["state"] == *state).then_some(()))
            .unwrap_or_else(|| panic!("{tool}: {}", health()));
    };
    after("says_error", "ok");
    assert!(column().ends_with("   ok"), "{}", column());
    after("status", "failing");
    let since = health()["since"].as_str().unwrap().to_owned();
    assert_eq!(health(), json!({"state": "failing", "since": since, "reason": "http_status"}));
    assert!(column().ends_with(&format!("   failing since {since} (http_status)")), "{}", column());
    after("good", "ok");
}
