//! Changes that meet: nothing is lost in silence, nothing is sealed for a place that is gone.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::harness::{Companion, McpSession, Upstream};

const SECRETS: &str = "/api/v1/admin/mcp-servers/a/secrets";

#[test]
fn sets_at_the_same_time_are_all_done_one_after_the_other() {
    let companion = Companion::start();
    companion.add_server("a", "https://example.com/mcp");
    let (threads, sets) = (32, 6);
    thread::scope(|scope| {
        for number in 0..threads {
            let companion = &companion;
            scope.spawn(move || {
                for round in 0..sets {
                    companion.set("a", "TOKEN", &format!("value-{number}-{round}"));
                }
            });
        }
    });
    let list = companion.admin("GET", SECRETS, None).json();
    assert_eq!(list["secrets"][0]["version"], threads * sets);
}

#[test]
fn changes_of_different_fields_of_a_server_are_both_done() {
    let companion = Companion::start();
    companion.add_server("a", "https://example.com/mcp");
    let path = "/api/v1/admin/mcp-servers/a";
    for round in 0..50 {
        let barrier = Barrier::new(2);
        let change = |body: serde_json::Value| {
            barrier.wait();
            assert_eq!(companion.admin("PATCH", path, Some(&body)).status, 200);
        };
        thread::scope(|scope| {
            scope.spawn(|| change(json!({"enabled": round % 2 == 0})));
            scope.spawn(|| {
                change(
                    json!({"name": format!("name {round}"), "url": format!("https://example.com/{round}")}),
                );
            });
        });
        let server = companion.admin("GET", path, None).json();
        assert_eq!(server["enabled"], round % 2 == 0, "round {round}");
        assert_eq!(server["name"], format!("name {round}"));
        assert_eq!(server["url"], format!("https://example.com/{round}"));
    }
}

#[test]
fn of_two_secrets_on_their_way_to_one_header_one_gets_there() {
    let companion = Companion::start();
    companion.add_server("a", "https://example.com/mcp");
    companion.set("a", "ONE", "1");
    companion.set("a", "TWO", "2");
    for round in 0..20 {
        let barrier = Barrier::new(2);
        let inject = |name: &'static str, header: String| {
            barrier.wait();
            companion.inject("a", name, &json!({"type": "header", "header": header})).status
        };
        let inject = &inject;
        let statuses = thread::scope(|scope| {
            let one = scope.spawn(move || inject("ONE", format!("X-Key-{round}")));
            let two = scope.spawn(move || inject("TWO", format!("x_key_{round}")));
            [one.join().unwrap(), two.join().unwrap()]
        });
        assert!(statuses == [200, 409] || statuses == [409, 200], "{statuses:?}");
    }
}

#[test]
fn a_set_that_meets_a_change_of_url_is_for_the_new_one_or_not_done() {
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
                    let set = json!({"name": "TOKEN", "value": format!("value-{round}")});
                    let status = companion.admin("POST", SECRETS, Some(&set)).status;
                    assert!(matches!(status, 200 | 201 | 409), "{status}");
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
        let answer = McpSession::open(companion.address, "/ws/default", &token).call("a__echo");
        assert!(answer["result"].is_object(), "round {round}: {answer}");
    }
}
