//! MCP servers: add, list, update, remove, by the program and by the API; what becomes of
//! secrets when a URL changes; and that the URL is never contacted.

use serde_json::{Value, json};

use crate::harness::{Answer, Companion, Ended, Upstream, aerostack, cli};

const SERVERS: &str = "/api/v1/admin/mcp-servers";
const SERVER: &str = "/api/v1/admin/mcp-servers/github-mcp";
const URL: &str = "https://github-mcp.example/mcp";

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", URL);
    companion
}

fn mcp(companion: &Companion, arguments: &[&str]) -> Ended {
    cli(companion, &[&["mcp"], arguments].concat())
}

fn add(companion: &Companion, body: &Value) -> Answer {
    companion.admin("POST", SERVERS, Some(body))
}

fn patch(companion: &Companion, body: &Value) -> Answer {
    companion.admin("PATCH", SERVER, Some(body))
}

fn show(companion: &Companion) -> Value {
    companion.admin("GET", SERVER, None).json()
}

#[test]
fn added_with_what_was_given() {
    let companion = Companion::start();
    let ended =
        mcp(&companion, &["add", "github-mcp", "--url", URL]).prints("MCP server added: github-mcp\n");
    assert_eq!(ended.err, "");
    let server = show(&companion);
    assert_eq!((&server["name"], &server["url"]), (&json!("github-mcp"), &json!(URL)));
    assert_eq!((&server["enabled"], &server["allow_private_network"]), (&json!(true), &json!(false)));
    assert_eq!((&server["secret_count"], &server["inject_secrets"]), (&json!(0), &json!({})));
    let arguments = ["add", "my-api", "--url", "http://127.0.0.1:3000/mcp", "--name", "My API"];
    let document =
        mcp(&companion, &[&arguments[..], &["--allow-private-network", "--json"]].concat()).document();
    assert_eq!(document, companion.admin("GET", &format!("{SERVERS}/my-api"), None).json());
    assert_eq!((&document["name"], &document["allow_private_network"]), (&json!("My API"), &json!(true)));
    let members: Vec<_> = document.as_object().unwrap().keys().collect();
    let expected = "allow_private_network created_at enabled health inject_secrets name redact_responses secret_count slug updated_at url";
    assert_eq!(members, expected.split(' ').collect::<Vec<_>>());
    let answer = add(&companion, &json!({"slug": "third", "url": "HTTPS://Third.Example:443"}));
    assert_eq!((answer.status, &answer.json()["url"]), (201, &json!("https://third.example/")));
}

#[test]
fn a_slug_is_taken_once_in_a_workspace() {
    let companion = companion();
    let ended = mcp(&companion, &["add", "github-mcp", "--url", "https://other.example/"]).expect(6);
    assert!(ended.err.contains("hint: change it: aerostack mcp update github-mcp"), "{}", ended.err);
    let body = json!({"slug": "github-mcp", "url": "https://other.example/"});
    add(&companion, &body).expect_error(409, "conflict");
    assert_eq!(show(&companion)["url"], URL);
    cli(&companion, &["workspace", "create", "Team A"]).expect(0);
    let in_other = companion.admin("POST", &format!("{SERVERS}?workspace=team-a"), Some(&body));
    assert_eq!(in_other.status, 201);
    assert_eq!(show(&companion)["url"], URL);
}

#[test]
fn slugs_that_are_none() {
    let companion = Companion::start();
    let long = "a".repeat(64);
    for slug in ["", "-a", "A", "a_b", "a__b", "a.b", "a b", "ü", "a/b", "a\n", &long] {
        add(&companion, &json!({"slug": slug, "url": URL})).expect_error(422, "invalid_value");
        mcp(&companion, &["add", "--url", URL, "--", slug]).expect(2);
    }
    for slug in ["a", "0", "a--b", &long[..63]] {
        mcp(&companion, &["add", slug, "--url", URL]).expect(0);
    }
    assert_eq!(companion.admin("GET", SERVERS, None).json()["servers"].as_array().unwrap().len(), 4);
}

