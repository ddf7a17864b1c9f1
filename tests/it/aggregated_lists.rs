//! The tools of a workspace: names prefixed and split again at the first `__`, every page
//! of every server, and servers that are dead, silent, slow or talking nonsense beside a
//! good one.

use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Upstream, mcp_answer};

/// Longest that a listing may take with servers that never answer (they get 5 s).
const DEADLINE: Duration = Duration::from_secs(10);

fn result(request: &Received, result: &Value) -> Vec<u8> {
    json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
}

/// An upstream with these pages of tool names; page `n` has the cursor `page-n`.
fn paged(pages: &'static [&'static [&'static str]], after_last: Option<&'static str>) -> Upstream {
    Upstream::start(move |request| {
        if request.method() != "tools/list" {
            return mcp_answer(request);
        }
        let cursor = request.json()["params"]["cursor"].as_str().unwrap_or("page-0").to_owned();
        let page: usize = cursor.strip_prefix("page-").unwrap().parse().unwrap();
        let tools: Vec<Value> =
            pages[page].iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
        let next = format!("page-{}", page + 1);
        let next = if page + 1 < pages.len() { Some(next.as_str()) } else { after_last };
        let mut document = json!({"tools": tools});
        if let Some(next) = next {
            document["nextCursor"] = json!(next);
        }
        result(request, &document)
    })
}

#[test]
fn names_are_split_at_the_first_double_underscore() {
    let gitlab = paged(&[&["_ping", "__two", "a__b", "__", "_", "plain", "gitlab__plain"]], None);
    let companion = Companion::start();
    companion.add_server("gitlab", &gitlab.url());
    companion.add_server("gitlab-two", &gitlab.url());
    let session = companion.session(&companion.token("default"), None);
    let tools = session.tools();
    assert_eq!(tools.len(), 14);
    assert_eq!(tools[..3], ["gitlab___ping", "gitlab____two", "gitlab__a__b"]);
    for name in &tools {
        let answer = session.call(name);
        assert!(answer["result"].is_object(), "{name}: {answer}");
        let arrived = gitlab.received_of("tools/call").last().unwrap().json()["params"]["name"].clone();
        assert_eq!(arrived, name.split_once("__").unwrap().1);
    }
}

#[test]
fn every_page_is_read_and_tools_keep_their_order() {
    let many = paged(&[&["z", "a"], &[], &["m"], &["b", "c"]], None);
    let few = paged(&[&["only"]], None);
    let companion = Companion::start();
    companion.add_server("zz", &few.url());
    companion.add_server("many", &many.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["many__z", "many__a", "many__m", "many__b", "many__c", "zz__only"]);
    let asked = many.received_of("tools/list");
    let cursors: Vec<Value> = asked.iter().map(|one| one.json()["params"]["cursor"].clone()).collect();
    assert_eq!(cursors, [Value::Null, json!("page-1"), json!("page-2"), json!("page-3")]);
}

#[test]
fn a_cursor_that_comes_again_ends_the_list() {
    let companion = Companion::start();
    let (same, circle) =
        (paged(&[&["a"], &["b"]], Some("page-1")), paged(&[&["a"], &["b"], &["c"]], Some("page-0")));
    companion.add_server("same", &same.url());
    companion.add_server("circle", &circle.url());
    let session = companion.session(&companion.token("default"), None);
    let tools = session.tools();
    assert!(tools.starts_with(&["circle__a", "circle__b", "circle__c"].map(str::to_owned)), "{tools:?}");
    assert!(tools.ends_with(&["same__a", "same__b"].map(str::to_owned)), "{tools:?}");
    assert!(tools.len() <= 6, "{tools:?}");
}

#[test]
fn a_tool_keeps_its_bytes_but_for_its_name() {
    let tool = r#"{ "z":1.50,"name" : "t\u0065st","inputSchema":{"type":"object","maximum":1e400},"x-unknown":[ null,{"name":"inner"}] }"#;
    let upstream = Upstream::start(move |request| {
        if request.method() != "tools/list" {
            return mcp_answer(request);
        }
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":[{tool}]}}}}"#, request.json()["id"]);
        http_answer("200 OK", &[("Content-Type", "application/json")], &body)
    });
    let companion = Companion::start();
    companion.add_server("raw", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    let answer = session.send(&crate::harness::mcp::message("tools/list", &json!({})), &[]).text();
    let expected = tool.replace(r#""t\u0065st""#, r#""raw__t\u0065st""#);
    assert!(answer.contains(&expected), "{answer}");
}

/// An upstream that gives no answer to `silent` requests until the sender is dropped.
fn stuck(silent: fn(&Received) -> bool) -> (Upstream, Sender<()>) {
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let upstream = Upstream::start(move |request| {
        if silent(request) {
            let _ = released.lock().unwrap().recv();
            return Vec::new();
        }
        mcp_answer(request)
    });
    (upstream, release)
}

/// The good server's tools come in time, without those of `bad`.
fn beside_a_good_one(bad: &[(&str, String)]) {
    let (companion, good) = (Companion::start(), Upstream::mcp());
    companion.add_server("good", &good.url());
    for (slug, url) in bad {
        companion.add_server(slug, url);
    }
    let session = companion.session(&companion.token("default"), None);
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(session.tools(), ["good__echo"]);
        assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
    }
    assert!(session.call("good__echo")["result"].is_object());
}

#[test]
fn servers_that_do_not_answer_do_not_hold_up_the_others() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}/mcp", refused.local_addr().unwrap());
    drop(refused);
    // The kernel accepts the connections; nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let black_hole = format!("http://{}/mcp", silent.local_addr().unwrap());
    let (slow_to_open, _one) = stuck(|_| true);
    let (slow_to_list, _two) = stuck(|request| request.method() == "tools/list");
    beside_a_good_one(&[
        ("a-dead", dead),
        ("b-black-hole", black_hole),
        ("c-slow", slow_to_open.url()),
        ("z-slow", slow_to_list.url()),
        ("z-no-such-host", "http://no-such-host.invalid/mcp".to_owned()),
    ]);
}

