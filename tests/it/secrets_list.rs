//! `secrets list`: of one server and of all, as a table and as JSON; names and rules,
//! never values.

use serde_json::{Value, json};

use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::{Companion, aerostack, cli};

const CANARY: &str = "canary-list-7e11";

/// Two servers with secrets, one without.
fn companion() -> Companion {
    let companion = Companion::start();
    for slug in ["github-mcp", "slack-mcp", "empty-mcp"] {
        companion.add_server(slug, &format!("https://{slug}.example/mcp"));
    }
    // Not in the order of the alphabet.
    for name in ["WEBHOOK_SECRET", "A", "GITHUB_TOKEN"] {
        companion.set("github-mcp", name, &format!("{CANARY}-{name}"));
    }
    companion.set("slack-mcp", "SLACK_TOKEN", CANARY);
    assert_eq!(companion.inject("slack-mcp", "SLACK_TOKEN", &json!({"type": "bearer"})).status, 200);
    let rule = json!({"type": "header", "header": "X-Webhook-Secret", "prefix": "v1="});
    assert_eq!(companion.inject("github-mcp", "WEBHOOK_SECRET", &rule).status, 200);
    companion
}

fn today() -> String {
    jiff::Timestamp::now().to_string()[..10].to_owned()
}

#[test]
fn by_name_with_the_header_that_is_sent() {
    let (companion, today) = (companion(), today());
    let ended = cli(&companion, &["secrets", "list", "github-mcp"]).prints(&format!(
        "SECRET NAME      INJECTION           LAST UPDATED\n\
         A                A                   {today}\n\
         GITHUB_TOKEN     GITHUB_TOKEN        {today}\n\
         WEBHOOK_SECRET   X-Webhook-Secret    {today}\n"
    ));
    assert_eq!(ended.err, "");
}

#[test]
fn all_servers_of_the_workspace() {
    let (companion, today) = (companion(), today());
    let ended = cli(&companion, &["secrets", "list"]).prints(&format!(
        "github-mcp\n\
         SECRET NAME      INJECTION           LAST UPDATED\n\
         A                A                   {today}\n\
         GITHUB_TOKEN     GITHUB_TOKEN        {today}\n\
         WEBHOOK_SECRET   X-Webhook-Secret    {today}\n\
         \n\
         slack-mcp\n\
         SECRET NAME   INJECTION                 LAST UPDATED\n\
         SLACK_TOKEN   Authorization (Bearer)    {today}\n"
    ));
    assert_eq!(ended.err, "No secrets for empty-mcp.\n");
    let quiet = cli(&companion, &["-q", "secrets", "list"]);
    assert_eq!(quiet.expect(0).err, "");
}

#[test]
fn nothing_there() {
    let companion = Companion::start();
    let ended = cli(&companion, &["secrets", "list"]).prints("");
    assert_eq!(ended.err, "No MCP servers in the workspace default.\n");
    assert_eq!(cli(&companion, &["secrets", "list", "--json"]).document(), json!({"servers": []}));
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    let ended = cli(&companion, &["secrets", "list", "github-mcp"]).prints("");
    assert_eq!(ended.err, "No secrets for github-mcp.\n");
    let document = cli(&companion, &["secrets", "list", "github-mcp", "--json"]).document();
    assert_eq!(document, json!({"secrets": []}));
}

#[test]
fn json_is_the_document_of_the_api() {
    let companion = companion();
    let by_api = companion.admin("GET", "/api/v1/admin/mcp-servers/github-mcp/secrets", None);
    let by_cli = cli(&companion, &["secrets", "list", "github-mcp", "--json"]).document();
    assert_eq!((by_api.status, by_api.json()), (200, by_cli.clone()));
    let names: Vec<_> = by_cli["secrets"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["A", "GITHUB_TOKEN", "WEBHOOK_SECRET"]);
    for secret in by_cli["secrets"].as_array().unwrap() {
        let members: Vec<_> = secret.as_object().unwrap().keys().collect();
        assert_eq!(members, ["created_at", "injection", "name", "updated_at", "version"]);
    }
    assert_eq!(
        by_cli["secrets"][2]["injection"],
        json!({"type": "header", "header": "X-Webhook-Secret", "prefix": "v1="})
    );
    let all = cli(&companion, &["secrets", "list", "--json"]).document();
    let slugs: Vec<_> = all["servers"].as_array().unwrap().iter().map(|one| &one["slug"]).collect();
    assert_eq!(slugs, ["empty-mcp", "github-mcp", "slack-mcp"]);
    assert_eq!(all["servers"][1]["secrets"], by_cli["secrets"]);
}

