//! `/metrics` in Prometheus' text form, read by a strict parser, and who may read it;
//! `/healthz` and `/readyz`.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::json;

use crate::analytics::answer_by_tool;
use crate::harness::{Answer, Companion, Upstream, request};

fn get(companion: &Companion, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(companion.address, "GET", path, headers, b"")
}

/// Name and labels of a sample, as they are written, and its value.
type Samples = BTreeMap<String, f64>;

/// Reads the text form, version 0.0.4, and refuses what a Prometheus server would, or would
/// have to guess about: a sample outside of its family, a family or sample that stands
/// there twice, labels that are not quoted right, a histogram that does not count up.
fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) =
            line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line}")).split_once(' ').unwrap();
        assert!(!help.is_empty() && is_name(name) && families.insert(name.to_owned()), "{line}");
        let kind = lines
            .next()
            .unwrap()
            .strip_prefix(&format!("# TYPE {name} "))
            .unwrap_or_else(|| panic!("{name}"));
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (own, labels) = key.split_once('{').map_or((key, ""), |(own, rest)| {
                (own, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")))
            });
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| own == format!("{name}{suffix}")), "{line}");
            check_labels(labels, line);
            assert!(samples.insert(key.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
        if kind == "histogram" {
            check_histogram(name, &samples);
        }
    }
    samples
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn check_labels(labels: &str, line: &str) {
    let mut names = BTreeSet::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name) && names.insert(name) && !value.contains(['"', '\\']), "{line}");
    }
}

fn check_histogram(name: &str, samples: &Samples) {
    for (key, count) in samples.iter().filter(|(key, _)| key.starts_with(&format!("{name}_count"))) {
        let labels = key.split_once('{').unwrap().1.trim_end_matches('}');
        let prefix = format!("{name}_bucket{{{labels},le=\"");
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(key, value)| {
                Some((key.strip_prefix(&prefix)?.strip_suffix("\"}")?.parse().unwrap(), *value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() > 5 && buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        let last = buckets.last().unwrap();
        assert!(last.0.is_infinite() && (last.1 - count).abs() < f64::EPSILON, "{buckets:?}");
        assert!(samples.contains_key(&key.replace("_count{", "_sum{")));
    }
}

fn read(companion: &Companion) -> Samples {
    let answer = get(companion, "/metrics", &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    parse(&answer.text())
}

#[test]
fn calls_errors_durations_and_sessions_of_each_server() {
    let companion = Companion::start();
    let upstream = Upstream::start(answer_by_tool);
    companion.add_server("up", &upstream.url());
    companion.add_server("other", &upstream.url());
    let empty = read(&companion);
    let value = |samples: &Samples, name: &str, server: &str| {
        samples[&format!("aerostack_{name}{{workspace=\"default\",server=\"{server}\"}}")]
    };
    let integer = |number: f64| format!("{number}");
    assert_eq!(integer(value(&empty, "tool_calls_total", "up")), "0", "a series begins at zero");
    let token = companion.token("default");
    let sessions = [companion.session(&token, None), companion.session(&token, Some("up"))];
    for tool in ["good", "events", "says_error", "is_error", "status"] {
        sessions[0].call(&format!("up__{tool}"));
        sessions[1].call(tool);
    }
    sessions[0].call("other__good");
    let samples = read(&companion);
    let told = |server: &str| {
        let names = [
            "tool_calls_total",
            "tool_call_errors_total",
            "tool_call_duration_seconds_count",
            "upstream_sessions",
        ];
        names.map(|name| integer(value(&samples, name, server))).join(" ")
    };
    assert_eq!((told("up"), told("other")), ("10 6 10 2".to_owned(), "1 0 1 1".to_owned()));
    assert_eq!(integer(samples["aerostack_sessions"]), "2");
    let sum = value(&samples, "tool_call_duration_seconds_sum", "up");
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    // No token, no tool; and what is deleted takes its lines along.
    let servers = samples.keys().filter(|key| key.contains("server=")).count();
    assert!(samples.keys().all(|key| !key.contains("good") && !key.contains(&token[4..16])));
    assert_eq!(companion.admin("DELETE", "/api/v1/admin/mcp-servers/other", None).status, 204);
    assert_eq!(read(&companion).keys().filter(|key| key.contains("server=")).count(), servers / 2);
    companion.add_server("other", &upstream.url());
    assert_eq!(integer(value(&read(&companion), "tool_calls_total", "other")), "0", "another server");
}

#[test]
fn from_this_machine_or_with_an_api_key() {
    let companion = Companion::start();
    let (member, key) =
        (format!("Bearer {}", companion.token("default")), format!("Bearer {}", companion.api_key));
    let wrong = format!("Bearer ak_{}_{}", "a".repeat(12), "b".repeat(43));
    let status = |headers: &[(&str, &str)]| get(&companion, "/metrics", headers).status;
    assert_eq!(status(&[]), 200);
    assert_eq!(
        (status(&[("Authorization", &key)]), status(&[("X-API-Key", &companion.api_key)])),
        (200, 200)
    );
    get(&companion, "/metrics", &[("Authorization", &member)]).expect_error(403, "forbidden");
    get(&companion, "/metrics", &[("Authorization", &wrong)]).expect_error(401, "unauthorized");
    // Behind a proxy on this machine everybody seems to be here.
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        get(&companion, "/metrics", &[(header, "192.0.2.1")]).expect_error(401, "unauthorized");
        assert_eq!(status(&[(header, "192.0.2.1"), ("Authorization", &key)]), 200);
    }
    get(&companion, "/metrics", &[("Host", "rebound.example")]).expect_error(403, "forbidden");
    get(&companion, "/metrics/", &[]).expect_error(404, "not_found");
    let answer = request(companion.address, "POST", "/metrics", &[], b"");
    answer.expect_error(404, "not_found");
}

#[test]
fn ready_means_that_the_store_answers() {
    let companion = Companion::start();
    let told = |path: &str| {
        let answer = get(&companion, path, &[]);
        (answer.status, answer.json())
    };
    let ok = json!({"status": "ok"});
    assert_eq!((told("/healthz"), told("/readyz")), ((200, ok.clone()), (200, ok.clone())));
    // The rows are there, but not where the server looks for them.
    let other = Connection::open(&companion.database).unwrap();
    other.execute_batch("ALTER TABLE project RENAME TO elsewhere").unwrap();
    let reason = json!({"status": "not ready", "reason": "the store does not answer"});
    assert_eq!((told("/healthz"), told("/readyz")), ((200, ok.clone()), (503, reason)));
    other.execute_batch("ALTER TABLE elsewhere RENAME TO project").unwrap();
    assert_eq!(told("/readyz"), (200, ok));
    let id: String = other.query_row("SELECT id FROM project", [], |row| row.get(0)).unwrap();
    other.execute_batch("CREATE TABLE kept AS SELECT * FROM project; DELETE FROM project").unwrap();
    let reason = json!({"status": "not ready", "reason": "the first start is not complete"});
    assert_eq!(told("/readyz"), (503, reason), "{id}");
}
