//! The database file changed behind the server's back (T2, T21): whatever was moved,
//! swapped or edited, the call fails closed and nothing goes out.

use aerostack::server::demo_upstream::hash_prefix;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::companion::KEY;
use crate::harness::{Companion, Upstream, aerostack};

const ONE: &str = "(SELECT id FROM mcp_workspace_secrets WHERE name = 'ONE')";
const TWO: &str = "(SELECT id FROM mcp_workspace_secrets WHERE name = 'TWO')";

/// Two servers at one origin with a secret each, and a token.
struct Scene {
    companion: Companion,
    upstream: Upstream,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let (companion, upstream) = (Companion::start(), Upstream::mcp());
        companion.add_server("one-mcp", &upstream.url());
        companion.add_server("two-mcp", &upstream.url());
        companion.set("one-mcp", "ONE", "canary-one");
        companion.set("two-mcp", "TWO", "canary-two");
        companion.set("two-mcp", "TWO", "canary-two");
        let rule = json!({"type": "header", "header": "X-One", "prefix": "p "});
        assert_eq!(companion.inject("one-mcp", "ONE", &rule).status, 200);
        let rule = json!({"type": "header", "header": "X-Two", "prefix": "q "});
        assert_eq!(companion.inject("two-mcp", "TWO", &rule).status, 200);
        let token = companion.token("default");
        Self { companion, upstream, token }
    }

    /// Stops the server, changes the file, starts again.
    fn change(&mut self, sql: &str) {
        self.companion.stop();
        let connection = self.companion.sqlite();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(connection);
        self.companion.restart();
    }

    fn call(&self, tool: &str) -> Value {
        self.companion.session(&self.token, None).call(tool)
    }

    #[track_caller]
    fn assert_closed(&self, slug: &str, why: &str) {
        // Opening a session calls upon the other server: its handshake, and no more.
        let at_first = self.upstream.received().len();
        let session = self.companion.session(&self.token, None);
        let before = self.upstream.received().len();
        assert!(before - at_first <= 2, "{why}: something was sent");
        let answer = session.call(&format!("{slug}__echo"));
        assert_eq!(answer["error"]["data"]["reason"], "secret_unavailable", "{why}: {answer}");
        let text = answer.to_string();
        assert!(!text.contains("canary") && !text.contains("ONE") && !text.contains("X-"), "{why}: {text}");
        let single = crate::harness::mcp::message("initialize", &json!({"protocolVersion": "2025-11-25"}));
        let session = crate::harness::McpSession {
            address: self.companion.address,
            path: format!("/ws/default/{slug}"),
            token: self.token.clone(),
            id: String::new(),
        };
        let answer = session.send(&single, &[]).json();
        assert_eq!(answer["error"]["data"]["reason"], "secret_unavailable", "{why}: {answer}");
        assert_eq!(self.upstream.received().len(), before, "{why}: something was sent");
    }
}

fn copy(column: &str) -> String {
    format!(
        "UPDATE mcp_workspace_secrets SET {column} = (SELECT {column} FROM mcp_workspace_secrets WHERE id = {TWO})
            WHERE id = {ONE}"
    )
}

#[test]
fn untouched_it_works() {
    let scene = Scene::new();
    assert!(scene.call("one-mcp__echo")["result"].is_object());
    assert_eq!(scene.upstream.received().last().unwrap().values("X-One"), ["p canary-one"]);
}

