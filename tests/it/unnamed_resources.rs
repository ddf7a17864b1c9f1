//! Resources whose URI carries no slug, for clients of both eras: every server is asked until one
//! has it; servers that failed lately are left out, and slow ones are not waited for.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::mcp::{json_rpc, message};
use crate::harness::program::until;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, McpSession, Upstream};
use crate::modern_era::ask;
use crate::workspace_lists::library;

/// Two libraries, `ants` before `bees`.
fn scene() -> (Companion, String, [Upstream; 2]) {
    let (companion, ants, bees) = (Companion::start(), library("ant"), library("bee"));
    companion.add_server("ants", &ants.url());
    companion.add_server("bees", &bees.url());
    let token = companion.token("default");
    (companion, token, [ants, bees])
}

/// What a client of one era gets for a URI.
fn read(companion: &Companion, token: &str, legacy: Option<&McpSession>, uri: &str) -> Value {
    let params = json!({"uri": uri});
    let answer = match legacy {
        Some(session) => session.send(&message("resources/read", &params), &[]),
        None => ask(companion, token, None, "resources/read", params, &[]),
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    json_rpc(&answer)
}

#[test]
fn the_server_that_has_it_answers() {
    let (companion, token, _servers) = scene();
    let session = companion.session(&token, None);
    for legacy in [Some(&session), None] {
        for (uri, server) in [("ant:t/1", "ant"), ("bee:t/1", "bee")] {
            let answer = read(&companion, &token, legacy, uri);
            assert_eq!(answer["result"]["server"], server, "{answer}");
            assert_eq!(answer["result"]["resultType"].is_string(), legacy.is_none(), "{answer}");
        }
        let nobody = read(&companion, &token, legacy, "cow:1");
        let expected = if legacy.is_some() { -32002 } else { -32602 };
        assert_eq!(nobody["error"]["code"], expected, "{nobody}");
    }
}

/// It breaks every connection, so each time that it is asked there is another one.
#[test]
fn a_server_that_failed_lately_is_not_asked_each_time() {
    let (companion, token, _servers) = scene();
    let broken = Upstream::start(|_| Vec::new());
    companion.add_server("aaa-broken", &broken.url());
    let session = companion.session(&token, None);
    for legacy in [Some(&session), None] {
        let before = broken.connections();
        for number in 0..8 {
            let uri = format!("bee:t/{number}");
            let answer = read(&companion, &token, legacy, &uri);
            assert_eq!(answer["result"]["server"], "bee", "{answer}");
        }
        // Twice at first, in both eras, and when a rest is over.
        assert!(broken.connections() - before <= 4, "{} times", broken.connections() - before);
    }
}

/// Lets everybody pass who waits at it, once it is open.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let _open = self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap();
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// A server with resources that answers one method only when the gate is open.
fn stuck(at: &'static str, gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |request| {
        let asked = request.json();
        if asked["method"] == at {
            gate.pass();
        }
        let Some(id) = asked.get("id") else { return http_answer("202 Accepted", &[], "") };
        let result = json!({
            "protocolVersion": "2025-11-25", "capabilities": {"resources": {}},
            "serverInfo": {"name": "stuck", "version": "1"},
        });
        if asked["method"] == "initialize" {
            return json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
        }
        let error = json!({"code": -32601, "message": "not here"});
        json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
    })
}

/// Four that hang, 10 s each, would take longer in turn than the test's client waits.
#[test]
fn servers_that_hang_do_not_hold_up_the_others() {
    let (companion, token, _servers) = scene();
    let gate = Gate::default();
    let slow = [(); 4].map(|()| stuck("resources/read", &gate));
    for (number, server) in slow.iter().enumerate() {
        companion.add_server(&format!("a-{number}"), &server.url());
    }
    let session = companion.session(&token, None);
    for legacy in [Some(&session), None] {
        let answer = read(&companion, &token, legacy, "bee:t/1");
        assert_eq!(answer["result"]["server"], "bee", "{answer}");
        // Those that were overtaken are told that nobody waits.
        for server in &slow {
            let count = |method: &str| server.received_of(method).len();
            let is_told = || count("notifications/cancelled") == count("resources/read");
            let told = until(Duration::from_secs(20), || is_told().then_some(()));
            told.unwrap_or_else(|| panic!("legacy client: {}", legacy.is_some()));
        }
    }
    assert!(slow.iter().all(|server| !server.received_of("resources/read").is_empty()));
    gate.open();
}

