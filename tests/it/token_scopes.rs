//! Tokens that are limited to servers or tools: what they may not use is neither listed nor
//! called, and looks like something that is not there.

use serde_json::{Value, json};

use crate::harness::mcp::message;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Answer, Companion, Upstream, cli, mcp_answer, request};

const TOKENS: &str = "/api/v1/admin/workspaces/default/tokens";
const LIST: &str = r#"[{"name":"get_one","inputSchema":{"type":"object","x":1.50}},{"name":"delete_all"} , {"name":"get_two"}]"#;

/// Answers as a server with three tools, prompts and resources; lists as events if asked to.
fn answer(request: &Received, events: bool) -> Vec<u8> {
    let sent = request.json();
    if sent["method"] != "tools/list" {
        return mcp_answer(request);
    }
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":{LIST}}}}}"#, sent["id"]);
    if !events {
        return http_answer("200 OK", &[("Content-Type", "application/json")], &body);
    }
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"delete_all"}}"#;
    let stream = format!("id: 1\ndata: {note}\n\nid: 2\ndata: {body}\n\n");
    http_answer("200 OK", &[("Content-Type", "text/event-stream")], &stream)
}

struct Scene {
    companion: Companion,
    github: Upstream,
    slack: Upstream,
}

impl Scene {
    fn new() -> Self {
        let companion = Companion::start();
        let github = Upstream::start(|request| answer(request, false));
        let slack = Upstream::start(|request| answer(request, true));
        companion.add_server("github-mcp", &github.url());
        companion.add_server("slack-mcp", &slack.url());
        Self { companion, github, slack }
    }

    fn token(&self, limits: Value) -> String {
        let mut body = limits;
        body["name"] = json!("limited");
        self.companion.token_with("default", &body)
    }

    fn requests(&self) -> usize {
        self.github.received().len() + self.slack.received().len()
    }
}

/// A GET on a route of the gateway.
fn get(companion: &Companion, path: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    request(companion.address, "GET", path, &[("Authorization", authorization.as_str())], b"")
}

#[test]
fn limited_to_servers() {
    let scene = Scene::new();
    let token = scene.token(json!({"servers": ["github-*"]}));
    let session = scene.companion.session(&token, None);
    let tools = ["github-mcp__get_one", "github-mcp__delete_all", "github-mcp__get_two"];
    assert_eq!(session.tools(), tools);
    assert!(session.call("github-mcp__delete_all")["result"].is_object());
    let before = scene.requests();
    let outside = session.call("slack-mcp__get_one");
    assert_eq!(outside, session.call("nowhere-mcp__get_one"), "as if it were not there");
    assert_eq!(outside["error"]["code"], -32602);
    assert_eq!((scene.requests(), scene.slack.received().len()), (before, 0), "nothing went upstream");
    // The route of its own, too.
    let hidden = get(&scene.companion, "/ws/default/slack-mcp", &token);
    let unknown = get(&scene.companion, "/ws/default/nowhere-mcp", &token);
    hidden.expect_error(404, "not_found");
    assert_eq!(hidden.json()["error"]["message"], unknown.json()["error"]["message"]);
    assert_eq!(scene.companion.session(&token, Some("github-mcp")).tools().len(), 3);
}

#[test]
fn limited_to_tools_on_the_workspace_s_route() {
    let scene = Scene::new();
    let token = scene.token(json!({"tools": ["github-mcp__get_*", "*__get_two"]}));
    let session = scene.companion.session(&token, None);
    assert_eq!(session.tools(), ["github-mcp__get_one", "github-mcp__get_two", "slack-mcp__get_two"]);
    assert!(session.call("github-mcp__get_one")["result"].is_object());
    assert!(session.call("slack-mcp__get_two")["result"].is_object());
    let before = scene.requests();
    let unknown = session.call("github-mcp__no_such_tool");
    assert_eq!(unknown["error"]["code"], -32602);
    for tool in ["github-mcp__delete_all", "slack-mcp__get_one", "nowhere-mcp__get_one", "plain", ""] {
        assert_eq!(session.call(tool), unknown, "{tool}");
    }
    assert_eq!(session.rpc("prompts/list", &json!({}))["error"]["code"], -32601);
    assert_eq!(scene.requests(), before, "nothing went upstream");
}

