//! `aerostack analytics`: tables, JSON, bars on a terminal, and what is refused.

use std::ffi::OsStr;

use serde_json::{Value, json};

use crate::analytics::{analytics, answer_by_tool, logged};
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::{Companion, Upstream, aerostack, cli};

/// A companion with three calls of one tool and one failed call of another.
fn scene() -> (Companion, Upstream, String) {
    let companion = Companion::start();
    let upstream = Upstream::start(answer_by_tool);
    companion.add_server("up", &upstream.url());
    let token = companion.token("default");
    let session = companion.session(&token, Some("up"));
    for tool in ["good", "good", "says_error", "good"] {
        session.call(tool);
    }
    logged(&companion, 4);
    (companion, upstream, token[4..16].to_owned())
}

/// Cells of a table's lines, which are at least three blanks apart.
fn cells(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn groups_as_tables() {
    let (companion, _upstream, token) = scene();
    let table = |arguments: &[&str]| cli(&companion, &[&["analytics"], arguments].concat()).expect(0).out;
    let text = table(&[]);
    let rows = cells(&text);
    assert_eq!(rows[0], ["TOOL", "CALLS", "FAILURES", "MEAN", "P95"]);
    assert_eq!(
        (&rows[1][..3], &rows[2][..3]),
        (&["up__good", "3", "0"][..], &["up__says_error", "1", "1"][..])
    );
    assert!(
        rows[1..].iter().all(|row| row.len() == 5 && row[3].ends_with('s') && row[4].ends_with('s')),
        "{text}"
    );
    assert!(!text.contains(['█', '░']), "bars are for terminals");
    let text = table(&["default", "--by", "token,server", "--since", "1h"]);
    let rows = cells(&text);
    assert_eq!(rows[0][..3], ["TOKEN", "SERVER", "CALLS"]);
    assert_eq!(rows[1][..4], [&format!("test ({token})"), "up", "4", "1"]);
    let nothing = cli(&companion, &["analytics", "--since", "0s"]).prints("");
    assert!(nothing.err.starts_with("No calls in the workspace default since 20"), "{}", nothing.err);
}

#[test]
fn groups_as_json() {
    let (companion, ..) = scene();
    let since = "2026-01-01T02:00:00+02:00";
    let document = cli(&companion, &["analytics", "--json", "--since", since]).document();
    let answer = analytics(&companion, "?by=tool&since=2026-01-01T00:00:00Z").json();
    assert_eq!(document, answer);
    assert_eq!(document["since"], "2026-01-01T00:00:00Z");
    let fields = ["analytics", "--by", "server", "--json", "--fields", "server,calls,failures"];
    let document = cli(&companion, &fields).document();
    assert_eq!(document["groups"], json!([{"server": "up", "calls": 4, "failures": 1}]));
    let ended = cli(&companion, &["analytics", "--json", "--fields", "outcome"]).expect(2);
    assert!(ended.err.contains("mean_ms"), "{}", ended.err);
}

#[test]
fn the_log() {
    let (companion, _upstream, token) = scene();
    let text = cli(&companion, &["analytics", "--calls"]).expect(0).out;
    let rows = cells(&text);
    assert_eq!(rows[0], ["TIME", "TOKEN", "TOOL", "OUTCOME", "DURATION", "REQUEST ID"]);
    let tools: Vec<_> = rows[1..].iter().map(|row| (row[2], row[3])).collect();
    let good = ("up__good", "success");
    assert_eq!(tools, [good, ("up__says_error", "tool_error"), good, good], "newest first");
    let document = cli(&companion, &["analytics", "--calls", "--token", &token, "--json"]).document();
    assert_eq!(document, analytics(&companion, "/calls").json());
    let second = document["calls"][1]["request_id"].as_str().unwrap();
    assert_eq!(rows[2][5], second);
    let fields = ["analytics", "--calls", "--json", "--fields", "tool,success"];
    let shown = cli(&companion, &fields).document();
    assert_eq!(shown["calls"][1], json!({"tool": "says_error", "success": false}));
    assert_eq!(shown["next"], Value::Null);
    let older = cli(&companion, &["analytics", "--calls", "--after", "2", "--json"]).document();
    assert_eq!(older["calls"].as_array().unwrap().len(), 1);
    let other = companion.token("default");
    let none = cli(&companion, &["analytics", "--calls", "--token", &other[4..16]]).prints("");
    assert_eq!(none.err, "No calls in the workspace default.\n");
}

#[test]
fn bars_on_a_terminal() {
    let (companion, ..) = scene();
    let (code, text) = PseudoTerminal::spawn(aerostack(&["analytics"]).against(&companion)).end();
    assert_eq!(code, 0, "{text}");
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("up__good").trim_end().ends_with(&"█".repeat(24)), "{text}");
    assert!(line("up__says_error").trim_end().ends_with(&format!(" {}", "░".repeat(8))), "{text}");
}

