//! Workspace tokens: shown once, listed without the token, ended by time or by an admin.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, Companion, McpSession, Upstream, cli, request};

const TOKENS: &str = "/api/v1/admin/workspaces/default/tokens";

/// A companion with a second workspace.
fn companion() -> Companion {
    let companion = Companion::start();
    let answer = companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Team A"})));
    assert_eq!(answer.status, 201);
    companion
}

fn create(companion: &Companion, body: &Value) -> Answer {
    companion.admin("POST", TOKENS, Some(body))
}

fn rows(companion: &Companion, workspace: &str) -> Vec<Value> {
    let path = format!("/api/v1/admin/workspaces/{workspace}/tokens");
    companion.admin("GET", &path, None).json()["tokens"].as_array().unwrap().clone()
}

/// The status a GET on the workspace's gateway gets: 406 with a token that is accepted.
fn knock(companion: &Companion, token: &str, path: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    request(companion.address, "GET", path, &[("Authorization", authorization.as_str())], b"").status
}

#[test]
fn shown_once() {
    let companion = companion();
    let ended = cli(&companion, &["workspace", "token", "create", "default", "--name", "anna"]).expect(0);
    let token = ended.out.strip_suffix('\n').unwrap();
    let (id, random) = token.strip_prefix("mwt_").unwrap().split_once('_').unwrap();
    assert_eq!((id.len(), random.len()), (12, 43), "standard output is the token and nothing else");
    assert!(token[4..].replacen('_', "", 1).bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(ended.err.starts_with("This token is shown once."), "{}", ended.err);
    assert_eq!(knock(&companion, token, "/ws/default"), 406);
    let list = cli(&companion, &["workspace", "token", "list", "default"]).expect(0);
    let today = &jiff::Timestamp::now().to_string()[..10];
    let row = format!("{id}   anna   {today}   never     -           active   120         everything");
    let head = "ID             NAME   CREATED      EXPIRES   LAST USED   STATUS   CALLS/MIN   MAY USE";
    assert_eq!(list.out, format!("{head}\n{row}\n"));
    let as_json = cli(&companion, &["workspace", "token", "list", "default", "--json"]);
    let answer = companion.admin("GET", TOKENS, None);
    for text in [list.both(), as_json.both(), answer.whole()] {
        assert!(!text.contains(random) && !text.contains("mwt_"), "{text}");
    }
    assert_eq!(as_json.document(), answer.json());
    let quiet = cli(&companion, &["-q", "workspace", "token", "create", "default", "--name", "ci"]).expect(0);
    assert_eq!((quiet.err.as_str(), quiet.out.lines().count()), ("", 1));
}

#[test]
fn the_answer_to_its_creation() {
    let companion = companion();
    let answer = create(&companion, &json!({"name": "anna"}));
    assert_eq!(answer.status, 201);
    let document = answer.json();
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["mcp_json", "secret", "token"]);
    let secret = document["secret"].as_str().unwrap();
    assert_eq!(document["token"]["id"], secret[4..16]);
    let members: Vec<_> = document["token"].as_object().unwrap().keys().collect();
    let expected = [
        "created_at",
        "expires_at",
        "id",
        "last_used_at",
        "name",
        "rate_limit",
        "servers",
        "status",
        "tools",
    ];
    assert_eq!(members, expected);
    assert_eq!(
        (&document["token"]["status"], &document["token"]["expires_at"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(rows(&companion, "default"), [document["token"].clone()]);
    let by_cli =
        cli(&companion, &["workspace", "token", "create", "default", "--name", "ci", "--json"]).document();
    assert_eq!(by_cli["token"], rows(&companion, "default")[1]);
    for name in ["", "  ", "a\nb", "a\u{1b}[2J"] {
        create(&companion, &json!({"name": name})).expect_error(422, "invalid_value");
        cli(&companion, &["workspace", "token", "create", "default", "--name", name]).expect(2);
    }
    let ended = cli(&companion, &["workspace", "token", "create", "defalt", "--name", "anna"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'default'?\n") && ended.out.is_empty(), "{}", ended.err);
}

#[test]
fn the_block_for_a_client_s_configuration_works() {
    let (companion, upstream) = (companion(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    let ended = cli(&companion, &["workspace", "token", "create", "default", "--name", "anna"]).expect(0);
    let token = ended.out.trim_end();
    let (_, block) = ended.err.split_once('\n').unwrap();
    let block: Value = serde_json::from_str(block).unwrap();
    let url = format!("{}/ws/default", companion.base_url);
    let entry = json!({"url": url, "headers": {"Authorization": format!("Bearer {token}")}});
    assert_eq!(block, json!({"mcpServers": {"default": entry}}));
    let by_api = create(&companion, &json!({"name": "ben"})).json();
    let entry = &by_api["mcp_json"]["mcpServers"]["default"];
    let path = entry["url"].as_str().unwrap().strip_prefix(&companion.base_url).unwrap();
    let token = entry["headers"]["Authorization"].as_str().unwrap().strip_prefix("Bearer ").unwrap();
    assert_eq!(by_api["secret"], token);
    assert_eq!(McpSession::open(companion.address, path, token).tools(), ["github-mcp__echo"]);
}

#[test]
fn a_token_ends_when_its_time_is_over() {
    let companion = companion();
    let start = Instant::now();
    let document = create(&companion, &json!({"name": "short", "expires_in": 1})).json();
    let token = document["secret"].as_str().unwrap();
    assert_eq!(knock(&companion, token, "/ws/default"), 406);
    let day_long = create(&companion, &json!({"name": "long", "expires_in": 86_400})).json();
    let deadline = start + Duration::from_secs(20);
    while knock(&companion, token, "/ws/default") != 401 {
        assert!(Instant::now() < deadline, "still accepted");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "ended early");
    let row = rows(&companion, "default").remove(0);
    assert_eq!((&row["name"], &row["status"]), (&json!("short"), &json!("expired")));
    let time = |row: &Value, field: &str| row[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let life = |row: &Value| (time(row, "expires_at") - time(row, "created_at")).as_secs();
    assert!((1..=2).contains(&life(&row)), "{row}");
    assert_eq!(life(&day_long["token"]), 86_400);
    assert_eq!(knock(&companion, day_long["secret"].as_str().unwrap(), "/ws/default"), 406);
    let list = cli(&companion, &["workspace", "token", "list", "default"]).expect(0);
    assert!(
        list.out.lines().any(|line| line.contains("short") && line.contains(" expired ")),
        "{}",
        list.out
    );
}

#[test]
fn lives_that_are_none() {
    let companion = companion();
    for seconds in [json!(0), json!(315_360_001_u64), json!(u64::MAX)] {
        create(&companion, &json!({"name": "a", "expires_in": seconds})).expect_error(422, "invalid_value");
    }
    for seconds in [json!(-1), json!(1.5), json!("60"), json!(1e30)] {
        create(&companion, &json!({"name": "a", "expires_in": seconds})).expect_error(400, "invalid_request");
    }
    for seconds in ["0", "-1", "1.5", "1h", "", "99999999999999999999", "315360001"] {
        let option = format!("--expires-in={seconds}");
        cli(&companion, &["workspace", "token", "create", "default", "--name", "a", &option]).expect(2);
    }
    assert!(rows(&companion, "default").is_empty());
    create(&companion, &json!({"name": "a", "expires_in": 315_360_000})).json();
    let arguments = ["workspace", "token", "create", "default", "--name", "a", "--expires-in", "60"];
    cli(&companion, &arguments).expect(0);
}

#[test]
fn a_revoked_token_is_refused_from_the_next_request_on() {
    let (companion, upstream) = (companion(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    let document = create(&companion, &json!({"name": "anna"})).json();
    let (token, id) = (document["secret"].as_str().unwrap(), document["token"]["id"].as_str().unwrap());
    let other = companion.token("default");
    let session = companion.session(token, None);
    assert_eq!(session.tools().len(), 1);
    let ended = cli(&companion, &["workspace", "token", "revoke", "default", id]).expect(2);
    assert!(ended.err.contains("hint: pass --yes"), "{}", ended.err);
    assert_eq!(session.tools().len(), 1);
    cli(&companion, &["workspace", "token", "revoke", "default", id, "--yes"])
        .prints(&format!("Token revoked: {id}\n"));
    let before = upstream.received().len();
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "github-mcp__echo"}});
    session.send(&call, &[]).expect_error(401, "unauthorized");
    assert_eq!(knock(&companion, token, "/ws/default"), 401);
    assert_eq!(upstream.received().len(), before);
    assert_eq!(rows(&companion, "default")[0]["status"], "revoked");
    assert_eq!(knock(&companion, &other, "/ws/default"), 406, "the others stay");
    // Again is no failure; what is not there is.
    assert_eq!(companion.admin("DELETE", &format!("{TOKENS}/{id}"), None).status, 204);
    companion.admin("DELETE", &format!("{TOKENS}/000000000000"), None).expect_error(404, "not_found");
    companion.admin("DELETE", &format!("{TOKENS}/x"), None).expect_error(404, "not_found");
    cli(&companion, &["workspace", "token", "revoke", "default", "000000000000", "--yes"]).expect(3);
}

#[test]
fn revoked_by_the_whole_token_that_was_pasted() {
    let companion = companion();
    let token = companion.token("default");
    let arguments = ["workspace", "token", "revoke", "default", &token, "--yes", "--json"];
    let document = cli(&companion, &arguments).document();
    assert_eq!(document, json!({"deleted": [token[4..16]]}));
    assert_eq!(knock(&companion, &token, "/ws/default"), 401);
    for bad in ["", "short", "a1B2c3D4e5/6", "mwt_a1B2c3D4e5F6"] {
        let ended = cli(&companion, &["workspace", "token", "revoke", "default", bad, "--yes"]).expect(2);
        assert!(ended.err.contains("the 12 letters and digits after 'mwt_'"), "{}", ended.err);
    }
}

#[test]
fn tokens_belong_to_one_workspace() {
    let companion = companion();
    let (own, other) = (companion.token("team-a"), companion.token("default"));
    assert_eq!((knock(&companion, &own, "/ws/team-a"), knock(&companion, &own, "/ws/default")), (406, 401));
    assert_eq!(
        (knock(&companion, &other, "/ws/team-a"), knock(&companion, &other, "/ws/default")),
        (401, 406)
    );
    // Nor does another workspace's route list or revoke it.
    assert_eq!(rows(&companion, "team-a").len(), 1);
    companion.admin("DELETE", &format!("{TOKENS}/{}", &own[4..16]), None).expect_error(404, "not_found");
    assert_eq!(knock(&companion, &own, "/ws/team-a"), 406);
    let unknown = companion.admin("GET", "/api/v1/admin/workspaces/zzz/tokens", None);
    unknown.expect_error(404, "not_found");
}

#[test]
fn a_row_with_more_time_or_another_workspace_is_not_accepted() {
    for change in [
        "UPDATE workspace_tokens SET expires_at = expires_at + 86400000",
        "UPDATE workspace_tokens SET expires_at = NULL",
        "UPDATE workspace_tokens SET workspace_id = (SELECT id FROM workspaces WHERE slug = 'team-a')",
    ] {
        let mut companion = companion();
        let document = create(&companion, &json!({"name": "a", "expires_in": 3600})).json();
        let token = document["secret"].as_str().unwrap();
        companion.stop();
        assert_eq!(companion.sqlite().execute(change, []).unwrap(), 1);
        companion.restart();
        for path in ["/ws/default", "/ws/team-a"] {
            assert_eq!(knock(&companion, token, path), 401, "{change}");
        }
    }
}

#[test]
fn no_tokens_yet() {
    let companion = companion();
    let ended = cli(&companion, &["workspace", "token", "list", "team-a"]).prints("");
    assert_eq!(ended.err, "No tokens for the workspace team-a.\n");
    let document = cli(&companion, &["workspace", "token", "list", "team-a", "--json"]).document();
    assert_eq!(document, json!({"tokens": []}));
    companion.token("team-a");
    let fields = ["workspace", "token", "list", "team-a", "--json", "--fields", "name,status"];
    cli(&companion, &fields).prints("{\"tokens\":[{\"name\":\"test\",\"status\":\"active\"}]}\n");
}
