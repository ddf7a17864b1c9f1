//! Servers of the legacy era ask a client of the modern one in the middle of its call. The
//! client gets that as the result `input_required`; the server's stream stays open until the
//! client makes the call again with its answers.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::asking_server::{Scene, VERSION, all, arguments, asked};
use crate::harness::program::until;
use crate::harness::talker::{Listening, PATIENCE, Talker, say_result};
use crate::harness::upstream::{Received, http_answer};

fn said(answer: &Value) -> &str {
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_form_in_the_middle_of_a_call() {
    let scene = Scene::set();
    let mut stream = scene.call(&json!(7), "form");
    let progress = |stream: &mut Listening| stream.until("notifications/progress")["params"].clone();
    assert_eq!(progress(&mut stream), json!({"progressToken": 7, "progress": 1}));
    let first = stream.answer();
    assert_eq!(first["id"], 7);
    let (requests, state) = asked(&first);
    let [(key, wanted)] = requests.as_slice() else { panic!("{requests:?}") };
    let params = json!({"message": "Who?", "requestedSchema": {"n": 1.50}});
    assert_eq!(*wanted, json!({"method": "elicitation/create", "params": params}));
    let answers = json!({key: {"action": "accept", "content": {"name": "n"}}, "more": {}});
    let mut stream = scene.again(&json!("eight"), "form", &state, &answers);
    assert_eq!(progress(&mut stream), json!({"progressToken": "eight", "progress": 2}), "of this request");
    let last = stream.answer();
    assert_eq!(last["id"], "eight");
    let answer: Value = serde_json::from_str(said(&last)).unwrap();
    let result = json!({"action": "accept", "content": {"name": "n"}});
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": 0, "result": result}));
    // It ran once, in a session that says what the client can do, and was not cancelled.
    assert_eq!(scene.server.received_of("tools/call").len(), 1);
    let initialize = scene.server.received_of("initialize").pop().unwrap().json();
    let known = json!({"roots": {}, "elicitation": {"form": {}}, "sampling": {}, "extensions": {"y": {}}});
    assert_eq!(initialize["params"]["capabilities"], known);
    let after = scene.again(&json!(9), "form", &state, &answers).answer();
    assert_eq!(after["error"]["code"], -32602, "a state is good for once: {after}");
    assert!(scene.server.received_of("notifications/cancelled").is_empty());
}

#[test]
fn what_is_not_answered_is_asked_again() {
    let scene = Scene::set();
    let (mut answers, mut state) = (json!({}), Value::Null);
    let mut open = Vec::new();
    for _ in 0..3 {
        let answer = if state.is_null() {
            scene.call(&json!(1), "two").answer()
        } else {
            scene.again(&json!(2), "two", &state, &answers).answer()
        };
        (open, state) = asked(&answer);
        answers = json!({});
        if open.len() == 2 {
            break;
        }
    }
    let of = |method: &str| open.iter().find(|(_, one)| one["method"] == method).unwrap().0.clone();
    let (form, roots) = (of("elicitation/create"), of("roots/list"));
    let answers = json!({roots: {"roots": []}});
    let (left, state) = asked(&scene.again(&json!(3), "two", &state, &answers).answer());
    assert_eq!(left.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&form]);
    let last = scene.again(&json!(4), "two", &state, &json!({form: {"action": "decline"}})).answer();
    assert_eq!(said(&last), r#"{"roots":[]} {"action":"decline"}"#);
}

#[test]
fn several_rounds() {
    let scene = Scene::set();
    let mut answer = scene.call(&json!(1), "rounds").answer();
    for (number, message) in ["one", "two"].into_iter().enumerate() {
        let (requests, state) = asked(&answer);
        let (key, wanted) = &requests[0];
        assert_eq!(wanted["params"]["message"], message);
        let answers = json!({key: {"action": "accept", "content": {"of": message}}});
        answer = scene.again(&json!(number + 2), "rounds", &state, &answers).answer();
    }
    assert_eq!(said(&answer), r#"{"action":"accept","content":{"of":"two"}}"#);
}

#[test]
fn what_is_asked_on_the_other_stream() {
    let scene = Scene::set();
    for (tool, method) in [("elsewhere", "roots/list"), ("json", "elicitation/create")] {
        let (requests, state) = asked(&scene.call(&json!(1), tool).answer());
        let (key, wanted) = &requests[0];
        assert_eq!(wanted["method"], method);
        let last = scene.again(&json!(2), tool, &state, &json!({key: {"of": tool}})).answer();
        assert_eq!((&last["id"], said(&last)), (&json!(2), json!({"of": tool}).to_string().as_str()));
    }
    // One stream for all calls of the session.
    assert_eq!(scene.server.received_of("GET").len(), 1);
    assert_eq!(scene.server.received_of("initialize").len(), 1);
}

#[test]
fn a_state_is_for_its_own_call_and_member() {
    let scene = Scene::set();
    let (requests, state) = asked(&scene.call(&json!(1), "form").answer());
    let answers = json!({&requests[0].0: {"action": "accept"}});
    let foreign = scene.companion.token("default");
    let other = json!({"name": "old__form", "arguments": {"n": 2}});
    for answer in [
        scene.again_with(&foreign, &json!(2), &arguments("form"), &state, &answers),
        scene.again_with(&scene.token, &json!(2), &other, &state, &answers),
        scene.again(&json!(2), "other", &state, &answers),
        scene.again(&json!(2), "form", &json!("made-up"), &answers),
        scene.again(&json!(2), "form", &json!(123), &answers),
        scene.again(&json!(2), "form", &state, &json!([])),
        scene.again(&json!(2), "form", &state, &json!({&requests[0].0: null})),
        scene.again(&json!(2), "form", &state, &json!({&requests[0].0: "yes"})),
        {
            let mut params = arguments("form");
            (params["requestState"], params["inputResponses"]) = (state.clone(), answers.clone());
            scene.send(&scene.token, "tools/call", &json!(2), &params, &json!({"elicitation": {}}))
        },
    ] {
        let answer = answer.answer();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    let no_answer = |one: &Received| one.json()["method"].is_null() && one.json()["id"] == 0;
    assert!(!scene.server.received().iter().any(no_answer));
    said(&scene.again(&json!(3), "form", &state, &answers).answer());
}

#[test]
fn a_resource_can_ask_too() {
    let scene = Scene::set();
    // With the slug, and without one while two servers may have it: the other is of the modern era.
    let other = Talker::start(|_, received, socket| {
        if received.method() == "server/discover" {
            let capabilities = json!({"resources": {}});
            let result = json!({"resultType": "complete", "supportedVersions": [VERSION], "capabilities": capabilities});
            return say_result(socket, received, &result);
        }
        let error = json!({"code": -32602, "message": "no such resource"});
        let body = json!({"jsonrpc": "2.0", "id": received.json()["id"], "error": error}).to_string();
        socket.write_all(&http_answer("200 OK", &[("Content-Type", "application/json")], &body)).is_ok()
    });
    scene.companion.add_server("new", &other.url());
    for uri in ["old+x://1", "x://1"] {
        let params = json!({"uri": uri});
        let answer = scene.send(&scene.token, "resources/read", &json!(1), &params, &all()).answer();
        let (requests, state) = asked(&answer);
        let params = json!({"uri": uri, "requestState": state, "inputResponses": {&requests[0].0: {}}});
        let answer = scene.send(&scene.token, "resources/read", &json!(2), &params, &all()).answer();
        let result = &answer["result"];
        assert_eq!((&result["contents"], &result["cacheScope"]), (&json!([]), &json!("private")), "{answer}");
    }
    // It was asked before it was known whose the resource is, and has not seen the state.
    assert_eq!(other.received_of("resources/read").len(), 1);
}

#[test]
fn a_server_that_takes_it_back() {
    let scene = Scene::set();
    let (requests, state) = asked(&scene.call(&json!(1), "back").answer());
    said(&scene.call(&json!(2), "go").answer());
    let last = scene.again(&json!(3), "back", &state, &json!({&requests[0].0: {}})).answer();
    assert_eq!(said(&last), "given up");
    assert!(
        !scene.server.received().iter().any(|one| one.json()["result"].is_object()),
        "an answer to nothing"
    );
}

#[test]
fn who_cannot_be_asked_is_not() {
    let scene = Scene::set();
    let only_forms = json!({"elicitation": {}});
    for capabilities in [json!({}), only_forms] {
        let params = arguments("refused");
        let call = scene.send(&scene.token, "tools/call", &json!(1), &params, &capabilities);
        assert_eq!(said(&call.answer()), "-32601");
        let initialize = scene.server.received_of("initialize").pop().unwrap().json();
        assert_eq!(initialize["params"]["capabilities"], capabilities);
    }
    // A client that can be asked for nothing needs no stream.
    assert_eq!(scene.server.received_of("GET").len(), 1);
}

#[test]
fn a_client_that_leaves_for_good() {
    let scene = Scene::set();
    let (requests, state) = asked(&scene.call(&json!(1), "ever").answer());
    // It comes back, and closes the stream: that is how it cancels.
    drop(scene.again(&json!(2), "ever", &state, &json!({&requests[0].0: {}})));
    let told = scene.server.wait_for("the cancellation", |one| one.method() == "notifications/cancelled");
    let call = scene.server.received_of("tools/call").pop().unwrap();
    assert_eq!(told.json()["params"]["requestId"], call.json()["id"]);
    assert_eq!(scene.tool_left(), "ever");
    // A token that is revoked takes its waiting calls with it.
    asked(&scene.call(&json!(3), "ever").answer());
    scene.companion.revoke("default", &scene.token);
    assert_eq!(scene.tool_left(), "ever");
}

#[test]
fn changed_secrets_end_what_waits() {
    let scene = Scene::set();
    scene.companion.set("old", "KEY", "first-value-of-it");
    let (requests, state) = asked(&scene.call(&json!(1), "ever").answer());
    scene.companion.set("old", "KEY", "second-value-of-it");
    let again = scene.again(&json!(2), "ever", &state, &json!({&requests[0].0: {}})).answer();
    assert_eq!(again["error"]["data"]["reason"], "secrets_changed", "{again}");
    assert_eq!(scene.tool_left(), "ever");
    let no_answer = |one: &Received| one.json()["method"].is_null() && one.json()["result"].is_object();
    assert!(!scene.server.received().iter().any(no_answer));
}

/// The question may be that of either call, so nobody is asked.
#[test]
fn what_is_asked_beside_two_calls_is_put_to_none() {
    let scene = Scene::set();
    let (requests, state) = asked(&scene.call(&json!(1), "elsewhere").answer());
    assert_eq!(said(&scene.call(&json!(2), "elsewhere").answer()), "-32603");
    let last = scene.again(&json!(3), "elsewhere", &state, &json!({&requests[0].0: {"roots": []}})).answer();
    assert_eq!(said(&last), r#"{"roots":[]}"#);
}

/// The server was told that nobody waits, or was not, and goes on.
#[test]
fn what_a_call_asks_that_was_left_is_put_to_none() {
    for tool in ["left", "proxied"] {
        let scene = Scene::set();
        let left = scene.call(&json!(1), tool);
        match tool {
            "left" => drop(left),
            _ => assert_eq!(left.answer()["error"]["data"]["reason"], "http_status"),
        }
        let held = scene.call(&json!(2), "held");
        let refused = scene.server.wait_for_answer(&json!("of the left one"));
        assert_eq!(refused["error"]["code"], -32603, "{refused}");
        assert!(
            refused["error"]["message"].as_str().unwrap().contains("the stream of the call"),
            "{refused}"
        );
        said(&scene.call(&json!(3), "go").answer());
        assert_eq!(said(&held.answer()), "held");
    }
}

#[test]
fn a_call_that_is_being_answered_is_in_nobodys_way() {
    let scene = Scene::set();
    std::thread::scope(|scope| {
        let begun = scope.spawn(|| scene.call(&json!(1), "begun").answer());
        scene.server.wait_for("the first call", |one| one.json()["params"]["name"] == "begun");
        // The gateway may not have seen the beginning yet.
        let asked_for = until(PATIENCE, || {
            let answer = scene.call(&json!(2), "elsewhere").answer();
            answer["result"]["inputRequests"].is_object().then_some(answer)
        });
        asked(&asked_for.expect("it is asked"));
        said(&scene.call(&json!(3), "go").answer());
        assert_eq!(said(&begun.join().unwrap()), "begun");
    });
}

/// It would end in the middle of a line.
#[test]
fn no_sign_of_life_is_put_into_an_event() {
    let mut scene = Scene::set();
    scene.companion.patience = Duration::from_secs(1);
    scene.companion.restart();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut stream = scene.call(&json!(1), "pieces");
            let message = stream.next().unwrap();
            assert_eq!(message["params"]["message"].as_str().unwrap().len(), 9 << 20);
            stream.answer()
        });
        scene.server.wait_for("the call", |one| one.json()["params"]["name"] == "pieces");
        time_passes(&scene);
        said(&scene.send(&scene.token, "tools/call", &json!(3), &arguments("go"), &json!({})).answer());
        asked(&client.join().unwrap());
    });
}

