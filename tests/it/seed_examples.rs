//! The examples of the source document, typed into a shell against `aerostack mock`, and
//! what it says they print.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Companion, Mock, SHORT_VALUE, cli};

/// A mock with the servers that the document names.
fn mock() -> Mock {
    let mock = Mock::start();
    for slug in ["github-mcp", "stripe-mcp", "slack-mcp", "postgres-mcp", "openai-mcp", "my-api"] {
        mock.shell(&format!("aerostack mcp add {slug} --url https://{slug}.example/mcp"))
            .prints(&format!("MCP server added: {slug}\n"));
    }
    mock
}

const CREATED: &str = "Secret created. Takes effect on next tool call.\n";
const UPDATED: &str = "Secret updated. Takes effect on next tool call.\n";

fn today() -> String {
    jiff::Timestamp::now().to_string()[..10].to_owned()
}

#[test]
fn sourcing_the_file_is_all_the_set_up() {
    let mock = mock();
    let mode = mock.env_file.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the file holds an API key");
    mock.shell("aerostack secrets list demo-mcp").prints("");
    mock.shell("aerostack workspace list --json --fields slug")
        .prints("{\"workspaces\":[{\"slug\":\"default\"}]}\n");
}

#[test]
fn setting_secrets_of_three_servers() {
    let mock = mock();
    let example = r#"
        aerostack secrets set github-mcp GITHUB_TOKEN "ghp_xxx"     # Only sent to github-mcp
        aerostack secrets set stripe-mcp STRIPE_KEY "sk_live_xxx"    # Only sent to stripe-mcp
        aerostack secrets set slack-mcp  SLACK_TOKEN "xoxb-xxx"      # Only sent to slack-mcp
    "#;
    let ended = mock.shell(example).prints(&CREATED.repeat(3));
    // The first one, "ghp_xxx", is very short.
    assert_eq!(ended.err, SHORT_VALUE, "nothing else is said beside the results");
    let example = r#"
        aerostack secrets set github-mcp GITHUB_TOKEN "ghp_xxxxxxxxxxxx"
        aerostack secrets set postgres-mcp DATABASE_URL "postgres://user:pass@host:5432/db"
        aerostack secrets set openai-mcp OPENAI_API_KEY "sk-proj-xxxxxxxxxxxx"
    "#;
    mock.shell(example).prints(&format!("{UPDATED}{CREATED}{CREATED}"));
    for (slug, name) in
        [("github-mcp", "GITHUB_TOKEN"), ("stripe-mcp", "STRIPE_KEY"), ("slack-mcp", "SLACK_TOKEN")]
    {
        let list = mock.shell(&format!("aerostack secrets list {slug} --json --fields name"));
        list.prints(&format!("{{\"secrets\":[{{\"name\":\"{name}\"}}]}}\n"));
    }
}