#[test]
fn urls_that_are_refused() {
    let companion = companion();
    let long = format!("https://a.example/canary{}", "x".repeat(2048));
    for (url, reason) in [
        ("https://user:canary@a.example/", "user name or password"),
        ("https://canary@a.example/", "user name or password"),
        ("https://@a.example/canary", "user name or password"),
        ("https://a.example/#canary", "fragment"),
        ("https://a.example/#", "fragment"),
        ("ftp://canary.example/", "only http:// and https://"),
        ("file:///etc/canary", "only http:// and https://"),
        ("javascript:canary", "only http:// and https://"),
        ("canary.example/mcp", "not a URL"),
        ("https://a.example/canary\r\nX: y", "not a URL"),
        ("https://a.example/ canary", "not a URL"),
        ("https://", "not a URL"),
        ("", "not a URL"),
        (&long, "not a URL"),
    ] {
        let refusals =
            [add(&companion, &json!({"slug": "new", "url": url})), patch(&companion, &json!({"url": url}))];
        for answer in refusals {
            let error = answer.expect_error(422, "invalid_value");
            assert!(error["message"].as_str().unwrap().contains(reason), "{url}: {error}");
            assert!(!answer.whole().contains("canary"));
        }
        for arguments in [["add", "new", "--url", url], ["update", "github-mcp", "--url", url]] {
            let ended = mcp(&companion, &arguments).expect(2);
            assert!(ended.err.contains(reason) && !ended.both().contains("canary"), "{url}: {}", ended.err);
        }
    }
    assert_eq!(show(&companion)["url"], URL);
    assert_eq!(companion.admin("GET", &format!("{SERVERS}/new"), None).status, 404);
}

#[test]
fn the_url_is_never_contacted() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    let other = Upstream::mcp();
    mcp(&companion, &["add", "github-mcp", "--url", &upstream.url()]).expect(0);
    cli(&companion, &["secrets", "set", "github-mcp", "TOKEN", "x"]).expect(0);
    cli(&companion, &["secrets", "inject", "github-mcp", "TOKEN", "--bearer"]).expect(0);
    mcp(&companion, &["list"]).expect(0);
    let moved = format!("http://{}/v2", upstream.address);
    mcp(&companion, &["update", "github-mcp", "--url", &moved]).expect(0);
    let elsewhere = ["update", "github-mcp", "--url", &other.url(), "--detach-secrets", "--yes"];
    mcp(&companion, &elsewhere).expect(0);
    mcp(&companion, &["update", "github-mcp", "--disable"]).expect(0);
    cli(&companion, &["secrets", "list"]).expect(0);
    mcp(&companion, &["remove", "github-mcp", "--yes"]).expect(0);
    assert_eq!((upstream.connections(), other.connections()), (0, 0));
}

#[test]
fn listed_as_a_table_and_as_json() {
    let companion = companion();
    let ended = cli(&companion, &["-w", "default", "mcp", "list"]);
    ended.prints(
        "SLUG         NAME         URL                              ENABLED   SECRETS   HEALTH\n\
         github-mcp   github-mcp   https://github-mcp.example/mcp   yes       0         unknown\n",
    );
    companion.set("github-mcp", "TOKEN", "canary");
    add(&companion, &json!({"slug": "a-mcp", "url": "https://a.example/", "name": "Ä"}));
    mcp(&companion, &["update", "a-mcp", "--disable"]).expect(0);
    mcp(&companion, &["list"]).prints(
        "SLUG         NAME         URL                              ENABLED   SECRETS   HEALTH\n\
         a-mcp        Ä            https://a.example/               no        0         unknown\n\
         github-mcp   github-mcp   https://github-mcp.example/mcp   yes       1         unknown\n",
    );
    let document = mcp(&companion, &["list", "--json"]).document();
    assert_eq!(document, companion.admin("GET", SERVERS, None).json());
    assert!(!document.to_string().contains("canary"));
    mcp(&companion, &["list", "--json", "--fields", "slug,secret_count"]).prints(
        "{\"servers\":[{\"secret_count\":0,\"slug\":\"a-mcp\"},{\"secret_count\":1,\"slug\":\"github-mcp\"}]}\n",
    );
    let empty = Companion::start();
    let ended = mcp(&empty, &["list"]).prints("");
    assert_eq!(ended.err, "No MCP servers in the workspace default.\n");
}

