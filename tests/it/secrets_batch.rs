//! POST `.../secrets/batch`: all of a list or nothing of it, and every problem at once.
//! (Lists that meet other changes: `secrets_batch_races.rs`.)

use serde_json::{Value, json};

use crate::harness::{Answer, Companion, Upstream};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";
const BATCH: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets/batch";

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion
}

fn post(companion: &Companion, body: &Value) -> Answer {
    companion.admin("POST", BATCH, Some(body))
}

fn entry(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

#[track_caller]
fn done(answer: &Answer, created: &[&str], updated: &[&str], deleted: &[&str]) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({"created": created, "updated": updated, "deleted": deleted}));
}

/// Fails unless it was refused for exactly these reasons, and nothing was changed.
#[track_caller]
fn refused(companion: &Companion, body: &Value, status: u16, problems: &Value) {
    let before = listed(companion);
    let answer = post(companion, body);
    let code = if status == 422 { "invalid_value" } else { "conflict" };
    let error = answer.expect_error(status, code);
    assert_eq!(&error["problems"], problems);
    assert!(error["message"].as_str().unwrap().ends_with("nothing was changed"), "{error}");
    assert!(!answer.whole().contains("canary"), "{}", answer.text());
    assert_eq!(listed(companion), before);
}

/// Everything that the list tells.
fn listed(companion: &Companion) -> Value {
    companion.admin("GET", SECRETS, None).json()["secrets"].clone()
}

/// Changes the database while the server is away.
fn change(companion: &mut Companion, sql: &str) {
    companion.stop();
    assert!(companion.sqlite().execute(sql, []).unwrap() > 0, "{sql} changed nothing");
    companion.restart();
}

#[test]
fn creates_replaces_and_prunes_together() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    for name in ["B_KEPT", "C_GONE", "A_GONE", "D_OTHER"] {
        companion.set("github-mcp", name, "old");
    }
    let rule = json!({"type": "header", "header": "X-Kept", "prefix": "p "});
    assert_eq!(companion.inject("github-mcp", "B_KEPT", &rule).status, 200);
    // Without `prune` the others stay.
    let list = json!({"secrets": [entry("Z_NEW", "z1"), entry("B_KEPT", "b1"), entry("A_NEW", "a1")]});
    done(&post(&companion, &list), &["A_NEW", "Z_NEW"], &["B_KEPT"], &[]);
    let list = json!({"secrets": [entry("Z_NEW", "z2"), entry("M_NEW", "m2"), entry("B_KEPT", "b2")], "prune": true});
    done(
        &post(&companion, &list),
        &["M_NEW"],
        &["B_KEPT", "Z_NEW"],
        &["A_GONE", "A_NEW", "C_GONE", "D_OTHER"],
    );
    let after = listed(&companion);
    let seen: Vec<(&str, u64)> = after
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| (secret["name"].as_str().unwrap(), secret["version"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("B_KEPT", 3), ("M_NEW", 1), ("Z_NEW", 2)]);
    assert_eq!(after[0]["injection"], rule, "the rule was not kept");
    companion.session(&companion.token("default"), None).call("github-mcp__echo");
    let call = upstream.received_of("tools/call").pop().unwrap();
    let sent = |header: &str| call.values(header);
    assert_eq!(
        (sent("x-kept"), sent("m_new"), sent("z_new")),
        (vec!["p b2".to_owned()], vec!["m2".to_owned()], vec!["z2".to_owned()])
    );
    assert!(sent("c_gone").is_empty() && sent("b_kept").is_empty());
}

