//! Servers that work at first and then fall silent, wholly or in one place: what was good of them
//! stays, the rest costs one wait, and nothing that a client says to all waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::McpSession;
use crate::harness::companion::Companion;
use crate::harness::program::until;
use crate::harness::upstream::{Received, Upstream, http_answer, json_answer, mcp_answer};

/// What takes at most so long waited for no server: far below the 5 s that a list waits.
const AT_ONCE: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);

/// Never answers; the connection stays open.
fn hang() -> Vec<u8> {
    loop {
        std::thread::park();
    }
}

fn result(request: &Received, result: &Value) -> Vec<u8> {
    json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
}

/// Offers all there is and answers, as long as it is not to be silent.
fn with_everything(silent: Arc<AtomicBool>) -> Upstream {
    Upstream::start(move |request| {
        if silent.load(Ordering::SeqCst) {
            return hang();
        }
        let message = request.json();
        let entry = json!({"name": "one", "uri": "x://one", "uriTemplate": "x://{a}"});
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => {
                let offers = json!({"tools": {}, "prompts": {}, "resources": {}, "logging": {}});
                let info = json!({"name": "raw", "version": "1"});
                result(
                    request,
                    &json!({"protocolVersion": "2025-11-25", "capabilities": offers, "serverInfo": info}),
                )
            }
            "tools/list" => result(request, &json!({"tools": [entry]})),
            "prompts/list" => result(request, &json!({"prompts": [entry]})),
            "resources/list" => result(request, &json!({"resources": [entry]})),
            "resources/templates/list" => result(request, &json!({"resourceTemplates": [entry]})),
            _ => mcp_answer(request),
        }
    })
}

const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

/// A server that can fall silent beside one that does not, and a client's session with both.
struct Scene {
    silent: Arc<AtomicBool>,
    good: Upstream,
    quiet: Upstream,
    session: McpSession,
    _companion: Companion,
}

impl Scene {
    fn set() -> Self {
        let silent = Arc::new(AtomicBool::new(false));
        let (good, quiet) = (with_everything(Arc::default()), with_everything(Arc::clone(&silent)));
        let companion = Companion::start();
        companion.add_server("good", &good.url());
        companion.add_server("quiet", &quiet.url());
        let session = companion.session(&companion.token("default"), None);
        Self { silent, good, quiet, session, _companion: companion }
    }
}

#[test]
fn one_that_falls_silent_costs_one_wait_and_no_more() {
    let Scene { silent, session, .. } = &Scene::set();
    let count = |(method, member): (&str, &str)| {
        session.rpc(method, &json!({}))["result"][member].as_array().unwrap().len()
    };
    assert_eq!(LISTS.map(count), [2; 4]);

    silent.store(true, Ordering::SeqCst);
    assert_eq!(count(LISTS[0]), 1, "this one waits for it");
    let began = Instant::now();
    assert_eq!(LISTS.map(count), [1; 4]);
    assert_eq!(session.rpc("logging/setLevel", &json!({"level": "info"}))["result"], json!({}));
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    assert_eq!(session.send(&changed, &[]).status, 202);
    assert!(session.rpc("resources/read", &json!({"uri": "y://nobodys"}))["result"].is_object());
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());

    silent.store(false, Ordering::SeqCst);
    until(Duration::from_mins(1), || (LISTS.map(count) == [2; 4]).then_some(())).expect("it is back");
}

#[test]
fn what_a_client_says_to_all_does_not_wait_for_a_silent_server() {
    let Scene { silent, session, good, quiet, .. } = &Scene::set();
    session.tools();
    // It is not known yet that it fell silent.
    silent.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(session.rpc("logging/setLevel", &json!({"level": "info"}))["result"], json!({}));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    for server in [good, quiet] {
        until(PATIENCE, || (server.received_of("logging/setLevel").len() == 1).then_some(())).expect("told");
    }
}