/// A call that the server never answers says when its time is over. Its client can be asked for
/// nothing, so it stands in no other one's way.
fn time_passes(scene: &Scene) {
    for _ in 0..2 {
        let never = scene.send(&scene.token, "tools/call", &json!(2), &arguments("never"), &json!({}));
        assert_eq!(never.answer()["error"]["data"]["reason"], "timed_out");
        let call = scene.server.received_of("tools/call").pop().unwrap().json();
        scene.server.wait_for("the cancellation", |one| one.json()["params"]["requestId"] == call["id"]);
    }
}

#[test]
fn the_time_of_a_server_stands_still_while_it_waits_for_the_client() {
    let mut scene = Scene::set();
    scene.companion.patience = Duration::from_secs(1);
    scene.companion.restart();
    for tool in ["form", "json"] {
        let (requests, state) = asked(&scene.call(&json!(1), tool).answer());
        time_passes(&scene);
        said(&scene.again(&json!(3), tool, &state, &json!({&requests[0].0: {}})).answer());
    }
}

#[test]
fn a_server_that_is_taken_away_ends_what_waits() {
    for tool in ["ever", "json"] {
        let scene = Scene::set();
        asked(&scene.call(&json!(1), tool).answer());
        let path = "/api/v1/admin/mcp-servers/old";
        let off = scene.companion.admin("PATCH", path, Some(&json!({"enabled": false})));
        assert_eq!(off.status, 200);
        assert_eq!(scene.tool_left(), tool);
    }
}