#[test]
fn name_and_state_are_changed_one_by_one() {
    let companion = companion();
    mcp(&companion, &["update", "github-mcp", "--name", "GitHub"])
        .prints("MCP server updated: github-mcp\nName: GitHub\n");
    mcp(&companion, &["update", "github-mcp", "--disable"])
        .prints("MCP server updated: github-mcp\nEnabled: no\n");
    mcp(&companion, &["update", "github-mcp", "--enable", "--allow-private-network", "true"])
        .prints("MCP server updated: github-mcp\nEnabled: yes\nPrivate network: allowed\n");
    let server = show(&companion);
    assert_eq!((&server["name"], &server["url"]), (&json!("GitHub"), &json!(URL)));
    let document = patch(&companion, &json!({"name": "Again", "enabled": false})).json();
    assert_eq!((&document["name"], &document["enabled"]), (&json!("Again"), &json!(false)));
    assert_eq!(document["allow_private_network"], true, "what is not named stays");
    for arguments in [&["update", "github-mcp"][..], &["update", "github-mcp", "--enable", "--disable"]] {
        mcp(&companion, arguments).expect(2);
    }
    for name in ["", "  ", "a\u{1b}[2J", "a\nb"] {
        mcp(&companion, &["update", "github-mcp", "--name", name]).expect(2);
        patch(&companion, &json!({"name": name})).expect_error(422, "invalid_value");
    }
    let ended = mcp(&companion, &["update", "githb-mcp", "--enable"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'github-mcp'?\n"), "{}", ended.err);
}

#[test]
fn another_origin_is_refused_while_there_are_secrets() {
    let companion = companion();
    companion.set("github-mcp", "TOKEN", "x");
    for url in [
        "https://evil.example/mcp",
        "http://github-mcp.example/mcp",
        "https://github-mcp.example:8443/mcp",
        "https://github-mcp.example./mcp",
        "https://sub.github-mcp.example/mcp",
    ] {
        let error = patch(&companion, &json!({"url": url, "name": "changed"})).expect_error(409, "conflict");
        assert!(error["hint"].as_str().unwrap().contains("--detach-secrets"), "{error}");
        let ended = mcp(&companion, &["update", "github-mcp", "--url", url, "--name", "changed"]).expect(6);
        assert!(ended.err.contains("hint: detach them"), "{}", ended.err);
        patch(&companion, &json!({"url": url, "detach_secrets": false})).expect_error(409, "conflict");
    }
    let server = show(&companion);
    assert_eq!(
        (&server["url"], &server["name"]),
        (&json!(URL), &json!("github-mcp")),
        "nothing of it was done"
    );
    assert_eq!(server["secret_count"], 1);
}

#[test]
fn with_detach_the_secrets_go_and_are_named() {
    let companion = companion();
    for name in ["B_TOKEN", "A_TOKEN"] {
        companion.set("github-mcp", name, "x");
    }
    let elsewhere = ["update", "github-mcp", "--url", "https://new.example/mcp", "--detach-secrets"];
    let ended = mcp(&companion, &elsewhere).expect(2);
    assert!(ended.err.contains("hint: pass --yes"), "{}", ended.err);
    assert_eq!(show(&companion)["secret_count"], 2);
    mcp(&companion, &[&elsewhere[..], &["--yes"]].concat()).prints(
        "MCP server updated: github-mcp\nURL: https://new.example/mcp\n\
         Secrets deleted, set them again: A_TOKEN, B_TOKEN\n",
    );
    let server = show(&companion);
    assert_eq!((&server["secret_count"], &server["inject_secrets"]), (&json!(0), &json!({})));
    // The names are free, the rules are gone.
    assert_eq!(companion.set("github-mcp", "A_TOKEN", "y")["status"], "created");
    let answer = patch(&companion, &json!({"url": "https://third.example/", "detach_secrets": true}));
    assert_eq!((answer.status, &answer.json()["detached"]), (200, &json!(["A_TOKEN"])));
    assert_eq!(show(&companion).get("detached"), None, "only the answer to that change says it");
    mcp(&companion, &["update", "github-mcp", "--name", "A", "--detach-secrets", "--yes"]).expect(2);
}

/// What was set for one place is not sent to another one, even in a session that is open.
#[test]
fn detached_secrets_reach_no_upstream() {
    let (companion, old, new) = (Companion::start(), Upstream::mcp(), Upstream::mcp());
    companion.add_server("github-mcp", &old.url());
    companion.set("github-mcp", "TOKEN", "canary");
    let session = companion.session(&companion.token("default"), None);
    session.call("github-mcp__echo");
    assert_eq!(old.received_of("tools/call")[0].values("token"), ["canary"]);
    let moved = patch(&companion, &json!({"url": new.url(), "detach_secrets": true}));
    assert_eq!(moved.status, 200);
    session.call("github-mcp__echo");
    assert_eq!(new.received_of("tools/call").len(), 1);
    assert!(new.received().iter().all(|request| !request.head_text().contains("canary")));
    assert_eq!(old.received_of("tools/call").len(), 1);
}

#[test]
fn another_path_of_the_same_origin_keeps_the_secrets() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    companion.set("github-mcp", "TOKEN", "kept");
    let moved = format!("http://{}/v2/mcp?x=1", upstream.address);
    mcp(&companion, &["update", "github-mcp", "--url", &moved])
        .prints(&format!("MCP server updated: github-mcp\nURL: {moved}\n"));
    let document = patch(&companion, &json!({"url": moved, "detach_secrets": true})).json();
    assert_eq!((&document["secret_count"], document.get("detached")), (&json!(1), None), "nothing to detach");
    companion.session(&companion.token("default"), None).call("github-mcp__echo");
    let received = upstream.received_of("tools/call").pop().unwrap();
    assert!(received.head_text().starts_with("POST /v2/mcp?x=1 "), "{}", received.head_text());
    assert_eq!(received.values("token"), ["kept"]);
}

#[test]
fn spellings_of_the_same_origin() {
    let companion = companion();
    companion.set("github-mcp", "TOKEN", "x");
    for url in [
        "HTTPS://GITHUB-MCP.example:443/mcp",
        "https://github-mcp.example",
        "https://github-mcp.example:443/",
    ] {
        let answer = patch(&companion, &json!({"url": url}));
        assert_eq!((answer.status, &answer.json()["secret_count"]), (200, &json!(1)), "{url}");
    }
    // Without secrets any origin will do.
    cli(&companion, &["secrets", "delete", "github-mcp", "TOKEN", "--yes"]).expect(0);
    mcp(&companion, &["update", "github-mcp", "--url", "https://other.example/"]).expect(0);
}

#[test]
fn a_disabled_server_is_neither_listed_nor_called() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    companion.set("github-mcp", "TOKEN", "x");
    let token = companion.token("default");
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["github-mcp__echo"]);
    mcp(&companion, &["update", "github-mcp", "--disable"]).expect(0);
    let before = upstream.received().len();
    assert!(session.tools().is_empty());
    assert!(session.call("github-mcp__echo").get("error").is_some());
    let headers = [("Authorization", format!("Bearer {token}"))];
    let headers = [("Authorization", headers[0].1.as_str())];
    let single =
        crate::harness::request(companion.address, "POST", "/ws/default/github-mcp", &headers, b"{}");
    single.expect_error(404, "not_found");
    assert_eq!(upstream.received().len(), before, "nothing reaches it");
    // Its secrets stay, and can be changed meanwhile.
    companion.set("github-mcp", "TOKEN", "y");
    mcp(&companion, &["update", "github-mcp", "--enable"]).expect(0);
    assert_eq!(session.tools(), ["github-mcp__echo"]);
    session.call("github-mcp__echo");
    assert_eq!(upstream.received_of("tools/call").pop().unwrap().values("token"), ["y"]);
}