/// The session that it is slow to open is not waited for, and not lost.
#[test]
fn a_session_that_opens_slowly_holds_nobody_up() {
    let (companion, token, _servers) = scene();
    let gate = Gate::default();
    let slow = stuck("initialize", &gate);
    companion.add_server("a-slow", &slow.url());
    let answer = read(&companion, &token, None, "bee:t/1");
    assert_eq!(answer["result"]["server"], "bee", "{answer}");
    // Had it been waited for, it would have been given up by now.
    gate.open();
    let opened =
        until(Duration::from_secs(20), || slow.received_of("notifications/initialized").first().map(|_| ()));
    assert!(opened.is_some());
    assert_eq!(slow.received_of("initialize").len(), 1);
}

/// A server that takes any subscription, and holds reads up at the gate.
fn taking(own: &'static str, gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |request| {
        let asked = request.json();
        let Some(id) = asked.get("id") else { return http_answer("202 Accepted", &[], "") };
        let result = match asked["method"].as_str().unwrap() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25", "capabilities": {"resources": {"subscribe": true}},
                "serverInfo": {"name": "taking", "version": "1"},
            }),
            "resources/read" if asked["params"]["uri"] != own => {
                let error = json!({"code": -32002, "message": "not here"});
                return json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
            "resources/read" => {
                gate.pass();
                json!({"contents": []})
            }
            _ => json!({}),
        };
        json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    })
}

/// Whether the client has read it before or not.
#[test]
fn a_subscription_goes_to_the_server_that_has_the_resource() {
    let (companion, gate) = (Companion::start(), Gate::default());
    gate.open();
    let (one, two) = (taking("x:1", &gate), taking("x:2", &gate));
    companion.add_server("one", &one.url());
    companion.add_server("two", &two.url());
    for is_read in [true, false] {
        let session = companion.session(&companion.token("default"), None);
        let uri = json!({"uri": "x:2"});
        if is_read {
            session.rpc("resources/read", &uri);
            let reads = one.received_of("resources/read").len();
            session.rpc("resources/read", &uri);
            assert_eq!(one.received_of("resources/read").len(), reads, "it is known whose it is");
        }
        for method in ["resources/subscribe", "resources/unsubscribe"] {
            let before = two.received_of(method).len();
            assert_eq!(session.rpc(method, &uri)["result"], json!({}));
            assert_eq!((one.received_of(method).len(), two.received_of(method).len()), (0, before + 1));
        }
    }
}

#[test]
fn a_read_can_be_cancelled_at_the_server_that_runs_it() {
    let (companion, gate) = (Companion::start(), Gate::default());
    let (one, two) = (taking("x:1", &gate), taking("x:2", &gate));
    companion.add_server("one", &one.url());
    companion.add_server("two", &two.url());
    let session = companion.session(&companion.token("default"), None);
    let read = message("resources/read", &json!({"uri": "x:2"}));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| session.send(&read, &[]));
        until(Duration::from_secs(20), || two.received_of("resources/read").first().map(|_| ())).unwrap();
        let cancelled = json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"},
        });
        assert_eq!(session.send(&cancelled, &[]).status, 202);
        let told = || two.received_of("notifications/cancelled");
        until(Duration::from_secs(20), || told().first().map(|_| ())).expect("the server is told");
        gate.open();
        assert_eq!(told().iter().map(Received::json).collect::<Vec<_>>(), [cancelled]);
        assert!(one.received_of("notifications/cancelled").is_empty());
        // Who takes it back gets no answer, and nobody else is asked.
        let answer = reading.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    });
}

/// A subscription that nobody knows of would be left at a server that is slow to make it.
#[test]
fn subscriptions_are_made_at_one_server_at_a_time() {
    let (companion, token, [_, bees]) = scene();
    let gate = Gate::default();
    let slow = stuck("resources/subscribe", &gate);
    companion.add_server("a-slow", &slow.url());
    let (never, reader) = (Gate::default(), companion.token("default"));
    let hanging = stuck("resources/read", &never);
    companion.add_server("aa-slow", &hanging.url());
    let session = companion.session(&token, None);
    let answer = std::thread::scope(|scope| {
        let asking =
            scope.spawn(|| session.send(&message("resources/subscribe", &json!({"uri": "bee:soon"})), &[]));
        until(Duration::from_secs(20), || slow.received_of("resources/subscribe").first().map(|_| ()))
            .unwrap();
        // Each of these lasts as long as the head start in which one server is asked alone.
        for _ in 0..3 {
            let answer = read(&companion, &reader, None, "bee:t/2");
            assert_eq!(answer["result"]["server"], "bee", "{answer}");
        }
        assert!(bees.received_of("resources/subscribe").is_empty());
        gate.open();
        asking.join().unwrap()
    });
    never.open();
    assert!(json_rpc(&answer)["result"].is_object(), "{}", answer.text());
    assert_eq!(bees.received_of("resources/subscribe").len(), 1);
}