/// Reading a resource that nobody listed asks the servers; one that does not answer is left out the next time.
#[test]
fn a_bare_resource_waits_once_for_a_server_that_does_not_say() {
    let mute = |request: &Received| {
        if request.method() == "resources/read" { hang() } else { mcp_answer(request) }
    };
    let offers = move |request: &Received| {
        if request.method() != "initialize" {
            return mute(request);
        }
        let offers = json!({"protocolVersion": "2025-11-25", "capabilities": {"resources": {}}, "serverInfo": {"name": "m", "version": "1"}});
        result(request, &offers)
    };
    let (first, second) = (Upstream::start(offers), Upstream::start(offers));
    let companion = Companion::start();
    companion.add_server("first", &first.url());
    companion.add_server("second", &second.url());
    let session = companion.session(&companion.token("default"), None);
    let read = || session.rpc("resources/read", &json!({"uri": "y://nobodys"}))["error"].is_object();
    assert!(read());
    let began = Instant::now();
    assert!(read());
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn pages_before_one_that_hangs_are_listed_and_cost_no_wait() {
    let hangs = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&hangs);
    let paged = Upstream::start(move |request| {
        let message = request.json();
        match (request.method().as_str(), message["params"]["cursor"].as_str()) {
            ("tools/list", None) => result(request, &json!({"tools": [{"name": "a"}], "nextCursor": "2"})),
            ("tools/list", Some("2")) => {
                result(request, &json!({"tools": [{"name": "b"}], "nextCursor": "3"}))
            }
            ("tools/list", Some(_)) if switch.load(Ordering::SeqCst) => hang(),
            ("tools/list", Some(_)) => result(request, &json!({"tools": [{"name": "c"}]})),
            _ => mcp_answer(request),
        }
    });
    let companion = Companion::start();
    companion.add_server("paged", &paged.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["paged__a", "paged__b"]);
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(session.tools(), ["paged__a", "paged__b"]);
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    hangs.store(false, Ordering::SeqCst);
    let whole = ["paged__a", "paged__b", "paged__c"];
    until(Duration::from_mins(1), || (session.tools() == whole).then_some(())).expect("the rest comes again");
}

/// A refusal that takes its time is waited for once, and for its own token alone.
#[test]
fn servers_that_refuse_slowly_are_waited_for_once() {
    for (status, headers) in [
        ("302 Found", vec![("Location", "http://127.0.0.2:9/")]),
        ("401 Unauthorized", vec![]),
        ("404 Not Found", vec![]),
        ("200 OK", vec![("Content-Type", "text/html")]),
    ] {
        let refuses = Upstream::start(move |_| {
            // Its slowness, not a wait for something.
            std::thread::sleep(Duration::from_millis(700));
            http_answer(status, &headers, "<html>")
        });
        let companion = Companion::start();
        companion.add_server("bad", &refuses.url());
        let session = companion.session(&companion.token("default"), None);
        assert!(session.tools().is_empty());
        let before = refuses.received().len();
        let began = Instant::now();
        for _ in 0..8 {
            assert!(session.tools().is_empty());
        }
        assert!(began.elapsed() < AT_ONCE, "{status}: {:?}", began.elapsed());
        let asked = refuses.received().len() - before;
        assert!(asked <= 3, "{status}: asked {asked} times by eight lists");
        // Another token's lists do not suffer.
        let count = refuses.received().len();
        companion.session(&companion.token("default"), None);
        assert!(refuses.received().len() > count, "{status}");
    }
}

/// In the legacy era a closed connection cancels nothing: the server has to be told.
#[test]
fn a_server_is_told_of_a_call_that_took_too_long() {
    let slow = Upstream::start(|request| match request.method().as_str() {
        "tools/call" if request.json()["params"]["name"] == "head" => hang(),
        "tools/call" => {
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 900\r\n\r\n: hm\n\n"
                .to_vec()
        }
        _ => mcp_answer(request),
    });
    let mut companion = Companion::start();
    companion.patience = Duration::from_secs(1);
    companion.restart();
    companion.add_server("slow", &slow.url());
    let token = companion.token("default");
    for (number, (slug, tool)) in
        [(None, "slow__head"), (None, "slow__body"), (Some("slow"), "head"), (Some("slow"), "body")]
            .into_iter()
            .enumerate()
    {
        let session = companion.session(&token, slug);
        let mut call = crate::harness::mcp::message("tools/call", &json!({"name": tool}));
        call["id"] = json!(format!("call-{number}"));
        let answer = crate::harness::mcp::json_rpc(&session.send(&call, &[]));
        assert_eq!(answer["error"]["data"]["reason"], "timed_out", "{answer}");
        let told = until(PATIENCE, || slow.received_of("notifications/cancelled").get(number).cloned());
        assert_eq!(told.expect(tool).json()["params"]["requestId"], call["id"]);
    }
}
