//! Ctrl-C: during a request the message says what became of the change; at a question, and
//! between tries, nothing was changed. The exit code is 130 in each case.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::program::{pid_of, until};
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::upstream::{http_answer, json_answer};
use crate::harness::{Companion, Upstream, aerostack};

const PATIENCE: Duration = Duration::from_secs(20);

/// An API that knows two secrets, deletes the first, and otherwise never answers a change.
fn silent_api() -> Upstream {
    let day = "2026-03-15T00:00:00Z";
    let secret = |name: &str| json!({"name": name, "injection": {"type": "name"}, "created_at": day, "updated_at": day, "version": 1});
    let list = json!({"secrets": [secret("FIRST"), secret("SECOND")]});
    Upstream::start(move |request| {
        let head = request.head_text();
        if head.starts_with("GET") && head.contains("/github-mcp/secrets?") {
            return json_answer(&list);
        }
        if head.starts_with("DELETE") && head.contains("/FIRST?") {
            return http_answer("204 No Content", &[], "");
        }
        loop {
            std::thread::park();
        }
    })
}

fn start(api: &Upstream, arguments: &[&str]) -> Child {
    let run = aerostack(arguments).env("AEROSTACK_API_URL", format!("http://{}", api.address));
    let mut command = run.env("AEROSTACK_API_KEY", "ak_canary-key").into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(mut child: Child, mut err: impl Read) -> (i32, String) {
    kill_process(pid_of(&child), Signal::INT).unwrap();
    let status = until(PATIENCE, || child.try_wait().unwrap());
    let _ = child.kill();
    let mut text = String::new();
    err.read_to_string(&mut text).unwrap();
    (status.expect("it went on after Ctrl-C").code().unwrap_or(-1), text)
}

/// Runs it, interrupts it when the API has got this many requests, and answers what it said.
fn interrupted(arguments: &[&str], requests: usize) -> String {
    let api = silent_api();
    let mut child = start(&api, arguments);
    let arrived = until(PATIENCE, || (api.received().len() == requests).then_some(()));
    let err = child.stderr.take().unwrap();
    let (code, text) = end(child, err);
    assert!(arrived.is_some(), "{:?}: {text}", api.received());
    assert_eq!(code, 130, "{text}");
    assert!(!text.contains("canary"), "{text}");
    text
}

#[test]
fn during_a_request() {
    let uncertain =
        "error: interrupted; the change may have been made all the same\nhint: look before trying again\n";
    let nothing = "error: interrupted; nothing was changed\n";
    let both = "error: interrupted; a change was made before that, and one more may have been\n\
                hint: look before trying again\n";
    assert_eq!(interrupted(&["mcp", "list"], 1), nothing);
    assert_eq!(interrupted(&["auth", "status"], 1), nothing);
    assert_eq!(interrupted(&["secrets", "set", "github-mcp", "FIRST", "canary-value"], 1), uncertain);
    assert_eq!(interrupted(&["secrets", "inject", "github-mcp", "FIRST", "--bearer"], 1), uncertain);
    let delete = ["secrets", "delete", "github-mcp", "FIRST", "SECOND", "--yes"];
    assert_eq!(interrupted(&delete, 3), both);
    let document: Value = serde_json::from_str(&interrupted(&["mcp", "list", "--json"], 1)).unwrap();
    let expected = json!({"code": "interrupted", "message": "interrupted; nothing was changed",
        "hint": null, "request_id": ""});
    assert_eq!(document["error"], expected);
}

/// The handshake is not over, so nothing was sent.
#[test]
fn before_there_is_a_connection() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let (_, pem) = Upstream::tls(&["localhost"], 0, |_| Vec::new());
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), pem).unwrap();
    let run = aerostack(&["secrets", "set", "github-mcp", "FIRST", "canary-value"]);
    let run = run.env("AEROSTACK_API_URL", url).env("AEROSTACK_CA_CERT", authority.path());
    let mut command = run.env("AEROSTACK_API_KEY", "ak_canary-key").into_command();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _connection = silent.accept().unwrap();
    let err = child.stderr.take().unwrap();
    assert_eq!(end(child, err), (130, "error: interrupted; nothing was changed\n".to_owned()));
}

/// A wait of over two seconds is announced, before it begins.
#[test]
fn during_a_wait_that_the_server_asked_for() {
    let limited = || http_answer("429 Too Many Requests", &[("Retry-After", "50")], "");
    let api = Upstream::start(move |_| limited());
    let mut child = start(&api, &["mcp", "list", "--timeout", "60"]);
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert_eq!(
        line,
        "the server answered HTTP 429 (too many requests) and asks to wait; trying again in 50 s\n"
    );
    let (code, text) = end(child, err);
    assert_eq!((code, text.as_str()), (130, "error: interrupted; nothing was changed\n"));
    assert_eq!(api.received().len(), 1);
}

/// A request came before the question, and its handling of Ctrl-C must not outlive it.
#[test]
fn at_a_question_after_a_request() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion.set("github-mcp", "TOKEN", "x");
    let delete = aerostack(&["secrets", "delete", "github-mcp", "TOKEN"]).against(&companion);
    let mut terminal = PseudoTerminal::spawn(delete);
    terminal.expect("[y/N]");
    terminal.send("\u{3}");
    assert_eq!(terminal.end().0, 130);
    let list = companion.admin("GET", "/api/v1/admin/mcp-servers/github-mcp/secrets", None);
    assert_eq!(list.json()["secrets"][0]["name"], "TOKEN");
}
