//! Prompts, resources, templates and completion on the route of a workspace: named after their
//! server in lists, found again by that name or, for resources, without it. And what the
//! workspace announces.

use serde_json::{Value, json};

use crate::harness::mcp::{McpSession, message};
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Upstream};

/// An upstream with prompts and resources of this scheme. It answers each request about one of
/// them with the parameters it got, and knows `<scheme>:1` and `<scheme>:t/...` only.
pub fn library(scheme: &'static str) -> Upstream {
    Upstream::start(move |request| {
        let asked = request.json();
        let Some(id) = asked.get("id") else { return http_answer("202 Accepted", &[], "") };
        let uri = asked["params"]["uri"].as_str().unwrap_or_default();
        let knows = uri == format!("{scheme}:1") || uri.starts_with(&format!("{scheme}:t/"));
        // Something that is not there yet, and may be waited for.
        let knows = knows || uri == format!("{scheme}:soon") && asked["method"] != "resources/read";
        let result = match asked["method"].as_str().unwrap() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"prompts": {}, "resources": {"subscribe": true}, "completions": {}},
                "serverInfo": {"name": scheme, "version": "1"},
                "instructions": format!("Read {scheme}."),
            }),
            "prompts/list" if asked["params"]["cursor"].is_null() => {
                json!({"prompts": [{"name": "ask", "x": 1.50}], "nextCursor": "2"})
            }
            "prompts/list" => json!({"prompts": [{"name": "a__b"}], "nextCursor": "2"}),
            "resources/list" => json!({"resources": [{"uri": format!("{scheme}:1"), "name": "one"}]}),
            "resources/templates/list" => {
                json!({"resourceTemplates": [{"uriTemplate": format!("{scheme}:t/{{id}}"), "name": "t"}]})
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" if !knows => {
                let error = json!({"code": -32002, "message": "not here"});
                return json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
            "tools/list" => {
                let error = json!({"code": -32601, "message": "no tools"});
                return json_answer(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
            }
            _ => json!({"server": scheme, "params": asked["params"]}),
        };
        json_answer(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    })
}

struct Stage {
    companion: Companion,
    ants: Upstream,
    bees: Upstream,
    _tools: Upstream,
}

impl Stage {
    fn set() -> Self {
        let (companion, ants, bees) = (Companion::start(), library("ant"), library("bee"));
        companion.add_server("ants", &ants.url());
        companion.add_server("bees", &bees.url());
        let tools = Upstream::mcp();
        companion.add_server("tools", &tools.url());
        Self { companion, ants, bees, _tools: tools }
    }

    fn session(&self) -> McpSession {
        self.companion.session(&self.companion.token("default"), None)
    }
}