/// A terminal of 85 columns has room for short bars only.
#[test]
fn bars_fit_into_the_terminal() {
    let (companion, ..) = scene();
    let narrow = ["-c", "stty cols 85; exec \"$@\"", "sh"].map(OsStr::new);
    let program = aerostack(&["analytics", "--by", "token,tool,tool"]).by("sh", &narrow).against(&companion);
    let (code, text) = PseudoTerminal::spawn(program).end();
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("TOOL").count(), 1, "{text}");
    assert!(text.contains('█') && text.lines().all(|line| line.trim_end().chars().count() <= 85), "{text}");
}

#[test]
fn the_workspace_can_be_named_in_two_ways() {
    let (companion, ..) = scene();
    assert_eq!(
        companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Team A"}))).status,
        201
    );
    for arguments in
        [&["analytics", "-w", "team-a"][..], &["-w", "team-a", "analytics"], &["analytics", "team-a"]]
    {
        let ended = cli(&companion, arguments).expect(0);
        assert!(ended.err.contains("workspace team-a"), "{}", ended.err);
    }
    cli(&companion, &["workspace", "token", "list", "team-a", "-w", "team-a"]).expect(0);
    for arguments in [
        &["analytics", "team-a", "-w", "default"][..],
        &["workspace", "token", "list", "team-a", "-w", "default"],
        &["workspace", "token", "create", "team-a", "--name", "x", "-w", "default"],
    ] {
        let ended = cli(&companion, arguments).expect(2);
        assert!(ended.err.contains("two workspaces are named"), "{}", ended.err);
    }
}

#[test]
fn a_day_is_its_beginning_in_utc() {
    let (companion, ..) = scene();
    let since = |day: &str| cli(&companion, &["analytics", "--since", day, "--json"]).document();
    let document = since("2026-01-02");
    assert_eq!(document["since"], "2026-01-02T00:00:00Z");
    assert!(!document["groups"].as_array().unwrap().is_empty(), "{document}");
    assert_eq!(since("2999-01-01")["groups"], json!([]));
    let path = "/api/v1/admin/workspaces/default/analytics?since=2026-01-02";
    assert_eq!(companion.admin("GET", path, None).json()["groups"], document["groups"]);
}

#[test]
fn what_is_refused() {
    let companion = Companion::start();
    for arguments in [
        &["analytics", "--by", "arguments"][..],
        &["analytics", "--since", "yesterday"],
        &["analytics", "--token", "a1B2c3D4e5F6"],
        &["analytics", "--calls", "--by", "tool"],
        &["analytics", "--calls", "--since", "7d"],
        &["analytics", "--after", "7"],
        &["analytics", "Not_A_Slug"],
        &["analytics", "--fields", "calls"],
    ] {
        cli(&companion, arguments).expect(2);
    }
    cli(&companion, &["analytics", "--calls", "--after", "x"]).expect(2);
    let ended = cli(&companion, &["analytics", "zzz"]).expect(3);
    assert!(ended.err.contains("no such workspace"), "{}", ended.err);
    let ended = cli(&companion, &["analytics", "--calls", "--token", "000000000000"]).expect(3);
    assert!(ended.err.contains("aerostack workspace token list default"), "{}", ended.err);
    let ended = aerostack(&["analytics"]).env("AEROSTACK_API_URL", &companion.base_url).run();
    assert_eq!(ended.expect(4).out, "");
}
