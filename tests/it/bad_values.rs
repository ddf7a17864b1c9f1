//! Values that are not a legal header: refused by the program (exit 2) and by the API
//! (422) with the reason and a way out. Nothing is stored, and the value comes back in no
//! answer.

use serde_json::{Value, json};

use crate::harness::shell::{os, set_from_stdin};
use crate::harness::{Answer, Companion, Ended, Upstream, aerostack};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";
const LIMIT: usize = 16_384;

/// A companion with the secret OLD, of version 1.
fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion.set("github-mcp", "OLD", "as it was");
    companion
}

fn set_argument(companion: &Companion, name: &str, value: &[u8]) -> Ended {
    let run = aerostack(&["secrets", "set", "github-mcp", name, "--"]).arg(os(value));
    run.against(companion).run()
}

fn post(companion: &Companion, name: &str, value: &str) -> Answer {
    companion.admin("POST", SECRETS, Some(&json!({"name": name, "value": value})))
}

/// Sends these bytes as they are.
fn post_raw(companion: &Companion, body: &[u8]) -> Answer {
    let authorization = format!("Bearer {}", companion.api_key);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    crate::harness::request(companion.address, "POST", SECRETS, &headers, body)
}

/// Name and version of each secret.
fn stored(companion: &Companion) -> Vec<(String, u64)> {
    let list: Value = companion.admin("GET", SECRETS, None).json();
    let row = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["version"].as_u64().unwrap());
    list["secrets"].as_array().unwrap().iter().map(row).collect()
}

/// The program's refusal: exit 2, nothing as data, the reason, a way out, no value.
#[track_caller]
fn refused(ended: &Ended, reason: &str) {
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{}", ended.err);
    let lines: Vec<_> = ended.err.lines().collect();
    assert!(lines[0].starts_with("error: ") && lines[0].contains(reason), "{}", ended.err);
    assert!(lines[0].ends_with("nothing was stored"), "{}", ended.err);
    assert!(lines[1].starts_with("hint: ") && lines[1].len() > 20, "{}", ended.err);
    assert!(!ended.err.contains("canary") && !ended.err.contains("tail"), "{}", ended.err);
}

/// The API's.
#[track_caller]
fn refused_by_api(answer: &Answer, reason: &str) {
    let error = answer.expect_error(422, "invalid_value");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(reason) && message.ends_with("nothing was stored"), "{message}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.len() > 15), "{error}");
    assert!(!answer.whole().contains("canary") && !answer.whole().contains("tail"), "{}", answer.text());
}

/// Bad bytes with the reason that is given for them.
fn bad_texts() -> Vec<(String, &'static str)> {
    let mut cases = Vec::new();
    for byte in (0_u8..32).chain([127]) {
        let byte = char::from(byte);
        let reason = if matches!(byte, '\r' | '\n') { "more than one line" } else { "control character" };
        for text in [format!("canary{byte}tail"), format!("{byte}canary"), format!("canary{byte}")] {
            cases.push((text, reason));
        }
    }
    cases.push(("canary\r\nX-Injected: tail".to_owned(), "more than one line"));
    cases.push(("-----BEGIN KEY-----\ncanary\n-----END KEY-----".to_owned(), "more than one line"));
    for text in [" canary", "canary ", "  canary  ", " ", "   "] {
        cases.push((text.to_owned(), "begins or ends with a blank"));
    }
    cases.push((String::new(), "is empty"));
    cases.push((format!("canary{}", "x".repeat(LIMIT - 5)), "has 16385 bytes; at most 16384"));
    cases.push((format!("{}a", "ä".repeat(LIMIT / 2)), "has 16385 bytes; at most 16384"));
    cases
}

#[test]
fn refused_by_the_api() {
    let companion = companion();
    for (text, reason) in bad_texts() {
        for name in ["NEW", "OLD"] {
            refused_by_api(&post(&companion, name, &text), reason);
        }
    }
    assert_eq!(stored(&companion), [("OLD".to_owned(), 1)]);
}

#[test]
fn refused_by_the_program_as_an_argument() {
    let companion = companion();
    for (text, reason) in bad_texts().into_iter().filter(|(text, _)| !text.contains('\0')) {
        refused(&set_argument(&companion, "NEW", text.as_bytes()), reason);
    }
    refused(&set_argument(&companion, "OLD", b"canary\ttail"), "control character");
    assert_eq!(stored(&companion), [("OLD".to_owned(), 1)]);
}