fn names(answer: &Value, list: &str, name: &str) -> Vec<String> {
    let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("{answer}"));
    entries.iter().map(|entry| entry[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_union_is_announced_and_each_server_gets_the_clients_own_capabilities() {
    let stage = Stage::set();
    let client = json!({"name": "visitor", "version": "7", "title": "V"});
    let capabilities = json!({"sampling": {}, "roots": {"listChanged": true}, "x": {"y": [1.50]}});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": client});
    let fresh = McpSession { id: String::new(), ..stage.session() };
    let answer = fresh.send(&message("initialize", &params), &[]).json();
    let changed = json!({"listChanged": true});
    assert_eq!(
        answer["result"]["capabilities"],
        json!({
            "tools": changed, "prompts": changed,
            "resources": {"listChanged": true, "subscribe": true}, "completions": {},
        })
    );
    assert_eq!(answer["result"]["instructions"], "# ants\n\nRead ant.\n\n# bees\n\nRead bee.");
    let got = stage.ants.received_of("initialize").last().unwrap().json();
    assert_eq!(got["params"], params);
    assert!(got["id"].is_string(), "no number that a client would count with: {got}");
}

#[test]
fn lists_carry_the_slug() {
    let stage = Stage::set();
    let session = stage.session();
    let prompts = session.rpc("prompts/list", &json!({}));
    assert_eq!(names(&prompts, "prompts", "name"), ["ants__ask", "ants__a__b", "bees__ask", "bees__a__b"]);
    assert_eq!(stage.ants.received_of("prompts/list").len(), 2, "the repeating cursor ended it");
    let resources = session.rpc("resources/list", &json!({}));
    assert_eq!(names(&resources, "resources", "uri"), ["ants+ant:1", "bees+bee:1"]);
    let templates = session.rpc("resources/templates/list", &json!({}));
    let uris = names(&templates, "resourceTemplates", "uriTemplate");
    assert_eq!(uris, ["ants+ant:t/{id}", "bees+bee:t/{id}"]);
    // Who has no tools is simply not among them.
    assert_eq!(session.tools(), ["tools__echo"]);
}

fn got(answer: &Value) -> (String, Value) {
    let result = &answer["result"];
    (result["server"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(), result["params"].clone())
}

#[test]
fn each_request_reaches_its_server_under_the_servers_own_name() {
    let stage = Stage::set();
    let session = stage.session();
    let prompt = session.rpc("prompts/get", &json!({"name": "bees__a__b", "arguments": {"n": "1"}}));
    assert_eq!(got(&prompt), ("bee".to_owned(), json!({"name": "a__b", "arguments": {"n": "1"}})));
    for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
        let resource = session.rpc(method, &json!({"uri": "ants+ant:1"}));
        assert_eq!(got(&resource), ("ant".to_owned(), json!({"uri": "ant:1"})), "{method}");
    }
    let argument = json!({"name": "id", "value": "x"});
    for (full, own) in [
        (json!({"type": "ref/prompt", "name": "bees__ask"}), json!({"type": "ref/prompt", "name": "ask"})),
        (
            json!({"type": "ref/resource", "uri": "bees+bee:t/{id}"}),
            json!({"type": "ref/resource", "uri": "bee:t/{id}"}),
        ),
    ] {
        let params = json!({"argument": argument, "ref": full});
        let completed = session.rpc("completion/complete", &params);
        assert_eq!(got(&completed), ("bee".to_owned(), json!({"argument": argument, "ref": own})));
    }
}

fn reads(upstream: &Upstream) -> Vec<Received> {
    upstream.received_of("resources/read")
}

#[test]
fn a_resource_without_a_slug_is_found() {
    let stage = Stage::set();
    let session = stage.session();
    // Nothing was listed yet: one after the other is asked.
    let read = |uri: &str| session.rpc("resources/read", &json!({"uri": uri}));
    assert_eq!(got(&read("bee:1")).0, "bee");
    assert_eq!((reads(&stage.ants).len(), reads(&stage.bees).len()), (1, 1));
    // By the lists, the one that announced it is asked alone.
    session.rpc("resources/list", &json!({}));
    session.rpc("resources/templates/list", &json!({}));
    assert_eq!(got(&read("bee:1")).0, "bee");
    assert_eq!(got(&read("bee:t/5")), ("bee".to_owned(), json!({"uri": "bee:t/5"})));
    assert_eq!(reads(&stage.ants).len(), 1);
    // And nobody's is nobody's.
    let unknown = read("cat:1");
    assert_eq!(unknown["error"]["code"], -32002);
    assert_eq!(unknown["error"]["data"]["uri"], "cat:1");
}

#[test]
fn what_nobody_has() {
    let stage = Stage::set();
    let session = stage.session();
    for (method, params, code) in [
        ("prompts/get", json!({"name": "ask"}), -32602),
        ("prompts/get", json!({"name": "wasps__ask"}), -32602),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "ask"}}), -32602),
        ("completion/complete", json!({"ref": {"type": "ref/other", "name": "ants__ask"}}), -32602),
        ("completion/complete", json!({}), -32602),
        ("resources/read", json!({}), -32602),
        ("resources/read", json!({"uri": "ants+ant:9"}), -32002),
        ("resources/subscribe", json!({"uri": "wasps+x:1"}), -32002),
        ("logging/setLevel", json!({"level": "loud"}), -32602),
        ("prompts/list", json!({"cursor": "2"}), -32602),
    ] {
        let answer = session.rpc(method, &params);
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
    }
}