#[test]
fn servers_that_talk_nonsense_do_not_spoil_the_list() {
    let says = |answer: Vec<u8>| Upstream::start(move |_| answer.clone());
    let json = [("Content-Type", "application/json")];
    let lists = |list: &'static str| {
        Upstream::start(move |request| match request.method().as_str() {
            "tools/list" => {
                let body = list.replace("ID", &request.json()["id"].to_string());
                http_answer("200 OK", &[("Content-Type", "application/json")], &body)
            }
            _ => mcp_answer(request),
        })
    };
    let upstreams = [
        says(b"garbage\r\n\r\n".to_vec()),
        says(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()),
        says(Vec::new()),
        says(http_answer("200 OK", &[("Content-Type", "text/html")], "<html>")),
        says(http_answer("200 OK", &json, "{]")),
        says(http_answer("200 OK", &json, "[]")),
        says(http_answer("307 Temporary Redirect", &[("Location", "http://127.0.0.1:1/")], "")),
        says(http_answer("401 Unauthorized", &[("WWW-Authenticate", "Bearer")], "")),
        says(http_answer("500 Internal Server Error", &json, "{}")),
        says(http_answer("204 No Content", &[], "")),
        lists(r#"{"jsonrpc":"2.0","id":ID,"result":{"tools":{}}}"#),
        lists(r#"{"jsonrpc":"2.0","id":ID,"result":{}}"#),
        lists(r#"{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":5},7,{}]}}"#),
        lists(r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"no"}}"#),
        lists(r#"{"jsonrpc":"2.0","id":ID,"result":{"tools":[{"name":"cut"}"#),
    ];
    let slugs: Vec<String> = (0..upstreams.len()).map(|number| format!("bad-{number}")).collect();
    let bad: Vec<(&str, String)> =
        slugs.iter().zip(&upstreams).map(|(slug, upstream)| (slug.as_str(), upstream.url())).collect();
    beside_a_good_one(&bad);
}
