//! Resources whose URI carries no slug, for clients of both eras: every server is asked until one
//! has it, and servers that failed lately are left out.

use serde_json::{Value, json};

use crate::harness::mcp::{json_rpc, message};
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