#[test]
fn every_problem_is_told_and_nothing_is_done() {
    let companion = companion();
    companion.set("github-mcp", "OLD", "old");
    let long = "c".repeat(16_385);
    let list = json!({"secrets": [
        entry("GOOD", "canary"),
        entry("canary-name", "canary"),
        entry("EMPTY", ""),
        entry("LONG", &long),
        entry("LINES", "canary\ncanary"),
        entry("CONTROL", "canary\tcanary"),
        entry("BLANK", "canary "),
        entry("GOOD", "canary"),
        entry("CONTENT_TYPE", "canary"),
        entry("1", "canary\n"),
        entry("good", "canary"),
        entry("GOOD", ""),
    ]});
    let problem =
        |index: usize, name: Option<&str>, code: &str| json!({"index": index, "name": name, "code": code});
    let expected = json!([
        problem(1, None, "invalid_name"),
        problem(2, Some("EMPTY"), "empty_value"),
        problem(3, Some("LONG"), "value_too_long"),
        problem(4, Some("LINES"), "line_break"),
        problem(5, Some("CONTROL"), "control_character"),
        problem(6, Some("BLANK"), "outer_blank"),
        problem(7, Some("GOOD"), "duplicate_name"),
        problem(8, Some("CONTENT_TYPE"), "reserved_name"),
        problem(9, None, "line_break"),
        problem(9, None, "invalid_name"),
        problem(10, Some("good"), "header_taken"),
        problem(11, Some("GOOD"), "empty_value"),
        problem(11, Some("GOOD"), "duplicate_name"),
    ]);
    for (prune, dry_run) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut list = list.clone();
        list["prune"] = json!(prune);
        list["dry_run"] = json!(dry_run);
        refused(&companion, &list, 422, &expected);
    }
}

#[test]
fn two_secrets_on_one_header_are_a_conflict() {
    let companion = companion();
    companion.set("github-mcp", "apiKey", "old");
    companion.set("github-mcp", "TOKEN", "old");
    assert_eq!(
        companion.inject("github-mcp", "TOKEN", &json!({"type": "header", "header": "X-Y"})).status,
        200
    );
    let taken = |index: usize, name: &str| json!({"index": index, "name": name, "code": "header_taken"});
    let list = json!({"secrets": [entry("APIKEY", "x"), entry("X_Y", "x"), entry("FREE", "x")]});
    refused(&companion, &list, 409, &json!([taken(0, "APIKEY"), taken(1, "X_Y")]));
    // The header of a secret that is in the list too is taken, pruned or not.
    let list = json!({"secrets": [entry("APIKEY", "x"), entry("apiKey", "x")], "prune": true});
    refused(&companion, &list, 409, &json!([taken(0, "APIKEY")]));
    // Of two new ones the second is in the way of the first.
    let list = json!({"secrets": [entry("N_1", "x"), entry("n_1", "x")]});
    refused(&companion, &list, 409, &json!([taken(1, "n_1")]));
    // What goes makes room.
    let list = json!({"secrets": [entry("APIKEY", "x"), entry("X_Y", "x")], "prune": true});
    done(&post(&companion, &list), &["APIKEY", "X_Y"], &[], &["TOKEN", "apiKey"]);
}

#[test]
fn a_reserved_name_with_a_rule_is_replaced() {
    let companion = companion();
    let rule = json!({"type": "header", "header": "X-Type"});
    let set = json!({"name": "CONTENT_TYPE", "value": "x", "injection": rule});
    assert_eq!(companion.admin("POST", SECRETS, Some(&set)).status, 201);
    done(&post(&companion, &json!({"secrets": [entry("CONTENT_TYPE", "y")]})), &[], &["CONTENT_TYPE"], &[]);
    assert_eq!(listed(&companion)[0]["injection"], rule);
}

#[test]
fn damaged_rows_are_a_conflict_and_can_be_pruned() {
    for damage in
        ["sealed = x''", "created_at = created_at + 1", "key_id = x'0000000000000000', sealed = x'01'"]
    {
        let mut companion = companion();
        for name in ["ONE", "TWO"] {
            companion.set("github-mcp", name, "old");
        }
        change(&mut companion, &format!("UPDATE mcp_workspace_secrets SET {damage} WHERE name = 'ONE'"));
        let list = json!({"secrets": [entry("NEW", "x"), entry("ONE", "x")]});
        refused(&companion, &list, 409, &json!([{"index": 1, "name": "ONE", "code": "damaged"}]));
        // With another kind of problem it is one list all the same.
        let both = json!({"secrets": [entry("NEW", ""), entry("ONE", "x")], "prune": true});
        let problems = json!([
            {"index": 0, "name": "NEW", "code": "empty_value"},
            {"index": 1, "name": "ONE", "code": "damaged"},
        ]);
        refused(&companion, &both, 422, &problems);
        let list = json!({"secrets": [entry("TWO", "x")], "prune": true});
        done(&post(&companion, &list), &[], &["TWO"], &["ONE"]);
        done(&post(&companion, &json!({"secrets": [entry("ONE", "x")]})), &["ONE"], &[], &[]);
    }
}