#[test]
fn nothing_is_asked_in_the_midst_of_an_answer() {
    let scene = Scene::set();
    let answer = scene.call(&json!(1), "long").answer();
    assert_eq!((&answer["id"], said(&answer).len()), (&json!(1), 3 << 20));
}

#[test]
fn a_server_that_has_lost_the_session_has_lost_the_call() {
    let scene = Scene::set();
    let (requests, state) = asked(&scene.call(&json!(1), "lost").answer());
    let answer = scene.again(&json!(2), "lost", &state, &json!({&requests[0].0: {}})).answer();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("make it again"), "{answer}");
}

/// Longer than any other stream may take to begin: a call that is never answered says when.
#[test]
fn a_stream_that_begins_late_is_heard() {
    let mut scene = Scene::late();
    scene.companion.patience = Duration::from_secs(4);
    scene.companion.restart();
    let (requests, state) = asked(&scene.call(&json!(1), "form").answer());
    time_passes(&scene);
    said(&scene.again(&json!(3), "form", &state, &json!({&requests[0].0: {}})).answer());
    let (requests, state) = asked(&scene.call(&json!(2), "elsewhere").answer());
    let last = scene.again(&json!(3), "elsewhere", &state, &json!({&requests[0].0: {"roots": []}})).answer();
    assert_eq!(said(&last), r#"{"roots":[]}"#);
    assert_eq!(scene.server.received_of("GET").len(), 1, "it was waited for");
}