#[test]
fn removed_with_its_secrets() {
    let companion = companion();
    companion.set("github-mcp", "A", "x");
    companion.set("github-mcp", "B", "x");
    for input in ["", "y\n"] {
        let run = aerostack(&["mcp", "remove", "github-mcp"]).against(&companion).stdin(input);
        assert!(run.run().expect(2).err.contains("hint: pass --yes"));
    }
    assert_eq!(show(&companion)["secret_count"], 2);
    mcp(&companion, &["remove", "github-mcp", "--yes"])
        .prints("MCP server removed: github-mcp, with 2 secrets\n");
    companion.admin("GET", SERVER, None).expect_error(404, "not_found");
    companion.admin("GET", &format!("{SERVER}/secrets"), None).expect_error(404, "not_found");
    let ended = mcp(&companion, &["remove", "github-mcp", "--yes", "--json"]).expect(3);
    assert_eq!(ended.error_document()["code"], "not_found");
    companion.add_server("github-mcp", URL);
    assert_eq!(show(&companion)["secret_count"], 0, "the slug comes back without them");
    let document = mcp(&companion, &["remove", "github-mcp", "-y", "--json"]).document();
    assert_eq!(document, json!({"deleted": ["github-mcp"]}));
    companion.add_server("github-mcp", URL);
    assert_eq!(companion.admin("DELETE", SERVER, None).status, 204);
    companion.admin("DELETE", SERVER, None).expect_error(404, "not_found");
}