#[test]
fn limited_to_tools_on_a_server_s_route() {
    let scene = Scene::new();
    let token = scene.token(json!({"tools": ["*__get_*"]}));
    for (slug, upstream) in [("github-mcp", &scene.github), ("slack-mcp", &scene.slack)] {
        let session = scene.companion.session(&token, Some(slug));
        let list = session.send(&message("tools/list", &json!({})), &[]);
        let kept = LIST.replace(r#"{"name":"delete_all"} , "#, "");
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{kept}}}}}"#);
        assert_eq!(list.text(), expected, "the bytes of the others stay");
        assert!(session.call("get_one")["result"].is_object());
        let before = upstream.received().len();
        let refused = session.call("delete_all");
        assert_eq!(refused, session.call("no_such_tool"));
        assert_eq!(refused["error"]["code"], -32602);
        for method in ["prompts/list", "resources/read", "completion/complete", "tasks/list", "x"] {
            assert_eq!(session.rpc(method, &json!({}))["error"]["code"], -32601, "{method}");
        }
        assert_eq!(upstream.received().len(), before, "nothing went upstream");
        assert!(session.rpc("ping", &json!({}))["result"].is_object());
    }
    // A token without limits gets everything as it came.
    let open = scene.companion.session(&scene.companion.token("default"), Some("slack-mcp"));
    let list = open.send(&message("tools/list", &json!({})), &[]);
    assert_eq!(list.header("Content-Type"), Some("text/event-stream"));
    assert!(list.text().contains("id: 1\n") && list.text().contains(LIST));
    assert!(open.rpc("prompts/list", &json!({}))["result"].is_object());
}