#[test]
fn a_column_of_another_row_closes_the_call() {
    let mut scene = Scene::new();
    scene.companion.stop();
    let original = std::fs::read(&scene.companion.database).unwrap();
    let mut changes: Vec<String> =
        ["version", "rule_prefix", "sealed", "row_mac"].iter().map(|column| copy(column)).collect();
    changes.extend([
        format!("UPDATE mcp_workspace_secrets SET rule_header = 'X-Two' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET rule_type = 'bearer' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET rule_type = 'name' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET name = 'RENAMED' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET id = 'another' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET created_at = created_at + 1 WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET updated_at = updated_at + 1 WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET sealed = zeroblob(60) WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET sealed = x'' WHERE id = {ONE}"),
        format!("UPDATE mcp_workspace_secrets SET rule_header = 'a b' WHERE id = {ONE}"),
        "UPDATE mcp_servers SET id = 'another' WHERE slug = 'one-mcp';
         UPDATE mcp_workspace_secrets SET server_id = 'another' WHERE name = 'ONE'"
            .to_owned(),
    ]);
    for sql in &changes {
        scene.change(sql);
        scene.assert_closed("one-mcp", sql);
        assert!(scene.call("two-mcp__echo")["result"].is_object(), "{sql}: the other server still works");
        scene.companion.stop();
        std::fs::write(&scene.companion.database, &original).unwrap();
    }
}

#[test]
fn a_row_moved_to_another_server_or_workspace_closes_it() {
    let mut scene = Scene::new();
    scene.change(
        "UPDATE mcp_workspace_secrets SET server_id = (SELECT id FROM mcp_servers WHERE slug = 'two-mcp') WHERE name = 'ONE'",
    );
    scene.assert_closed("two-mcp", "a secret of one-mcp under two-mcp");

    let mut scene = Scene::new();
    scene.change(
        "INSERT INTO workspaces VALUES ('w2', 'second', 'second', 0);
         UPDATE mcp_servers SET workspace_id = 'w2'; UPDATE mcp_workspace_secrets SET workspace_id = 'w2'",
    );
    let token = scene.companion.token("second");
    let session = crate::harness::McpSession::open(scene.companion.address, "/ws/second", &token);
    let answer = session.call("one-mcp__echo");
    assert_eq!(answer["error"]["data"]["reason"], "secret_unavailable", "{answer}");
    assert!(scene.upstream.received().is_empty());
}

#[test]
fn two_blobs_swapped_with_all_that_belongs_to_them_close_both() {
    let mut scene = Scene::new();
    let take =
        |name: &str| format!("(SELECT {name} FROM swapped WHERE swapped.name <> mcp_workspace_secrets.name)");
    let columns = ["sealed", "row_mac", "version"].map(|column| format!("{column} = {}", take(column)));
    scene.change(&format!(
        "CREATE TEMP TABLE swapped AS SELECT * FROM mcp_workspace_secrets;
         UPDATE mcp_workspace_secrets SET {}",
        columns.join(", ")
    ));
    scene.assert_closed("one-mcp", "swapped");
    scene.assert_closed("two-mcp", "swapped");
}

#[test]
fn a_url_changed_in_the_file_gets_nothing() {
    let mut scene = Scene::new();
    let collector = Upstream::on("127.0.0.2:0", crate::harness::mcp_answer);
    for url in
        [collector.url(), collector.url().replace("127.0.0.2", "localhost"), "http://[::1]:9/mcp".to_owned()]
    {
        scene.change(&format!("UPDATE mcp_servers SET url = '{url}' WHERE slug = 'one-mcp'"));
        scene.assert_closed("one-mcp", &url);
    }
    assert_eq!(collector.connections(), 0);
    // Another path of the same origin is the server's own business.
    scene.change(&format!(
        "UPDATE mcp_servers SET url = '{}/v2' WHERE slug = 'one-mcp'",
        scene.upstream.url()
    ));
    assert!(scene.call("one-mcp__echo")["result"].is_object());
}

#[test]
fn a_changed_row_gets_no_fresh_mac_and_can_be_replaced() {
    let mut scene = Scene::new();
    scene.change(&format!("UPDATE mcp_workspace_secrets SET rule_header = 'X-Evil' WHERE id = {ONE}"));
    let rule = json!({"type": "bearer"});
    assert_eq!(scene.companion.inject("one-mcp", "ONE", &rule).status, 409);
    let path = "/api/v1/admin/mcp-servers/one-mcp/secrets";
    let set = json!({"name": "ONE", "value": "new"});
    assert_eq!(scene.companion.admin("POST", path, Some(&set)).status, 409);
    scene.assert_closed("one-mcp", "still");
    assert_eq!(scene.companion.admin("DELETE", &format!("{path}/ONE"), None).status, 204);
    assert_eq!(scene.companion.admin("POST", path, Some(&set)).status, 201);
    assert!(scene.call("one-mcp__echo")["result"].is_object());
    assert_eq!(scene.upstream.received().last().unwrap().values("ONE"), ["new"]);
}

