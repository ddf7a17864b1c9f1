//! `secrets set` with a rule in the same step, and only if the secret is there or is not.

use serde_json::{Value, json};

use crate::harness::{Companion, Ended, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";
const CREATED: &str = "Secret created. Takes effect on next tool call.\n";
const UPDATED: &str = "Secret updated. Takes effect on next tool call.\n";

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion
}

fn set(companion: &Companion, name: &str, options: &[&str]) -> Ended {
    cli(companion, &[&["secrets", "set", "github-mcp", name, "the canary"], options].concat())
}

fn secrets(companion: &Companion) -> Vec<Value> {
    companion.admin("GET", SECRETS, None).json()["secrets"].as_array().unwrap().clone()
}

#[test]
fn the_rule_comes_with_the_value_in_one_request() {
    let companion = companion();
    let forms: [(&[&str], &str, Value); 5] = [
        (&["--bearer"], "Authorization: Bearer ****", json!({"type": "bearer"})),
        (&["--header", "X-API-Key"], "X-API-Key: ****", json!({"type": "header", "header": "X-API-Key"})),
        (
            &["--header", "Authorization", "--prefix", "Token "],
            "Authorization: Token ****",
            json!({"type": "header", "header": "Authorization", "prefix": "Token "}),
        ),
        (
            &["--mcp-secret"],
            "X-Mcp-Secret-TOKEN: ****",
            json!({"type": "header", "header": "X-Mcp-Secret-TOKEN"}),
        ),
        (&["--by-name"], "TOKEN: ****", json!({"type": "name"})),
    ];
    let mut expected = CREATED;
    for (options, told, rule) in forms {
        let ended = set(&companion, "TOKEN", options).prints(&format!("{expected}Injected as: {told}\n"));
        assert_eq!(ended.err, "");
        assert_eq!(secrets(&companion)[0]["injection"], rule);
        expected = UPDATED;
    }
    // Without one, the secret keeps the one it has, and it is not talked about.
    set(&companion, "TOKEN", &["--bearer"]).expect(0);
    set(&companion, "TOKEN", &[]).prints(UPDATED);
    assert_eq!(secrets(&companion)[0]["injection"], json!({"type": "bearer"}));
    let document = set(&companion, "TOKEN", &["--by-name", "--json"]).document();
    assert_eq!(document, json!({"status": "updated", "secret": secrets(&companion)[0]}));
}

#[test]
fn one_request_is_all_it_takes() {
    let api = Upstream::start(|request| {
        let body = request.json();
        let time = "2026-03-15T10:00:00Z";
        let (name, injection) = (&body["name"], &body["injection"]);
        crate::harness::upstream::json_answer(&json!({"status": "created", "secret": {"name": name,
            "injection": injection, "created_at": time, "updated_at": time, "version": 1}}))
    });
    let run = |options: &[&str]| {
        let run = aerostack(&[&["secrets", "set", "raw", "TOKEN", "x"], options].concat());
        let url = format!("http://{}", api.address);
        run.env("AEROSTACK_API_URL", url).env("AEROSTACK_API_KEY", "ak_x").run().expect(0);
        api.received().pop().unwrap().json()
    };
    let rule = json!({"type": "bearer"});
    let body = run(&["--bearer", "--must-not-exist"]);
    assert_eq!(body, json!({"name": "TOKEN", "value": "x", "injection": rule, "must_not_exist": true}));
    let body = run(&["--by-name", "--must-exist"]);
    let rule = json!({"type": "name"});
    assert_eq!(body, json!({"name": "TOKEN", "value": "x", "injection": rule, "must_exist": true}));
    assert_eq!(api.received().len(), 2);
}

#[test]
fn a_name_that_is_no_header_can_be_set_with_a_rule() {
    let companion = companion();
    set(&companion, "COOKIE", &[]).expect(2);
    set(&companion, "COOKIE", &["--by-name"]).expect(2);
    assert!(secrets(&companion).is_empty());
    set(&companion, "COOKIE", &["--mcp-secret"]).expect(0);
    assert_eq!(secrets(&companion).len(), 1);
}

