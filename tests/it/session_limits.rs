//! How many sessions a token may have, what becomes of the others at their MCP servers, and
//! calls that race with a change of a secret.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::mcp::message;
use crate::upstream_sessions::{Keeper, place};

#[test]
fn a_token_has_so_many_sessions_and_the_rest_are_ended() {
    let (companion, keeper, _other) = Keeper::pair();
    let (token, neighbour) = (companion.token("default"), companion.token("default"));
    let theirs = companion.session(&neighbour, Some("keeper"));
    place(&theirs.call("where"));
    let first = companion.session(&token, Some("keeper"));
    let held = place(&first.call("where"));
    let second = companion.session(&token, None);
    place(&second.call("keeper__where"));
    // 128 of one token at a time.
    for _ in 0..127 {
        companion.session(&token, Some("keeper"));
    }
    assert_eq!(first.send(&message("ping", &json!({})), &[]).status, 404, "the one not used for longest");
    assert!(second.call("keeper__where")["result"].is_object());
    assert!(theirs.call("where")["result"].is_object(), "another token's sessions stay");
    // Ended upstream too, on a task of its own.
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_ended = || keeper.seen(0).contains(&("DELETE".to_owned(), held.clone()));
    while !is_ended() && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(is_ended());
    assert_eq!(keeper.upstream.received_of("DELETE").len(), 1);
}

#[test]
fn calls_that_race_with_a_change_never_bring_an_old_secret_back() {
    let (companion, keeper, _other) = Keeper::pair();
    let session = companion.session(&companion.token("default"), None);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let answer = session.call("keeper__where");
                    assert!(answer["result"].is_object(), "{answer}");
                }
            });
        }
        for number in 100..160 {
            companion.set("keeper", "TOKEN", &format!("value-{number}"));
        }
        done.store(true, Ordering::Relaxed);
    });
    let opened =
        keeper.upstream.received_of("initialize").into_iter().map(|one| one.values("X-Token").concat());
    let opened: Vec<String> = opened.filter(|value| value.starts_with("value-1")).collect();
    assert!(opened.len() > 5, "{opened:?}");
    assert!(opened.is_sorted(), "an older secret came back: {opened:?}");
}