#[test]
fn chosen_fields() {
    let companion = companion();
    let list = |options: &[&str]| cli(&companion, &[&["secrets", "list"], options].concat());
    list(&["slack-mcp", "--json", "--fields", "name,version"])
        .prints("{\"secrets\":[{\"name\":\"SLACK_TOKEN\",\"version\":1}]}\n");
    list(&["--json", "--fields", "slug"]).prints(
        "{\"servers\":[{\"slug\":\"empty-mcp\"},{\"slug\":\"github-mcp\"},{\"slug\":\"slack-mcp\"}]}\n",
    );
    // Fields of the secrets: the groups keep their slugs.
    let secret = |name: &str| json!({"name": name, "version": 1});
    let secrets = |names: &[&str]| names.iter().map(|name| secret(name)).collect::<Vec<_>>();
    let github = secrets(&["A", "GITHUB_TOKEN", "WEBHOOK_SECRET"]);
    let groups = |first: &[Value]| {
        let rest = [
            json!({"slug": "github-mcp", "secrets": github}),
            json!({"slug": "slack-mcp", "secrets": secrets(&["SLACK_TOKEN"])}),
        ];
        json!({"servers": ([first, &rest].concat())})
    };
    let empty = json!({"slug": "empty-mcp", "secrets": []});
    for fields in ["name,version", "slug,version,name", "name,version,damaged"] {
        assert_eq!(
            list(&["--json", "--fields", fields]).document(),
            groups(std::slice::from_ref(&empty)),
            "{fields}"
        );
    }
    let stale = list(&["--stale", "0s", "--json", "--fields", "name,version"]).document();
    assert_eq!(stale, groups(&[]));
    let whole = list(&["--json"]).document();
    assert_eq!(list(&["--json", "--fields", "secrets,slug"]).document(), whole);
    let ended = list(&["--json", "--fields", "name,value"]).expect(2);
    assert!(
        ended.error_document()["hint"].as_str().unwrap().starts_with("the fields are: slug, secrets, name")
    );
    let ended = list(&["slack-mcp", "--json", "--fields", "name,value"]).expect(2);
    let hint = &ended.error_document()["hint"];
    assert_eq!(hint, "the fields are: name, injection, created_at, updated_at, version, damaged");
    let ended = list(&["slack-mcp", "--fields", "name"]).expect(2);
    assert!(ended.err.contains("--fields works with --json only"), "{}", ended.err);
    let ended = cli(&companion, &["secrets", "set", "slack-mcp", "A", "x", "--json", "--fields", "name"]);
    ended.expect(2).error_document();
}

#[test]
fn no_list_holds_a_value() {
    let companion = companion();
    let servers = "/api/v1/admin/mcp-servers";
    for path in
        [servers, "/api/v1/admin/mcp-servers/github-mcp", "/api/v1/admin/mcp-servers/github-mcp/secrets"]
    {
        let answer = companion.admin("GET", path, None);
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("canary"), "{path}");
        assert!(!answer.headers.iter().any(|(_, value)| value.contains("canary")), "{path}");
    }
    // There is no route for a single secret, with or without its value.
    for path in ["/api/v1/admin/mcp-servers/slack-mcp/secrets/SLACK_TOKEN", "/api/v1/admin/secrets"] {
        assert_eq!(companion.admin("GET", path, None).status, 404, "{path}");
    }
    let arguments: [&[&str]; 4] = [
        &["secrets", "list"],
        &["secrets", "list", "github-mcp", "-v"],
        &["secrets", "list", "--json"],
        &["mcp", "list", "--json"],
    ];
    for arguments in arguments {
        let ended = cli(&companion, arguments).expect(0);
        assert!(!ended.both().contains("canary"), "{arguments:?}");
    }
}

#[test]
fn unknown_servers_and_workspaces() {
    let companion = companion();
    let ended = cli(&companion, &["secrets", "list", "github"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'github-mcp'?\n") && ended.out.is_empty());
    let ended = cli(&companion, &["secrets", "list", "github", "--json"]).expect(3);
    let error = ended.error_document();
    assert_eq!(error["hint"], "did you mean 'github-mcp'?");
    assert_eq!(error["request_id"].as_str().map(str::len), Some(32));
    cli(&companion, &["secrets", "list", "-w", "defaul"]).expect(3);
    cli(&companion, &["secrets", "list", "Not_A_Slug"]).expect(2);
    let answer = companion.admin("GET", "/api/v1/admin/mcp-servers/github-mcp/secrets?workspace=zzz", None);
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "not_found"));
    let twice = "/api/v1/admin/mcp-servers/github-mcp/secrets?workspace=default&workspace=default";
    assert_eq!(companion.admin("GET", twice, None).status, 400);
}

#[test]
fn verbose_shows_requests_and_no_key() {
    let companion = companion();
    let ended = aerostack(&["-v", "secrets", "list", "slack-mcp"]).against(&companion).run().expect(0);
    let line = ended.err.lines().next().unwrap();
    assert!(line.starts_with("GET /api/v1/admin/mcp-servers/slack-mcp/secrets 200 "), "{line}");
    assert!(!ended.both().contains(&companion.api_key));
    assert!(!ended.out.contains("GET"), "stdout is data");
}

#[test]
fn server_list_names_the_rules() {
    let companion = companion();
    let answer = companion.admin("GET", "/api/v1/admin/mcp-servers", None).json();
    let rules = |index: usize| -> &Value { &answer["servers"][index]["inject_secrets"] };
    assert_eq!(rules(0), &json!({}));
    assert_eq!(rules(2), &json!({"SLACK_TOKEN": {"type": "bearer"}}));
    assert_eq!(rules(1).as_object().unwrap().len(), 3);
    assert_eq!(answer["servers"][1]["secret_count"], 3);
}

#[test]
fn ages_are_for_people_only() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion.set("github-mcp", "GITHUB_TOKEN", "x");
    for arguments in [&["secrets", "list", "github-mcp"][..], &["secrets", "list"]] {
        let terminal = PseudoTerminal::spawn(aerostack(arguments).against(&companion));
        let (code, shown) = terminal.end();
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains(" (just now)\r\n"), "{shown}");
        let piped = cli(&companion, arguments).expect(0).out;
        assert!(!piped.contains("just now"), "{piped}");
    }
    // JSON is the same on a terminal and in a pipe.
    let json = ["secrets", "list", "github-mcp", "--json"];
    let (_, shown) = PseudoTerminal::spawn(aerostack(&json).against(&companion)).end();
    assert_eq!(shown.replace("\r\n", "\n"), cli(&companion, &json).expect(0).out);
}
