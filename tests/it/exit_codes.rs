//! Each exit code of the contract by a real run, `--json` errors as one document, and what
//! a hostile or broken API cannot make the program do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::program::Aerostack;
use crate::harness::upstream::http_answer;
use crate::harness::{Companion, Ended, Upstream, aerostack, cli};

const LIST: [&str; 3] = ["secrets", "list", "github-mcp"];
const KEY: &str = "ak_canary-key";

fn run_against(address: SocketAddr, arguments: &[&str]) -> Aerostack {
    let run = aerostack(arguments).env("AEROSTACK_API_URL", format!("http://{address}"));
    run.env("AEROSTACK_API_KEY", KEY)
}

/// An API that answers each request in this one way.
fn api(status: &'static str, headers: &'static [(&str, &str)], body: &impl ToString) -> Upstream {
    let body = body.to_string();
    Upstream::start(move |_| http_answer(status, headers, &body))
}

fn error_body(code: &str) -> Value {
    json!({"error": {"code": code, "message": "no", "hint": "do this", "request_id": "r-1"}})
}

/// Runs it for people and for programs; both must end alike and print no data.
#[track_caller]
fn ends(run: impl Fn(&[&str]) -> Ended, code: i32, word: &str) -> Value {
    let ended = run(&LIST).expect(code);
    assert_eq!(ended.out, "");
    assert!(ended.err.starts_with("error: ") && !ended.err.contains("canary"), "{}", ended.err);
    let ended = run(&[&LIST[..], &["--json"]].concat()).expect(code);
    let error = ended.error_document();
    assert_eq!(error["code"], word);
    assert!(!ended.err.contains("canary"));
    error
}

