//! What servers of the legacy era ask and say is kept for clients of the modern era that have
//! to come back for it: so many bytes for each token, and not more.

use serde_json::{Value, json};

use crate::harness::asking_server::{Scene, asked};
use crate::harness::program::until;
use crate::harness::talker::{Listening, PATIENCE};

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

/// The call of this number was given up. The others go on: what they say.
fn only_that_is_gone(scene: &Scene, waiting: &[Waiting], gone: usize) -> Vec<Listening> {
    let told = scene.server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let calls = scene.server.received_of("tools/call");
    assert_eq!(told.json()["params"]["requestId"], calls[gone].json()["id"]);
    let mut rest = Vec::new();
    for (number, waits) in waiting.iter().enumerate() {
        let stream = again(scene, waits);
        if number == gone {
            assert_eq!(stream.answer()["error"]["code"], -32602, "it is gone");
        } else {
            assert!(stream.is_stream(), "the server goes on");
            rest.push(stream);
        }
    }
    rest
}

fn again(scene: &Scene, (tool, key, state): &Waiting) -> Listening {
    scene.again(&json!(9), tool, state, &json!({key: {}}))
}

fn reason(answer: &Value) -> &str {
    answer["error"]["data"]["reason"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// Questions of 6 MiB of three calls are more than one token may leave open. Those that hold
/// less stay.
#[test]
fn the_oldest_of_the_largest_goes_when_too_much_is_asked() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["ever", "medium", "large", "large", "large"]);
    only_that_is_gone(&scene, &waiting, 2);
}

#[test]
fn who_wants_most_is_refused() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["large", "large"]);
    let refused = scene.call(&json!(2), "huge").answer();
    assert_eq!(refused["result"]["content"][0]["text"], "-32603", "{refused}");
    assert!(scene.server.received_of("notifications/cancelled").is_empty());
    for waits in &waiting {
        assert!(again(&scene, waits).is_stream());
    }
}

/// A question that comes when the call waits already, and a message.
#[test]
fn what_is_asked_and_said_later_counts_too() {
    for tool in ["grows", "bursts"] {
        let scene = Scene::set();
        let waiting = waiting(&scene, &["large", "large", tool]);
        scene.call(&json!(4), "go").answer();
        only_that_is_gone(&scene, &waiting, 0);
    }
}

/// What a server says while its client is not there, and all of it when the client comes.
#[test]
fn nothing_is_lost_that_fits() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["talks"]);
    scene.call(&json!(4), "go").answer();
    let mut stream = again(&scene, &waiting[0]);
    for _ in 0..8 {
        let told = stream.until("notifications/progress");
        assert_eq!(told["params"]["progressToken"], 9);
        assert_eq!(told["params"]["message"].as_str().unwrap().len(), 3 << 20);
    }
    assert_eq!(stream.answer()["result"]["content"][0]["text"], "{}");
}

/// Three calls that hold all there is: each of them is the largest, so each of them ends.
#[test]
fn who_says_too_much_is_given_up() {
    let scene = Scene::set();
    let waiting = waiting(&scene, &["full"; 3]);
    scene.call(&json!(4), "go").answer();
    for _ in &waiting {
        assert_eq!(scene.tool_left(), "full");
    }
    for waits in &waiting {
        let answer = again(&scene, waits).answer();
        assert_eq!((&answer["id"], reason(&answer)), (&json!(9), "too_much"));
    }
    until(PATIENCE, || (scene.server.received_of("notifications/cancelled").len() == 3).then_some(()))
        .expect("the server is told");
}