#[test]
fn a_bad_rule_stores_no_value() {
    let companion = companion();
    let bad: [&[&str]; 8] = [
        &["--header", "Host"],
        &["--header", "X Y"],
        &["--header", ""],
        &["--header", "X-A", "--prefix", " x"],
        &["--prefix", "Token "],
        &["--bearer", "--prefix", "Token "],
        &["--bearer", "--mcp-secret"],
        &["--header", "X-A", "--by-name"],
    ];
    for options in bad {
        let ended = set(&companion, "TOKEN", options).expect(2);
        assert!(ended.out.is_empty() && !ended.err.contains("canary"), "{options:?}: {}", ended.err);
    }
    // Another secret has that header.
    set(&companion, "FIRST", &["--bearer"]).expect(0);
    set(&companion, "SECOND", &["--header", "authorization"]).expect(6);
    assert_eq!(secrets(&companion).len(), 1);
}

#[test]
fn only_if_it_is_there_or_is_not() {
    let companion = companion();
    let ended = set(&companion, "TOKEN", &["--must-exist"]).expect(3);
    assert!(ended.err.starts_with("error: no such secret on 'github-mcp'\n"), "{}", ended.err);
    assert!(secrets(&companion).is_empty());
    set(&companion, "TOKEN", &["--must-not-exist"]).prints(CREATED);
    let ended = set(&companion, "TOKEN", &["--must-not-exist"]).expect(6);
    assert!(
        ended.err.starts_with("error: the secret TOKEN exists already; it was not changed\n"),
        "{}",
        ended.err
    );
    assert!(
        ended.err.contains("hint: to replace its value use: aerostack secrets rotate\n"),
        "{}",
        ended.err
    );
    let error = set(&companion, "TOKEN", &["--must-not-exist", "--json"]).expect(6).error_document();
    assert_eq!(error["code"], "conflict");
    set(&companion, "TOKEN", &["--must-exist"]).prints(UPDATED);
    let ended = set(&companion, "TOKN", &["--must-exist"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'TOKEN'?\n"), "{}", ended.err);
    set(&companion, "TOKEN", &["--must-exist", "--must-not-exist"]).expect(2);
    assert_eq!(secrets(&companion)[0]["version"], 2);
}

#[test]
fn one_source_at_a_time() {
    let companion = companion();
    let bad: [&[&str]; 8] = [
        &["x", "--value-file", "f"],
        &["x", "--from-env", "HOME"],
        &["x", "--prompt"],
        &["--value-file", "f", "--from-env", "HOME"],
        &["--value-file", "f", "--prompt"],
        &["--from-env", "HOME", "--prompt"],
        &["--raw", "--trim"],
        &["--base64", "--compact-json"],
    ];
    for options in bad {
        for command in ["set", "rotate"] {
            let arguments = [&["secrets", command, "github-mcp", "TOKEN"], options].concat();
            let ended = cli(&companion, &arguments).expect(2);
            assert!(ended.err.contains(" cannot be used with "), "{options:?}: {}", ended.err);
        }
    }
    assert!(secrets(&companion).is_empty());
}

#[test]
fn no_value_from_the_arguments_where_that_is_forbidden() {
    let companion = companion();
    let run = |arguments: &[&str], value: &str| {
        let run = aerostack(&[&["secrets"], arguments].concat()).against(&companion);
        run.env("AEROSTACK_NO_ARGV_SECRETS", value).env("GIVEN", "x").stdin("canary").run()
    };
    for command in ["set", "rotate"] {
        let ended = run(&[command, "github-mcp", "TOKEN", "canary"], "1").expect(2);
        assert!(ended.err.starts_with("error: AEROSTACK_NO_ARGV_SECRETS is set"), "{}", ended.err);
        assert!(
            ended.err.contains(&format!("aerostack secrets {command} github-mcp TOKEN\n")),
            "{}",
            ended.err
        );
        assert!(!ended.both().contains("canary") && secrets(&companion).is_empty());
    }
    run(&["set", "github-mcp", "TOKEN"], "1").expect(0);
    run(&["set", "github-mcp", "TOKEN", "-"], "1").expect(0);
    run(&["set", "github-mcp", "TOKEN", "--from-env", "GIVEN"], "1").expect(0);
    for off in ["", "0"] {
        run(&["set", "github-mcp", "TOKEN", "canary"], off).expect(0);
    }
}