#[test]
fn a_slug_that_leaves_no_room_for_tool_names_is_warned_of() {
    let companion = Companion::start();
    let ended = mcp(&companion, &["add", &"a".repeat(40), "--url", URL]).expect(0);
    assert!(ended.err.starts_with("warning: clients put mcp__default__"), "{}", ended.err);
}

#[test]
fn redaction_is_on_and_can_be_switched() {
    let companion = companion();
    assert_eq!(show(&companion)["redact_responses"], true);
    let plain = mcp(&companion, &["list"]).expect(0).out;
    assert!(!plain.contains("REDACTION"), "{plain}");
    mcp(&companion, &["update", "github-mcp", "--redaction", "off"])
        .prints("MCP server updated: github-mcp\nRedaction: off\n");
    assert_eq!(show(&companion)["redact_responses"], false);
    let added = ["add", "open-mcp", "--url", "https://open.example/", "--no-redaction"];
    mcp(&companion, &added).prints("MCP server added: open-mcp\n");
    mcp(&companion, &["update", "github-mcp", "--redaction", "on", "--name", "G"])
        .prints("MCP server updated: github-mcp\nName: G\nRedaction: on\n");
    mcp(&companion, &["update", "github-mcp", "--name", "H"]).expect(0);
    assert_eq!(show(&companion)["redact_responses"], true, "what is not named stays");
    let list = mcp(&companion, &["list"]).expect(0).out;
    let ends: Vec<&str> = list.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["REDACTION", "on", "off"], "{list}");
    mcp(&companion, &["update", "github-mcp", "--redaction", "yes"]).expect(2);
    let fields = mcp(&companion, &["list", "--json", "--fields", "slug,redact_responses"]).document();
    let expected = json!([{"slug": "github-mcp", "redact_responses": true}, {"slug": "open-mcp", "redact_responses": false}]);
    assert_eq!(fields["servers"], expected);
}
