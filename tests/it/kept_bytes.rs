//! What servers of the legacy era ask and say is kept for clients of the modern era that have
//! to come back for it: so many bytes for each token, and not more.

use serde_json::{Value, json};

use crate::harness::asking_server::{Scene, asked};
use crate::harness::program::until;
use crate::harness::talker::{Listening, PATIENCE};
use crate::harness::upstream::Received;

/// A call that waits for its client: its tool, the key of what is asked, and its state.
type Waiting = (&'static str, String, Value);

/// Calls of these tools, each of which waits for its client.
fn waiting(scene: &Scene, tools: &[&'static str]) -> Vec<Waiting> {
    let call = |tool: &&'static str| {
        let (requests, state) = asked(&scene.call(&json!(1), tool).answer());
        (*tool, requests[0].0.clone(), state)
    };
    tools.iter().map(call).collect()
}

/// The first call was given up. The others go on: what they say.
fn only_the_first_is_gone(scene: &Scene, waiting: &[Waiting]) -> Vec<Listening> {
    let told = scene.server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let is_it = |call: &Value| call["params"]["name"] == waiting[0].0;
    let first = scene.server.received_of("tools/call").iter().map(Received::json).find(is_it).unwrap();
    assert_eq!(told.json()["params"]["requestId"], first["id"]);
    let again = |(tool, key, state): &Waiting| scene.again(&json!(9), tool, state, &json!({key: {}}));
    let mut again = waiting.iter().map(again);
    assert_eq!(again.next().unwrap().answer()["error"]["code"], -32602, "it is gone");
    let rest: Vec<_> = again.collect();
    assert!(rest.iter().all(Listening::is_stream), "the server goes on");
    rest
}

/// Three questions of 6 MiB are more than one token may leave open.
#[test]
fn the_oldest_goes_when_too_much_is_asked() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["large"; 3]);
    only_the_first_is_gone(&scene, &waiting);
}

/// The same when they are asked while the calls wait already.
#[test]
fn later_questions_count_too() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["grows"; 3]);
    scene.call(&json!(4), "go").answer();
    only_the_first_is_gone(&scene, &waiting);
}

/// Who wants more and is the oldest itself has to go, and nobody else for it.
#[test]
fn nobody_goes_for_one_that_is_gone() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["grows", "large", "large"]);
    scene.call(&json!(4), "go").answer();
    only_the_first_is_gone(&scene, &waiting);
}

/// And what is said meanwhile: of eight messages of 3 MiB one waits and one is in hand.
#[test]
fn what_is_said_meanwhile_counts() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["talks"; 3]);
    scene.call(&json!(4), "go").answer();
    let mut last = only_the_first_is_gone(&scene, &waiting).remove(1);
    for _ in 0..8 {
        assert_eq!(last.until("notifications/progress")["params"]["progressToken"], 9);
    }
    assert_eq!(last.answer()["result"]["content"][0]["text"], "{}");
}

/// When nothing waits that could end instead, who wants more is told.
#[test]
fn when_all_room_is_in_use() {
    let scene = Scene::set();
    let stuck = [scene.call(&json!(1), "stuck"), scene.call(&json!(2), "stuck")];
    let refused = until(PATIENCE, || {
        let answer = scene.call(&json!(3), "probe").answer();
        answer["result"]["content"][0]["text"].as_str().map(str::to_owned)
    });
    assert_eq!(refused.as_deref(), Some("-32603"), "a question of 400 KiB is too much");
    let (_, key, state) = &waiting(&scene, &["tells"])[0];
    let given_up = scene.again(&json!(4), "tells", state, &json!({key: {}})).answer();
    assert_eq!((&given_up["id"], &given_up["error"]["data"]["reason"]), (&json!(4), &json!("too_much")));
    scene.server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let third = scene.call(&json!(5), "stuck").answer();
    assert_eq!((&third["id"], &third["error"]["data"]["reason"]), (&json!(5), &json!("too_much")));
    scene.call(&json!(6), "go").answer();
    for stream in stuck {
        assert_eq!(stream.answer()["result"]["content"][0]["text"], "null");
    }
}
