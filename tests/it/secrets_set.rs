//! `secrets set`: where the value comes from, what is said and stored, and what the API
//! answers. (Values that are refused: `bad_values.rs`.)

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::shell::{set_from_stdin, shell};
use crate::harness::{Answer, Companion, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";
const CREATED: &str = "Secret created. Takes effect on next tool call.\n";
const UPDATED: &str = "Secret updated. Takes effect on next tool call.\n";

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion
}

fn post(companion: &Companion, body: &Value) -> Answer {
    companion.admin("POST", SECRETS, Some(body))
}

/// The row of a secret in the list.
fn listed(companion: &Companion, name: &str) -> Option<Value> {
    let list = companion.admin("GET", SECRETS, None).json();
    list["secrets"].as_array().unwrap().iter().find(|secret| secret["name"] == name).cloned()
}

/// What arrives at an upstream as the header `token`.
fn arrives(companion: &Companion, upstream: &Upstream) -> Vec<String> {
    companion.session(&companion.token("default"), None).call("raw__echo");
    upstream.received_of("tools/call").last().unwrap().values("token")
}

#[test]
fn created_then_updated_and_counted() {
    let companion = companion();
    let set = |value| cli(&companion, &["secrets", "set", "github-mcp", "GITHUB_TOKEN", value]);
    let first = set("ghp_the_one").prints(CREATED);
    assert_eq!(first.err, "");
    let before = listed(&companion, "GITHUB_TOKEN").unwrap();
    assert_eq!((before["version"].as_u64(), &before["created_at"]), (Some(1), &before["updated_at"]));
    set("ghp_two").prints(UPDATED);
    // The same value again is a rotation too.
    set("ghp_two").prints(UPDATED);
    let after = listed(&companion, "GITHUB_TOKEN").unwrap();
    assert_eq!(after["version"], 3);
    assert_eq!(after["created_at"], before["created_at"]);
    assert_eq!(companion.admin("GET", SECRETS, None).json()["secrets"].as_array().unwrap().len(), 1);
    // The document has whole seconds, the database milliseconds.
    let mut companion = companion;
    companion.stop();
    let sql = "SELECT updated_at - created_at FROM mcp_workspace_secrets";
    let apart: i64 = companion.sqlite().query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(apart > 0);
}

#[test]
fn the_value_that_was_given_is_the_one_that_is_sent() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    let set = |value| cli(&companion, &["secrets", "set", "raw", "TOKEN", value]).expect(0);
    set("from the argument");
    assert_eq!(arrives(&companion, &upstream), ["from the argument"]);
    set_from_stdin(&companion, "raw", "TOKEN", "from stdin\n").expect(0);
    assert_eq!(arrives(&companion, &upstream), ["from stdin"]);
    aerostack(&["secrets", "set", "raw", "TOKEN", "-"]).against(&companion).stdin("by -").run().expect(0);
    assert_eq!(arrives(&companion, &upstream), ["by -"]);
    // A byte order mark and a CRLF, as PowerShell adds them.
    set_from_stdin(&companion, "raw", "TOKEN", "\u{feff}from windows\r\n").expect(0);
    assert_eq!(arrives(&companion, &upstream), ["from windows"]);
    cli(&companion, &["secrets", "set", "raw", "TOKEN", "--", "--bearer"]).expect(0);
    assert_eq!(arrives(&companion, &upstream), ["--bearer"]);
    set("@file");
    assert_eq!(arrives(&companion, &upstream), ["@file"], "no text is the name of a file");
    // An argument wins over standard input.
    aerostack(&["secrets", "set", "raw", "TOKEN", "arg"]).against(&companion).stdin("no").run().expect(0);
    assert_eq!(arrives(&companion, &upstream), ["arg"]);
}

#[test]
fn a_line_end_is_taken_off_and_said() {
    let companion = companion();
    let ended = set_from_stdin(&companion, "github-mcp", "A", "12345678\n").prints(CREATED);
    assert_eq!(ended.err, "stored 8 bytes; removed the trailing newline\n");
    let ended = set_from_stdin(&companion, "github-mcp", "A", "12345678\r\n").prints(UPDATED);
    assert_eq!(ended.err, "stored 8 bytes; removed the trailing newline\n");
    let ended = set_from_stdin(&companion, "github-mcp", "A", "12345678").prints(UPDATED);
    assert_eq!(ended.err, "");
    let quiet = aerostack(&["-q", "secrets", "set", "github-mcp", "A"]).against(&companion).stdin("1\n");
    assert_eq!(quiet.run().prints(UPDATED).err, "");
    // One line end only: what is left has two lines.
    let ended = set_from_stdin(&companion, "github-mcp", "A", "12345678\n\n").expect(2);
    assert!(ended.err.contains("more than one line"), "{}", ended.err);
    assert_eq!(listed(&companion, "A").unwrap()["version"], 4);
}

