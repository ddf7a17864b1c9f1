//! What the program does where its output cannot be read or written, and when it uses
//! colour.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::upstream::{http_answer, json_answer};
use crate::harness::{Companion, Upstream, aerostack};

const LIST: [&str; 3] = ["secrets", "list", "github-mcp"];

/// A command line whose standard output is this.
fn with_stdout(companion: &Companion, arguments: &[&str], stdout: impl Into<Stdio>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aerostack"));
    command.args(arguments).env_clear().env("AEROSTACK_API_URL", &companion.base_url);
    command.env("AEROSTACK_API_KEY", &companion.api_key).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.stdout(stdout).spawn().unwrap().wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion.set("github-mcp", "TOKEN", "x");
    for arguments in [&LIST[..], &["secrets", "list", "--json"], &["--help"], &["keygen"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(with_stdout(&companion, arguments, writer), (0, String::new()), "{arguments:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = with_stdout(&companion, arguments, full);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("could not write to standard output"), "{err}");
    }
}

#[test]
fn colour_is_obeyed() {
    let run = |options: &[&str], variables: &[(&str, &str)]| {
        let run = aerostack(&[&["secrets", "list", "Not_A_Slug"], options].concat());
        variables.iter().fold(run, |run, (name, value)| run.env(name, value)).run().expect(2).err
    };
    let colored = |text: &str| text.starts_with("\u{1b}[1;31merror:\u{1b}[0m ");
    assert!(run(&[], &[]).starts_with("error: "), "a pipe gets no colour");
    for (options, variables) in [
        (&["--color", "always"][..], &[("NO_COLOR", "1")][..]),
        (&["--color=always"], &[]),
        (&[], &[("CLICOLOR_FORCE", "1")]),
    ] {
        assert!(colored(&run(options, variables)), "{options:?} {variables:?}");
    }
    for (options, variables) in [
        (&[][..], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")][..]),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")]),
        (&["--color=never"], &[("CLICOLOR_FORCE", "1")]),
        (&[], &[("CLICOLOR_FORCE", "0")]),
    ] {
        assert!(!run(options, variables).contains('\u{1b}'), "{options:?} {variables:?}");
    }
    // The same where the arguments are understood.
    let run = aerostack(&["secrets", "delete", "a", "B", "--color", "always"]).env("NO_COLOR", "1");
    assert!(colored(&run.run().expect(2).err));
}

/// A workspace token cannot be had a second time.
#[test]
fn a_token_that_could_not_be_shown_is_not_lost_in_silence() {
    let companion = Companion::start();
    let create = ["workspace", "token", "create", "default", "--name", "anna"];
    let json = [&create[..], &["--json"]].concat();
    let mut ids = Vec::new();
    for arguments in [&create[..], &json] {
        for full in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let (code, err) = if full {
                let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
                with_stdout(&companion, arguments, full)
            } else {
                with_stdout(&companion, arguments, writer)
            };
            assert_eq!(code, 1, "{arguments:?}: {err}");
            let id =
                err.split("the token ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
            assert!(err.contains(&format!("the token {id} was created but could not be shown: ")), "{err}");
            let revoke =
                format!("revoke it and create another: aerostack workspace token revoke default {id}");
            assert!(err.contains(&revoke), "{err}");
            assert!(!err.contains("mwt_"), "{err}");
            ids.push(id);
        }
    }
    let list = companion.admin("GET", "/api/v1/admin/workspaces/default/tokens", None).json();
    let mut known: Vec<_> = list["tokens"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    known.sort_by_key(ToString::to_string);
    ids.sort();
    assert_eq!(known, ids);
}

#[test]
fn a_change_that_was_made_is_told_where_standard_output_is_full() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.env");
    std::fs::write(&file, "NEW=x\n").unwrap();
    let file = file.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = with_stdout(&companion, &[&["secrets"], arguments].concat(), full);
        assert_eq!(code, 1, "{arguments:?}: {err}");
        assert!(err.contains("could not write to standard output"), "{err}");
        err.contains("error: the change was made and could not be reported: ")
            && err.contains("\nhint: do not repeat it; look what is there\n")
    };
    for arguments in [
        &["set", "github-mcp", "TOKEN", "x"][..],
        &["rotate", "github-mcp", "TOKEN", "y"],
        &["inject", "github-mcp", "TOKEN", "--bearer"],
        &["import", "github-mcp", file],
        &["delete", "github-mcp", "TOKEN", "--yes"],
    ] {
        assert!(run(&[arguments, &["--quiet"]].concat()), "{arguments:?}");
    }
    assert!(!run(&["list", "github-mcp"]));
    assert!(!run(&["import", "github-mcp", file, "--dry-run"]));
}

/// For a terminal it is escaped, for a program it is what the server said.
#[test]
fn the_servers_text_is_escaped_once() {
    let text = "a\u{1b}[2J\nerror: b\u{9b}";
    let api = Upstream::start(move |request| {
        if request.head_text().contains("/mcp-servers?") {
            let slug = format!("{}\nerror: x\u{1b}[2J", "s".repeat(60));
            let day = "2026-03-15T00:00:00Z";
            return json_answer(&json!({"servers": [{"slug": slug, "name": "n", "url": "https://x.example/",
                "enabled": true, "allow_private_network": false, "secret_count": 0, "inject_secrets": {},
                "created_at": day, "updated_at": day}]}));
        }
        let error = json!({"code": "not_found", "message": text, "hint": text, "request_id": "r1"});
        http_answer("404 Not Found", &[], &json!({"error": error}).to_string())
    });
    let run = |arguments: &[&str]| {
        let run = aerostack(arguments).env("AEROSTACK_API_KEY", "ak_x");
        run.env("AEROSTACK_API_URL", format!("http://{}", api.address)).run()
    };
    let ended = run(&LIST).expect(3);
    let shown = "a\\u{1b}[2J\\u{a}error: b\\u{9b}";
    assert_eq!(ended.err, format!("error: {shown}\nhint: {shown}\nrequest id: r1\n"));
    let ended = run(&[&LIST[..], &["--json"]].concat()).expect(3);
    assert!(!ended.err.trim_end().chars().any(char::is_control), "{:?}", ended.err);
    let document: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!((&document["error"]["message"], &document["error"]["hint"]), (&json!(text), &json!(text)));
    let ended = run(&["mcp", "list"]).expect(0);
    assert!(ended.err.starts_with("warning: ") && ended.err.contains("\\u{a}error: x"), "{:?}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{:?}", ended.err);
}