#[test]
fn token_rows_cannot_be_given_more() {
    let mut scene = Scene::new();
    let revoked = scene.companion.token("default");
    let path = format!("/api/v1/admin/workspaces/default/tokens/{}", &revoked[4..16]);
    assert_eq!(scene.companion.admin("DELETE", &path, None).status, 204);
    let status = |scene: &Scene, token: &str, path: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        crate::harness::request(scene.companion.address, "GET", path, &headers, b"").status
    };
    assert_eq!(status(&scene, &scene.token, "/ws/default"), 406);
    scene.change(
        "UPDATE workspace_tokens SET revoked_at = NULL;
         INSERT INTO workspaces VALUES ('w2', 'second', 'second', 0)",
    );
    assert_eq!(status(&scene, &revoked, "/ws/default"), 401, "a revoked token came back");
    scene.change("UPDATE workspace_tokens SET workspace_id = 'w2'");
    assert_eq!(status(&scene, &scene.token, "/ws/second"), 401, "a token was moved");
    scene.change("UPDATE workspace_tokens SET workspace_id = (SELECT id FROM workspaces WHERE slug = 'default'), expires_at = 9999999999999");
    assert_eq!(status(&scene, &scene.token, "/ws/default"), 401, "a token got another end");
}

#[test]
fn the_log_of_a_real_server_names_no_value() {
    let mut scene = Scene::new();
    scene.change(&copy("sealed"));
    scene.companion.stop();
    let database = format!("sqlite:{}", scene.companion.database.display());
    let serve = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    let running =
        serve.env("WORKFLOW_SECRETS_KEY", KEY).env("AEROSTACK_LOG", "trace").start("AEROSTACK_API_URL");
    let session = crate::harness::McpSession::open(running.address(), "/ws/default", &scene.token);
    let answer = session.call("one-mcp__echo");
    assert_eq!(answer["error"]["data"]["reason"], "secret_unavailable", "{answer}");
    let (code, log) = running.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("does not open"), "{log}");
    assert!(!log.contains("canary") && !log.contains(&hash_prefix(b"canary-one")), "{log}");
    assert!(scene.upstream.received().is_empty());
}

#[test]
fn a_broken_file_is_refused() {
    let mut scene = Scene::new();
    scene.companion.stop();
    let connection = Connection::open(&scene.companion.database).unwrap();
    connection.execute_batch("DELETE FROM key_checks").unwrap();
    drop(connection);
    assert!(scene.companion.open(KEY, true, None).is_err(), "no key check, no start");
    std::fs::write(&scene.companion.database, b"not a database, but long enough to be looked at as one")
        .unwrap();
    assert!(scene.companion.open(KEY, true, None).is_err());
}

#[test]
fn a_damaged_row_is_shown_and_can_be_deleted() {
    let mut scene = Scene::new();
    scene.change(&format!("UPDATE mcp_workspace_secrets SET sealed = x'00' WHERE id = {ONE}"));
    scene.assert_closed("one-mcp", "damaged");
    let run = |arguments: &[&str]| aerostack(arguments).against(&scene.companion).run();
    let list = run(&["secrets", "list", "one-mcp"]).expect(0);
    assert!(list.out.contains("ONE           damaged: delete and set again    -"), "{}", list.out);
    let set = run(&["secrets", "set", "one-mcp", "ONE", "new"]).expect(6);
    assert!(set.err.contains("does not verify") && set.err.contains("delete the secret"), "{}", set.err);
    run(&["secrets", "inject", "one-mcp", "ONE", "--bearer"]).expect(6);
    run(&["secrets", "delete", "one-mcp", "ONE", "--yes"]).expect(0);
    run(&["secrets", "set", "one-mcp", "ONE", "new"]).expect(0);
    assert!(scene.call("one-mcp__echo")["result"].is_object());
}
