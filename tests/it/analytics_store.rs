//! The file of recorded calls: bounded, never in a call's way, not needed for a start, and
//! without a word of what was said in a call.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aerostack::server::analytics::AnalyticsSettings;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::analytics::{analytics, answer_by_tool, logged};
use crate::harness::companion::KEY;
use crate::harness::program::until;
use crate::harness::{Companion, McpSession, Upstream, aerostack, request};

const PATIENCE: Duration = Duration::from_secs(30);

fn file_of(database: &Path) -> PathBuf {
    PathBuf::from(format!("{}.analytics", database.display()))
}

/// A companion with an upstream and a session on its route.
fn scene(settings: AnalyticsSettings) -> (Companion, Upstream, McpSession) {
    let mut companion = Companion::start();
    companion.analytics = settings;
    companion.restart();
    let upstream = Upstream::start(answer_by_tool);
    companion.add_server("up", &upstream.url());
    let session = companion.session(&companion.token("default"), Some("up"));
    (companion, upstream, session)
}

fn metric(companion: &Companion, name: &str) -> u64 {
    let text = request(companion.address, "GET", "/metrics", &[], b"").text();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Writes calls of the default workspace into the file of a stopped companion, with these
/// durations in microseconds and this end.
fn fill(companion: &Companion, tool: &str, micros: impl IntoIterator<Item = i64>, at: i64) {
    let workspace: String =
        companion.sqlite().query_row("SELECT id FROM workspaces", [], |row| row.get(0)).unwrap();
    let mut connection = Connection::open(file_of(&companion.database)).unwrap();
    let transaction = connection.transaction().unwrap();
    for micros in micros {
        transaction
            .execute(
                "INSERT INTO calls (at, workspace_id, token_id, server, tool, micros, success, outcome, request_id)
                    VALUES (?1, ?2, 'aaaaaaaaaaaa', 'up', ?3, ?4, 1, 'success', 'r')",
                (at, &workspace, tool, micros),
            )
            .unwrap();
    }
    transaction.commit().unwrap();
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[test]
fn overflow_is_dropped_and_counted_while_calls_go_on() {
    let (companion, _upstream, session) = scene(AnalyticsSettings { queue: 4, ..Default::default() });
    let file = Connection::open(file_of(&companion.database)).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..60 {
        assert!(session.call("good")["result"].is_object());
    }
    let lost = || metric(&companion, "aerostack_analytics_lost_calls_total");
    assert!(lost() > 0, "the queue has no room for them");
    assert_eq!(metric(&companion, "aerostack_tool_calls_total"), 60, "all of them are counted");
    file.execute_batch("ROLLBACK").unwrap();
    drop(file);
    let kept = || analytics(&companion, "/calls").json()["calls"].as_array().unwrap().len() as u64;
    until(PATIENCE, || (kept() + lost() == 60).then_some(())).expect("each is kept or counted as lost");
    // And it goes on.
    let before = kept();
    assert!(session.call("good")["result"].is_object());
    until(PATIENCE, || (kept() == before + 1).then_some(())).expect("the next is kept");
}

#[test]
fn old_calls_and_too_many_calls_are_deleted() {
    let settings = AnalyticsSettings {
        retention: Duration::from_hours(1),
        max_rows: 20,
        ..AnalyticsSettings::default()
    };
    let (mut companion, _upstream, session) = scene(settings);
    companion.stop();
    fill(&companion, "old", std::iter::repeat_n(1, 12_000), now() - 3_600_001);
    fill(&companion, "new", [1, 2, 3], now() - 3_000_000);
    companion.restart();
    let tools = || {
        let calls = analytics(&companion, "/calls").json()["calls"].clone();
        let name = |call: &Value| call["tool"].as_str().unwrap().to_owned();
        calls.as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    until(PATIENCE, || (tools() == ["new"; 3]).then_some(()))
        .unwrap_or_else(|| panic!("{:?}", tools().len()));
    let session = companion.session(&session.token, Some("up"));
    for _ in 0..30 {
        session.call("good");
    }
    until(PATIENCE, || (tools() == ["good"; 20]).then_some(())).unwrap_or_else(|| panic!("{:?}", tools()));
}

#[test]
fn p95_is_the_nearest_rank() {
    let (mut companion, ..) = scene(AnalyticsSettings::default());
    companion.stop();
    let mut expected = Vec::new();
    for size in (1..=45).chain([100, 101, 1000]) {
        // Not in order, with values that occur twice.
        let micros: Vec<i32> = (0..size).map(|at| (at * 7919 % size) / 2 * 1000 + 500).collect();
        let covers =
            |value: i32| 100 * micros.iter().filter(|one| **one <= value).count() >= 95 * micros.len();
        let p95 = *micros.iter().filter(|value| covers(**value)).min().unwrap();
        let mean = f64::from(micros.iter().sum::<i32>()) / f64::from(size);
        expected.push((format!("t{size}"), size, f64::from(p95) / 1000.0, mean / 1000.0));
        fill(&companion, &format!("t{size}"), micros.into_iter().map(i64::from), now());
    }
    companion.restart();
    let groups = analytics(&companion, "?by=tool").json()["groups"].as_array().unwrap().clone();
    assert_eq!(groups.len(), expected.len());
    for (tool, size, p95, mean) in expected {
        let group = groups.iter().find(|group| group["tool"] == *tool).unwrap();
        assert_eq!((&group["calls"], &group["p95_ms"]), (&json!(size), &json!(p95)), "{tool}");
        assert!((group["mean_ms"].as_f64().unwrap() - mean).abs() < 0.001, "{tool}");
    }
    assert!(groups.is_sorted_by(|a, b| a["calls"].as_u64() >= b["calls"].as_u64()), "most calls first");
}

#[test]
fn many_groups_and_many_pages() {
    let (mut companion, ..) = scene(AnalyticsSettings::default());
    companion.stop();
    for tool in 0..250 {
        fill(&companion, &format!("t{tool}"), [1], now());
    }
    companion.restart();
    let (mut seen, mut query) = (Vec::new(), String::from("/calls"));
    loop {
        let page = analytics(&companion, &query).json();
        let calls = page["calls"].as_array().unwrap().clone();
        assert!(!calls.is_empty() && calls.len() <= 100);
        seen.extend(calls.iter().map(|call| call["tool"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("/calls?after={next}");
    }
    let expected: Vec<String> = (0..250).rev().map(|tool| format!("t{tool}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(analytics(&companion, "").json()["truncated"], false);
    companion.stop();
    let connection = Connection::open(file_of(&companion.database)).unwrap();
    connection.execute("INSERT INTO calls SELECT id + 1000 * n, at, workspace_id, token_id, server,
        tool || n, micros, success, outcome, request_id FROM calls, (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4)", [])
        .unwrap();
    drop(connection);
    companion.restart();
    let document = analytics(&companion, "").json();
    assert_eq!((document["groups"].as_array().unwrap().len(), &document["truncated"]), (1000, &json!(true)));
}

#[test]
fn nothing_of_what_was_said_is_kept() {
    let (argument, result, secret, value) =
        ("canary-argument-7d31", "canary-result-5b02", "canary-secret-91ff", "canary-meta-33aa");
    let mut companion = Companion::start();
    let upstream = Upstream::start(move |request| {
        if request.method() != "tools/call" {
            return answer_by_tool(request);
        }
        crate::harness::upstream::json_answer(
            &json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": result}]}}),
        )
    });
    companion.add_server("up", &upstream.url());
    companion.set("up", "API_TOKEN", secret);
    let token = companion.token("default");
    for (slug, tool) in [(None, "up__good"), (Some("up"), "good")] {
        let params = json!({"name": tool, "arguments": {"text": argument}, "_meta": {"x": value}});
        let answer = companion.session(&token, slug).rpc("tools/call", &params);
        assert!(answer.to_string().contains(result), "{answer}");
    }
    logged(&companion, 2);
    let metrics = request(companion.address, "GET", "/metrics", &[], b"").text();
    let told =
        format!("{}{}{metrics}", analytics(&companion, "").whole(), analytics(&companion, "/calls").whole());
    companion.stop();
    let file = file_of(&companion.database);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(bytes.windows(4).any(|part| part == b"good"), "it is the right file");
    for canary in [argument, result, secret, value, &token, &token[17..], "API_TOKEN"] {
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{canary} in the file");
        assert!(!told.contains(canary), "{canary} in an answer");
    }
    assert!(!metrics.contains("good") && !metrics.contains(&token[4..16]), "{metrics}");
}

/// What makes a file unusable.
type Damage = fn(&Path);

/// Each way in which a file can be unusable; calls and start go on as if nothing was.
#[test]
fn a_file_that_cannot_be_used() {
    let ways: [(&str, Damage); 4] = [
        ("no database", |file| std::fs::write(file, b"garbage".repeat(1000)).unwrap()),
        ("open to others", |file| {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("a folder", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
        ("of a newer version", |file| {
            Connection::open(file).unwrap().pragma_update(None, "user_version", 99).unwrap();
        }),
    ];
    for (how, break_it) in ways {
        let (mut companion, _upstream, session) = scene(AnalyticsSettings::default());
        companion.stop();
        let file = file_of(&companion.database);
        break_it(&file);
        let before = std::fs::read(&file).ok();
        companion.restart();
        let session = companion.session(&session.token, Some("up"));
        for _ in 0..3 {
            assert!(session.call("good")["result"].is_object(), "{how}");
        }
        let error = analytics(&companion, "").expect_error(500, "internal");
        assert!(error["hint"].as_str().unwrap().contains("the server's log says"), "{how}");
        analytics(&companion, "/calls").expect_error(500, "internal");
        let lost = || metric(&companion, "aerostack_analytics_lost_calls_total");
        until(PATIENCE, || (lost() == 3).then_some(())).unwrap_or_else(|| panic!("{how}: {}", lost()));
        assert_eq!(metric(&companion, "aerostack_tool_calls_total"), 3, "{how}");
        companion.stop();
        assert_eq!(std::fs::read(&file).ok(), before, "{how}: it is left as it was");
    }
}

/// Damage that comes while the server runs.
#[test]
fn a_file_that_is_damaged_meanwhile() {
    let (companion, _upstream, session) = scene(AnalyticsSettings::default());
    session.call("good");
    logged(&companion, 1);
    let file = file_of(&companion.database);
    Connection::open(&file).unwrap().execute_batch("DROP TABLE calls").unwrap();
    for _ in 0..5 {
        assert!(session.call("good")["result"].is_object());
    }
    let lost = || metric(&companion, "aerostack_analytics_lost_calls_total");
    until(PATIENCE, || (lost() == 5).then_some(())).expect("they are counted");
    analytics(&companion, "").expect_error(500, "internal");
}

#[test]
fn kill_9_loses_no_written_call_and_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("aerostack.db");
    let url = format!("sqlite:{}", database.display());
    let serve = |options: &[&str]| {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
        aerostack(&[&arguments, options].concat()).env("WORKFLOW_SECRETS_KEY", KEY).start("AEROSTACK_API_URL")
    };
    let upstream = Upstream::start(answer_by_tool);
    let mut server = serve(&["--analytics-retention", "1w", "--analytics-max-rows", "1000"]);
    let key = server.variable("AEROSTACK_API_KEY").to_owned();
    let admin = |server: &crate::harness::Running, arguments: &[&str]| {
        let api = server.variable("AEROSTACK_API_URL").to_owned();
        aerostack(arguments).env("AEROSTACK_API_URL", api).env("AEROSTACK_API_KEY", &key).run().expect(0).out
    };
    admin(&server, &["mcp", "add", "up", "--url", &upstream.url(), "--allow-private-network"]);
    let token = admin(&server, &["workspace", "token", "create", "default", "--name", "a"]);
    let count = |server: &crate::harness::Running| {
        let text = admin(server, &["analytics", "--calls", "--json"]);
        serde_json::from_str::<Value>(&text).unwrap()["calls"].as_array().unwrap().len()
    };
    let mut written = 0;
    for _ in 0..3 {
        let session = McpSession::open(server.address(), "/ws/default/up", token.trim());
        for _ in 0..5 {
            assert!(session.call("good")["result"].is_object());
        }
        until(PATIENCE, || (count(&server) == written + 5).then_some(())).expect("they are written");
        written += 5;
        // And some that are still in hand.
        let lost = 3;
        (0..lost).for_each(|_| drop(session.call("good")));
        server.kill();
        server = serve(&[]);
        let kept = count(&server);
        assert!((written..=written + lost).contains(&kept), "{kept} of {written} and {lost}");
        written = kept;
    }
    // A clean end loses none.
    let session = McpSession::open(server.address(), "/ws/default/up", token.trim());
    (0..7).for_each(|_| drop(session.call("good")));
    assert_eq!(server.terminate().0, 0);
    let server = serve(&[]);
    assert_eq!(count(&server), written + 7);
}