#[test]
fn refused_by_the_program_on_standard_input() {
    let companion = companion();
    for (text, reason) in bad_texts() {
        // One final line end is taken off, so there it takes two.
        let text = if text.ends_with('\n') { text + "\n" } else { text };
        refused(&set_from_stdin(&companion, "github-mcp", "NEW", text), reason);
    }
    refused(&set_from_stdin(&companion, "github-mcp", "NEW", "\n"), "is empty");
    refused(&set_from_stdin(&companion, "github-mcp", "NEW", "\u{feff}"), "is empty");
    refused(&set_from_stdin(&companion, "github-mcp", "OLD", "canary\u{1b}[2J"), "control character");
    assert_eq!(stored(&companion), [("OLD".to_owned(), 1)]);
}

#[test]
fn the_program_refuses_before_it_sends_anything() {
    let upstream = Upstream::start(|_| Vec::new());
    let url = format!("http://{}", upstream.address);
    let long = vec![b'x'; LIMIT + 1];
    for value in [&b""[..], b"canary\n\n", b"canary\xff", &long] {
        let run = aerostack(&["secrets", "set", "github-mcp", "NEW"]).stdin(value);
        refused(&run.env("AEROSTACK_API_URL", &url).env("AEROSTACK_API_KEY", "ak_x").run(), "the value");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn what_is_not_utf8_is_refused() {
    let companion = companion();
    // A lone byte, a cut sequence, an overlong slash, a surrogate, beyond U+10FFFF.
    for bytes in [&b"\xff"[..], b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"] {
        let value = [b"canary", bytes, b"tail"].concat();
        refused(&set_argument(&companion, "NEW", &value), "not UTF-8");
        refused(&set_from_stdin(&companion, "github-mcp", "NEW", value.clone()), "not UTF-8");
        refused(&set_from_stdin(&companion, "github-mcp", "OLD", value.clone()), "not UTF-8");
        let body = [br#"{"name":"NEW","value":""#, value.as_slice(), br#""}"#].concat();
        refused_by_api(&post_raw(&companion, &body), "not UTF-8");
        // The same in a place that is no value.
        let body = [br#"{"name":"#, value.as_slice(), br#"","value":"x"}"#].concat();
        refused_by_api(&post_raw(&companion, &body), "not UTF-8");
    }
    assert_eq!(stored(&companion), [("OLD".to_owned(), 1)]);
}

#[test]
fn json_says_the_same() {
    let companion = companion();
    let run = aerostack(&["--json", "secrets", "set", "github-mcp", "NEW"]).against(&companion);
    let ended = run.stdin("canary\r\nmore\r\n").run().expect(2);
    let error = ended.error_document();
    assert_eq!(error["code"], "invalid_value");
    assert_eq!(
        error["message"],
        "the value has more than one line; an HTTP header has one; nothing was stored"
    );
    assert!(error["hint"].as_str().unwrap().contains("base64"));
    assert!(!ended.err.contains("canary"));
}

#[test]
fn raw_control_bytes_in_json_are_no_json() {
    let companion = companion();
    for byte in 0..32_u8 {
        let body = [br#"{"name":"NEW","value":"canary"#, &[byte][..], br#"tail"}"#].concat();
        let answer = post_raw(&companion, &body);
        answer.expect_error(400, "invalid_request");
        assert!(!answer.whole().contains("canary") && !answer.whole().contains("tail"));
    }
    assert_eq!(stored(&companion), [("OLD".to_owned(), 1)]);
}

/// After all those refusals the old value is the one that is sent.
#[test]
fn a_refused_value_leaves_the_old_one_in_force() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    companion.set("github-mcp", "TOKEN", "old value");
    let session = companion.session(&companion.token("default"), None);
    for (text, reason) in bad_texts().into_iter().step_by(7) {
        refused_by_api(&post(&companion, "TOKEN", &text), reason);
    }
    session.call("github-mcp__echo");
    assert_eq!(upstream.received_of("tools/call").pop().unwrap().values("token"), ["old value"]);
}

#[test]
fn what_is_legal_arrives_byte_for_byte() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    let printable: String = (b'!'..=b'~').map(char::from).collect();
    let values = [
        "x",
        "with blanks inside",
        "pässwörd-日本語-\u{1f511}",
        "\u{a0}no-break\u{a0}",
        &printable,
        "@file",
        "$(id)",
        "x".repeat(LIMIT).as_str(),
        "ä".repeat(LIMIT / 2).as_str(),
    ]
    .map(str::to_owned);
    for value in values {
        for by_program in [false, true] {
            if by_program {
                set_from_stdin(&companion, "github-mcp", "TOKEN", value.as_str()).expect(0);
                set_argument(&companion, "TOKEN", value.as_bytes()).expect(0);
            } else {
                assert!(matches!(post(&companion, "TOKEN", &value).status, 200 | 201));
            }
            session.call("github-mcp__echo");
            let received = upstream.received_of("tools/call").pop().unwrap();
            assert!(received.values("token") == [value.as_str()], "{} bytes", value.len());
        }
    }
}