/// Every chunk is written only when the one before has been taken from the pipe, so the
/// program comes back for more each time.
#[test]
fn standard_input_is_read_to_its_end_in_any_number_of_chunks() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    let mut child = Command::new(env!("CARGO_BIN_EXE_aerostack"))
        .args(["secrets", "set", "raw", "TOKEN"])
        .env_clear()
        .env("AEROSTACK_API_URL", &companion.base_url)
        .env("AEROSTACK_API_KEY", &companion.api_key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    for _ in 0..50 {
        stdin.write_all(b"0123456789").unwrap();
        while rustix::io::ioctl_fionread(&stdin).unwrap() > 0 {
            assert!(Instant::now() < deadline, "the program stopped reading");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    stdin.write_all(b"end").unwrap();
    drop(stdin);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(out, CREATED);
    assert_eq!(arrives(&companion, &upstream), [format!("{}end", "0123456789".repeat(50))]);
}

#[test]
fn a_slow_producer_is_waited_for() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    // The producer's pause is the point: tools that wait half a second lose the rest.
    let script = format!(
        "export AEROSTACK_API_URL={} AEROSTACK_API_KEY={}\n\
         {{ printf ghp_; sleep 0.8; printf 'slow\\n'; }} | aerostack secrets set raw TOKEN",
        companion.base_url, companion.api_key
    );
    shell(&script).prints(CREATED);
    assert_eq!(arrives(&companion, &upstream), ["ghp_slow"]);
}

#[test]
fn more_than_64_kib_on_standard_input_is_refused_not_cut() {
    let companion = companion();
    for (bytes, told) in
        [(100_000, "the value has 100000 bytes; at most 16384 are allowed"), (2 << 20, "1 MiB")]
    {
        let ended = set_from_stdin(&companion, "github-mcp", "A", vec![b'x'; bytes]).expect(2);
        assert!(ended.err.contains(told) && ended.out.is_empty(), "{}", ended.err);
    }
    assert_eq!(listed(&companion, "A"), None);
}

#[test]
fn json_is_the_document_of_the_api() {
    let companion = companion();
    let by_cli = cli(&companion, &["--json", "secrets", "set", "github-mcp", "A", "one"]).document();
    assert_eq!(by_cli["status"], "created");
    let by_api = post(&companion, &json!({"name": "B", "value": "one"}));
    assert_eq!((by_api.status, &by_api.json()["status"]), (201, &json!("created")));
    for (document, name) in [(&by_cli, "A"), (&by_api.json(), "B")] {
        let secret = &document["secret"];
        assert_eq!(secret["name"], name);
        assert_eq!(secret["injection"], json!({"type": "name"}));
        assert_eq!(secret["version"], 1);
        assert!(secret["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(secret.as_object().unwrap().len(), 5, "{secret}");
        assert_eq!(document.as_object().unwrap().len(), 2, "{document}");
    }
    let by_api = post(&companion, &json!({"name": "B", "value": "two"}));
    assert_eq!((by_api.status, &by_api.json()["status"]), (200, &json!("updated")));
    let with_newline = aerostack(&["--json", "secrets", "set", "github-mcp", "A"]).against(&companion);
    let ended = with_newline.stdin("two-long\n").run();
    assert_eq!(ended.err, "", "with --json nothing is said beside the document");
    assert_eq!(ended.document()["status"], "updated");
}

#[test]
fn a_set_keeps_the_rule() {
    let companion = companion();
    companion.set("github-mcp", "A", "one");
    let rule = json!({"type": "header", "header": "X-Token", "prefix": "Token "});
    assert_eq!(companion.inject("github-mcp", "A", &rule).status, 200);
    let document = cli(&companion, &["--json", "secrets", "set", "github-mcp", "A", "two"]).document();
    assert_eq!(document["secret"]["injection"], rule);
    // The API can give a rule with the value.
    let bearer = json!({"name": "A", "value": "three", "injection": {"type": "bearer"}});
    assert_eq!(post(&companion, &bearer).json()["secret"]["injection"], json!({"type": "bearer"}));
}

#[test]
fn preconditions_of_the_api() {
    let companion = companion();
    let mut body = json!({"name": "GITHUB_TOKEN", "value": "one", "must_exist": true});
    let answer = post(&companion, &body);
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "not_found"));
    assert_eq!(listed(&companion, "GITHUB_TOKEN"), None);
    companion.set("github-mcp", "GITHUB_TOKEN", "one");
    assert_eq!(post(&companion, &body).status, 200);
    body["name"] = json!("GITHUB_TOKN");
    assert_eq!(post(&companion, &body).json()["error"]["hint"], "did you mean 'GITHUB_TOKEN'?");
    let mut body = json!({"name": "GITHUB_TOKEN", "value": "two", "must_not_exist": true});
    let answer = post(&companion, &body);
    assert_eq!((answer.status, answer.error_code().as_str()), (409, "conflict"));
    assert_eq!(listed(&companion, "GITHUB_TOKEN").unwrap()["version"], 2);
    body["name"] = json!("OTHER");
    assert_eq!(post(&companion, &body).status, 201);
}

#[test]
fn an_unknown_server_gets_a_suggestion() {
    let companion = companion();
    let arguments = ["secrets", "set", "githb-mcp", "GITHUB_TOKEN", "ghp_canary"];
    let ended = cli(&companion, &arguments).expect(3);
    assert!(ended.err.contains("hint: did you mean 'github-mcp'?\n"), "{}", ended.err);
    assert!(ended.err.contains("request id: ") && !ended.both().contains("ghp_canary"));
    let ended = aerostack(&arguments).arg("--json").against(&companion).run().expect(3);
    let error = ended.error_document();
    assert_eq!((&error["code"], &error["hint"]), (&json!("not_found"), &json!("did you mean 'github-mcp'?")));
}

#[test]
fn names_that_are_not_legal_are_refused_before_anything_is_sent() {
    let upstream = Upstream::start(|_| Vec::new());
    for name in ["", "1A", "A-B", "A B", "A=B", "Ä", &"N".repeat(129)] {
        let url = format!("http://{}", upstream.address);
        let run = aerostack(&["secrets", "set", "github-mcp", name, "ghp_canary"]);
        let ended = run.env("AEROSTACK_API_URL", url).env("AEROSTACK_API_KEY", "ak_x").run().expect(2);
        assert!(ended.err.contains("1 to 128 letters, digits and '_'"), "{}", ended.err);
        assert!(!ended.both().contains("ghp_canary"));
    }
    assert_eq!(upstream.connections(), 0);
    let companion = companion();
    for name in ["", "1A", "A-B", "A\n", &"N".repeat(129)] {
        let answer = post(&companion, &json!({"name": name, "value": "x"}));
        assert_eq!((answer.status, answer.error_code().as_str()), (422, "invalid_value"), "{name}");
    }
    let longest = "N".repeat(128);
    assert_eq!(post(&companion, &json!({"name": longest, "value": "x"})).status, 201);
}

#[test]
fn case_of_names_is_kept_and_told_apart() {
    let companion = companion();
    companion.set("github-mcp", "apiKey", "one");
    assert_eq!(listed(&companion, "apiKey").unwrap()["name"], "apiKey");
    assert_eq!(listed(&companion, "APIKEY"), None);
    // Another name, but in HTTP the same header.
    let ended = cli(&companion, &["secrets", "set", "github-mcp", "APIKEY", "two"]).expect(6);
    assert!(ended.err.contains("already sent in that header"), "{}", ended.err);
    assert_eq!(post(&companion, &json!({"name": "APIKEY", "value": "two"})).status, 409);
    assert_eq!(listed(&companion, "APIKEY"), None);
}

#[test]
fn a_reserved_name_needs_a_rule() {
    let companion = companion();
    for name in ["CONTENT_TYPE", "Host", "MCP_SESSION_ID", "COOKIE"] {
        let ended = cli(&companion, &["secrets", "set", "github-mcp", name, "x"]).expect(2);
        assert!(ended.err.contains("is reserved") && ended.err.contains("hint: "), "{}", ended.err);
        let answer = post(&companion, &json!({"name": name, "value": "x"}));
        assert_eq!((answer.status, answer.error_code().as_str()), (422, "invalid_value"), "{name}");
        assert_eq!(listed(&companion, name), None);
    }
    let rule = json!({"type": "header", "header": "X-Type"});
    let body = json!({"name": "CONTENT_TYPE", "value": "x", "injection": rule});
    assert_eq!(post(&companion, &body).status, 201);
    // From then on it keeps that rule.
    cli(&companion, &["secrets", "set", "github-mcp", "CONTENT_TYPE", "y"]).prints(UPDATED);
}

#[test]
fn a_forgotten_slug_is_explained() {
    let companion = companion();
    let ended = cli(&companion, &["secrets", "set", "GITHUB_TOKEN", "ghp_canary"]).expect(2);
    assert!(ended.err.contains("secrets set [OPTIONS] <mcp-slug> <NAME> [VALUE]"), "{}", ended.err);
    assert!(!ended.both().contains("ghp_canary"));
}

#[test]
fn workspaces_are_apart() {
    let companion = companion();
    cli(&companion, &["workspace", "create", "Team A"]).expect(0);
    let url = ["--url", "https://other.example/"];
    cli(&companion, &["-w", "team-a", "mcp", "add", "github-mcp", url[0], url[1]]).expect(0);
    cli(&companion, &["-w", "team-a", "secrets", "set", "github-mcp", "A", "x"]).prints(CREATED);
    assert_eq!(listed(&companion, "A"), None);
    let by_env = aerostack(&["secrets", "set", "github-mcp", "A", "y"]).against(&companion);
    by_env.env("AEROSTACK_WORKSPACE", "team-a").run().prints(UPDATED);
    let answer = companion.admin("GET", &format!("{SECRETS}?workspace=team-a"), None).json();
    assert_eq!(answer["secrets"][0]["version"], 2);
    let ended = cli(&companion, &["-w", "team-b", "secrets", "set", "github-mcp", "A", "x"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'team-a'?"), "{}", ended.err);
}
