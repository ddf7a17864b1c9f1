//! The whole flow over https: `aerostack mock --tls` as a process of its own, the program
//! with `--ca-cert` or `AEROSTACK_CA_CERT`, and real clients that know the certificate
//! authority. Without it each of them refuses to speak.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use aerostack::server::demo_upstream::hash_prefix;
use serde_json::{Value, json};

use crate::harness::parts::{ClientSession, part, parts, run_client};
use crate::harness::program::Aerostack;
use crate::harness::{Ended, Running, aerostack};

const TYPESCRIPT: &str = "ts_client.mjs";
const PYTHON: &str = "py_client.py";

fn mock() -> Running {
    let mock = aerostack(&["mock", "--tls", "--listen", "127.0.0.1:0"]).start("AEROSTACK_CA_CERT");
    for name in ["AEROSTACK_API_URL", "AEROSTACK_WORKSPACE_URL"] {
        assert!(mock.variable(name).starts_with("https://127.0.0.1:"), "{}", mock.variable(name));
    }
    mock
}

/// The program with the address and the key, without the authority.
fn program(mock: &Running, arguments: &[&str]) -> Aerostack {
    let command = aerostack(arguments);
    ["AEROSTACK_API_URL", "AEROSTACK_API_KEY"]
        .iter()
        .fold(command, |command, name| command.env(name, mock.variable(name)))
}

/// The program as the printed lines set it up.
fn run(mock: &Running, arguments: &[&str]) -> Ended {
    program(mock, arguments).env("AEROSTACK_CA_CERT", mock.variable("AEROSTACK_CA_CERT")).run()
}

/// A client part that trusts the mock's authority.
fn trusting(mock: &Running, folder: &Path, client: &str) -> Command {
    let mut command = part(folder, client);
    let variable = if client == PYTHON { "CA_CERT" } else { "NODE_EXTRA_CA_CERTS" };
    command.env(variable, mock.variable("AEROSTACK_CA_CERT"));
    command
}

#[track_caller]
fn arrived(answer: &Value) -> &Value {
    assert!(answer["result"].is_object(), "{answer}");
    &answer["result"]["structuredContent"]["headers"]["authorization"]
}

fn story(test: &str, client: &str) {
    let Some(folder) = parts(test) else { return };
    let mock = mock();
    let (url, token) = (mock.variable("AEROSTACK_WORKSPACE_URL"), mock.variable("AEROSTACK_TOKEN"));
    let mut session = ClientSession::start(trusting(&mock, &folder, client), token, url);
    let mut whoami = || session.call("demo-mcp__whoami", &json!({}));
    assert_eq!(*arrived(&whoami()), Value::Null);

    let out = run(&mock, &["secrets", "set", "demo-mcp", "API_TOKEN", "tls-value-1"]).expect(0).out;
    assert_eq!(out, "Secret created. Takes effect on next tool call.\n");
    run(&mock, &["secrets", "inject", "demo-mcp", "API_TOKEN", "--bearer"]).expect(0);
    let list = run(&mock, &["secrets", "list", "demo-mcp"]).expect(0).out;
    assert!(list.contains("API_TOKEN") && list.contains("Authorization (Bearer)"), "{list}");
    assert_eq!(*arrived(&whoami()), hash_prefix(b"Bearer tls-value-1"));

    let out = run(&mock, &["secrets", "set", "demo-mcp", "API_TOKEN", "tls-value-2"]).expect(0).out;
    assert_eq!(out, "Secret updated. Takes effect on next tool call.\n");
    assert_eq!(*arrived(&whoami()), hash_prefix(b"Bearer tls-value-2"));

    run(&mock, &["secrets", "delete", "demo-mcp", "API_TOKEN", "--yes"]).expect(0);
    assert_eq!(*arrived(&whoami()), Value::Null);

    // The server's own route as well.
    let own = format!("{url}/demo-mcp");
    let (code, list) = run_client(trusting(&mock, &folder, client), token, &[&own, "list"]);
    assert_eq!((code, &list["tools"]), (0, &json!(["echo", "whoami"])), "{list}");
    drop(session);
    let (code, log) = mock.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("tls-value"), "{log}");
}

#[test]
fn the_story_with_the_typescript_client() {
    story("the_story_with_the_typescript_client", TYPESCRIPT);
}

#[test]
fn the_story_with_the_python_client() {
    story("the_story_with_the_python_client", PYTHON);
}

#[test]
fn the_authority_can_be_an_option() {
    let mock = mock();
    let authority = mock.variable("AEROSTACK_CA_CERT").to_owned();
    let arguments = ["--ca-cert", &authority, "secrets", "list", "demo-mcp"];
    program(&mock, &arguments).run().expect(0);
}

#[test]
fn without_the_authority_nobody_speaks() {
    let mock = mock();
    let ended = program(&mock, &["secrets", "set", "demo-mcp", "API_TOKEN", "canary-value"]).run().expect(7);
    assert!(!ended.err.contains("canary-value") && !ended.out.contains("canary-value"), "{ended:?}");
    let list = run(&mock, &["--json", "secrets", "list", "demo-mcp"]).expect(0).out;
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["secrets"], json!([]));

    // Another authority's certificate does not help, and no file is an error of its own.
    let other = self::mock();
    let wrong = other.variable("AEROSTACK_CA_CERT").to_owned();
    program(&mock, &["--ca-cert", &wrong, "secrets", "list"]).run().expect(7);
    let missing = program(&mock, &["--ca-cert", "/nonexistent/ca.pem", "secrets", "list"]).run();
    assert_ne!(missing.code, 0, "{missing:?}");

    let Some(folder) = parts("without_the_authority_nobody_speaks") else { return };
    let (url, token) = (mock.variable("AEROSTACK_WORKSPACE_URL"), mock.variable("AEROSTACK_TOKEN"));
    for client in [TYPESCRIPT, PYTHON] {
        let (code, answer) = run_client(part(&folder, client), token, &[url, "list"]);
        assert_eq!(code, 1, "{client}: {answer}");
        let (code, answer) = run_client(trusting(&other, &folder, client), token, &[url, "list"]);
        assert_eq!(code, 1, "{client}: {answer}");
    }
}

#[test]
fn plain_http_on_the_tls_port_gets_no_answer() {
    use std::io::{Read, Write};
    let mock = mock();
    let mut socket = TcpStream::connect(mock.address()).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let token = mock.variable("AEROSTACK_TOKEN");
    write!(
        socket,
        "GET /healthz HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        mock.address()
    )
    .unwrap();
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&bytes));
}