#[test]
fn choosing_how_a_secret_is_injected() {
    let mock = mock();
    mock.shell("aerostack secrets set github-mcp GITHUB_TOKEN ghp_xxx").prints(CREATED);
    mock.shell("aerostack secrets set my-api API_KEY sk-xxx").prints(CREATED);
    mock.shell(r#"aerostack secrets inject github-mcp GITHUB_TOKEN --header "Authorization""#)
        .prints("Injected as: Authorization: ****\n");
    mock.shell(r#"aerostack secrets inject my-api API_KEY --header "X-API-Key""#)
        .prints("Injected as: X-API-Key: ****\n");
    mock.shell("aerostack secrets inject github-mcp GITHUB_TOKEN --bearer")
        .prints("Injected as: Authorization: Bearer ****\n");
    let today = today();
    mock.shell("aerostack secrets list github-mcp").prints(&format!(
        "SECRET NAME    INJECTION                 LAST UPDATED\n\
         GITHUB_TOKEN   Authorization (Bearer)    {today}\n"
    ));
    mock.shell("aerostack secrets list my-api").prints(&format!(
        "SECRET NAME   INJECTION    LAST UPDATED\n\
         API_KEY       X-API-Key    {today}\n"
    ));
}

#[test]
fn the_list_of_the_document_byte_for_byte() {
    let mut companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion.set("github-mcp", "GITHUB_TOKEN", "ghp_xxx");
    companion.set("github-mcp", "WEBHOOK_SECRET", "whsec_xxx");
    for (name, header) in [("GITHUB_TOKEN", "Authorization"), ("WEBHOOK_SECRET", "X-Webhook-Secret")] {
        let rule = json!({"type": "header", "header": header});
        assert_eq!(companion.inject("github-mcp", name, &rule).status, 200);
    }
    companion.stop();
    let day = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let (sql, connection) =
        ("UPDATE mcp_workspace_secrets SET updated_at = ?1 WHERE name = ?2", companion.sqlite());
    // The last and the first millisecond of a day in UTC.
    connection.execute(sql, (day("2026-03-15T23:59:59.999Z"), "GITHUB_TOKEN")).unwrap();
    connection.execute(sql, (day("2026-03-10T00:00:00Z"), "WEBHOOK_SECRET")).unwrap();
    drop(connection);
    companion.restart();
    let ended = cli(&companion, &["secrets", "list", "github-mcp"]).prints(
        "SECRET NAME      INJECTION           LAST UPDATED\n\
         GITHUB_TOKEN     Authorization       2026-03-15\n\
         WEBHOOK_SECRET   X-Webhook-Secret    2026-03-10\n",
    );
    assert_eq!(ended.err, "");
}

#[test]
fn rotating_is_one_command() {
    let mock = mock();
    mock.shell("aerostack secrets set github-mcp GITHUB_TOKEN ghp_old").prints(CREATED);
    mock.shell(r#"aerostack secrets set github-mcp GITHUB_TOKEN "ghp_new_token_here""#)
        .prints("Secret updated. Takes effect on next tool call.\n");
}

#[test]
fn deleting_one_secret_and_all_of_a_server() {
    let mock = mock();
    for name in ["GITHUB_TOKEN", "B_SECRET", "A_SECRET"] {
        mock.shell(&format!("aerostack secrets set github-mcp {name} value-of-{name}")).prints(CREATED);
    }
    mock.shell("aerostack secrets set stripe-mcp STRIPE_KEY sk_live_xxx").prints(CREATED);
    mock.shell("aerostack secrets delete github-mcp GITHUB_TOKEN --yes")
        .prints("Deleted GITHUB_TOKEN from github-mcp. No longer sent from the next tool call.\n");
    mock.shell("aerostack secrets delete github-mcp --all --yes").prints(
        "Deleted A_SECRET from github-mcp. No longer sent from the next tool call.\n\
         Deleted B_SECRET from github-mcp. No longer sent from the next tool call.\n",
    );
    let ended = mock.shell("aerostack secrets list github-mcp").prints("");
    assert_eq!(ended.err, "No secrets for github-mcp.\n");
    mock.shell("aerostack secrets list stripe-mcp --json --fields name")
        .prints("{\"secrets\":[{\"name\":\"STRIPE_KEY\"}]}\n");
}

/// The document's own line, with the mock's address and key in the place of the hosted ones.
#[test]
fn the_curl_line_of_the_document() {
    let mock = mock();
    let ended = mock.shell(
        r#"curl -sS -w '\n%{http_code}' -X POST $AEROSTACK_API_URL/api/v1/admin/mcp-servers/github-mcp/secrets \
             -H "Authorization: Bearer $AEROSTACK_API_KEY" \
             -H "Content-Type: application/json" \
             -d '{"name": "GITHUB_TOKEN", "value": "ghp_xxxxxxxxxxxx"}'"#,
    );
    let ended = ended.expect(0);
    let (body, status) = ended.out.rsplit_once('\n').unwrap();
    let answer: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((status, answer["status"].as_str()), ("201", Some("created")), "{body}");
    assert_eq!(answer["secret"]["name"], "GITHUB_TOKEN");
    assert!(!ended.out.contains("ghp_"), "an answer never holds a value");
    mock.shell("aerostack secrets list github-mcp").prints(&format!(
        "SECRET NAME    INJECTION       LAST UPDATED\n\
         GITHUB_TOKEN   GITHUB_TOKEN    {}\n",
        today()
    ));
}

#[test]
fn curl_with_the_key_in_its_own_header() {
    let mock = mock();
    let ended = mock.shell(
        r#"curl -sS -o /dev/null -w '%{http_code}' -X POST $AEROSTACK_API_URL/api/v1/admin/mcp-servers/my-api/secrets \
             -H "X-API-Key: $AEROSTACK_API_KEY" -d '{"name": "API_KEY", "value": "sk-xxx"}' \
             -H "Content-Type: application/json""#,
    );
    assert_eq!(ended.expect(0).out, "201");
    mock.shell("aerostack secrets list my-api --json --fields name")
        .prints("{\"secrets\":[{\"name\":\"API_KEY\"}]}\n");
}