#[test]
fn a_dry_run_answers_the_same_and_changes_nothing() {
    let mut companion = companion();
    for name in ["STAYS", "GOES"] {
        companion.set("github-mcp", name, "old");
    }
    let dump = |companion: &mut Companion| {
        companion.stop();
        let connection = companion.sqlite();
        let mut statement = connection
            .prepare("SELECT name || version || updated_at || hex(sealed) || hex(row_mac) FROM mcp_workspace_secrets ORDER BY name")
            .unwrap();
        let rows: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        drop(statement);
        drop(connection);
        companion.restart();
        rows
    };
    let before = dump(&mut companion);
    let mut list =
        json!({"secrets": [entry("NEW", "x"), entry("STAYS", "x")], "prune": true, "dry_run": true});
    done(&post(&companion, &list), &["NEW"], &["STAYS"], &["GOES"]);
    assert_eq!(dump(&mut companion), before);
    // Nothing is left behind that would be in the way of the real one.
    list["dry_run"] = json!(false);
    done(&post(&companion, &list), &["NEW"], &["STAYS"], &["GOES"]);
    assert_ne!(dump(&mut companion), before);
}

#[test]
fn an_empty_list_deletes_all_or_is_refused() {
    let companion = companion();
    companion.set("github-mcp", "A", "x");
    companion.set("github-mcp", "B", "x");
    for body in [json!({"secrets": []}), json!({"secrets": [], "dry_run": true})] {
        let error = post(&companion, &body).expect_error(422, "invalid_value");
        assert_eq!(error["message"], "the list is empty; nothing was changed");
    }
    done(&post(&companion, &json!({"secrets": [], "prune": true, "dry_run": true})), &[], &[], &["A", "B"]);
    assert_eq!(listed(&companion).as_array().unwrap().len(), 2);
    done(&post(&companion, &json!({"secrets": [], "prune": true})), &[], &[], &["A", "B"]);
    done(&post(&companion, &json!({"secrets": [], "prune": true})), &[], &[], &[]);
}

#[test]
fn a_thousand_secrets_with_an_iv_each_and_not_one_more() {
    let mut companion = companion();
    let list = |count: usize| {
        let secrets: Vec<Value> = (0..count).map(|number| entry(&format!("N{number:04}"), "same")).collect();
        json!({"secrets": secrets})
    };
    let error = post(&companion, &list(1_001)).expect_error(422, "invalid_value");
    assert!(error["message"].as_str().unwrap().contains("more than 1000 secrets"), "{error}");
    let answer = post(&companion, &list(1_000)).json();
    assert_eq!(answer["created"].as_array().unwrap().len(), 1_000);
    companion.stop();
    let distinct = "SELECT count(DISTINCT iv) + count(DISTINCT id) FROM mcp_workspace_secrets";
    let count: i64 = companion.sqlite().query_row(distinct, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2_000);
}