#[test]
fn help_and_version_are_exit_0() {
    let commands = "auth|auth login|auth logout|auth status|login|logout|whoami|secrets|secrets set|secrets rotate|secrets inject|secrets list|secrets delete|secrets import|completions|mcp|mcp add|mcp list|mcp update|\
        mcp remove|workspace|workspace create|workspace list|workspace use|workspace delete|workspace token|\
        workspace token create|workspace token list|workspace token revoke|mock|serve|keygen|demo";
    for command in commands.split('|') {
        let arguments: Vec<&str> = command.split(' ').collect();
        for help in ["--help", "-h"] {
            let ended = aerostack(&[&arguments[..], &[help]].concat()).run().expect(0);
            assert_eq!(ended.err, "");
            let usage = format!("Usage: aerostack {command}");
            assert!(ended.out.contains(&usage), "{command}: {}", ended.out);
            assert!(ended.out.lines().all(|line| line.chars().count() <= 80), "{command}: {}", ended.out);
            assert!(ended.out.lines().count() <= 45, "{command} needs more than a screen: {}", ended.out);
            assert!(ended.out.contains("aerostack --help"), "{command}: {}", ended.out);
        }
    }
    for arguments in [["--help"], ["-h"], ["help"]] {
        assert!(aerostack(&arguments).run().expect(0).out.contains("Usage: aerostack"));
    }
    let version = format!("aerostack {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(aerostack(&["--version"]).run().prints(&version).err, "");
    assert_eq!(aerostack(&["-V"]).run().prints(&version).err, "");
    let ended = aerostack(&[]).run().expect(2);
    assert!(ended.out.is_empty() && ended.err.contains("Usage: aerostack"));
}

#[test]
fn one_is_what_nobody_expects() {
    for (status, code) in [
        ("500 Internal Server Error", "internal"),
        ("507 Insufficient Storage", "storage_full"),
        ("503 Service Unavailable", "a_code_of_the_future"),
        ("400 Bad Request", "invalid_request"),
    ] {
        let api = api(status, &[], &error_body(code));
        let known = if code.contains("future") { "internal" } else { code };
        let error = ends(|arguments| run_against(api.address, arguments).run(), 1, known);
        assert_eq!((&error["message"], &error["hint"]), (&json!("no"), &json!("do this")));
        assert_eq!(error["request_id"], "r-1");
    }
    // Not of our API at all.
    let header: &[(&str, &str)] = &[("X-Request-Id", "from-header")];
    for (status, body) in [
        ("502 Bad Gateway", "<html>canary</html>"),
        ("200 OK", "<html>canary</html>"),
        ("200 OK", ""),
        ("200 OK", r#"{"secrets":"canary"}"#),
        ("204 No Content", ""),
        ("404 Not Found", "canary"),
    ] {
        let api = api(status, header, &body);
        let error = ends(|arguments| run_against(api.address, arguments).run(), 1, "internal");
        assert_eq!(error["request_id"], "from-header", "{status}");
    }
}

#[test]
fn two_is_wrong_use() {
    let wrong: [&[&str]; 12] = [
        &["nothing"],
        &["secrets"],
        &["secrets", "nothing"],
        &["secrets", "set", "github-mcp"],
        &["secrets", "list", "Not_A_Slug"],
        &["secrets", "list", "--nothing"],
        &["secrets", "list", "--timeout", "0"],
        &["secrets", "list", "--color", "blue"],
        &["secrets", "list", "--api-url", "not a url"],
        &["secrets", "list", "--api-url", "https://user:pw@a.example"],
        &["secrets", "delete", "github-mcp", "A"],
        &["serve"],
    ];
    for arguments in wrong {
        let ended = aerostack(arguments).env("AEROSTACK_API_KEY", KEY).run().expect(2);
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{arguments:?}");
        for json_first in [true, false] {
            let all = if json_first {
                [&["--json"], arguments].concat()
            } else {
                [arguments, &["--json"]].concat()
            };
            let ended = aerostack(&all).env("AEROSTACK_API_KEY", KEY).run().expect(2);
            assert_eq!(ended.error_document()["code"], "invalid_request", "{all:?}");
        }
    }
    assert_eq!(aerostack(&["--json"]).run().expect(2).error_document()["code"], "invalid_request");
    for (status, code) in
        [("413 Payload Too Large", "too_large"), ("422 Unprocessable Content", "invalid_value")]
    {
        let api = api(status, &[], &error_body(code));
        ends(|arguments| run_against(api.address, arguments).run(), 2, code);
    }
}

#[test]
fn three_is_not_found_and_six_is_in_the_way() {
    let companion = Companion::start();
    let error = ends(|arguments| cli(&companion, arguments), 3, "not_found");
    assert_eq!(error["request_id"].as_str().map(str::len), Some(32));
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let again = ["mcp", "add", "github-mcp", "--url", "https://a.example/", "--json"];
    assert_eq!(cli(&companion, &again).expect(6).error_document()["code"], "conflict");
}

#[test]
fn four_is_no_key_or_one_that_is_not_accepted() {
    let companion = Companion::start();
    let with = |key: Option<&str>, arguments: &[&str]| {
        let run = aerostack(arguments).env("AEROSTACK_API_URL", &companion.base_url);
        if let Some(key) = key { run.env("AEROSTACK_API_KEY", key).run() } else { run.run() }
    };
    for (key, message, hint) in [
        (None, "there is no API key for", "set AEROSTACK_API_KEY or AEROSTACK_API_KEY_FILE"),
        (Some(""), "there is no API key for", "set AEROSTACK_API_KEY or AEROSTACK_API_KEY_FILE"),
        (Some("canary"), "AEROSTACK_API_KEY does not hold an API key", "check what was copied"),
        (Some("mwt_canary"), "AEROSTACK_API_KEY holds a workspace token", "an API key (ak_...)"),
        (Some("ak_canary\r\nX: y"), "AEROSTACK_API_KEY does not hold an API key", "check what was copied"),
        (Some(KEY), "the API key is not accepted", "auth status"),
    ] {
        let error = ends(|arguments| with(key, arguments), 4, "unauthorized");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn the_key_from_a_file() {
    use std::os::unix::fs::PermissionsExt;
    let (companion, folder) = (Companion::start(), tempfile::tempdir().unwrap());
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let file = folder.path().join("key");
    let run = |file: &std::path::Path| {
        let run = aerostack(&LIST).env("AEROSTACK_API_URL", &companion.base_url);
        run.env("AEROSTACK_API_KEY_FILE", file)
    };
    std::fs::write(&file, format!("{}\n", companion.api_key)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&file).run().expect(0).err, "No secrets for github-mcp.\n");
    // The variable goes before the file.
    run(&file).env("AEROSTACK_API_KEY", KEY).run().expect(4);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run(&file).run().expect(0).err.starts_with("warning: other users can read the file"));
    std::fs::write(&file, "canary").unwrap();
    let ended = run(&file).run().expect(4);
    assert!(ended.err.contains("AEROSTACK_API_KEY_FILE does not hold an API key"), "{}", ended.err);
    assert!(!ended.err.contains("canary"));
    let ended = run(&folder.path().join("missing")).run().expect(4);
    assert!(ended.err.contains("could not read the file that AEROSTACK_API_KEY_FILE names"), "{}", ended.err);
}

#[test]
fn five_is_forbidden_and_eight_is_too_often() {
    let forbidden = api("403 Forbidden", &[], &error_body("forbidden"));
    ends(|arguments| run_against(forbidden.address, arguments).run(), 5, "forbidden");
    // Longer than any wait that is obeyed.
    let limited = api("429 Too Many Requests", &[("Retry-After", "61")], &error_body("rate_limited"));
    let error = ends(|arguments| run_against(limited.address, arguments).run(), 8, "rate_limited");
    assert_eq!(error["hint"], "do this; the server asks to wait 61 s before the next try");
}

/// A port on which nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn seven_is_nobody_there_or_no_encryption() {
    let closed = closed_port();
    let error = ends(|arguments| run_against(closed, arguments).run(), 7, "network");
    assert!(error["message"].as_str().unwrap().contains("Connection refused"), "{error}");
    // TLS to a server that speaks plain HTTP.
    let companion = Companion::start();
    let https = companion.base_url.replace("http://", "https://");
    let run = |arguments: &[&str]| {
        aerostack(arguments).env("AEROSTACK_API_URL", &https).env("AEROSTACK_API_KEY", KEY).run()
    };
    ends(run, 7, "network");
}

/// 0.0.0.0 leads to this machine, but its name does not say so.
#[test]
fn plain_http_to_elsewhere_is_refused_before_any_connection() {
    let api = api("200 OK", &[], &json!({"secrets": []}));
    let port = api.address.port();
    let hosts =
        ["0.0.0.0", "192.0.2.1", "localhost.example.com", "127.0.0.1.example.com", "[::]", "example.com"];
    for host in hosts {
        let url = format!("http://{host}:{port}");
        let run = |arguments: &[&str]| {
            aerostack(arguments).env("AEROSTACK_API_URL", &url).env("AEROSTACK_API_KEY", KEY).run()
        };
        let error = ends(run, 7, "network");
        assert!(error["message"].as_str().unwrap().ends_with("the API key was not sent"), "{error}");
        let by_option = aerostack(&[&LIST[..], &["--api-url", &url]].concat()).env("AEROSTACK_API_KEY", KEY);
        by_option.run().expect(7);
    }
    assert_eq!(api.connections(), 0);
    for host in ["127.0.0.1", "localhost"] {
        let run = aerostack(&LIST).env("AEROSTACK_API_URL", format!("http://{host}:{port}"));
        run.env("AEROSTACK_API_KEY", KEY).run().expect(0);
    }
}

#[test]
fn the_time_limit_holds() {
    // Nobody accepts; the system's backlog does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let start = Instant::now();
    let ended = run_against(address, &["secrets", "list", "github-mcp", "--timeout", "1"]).run().expect(7);
    assert!(ended.err.starts_with("error: no answer within 1 s\n"), "{}", ended.err);
    let ended = run_against(address, &["secrets", "set", "github-mcp", "A", "canary", "--timeout", "1"])
        .run()
        .expect(7);
    assert!(ended.err.contains("hint: the change may have been made all the same"), "{}", ended.err);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// An answer that comes in drops must not stretch the limit.
#[test]
fn the_time_limit_is_for_the_whole_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while socket.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let start = Instant::now();
    run_against(address, &["secrets", "list", "github-mcp", "--timeout", "1"]).run().expect(7);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn half_an_answer_is_no_answer() {
    for half in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"secrets\":[]}",
        b"canary\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let half = half.to_vec();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let _ = socket.read(&mut [0; 4096]);
                let _ = socket.write_all(&half);
            }
        });
        ends(|arguments| run_against(address, arguments).run(), 7, "network");
    }
}

#[test]
fn redirects_are_not_followed() {
    let collector = Upstream::start(|_| Vec::new());
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let location = format!("http://{}/api/v1/admin/mcp-servers/github-mcp/secrets", collector.address);
        let api = Upstream::start(move |_| http_answer(status, &[("Location", &location)], ""));
        let error = ends(|arguments| run_against(api.address, arguments).run(), 1, "internal");
        assert!(error["message"].as_str().unwrap().contains("redirects are not followed"), "{error}");
        run_against(api.address, &["secrets", "set", "github-mcp", "A", "canary-value"]).run().expect(1);
    }
    assert_eq!(collector.connections(), 0);
}

#[test]
fn proxies_of_the_environment_see_nothing() {
    let proxy = Upstream::start(|_| Vec::new());
    let api = api("200 OK", &[], &json!({"secrets": []}));
    let mut run = run_against(api.address, &LIST);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        run = run.env(name, format!("http://{}", proxy.address));
    }
    run.run().expect(0);
    assert_eq!((proxy.connections(), api.connections()), (0, 1));
    let request = &api.received()[0];
    assert_eq!(request.values("authorization"), [format!("Bearer {KEY}")]);
    assert_eq!(request.head_text().matches("canary").count(), 1, "{}", request.head_text());
}
