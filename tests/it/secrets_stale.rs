//! `secrets list --stale`: what was not rotated for so long, and exit 6 for a CI job that
//! wants to know.

use serde_json::{Value, json};

use crate::harness::upstream::{Received, json_answer};
use crate::harness::{Companion, Ended, Upstream, aerostack, cli};

/// An RFC 3339 time of so many days ago.
fn ago(days: i64) -> String {
    let seconds = jiff::Timestamp::now().as_second() - days * 86_400;
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

fn secret(name: &str, days: i64) -> Value {
    let (created_at, updated_at) = (ago(9_000), ago(days));
    json!({"name": name, "injection": {"type": "name"}, "created_at": created_at, "updated_at": updated_at,
        "version": 3})
}

/// An API with two servers whose secrets have ages, and one without secrets.
fn api() -> Upstream {
    Upstream::start(|request: &Received| {
        let head = request.head_text();
        if head.contains("/github-mcp/") {
            return json_answer(
                &json!({"secrets": [secret("FRESH", 1), secret("OLD", 91), secret("EVEN", 90)]}),
            );
        }
        if head.contains("/slack-mcp/") {
            return json_answer(&json!({"secrets": [secret("SLACK", 89)]}));
        }
        let server = |slug: &str, count: u32| {
            json!({"slug": slug, "name": slug, "url": "https://a.example/", "enabled": true,
                "allow_private_network": false, "secret_count": count, "inject_secrets": {}, "created_at": ago(1), "updated_at": ago(1)})
        };
        let servers = [server("empty-mcp", 0), server("github-mcp", 3), server("slack-mcp", 1)];
        json_answer(&json!({"servers": servers}))
    })
}

fn list(api: &Upstream, options: &[&str]) -> Ended {
    let run = aerostack(&[&["secrets", "list"], options].concat());
    run.env("AEROSTACK_API_URL", format!("http://{}", api.address)).env("AEROSTACK_API_KEY", "ak_x").run()
}

fn day(days: i64) -> String {
    ago(days)[..10].to_owned()
}

#[test]
fn of_one_server() {
    let api = api();
    let table = format!(
        "SECRET NAME   INJECTION    LAST UPDATED\nOLD           OLD          {}\nEVEN          EVEN         {}\n",
        day(91),
        day(90)
    );
    assert_eq!(list(&api, &["github-mcp", "--stale", "90d"]).prints(&table).err, "");
    for same in ["2160h", "129600m", "7776000s"] {
        list(&api, &["github-mcp", "--stale", same]).prints(&table);
    }
    let ended = list(&api, &["github-mcp", "--stale", "14w"]).prints("");
    assert_eq!(ended.err, "No secret of github-mcp is older than 14w.\n");
    let document = list(&api, &["github-mcp", "--stale", "91d", "--json", "--fields", "name"]).document();
    assert_eq!(document, json!({"secrets": [{"name": "OLD"}]}));
}

#[test]
fn of_all_servers() {
    let api = api();
    let ended = list(&api, &["--stale", "90d"]).expect(0);
    assert!(
        ended.out.starts_with("github-mcp\nSECRET NAME ") && !ended.out.contains("slack"),
        "{}",
        ended.out
    );
    assert_eq!((ended.out.lines().count(), ended.err.as_str()), (4, ""));
    let ended = list(&api, &["--stale", "80d"]).expect(0);
    assert!(ended.out.contains("\n\nslack-mcp\nSECRET NAME "), "{}", ended.out);
    let ended = list(&api, &["--stale", "1000w", "--fail"]).prints("");
    assert_eq!(ended.err, "No secret in the workspace default is older than 1000w.\n");
    let document = list(&api, &["--stale", "91d", "--json"]).document();
    assert_eq!(document["servers"].as_array().unwrap().len(), 1);
    assert_eq!(document["servers"][0]["secrets"][0]["name"], "OLD");
}

#[test]
fn with_fail_it_ends_with_6_if_there_is_any() {
    let api = api();
    let ended = list(&api, &["--stale", "90d", "--fail"]).expect(6);
    assert!(ended.out.contains("OLD") && ended.out.contains("EVEN"), "the list is printed: {}", ended.out);
    let hint = "hint: set a new value with: aerostack secrets rotate <mcp-slug> <NAME>";
    assert_eq!(ended.err, format!("error: 2 secrets were not set for 90d\n{hint}\n"));
    let ended = list(&api, &["github-mcp", "--stale", "91d", "--fail", "--json"]).expect(6);
    let data: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(data["secrets"].as_array().unwrap().len(), 1);
    let error: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["message"]),
        (&json!("conflict"), &json!("1 secret was not set for 91d"))
    );
    list(&api, &["slack-mcp", "--stale", "90d", "--fail"]).expect(0);
    list(&api, &["github-mcp", "--fail"]).expect(2);
    for bad in ["--stale=", "--stale=90", "--stale=d", "--stale=-1d", "--stale=90x", "--stale=1.5d"] {
        let ended = list(&api, &[bad]).expect(2);
        assert!(ended.err.contains("a number and one of s, m, h, d, w"), "{}", ended.err);
    }
}

/// With the real server, whose dates nobody can set.
#[test]
fn a_fresh_secret_is_not_stale_until_it_is() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion.set("github-mcp", "TOKEN", "x");
    cli(&companion, &["secrets", "list", "--stale", "1h", "--fail"]).prints("");
    cli(&companion, &["secrets", "list", "--stale", "0s", "--fail"]).expect(6);
    companion.add_server("other-mcp", "https://other.example/");
    let ended = cli(&companion, &["secrets", "list", "other-mcp", "--stale", "0s", "--fail"]).prints("");
    assert_eq!(ended.err, "No secrets for other-mcp.\n");
}