#[test]
fn sixteen_mebibytes_are_read_and_one_byte_more_is_refused() {
    let companion = companion();
    let authorization = format!("Bearer {}", companion.api_key);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let send = |size: usize| {
        let mut body = json!({"secrets": [entry("A", "x")]}).to_string().into_bytes();
        body.resize(size, b' ');
        crate::harness::request(companion.address, "POST", BATCH, &headers, &body)
    };
    done(&send(16 << 20), &["A"], &[], &[]);
    let error = send((16 << 20) + 1).expect_error(413, "too_large");
    assert_eq!(error["message"], "the body is over 16 MiB");
    // A thousand values of the greatest length fit.
    let longest = "x".repeat(16_384);
    let secrets: Vec<Value> = (0..1_000).map(|number| entry(&format!("N{number}"), &longest)).collect();
    assert_eq!(post(&companion, &json!({"secrets": secrets})).status, 200);
    // Another method at the same address has the limit of all others.
    let body = vec![b' '; (1 << 20) + 1];
    crate::harness::request(companion.address, "DELETE", BATCH, &headers, &body)
        .expect_error(413, "too_large");
}

/// A legal name that is also a word of an address.
#[test]
fn a_secret_may_be_called_batch() {
    let companion = companion();
    companion.set("github-mcp", "batch", "x");
    assert_eq!(companion.inject("github-mcp", "batch", &json!({"type": "bearer"})).status, 200);
    done(&post(&companion, &json!({"secrets": [entry("batch", "y")]})), &[], &["batch"], &[]);
    assert_eq!(companion.admin("DELETE", BATCH, None).status, 204);
    companion.admin("DELETE", BATCH, None).expect_error(404, "not_found");
    companion.admin("GET", BATCH, None).expect_error(404, "not_found");
}

#[test]
fn unknown_servers_workspaces_and_keys() {
    let companion = companion();
    let list = json!({"secrets": [entry("A", "x")]});
    let other = BATCH.replace("github-mcp", "githb-mcp");
    let error = companion.admin("POST", &other, Some(&list)).expect_error(404, "not_found");
    assert_eq!(error["hint"], "did you mean 'github-mcp'?");
    companion.admin("POST", &format!("{BATCH}?workspace=nope"), Some(&list)).expect_error(404, "not_found");
    let stranger = [("Authorization", "Bearer ak_canary")];
    let answer =
        crate::harness::request(companion.address, "POST", BATCH, &stranger, list.to_string().as_bytes());
    answer.expect_error(401, "unauthorized");
    assert_eq!(listed(&companion), json!([]));
}

/// `?dry_run=true` belongs into the body; as a parameter it must not look as if it were obeyed.
#[test]
fn a_parameter_that_is_not_known_changes_nothing() {
    let companion = companion();
    let body = json!({"secrets": [entry("A_TOKEN", "canary")]});
    let secrets = "/api/v1/admin/mcp-servers/github-mcp/secrets";
    let set = entry("A_TOKEN", "canary");
    for (method, path, body) in [
        ("POST", format!("{BATCH}?dry_run=true"), Some(&body)),
        ("POST", format!("{BATCH}?workspace=default&prune"), Some(&body)),
        ("POST", format!("{secrets}?must_exist=true"), Some(&set)),
        ("GET", format!("{secrets}?canary"), None),
        ("DELETE", format!("{secrets}?dry_run=true"), None),
        ("DELETE", "/api/v1/admin/mcp-servers/github-mcp?dry_run=1".to_owned(), None),
        ("POST", "/api/v1/admin/workspaces?workspace=default".to_owned(), Some(&json!({"name": "Team"}))),
        ("GET", "/api/v1/admin/workspaces/default/tokens?x=1".to_owned(), None),
        ("DELETE", "/api/v1/admin/workspaces/default?dry_run=true".to_owned(), None),
    ] {
        let answer = companion.admin(method, &path, body);
        let error = answer.expect_error(400, "invalid_request");
        assert!(
            error["message"].as_str().unwrap().contains("a parameter that this address"),
            "{path}: {error}"
        );
        assert!(!answer.whole().contains("canary"), "{}", answer.text());
    }
    assert_eq!(listed(&companion), json!([]));
    let workspaces = companion.admin("GET", "/api/v1/admin/workspaces", None).json();
    assert_eq!(workspaces["workspaces"].as_array().unwrap().len(), 1);
    assert_eq!(companion.admin("POST", &format!("{BATCH}?workspace=default"), Some(&body)).status, 200);
}
