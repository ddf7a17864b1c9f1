//! Batches that meet calls and other changes: a call sees all of a list or nothing of it,
//! nothing is lost in silence, nothing is sealed for a place that is gone.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Companion, McpSession, Upstream};

const BATCH: &str = "/api/v1/admin/mcp-servers/a/secrets/batch";
const SECRETS: &str = "/api/v1/admin/mcp-servers/a/secrets";

/// The secrets of one round: all have the same value.
fn list(names: &[&str], round: usize) -> Value {
    let secrets: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "value": format!("round-{round}")})).collect();
    json!({"secrets": secrets, "prune": true})
}

#[test]
fn a_call_sees_all_of_a_batch_or_nothing_of_it() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("a", &upstream.url());
    // Every other round has other names, so that half a batch would show.
    let names = [["ALWAYS", "EVEN_1", "EVEN_2", "EVEN_3"], ["ALWAYS", "ODD_1", "ODD_2", "ODD_3"]];
    let batch = |round: usize| companion.admin("POST", BATCH, Some(&list(&names[round % 2], round)));
    assert_eq!(batch(0).status, 200);
    let token = companion.token("default");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let session = companion.session(&token, None);
                while !over.load(Ordering::Relaxed) {
                    assert!(session.call("a__echo")["result"].is_object());
                }
            });
        }
        for round in 1..80 {
            assert_eq!(batch(round).status, 200);
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut seen = std::collections::BTreeSet::new();
    for call in upstream.received_of("tools/call") {
        let value = call.values("always").pop().unwrap();
        let round: usize = value.strip_prefix("round-").unwrap().parse().unwrap();
        for name in names.as_flattened() {
            let expected = if names[round % 2].contains(name) { vec![value.clone()] } else { Vec::new() };
            assert_eq!(call.values(name), expected, "{name} in round {round}");
        }
        seen.insert(round);
    }
    assert!(seen.len() > 3, "the calls did not meet the batches: {seen:?}");
}

#[test]
fn batches_sets_and_rules_at_the_same_time_are_all_done() {
    let companion = Companion::start();
    companion.add_server("a", "https://example.com/mcp");
    let (threads, rounds) = (32, 4);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for round in 0..rounds {
                    let two = ["ONE", "TWO"];
                    let mut batch = list(&two, round);
                    batch["prune"] = json!(false);
                    assert_eq!(companion.admin("POST", BATCH, Some(&batch)).status, 200);
                    companion.set("a", "ONE", "alone");
                    let rule = json!({"type": "header", "header": format!("X-{round}")});
                    assert_eq!(companion.inject("a", "TWO", &rule).status, 200);
                }
            });
        }
    });
    let after = companion.admin("GET", SECRETS, None).json();
    assert_eq!(after["secrets"][0]["version"], 2 * threads * rounds);
    assert_eq!(after["secrets"][1]["version"], threads * rounds);
}

/// Deletes do not wait for their turn: a batch that they come across is done anew.
#[test]
fn a_batch_that_meets_deletes_is_done() {
    let companion = Companion::start();
    companion.add_server("a", "https://example.com/mcp");
    for round in 0..60 {
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..4 {
                    let status = companion.admin("DELETE", SECRETS, None).status;
                    assert_eq!(status, 200);
                }
            });
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..4 {
                    let answer = companion.admin("POST", BATCH, Some(&list(&["ONE", "TWO"], round)));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        });
        // All or nothing here too.
        let left = companion.admin("GET", SECRETS, None).json()["secrets"].as_array().unwrap().len();
        assert!(left == 0 || left == 2, "{left} secrets are left");
    }
}

#[test]
fn a_batch_that_meets_a_change_of_url_is_for_the_new_one_or_not_done() {
    let companion = Companion::start();
    let upstreams = [Upstream::mcp(), Upstream::mcp()];
    companion.add_server("a", &upstreams[0].url());
    let token = companion.token("default");
    for round in 1..60 {
        let url = upstreams[round % 2].url();
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..3 {
                    let status = companion.admin("POST", BATCH, Some(&list(&["ONE", "TWO"], round))).status;
                    assert!(matches!(status, 200 | 409), "{status}");
                }
            });
            scope.spawn(|| {
                barrier.wait();
                let change = json!({"url": url, "detach_secrets": true});
                let path = "/api/v1/admin/mcp-servers/a";
                let changed = (0..20).any(|_| companion.admin("PATCH", path, Some(&change)).status == 200);
                assert!(changed);
            });
        });
        let left = companion.admin("GET", SECRETS, None).json()["secrets"].as_array().unwrap().len();
        assert!(left == 0 || left == 2, "{left} secrets are left");
        // What is stored was sealed for the URL that is there now, or the call would fail.
        let answer = McpSession::open(companion.address, "/ws/default", &token).call("a__echo");
        assert!(answer["result"].is_object(), "round {round}: {answer}");
    }
}