#[test]
fn a_message_with_two_meanings_is_not_passed_on() {
    let scene = Scene::new();
    let token = scene.token(json!({"tools": ["*__get_*"]}));
    let bodies = |prefix: &str| {
        [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_one","name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_one","Name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"Method":"tools/call","Params":{"name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_one"},"PARAMS":{"name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_all"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["delete_all"]}"#,
        ]
        .map(|body| body.replace("get_one", &format!("{prefix}get_one")).replace("delete_all", &format!("{prefix}delete_all")))
    };
    for (slug, prefix) in [(Some("github-mcp"), ""), (None, "github-mcp__")] {
        let session = scene.companion.session(&token, slug);
        let before = scene.requests();
        for body in bodies(prefix) {
            let answer = session.post(&body, &[]);
            assert!(answer.json()["error"]["code"].is_i64(), "{body}: {}", answer.text());
        }
        assert_eq!(scene.requests(), before, "nothing went upstream");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_not_shown() {
    let companion = Companion::start();
    let upstream = Upstream::start(|request| {
        if request.json()["method"] == "tools/list" {
            return json_answer(
                &json!({"jsonrpc": "2.0", "id": 1, "result": {"Tools": [{"name": "delete"}]}}),
            );
        }
        mcp_answer(request)
    });
    companion.add_server("odd-mcp", &upstream.url());
    let token = companion.token_with("default", &json!({"name": "a", "tools": ["odd-mcp__get"]}));
    let answer = companion.session(&token, Some("odd-mcp")).rpc("tools/list", &json!({}));
    assert_eq!(answer["error"]["data"]["reason"], "not_mcp", "{answer}");
    assert!(companion.session(&token, None).tools().is_empty());
}

#[test]
fn limits_are_set_at_creation_and_shown() {
    let scene = Scene::new();
    let arguments = [
        "workspace",
        "token",
        "create",
        "default",
        "--name",
        "reader",
        "--rate-limit",
        "30",
        "--servers",
        "github-mcp,slack-*",
        "--tools",
        "github-mcp__get_*,*__list",
        "--json",
    ];
    let document = cli(&scene.companion, &arguments).document();
    let token = &document["token"];
    assert_eq!(token["rate_limit"], 30);
    assert_eq!(token["servers"], json!(["github-mcp", "slack-*"]));
    assert_eq!(token["tools"], json!(["github-mcp__get_*", "*__list"]));
    let unlimited =
        ["workspace", "token", "create", "default", "--name", "ci", "--rate-limit", "none", "--json"];
    assert_eq!(cli(&scene.companion, &unlimited).document()["token"]["rate_limit"], "none");
    let rows = scene.companion.admin("GET", TOKENS, None).json();
    assert_eq!(rows["tokens"][0], *token);
    let list = cli(&scene.companion, &["workspace", "token", "list", "default"]).expect(0).out;
    let line = list.lines().find(|line| line.contains("reader")).unwrap();
    assert!(
        line.ends_with("30          servers github-mcp,slack-*; tools github-mcp__get_*,*__list"),
        "{line}"
    );
    let line = list.lines().find(|line| line.contains("ci")).unwrap();
    assert!(line.ends_with("none        everything"), "{line}");
}

#[test]
fn limits_that_are_none_are_refused() {
    let scene = Scene::new();
    let create = |limits: Value| {
        let mut body = limits;
        body["name"] = json!("a");
        scene.companion.admin("POST", TOKENS, Some(&body))
    };
    for limits in [
        json!({"rate_limit": 0}),
        json!({"rate_limit": 1_000_001}),
        json!({"servers": []}),
        json!({"servers": ["A"]}),
        json!({"servers": ["a,b"]}),
        json!({"tools": []}),
        json!({"tools": ["get_*"]}),
        json!({"tools": ["github-mcp__get_?"]}),
        json!({"tools": ["github-mcp__a,github-mcp__b"]}),
    ] {
        create(limits).expect_error(422, "invalid_value");
    }
    for limits in [json!({"rate_limit": -1}), json!({"rate_limit": "many"}), json!({"servers": "a"})] {
        create(limits).expect_error(400, "invalid_request");
    }
    for limits in [json!({"servers": ["githb-mcp"]}), json!({"tools": ["githb-mcp__get_*"]})] {
        let error = create(limits).expect_error(404, "not_found");
        assert_eq!(error["hint"], "did you mean 'github-mcp'?");
    }
    create(json!({"servers": ["later-*"], "tools": ["*__*"], "rate_limit": null})).json();
    for option in ["--rate-limit=0", "--rate-limit=many", "--tools=get_*", "--servers=A", "--tools="] {
        let arguments = ["workspace", "token", "create", "default", "--name", "a", option];
        cli(&scene.companion, &arguments).expect(2);
    }
    let slip = ["workspace", "token", "create", "default", "--name", "a", "--servers", "githb-mcp"];
    assert!(cli(&scene.companion, &slip).expect(3).err.contains("did you mean 'github-mcp'?"));
}

#[test]
fn a_row_with_other_limits_is_not_accepted() {
    for (column, value) in [
        ("rate_limit", "0"),
        ("rate_limit", "NULL"),
        ("servers", "NULL"),
        ("servers", "'*'"),
        ("tools", "NULL"),
        ("tools", "'*__*'"),
        ("servers", "tools"),
    ] {
        let mut scene = Scene::new();
        let limits = json!({"rate_limit": 30, "servers": ["github-mcp"], "tools": ["*__get_one"]});
        let (token, open) = (scene.token(limits), scene.companion.token("default"));
        assert_eq!(scene.companion.session(&token, None).tools(), ["github-mcp__get_one"]);
        scene.companion.stop();
        let sql = format!("UPDATE workspace_tokens SET {column} = {value} WHERE id = ?1");
        assert_eq!(scene.companion.sqlite().execute(&sql, [&token[4..16]]).unwrap(), 1);
        scene.companion.restart();
        assert_eq!(get(&scene.companion, "/ws/default", &token).status, 401, "{sql}");
        assert_eq!(get(&scene.companion, "/ws/default", &open).status, 406, "others are");
    }
}

#[test]
fn a_token_of_the_time_before_limits_still_works() {
    let mut scene = Scene::new();
    // Without limits the row and its hash are as they were before there were any.
    let token = scene.token(json!({}));
    scene.companion.stop();
    let connection = scene.companion.sqlite();
    for column in ["rate_limit", "servers", "tools"] {
        connection.execute(&format!("ALTER TABLE workspace_tokens DROP COLUMN {column}"), []).unwrap();
    }
    connection.execute("DELETE FROM schema_migrations WHERE number = 3", []).unwrap();
    drop(connection);
    scene.companion.restart();
    assert_eq!(scene.companion.session(&token, None).tools().len(), 6);
    // Nor can limits be put on it behind our back, which would change what it may do.
    scene.companion.stop();
    let sql = "UPDATE workspace_tokens SET rate_limit = 0";
    assert_eq!(scene.companion.sqlite().execute(sql, []).unwrap(), 1);
    scene.companion.restart();
    assert_eq!(get(&scene.companion, "/ws/default", &token).status, 401);
}
