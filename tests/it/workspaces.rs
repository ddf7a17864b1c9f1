//! Workspaces: create, list, use, delete; where the chosen one is remembered, and what
//! goes with a deleted one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::program::Aerostack;
use crate::harness::{Companion, aerostack, cli, request};

const WORKSPACES: &str = "/api/v1/admin/workspaces";

/// A companion with the workspace `team-a`.
fn companion() -> Companion {
    let companion = Companion::start();
    let answer = companion.admin("POST", WORKSPACES, Some(&json!({"name": "Team A"})));
    assert_eq!((answer.status, &answer.json()["slug"]), (201, &json!("team-a")));
    companion
}

/// A run of somebody whose configuration is in this folder.
fn at_home(companion: &Companion, home: &TempDir, arguments: &[&str]) -> Aerostack {
    aerostack(arguments).against(companion).env("XDG_CONFIG_HOME", home.path())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_slug_is_made_from_the_name() {
    let companion = Companion::start();
    let url = &companion.base_url;
    cli(&companion, &["workspace", "create", "Team Ünder  Test!"])
        .prints(&format!("Workspace created: team-nder-test\nGateway URL: {url}/ws/team-nder-test\n"));
    let document = cli(&companion, &["workspace", "create", "Second", "--json"]).document();
    let answer = companion.admin("GET", WORKSPACES, None).json();
    assert_eq!(document, answer["workspaces"][1]);
    assert_eq!((&document["slug"], &document["name"]), (&json!("second"), &json!("Second")));
    assert_eq!(document["gateway_url"], json!(format!("{url}/ws/second")));
    // Another name, the same slug.
    let ended = cli(&companion, &["workspace", "create", "SECOND"]).expect(6);
    assert!(ended.err.contains("the workspace 'second' exists already"), "{}", ended.err);
    companion.admin("POST", WORKSPACES, Some(&json!({"name": "second!"}))).expect_error(409, "conflict");
    let long = "x".repeat(101);
    for name in ["", "   ", "---", "Ü", "a\nb", "a\u{1b}[2J", &long] {
        let answer = companion.admin("POST", WORKSPACES, Some(&json!({"name": name})));
        answer.expect_error(422, "invalid_value");
        cli(&companion, &["workspace", "create", "--", name]).expect(2);
    }
    // Cut at 63 characters, without a hyphen at the end.
    let answer = companion.admin("POST", WORKSPACES, Some(&json!({"name": format!("{} b", "a".repeat(62))})));
    assert_eq!(answer.json()["slug"], "a".repeat(62));
}

#[test]
fn listed_with_a_mark_on_the_one_in_use() {
    let companion = companion();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let url = &companion.base_url;
    cli(&companion, &["workspace", "list"]).prints(&format!(
        "  SLUG      NAME      SERVERS   GATEWAY URL\n\
         * default   default   1         {url}/ws/default\n  \
           team-a    Team A    0         {url}/ws/team-a\n"
    ));
    let marked = cli(&companion, &["workspace", "list", "-w", "team-a"]).expect(0);
    assert!(marked.out.lines().nth(2).unwrap().starts_with("* team-a"), "{}", marked.out);
    let document = cli(&companion, &["workspace", "list", "--json"]).document();
    assert_eq!(document, companion.admin("GET", WORKSPACES, None).json());
    cli(&companion, &["workspace", "list", "--json", "--fields", "slug"])
        .prints("{\"workspaces\":[{\"slug\":\"default\"},{\"slug\":\"team-a\"}]}\n");
}

#[test]
fn use_is_remembered_for_the_owner_only() {
    let (companion, home) = (companion(), tempfile::tempdir().unwrap());
    let ended = at_home(&companion, &home, &["workspace", "use", "team-a"]).run();
    assert_eq!(ended.prints("Workspace in use: team-a\n").err, "");
    let file = home.path().join("aerostack/config.json");
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let content: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(content, json!({"workspaces": {companion.base_url.clone(): "team-a"}}));
    let arguments = ["mcp", "add", "github-mcp", "--url", "https://github-mcp.example/"];
    at_home(&companion, &home, &arguments).run().expect(0);
    let slug = |path: &str| companion.admin("GET", path, None).json()["servers"][0]["slug"].clone();
    assert_eq!(slug("/api/v1/admin/mcp-servers?workspace=team-a"), "github-mcp");
    assert!(slug("/api/v1/admin/mcp-servers").is_null());
    // -w goes before it, then the variable; another API has its own choice.
    let list = |more: &[&str]| at_home(&companion, &home, &[&["mcp", "list"], more].concat());
    assert!(list(&[]).run().expect(0).out.contains("github-mcp"));
    assert_eq!(list(&["-w", "default"]).run().expect(0).out, "");
    assert_eq!(list(&[]).env("AEROSTACK_WORKSPACE", "default").run().expect(0).out, "");
    let both = list(&["-w", "team-a"]).env("AEROSTACK_WORKSPACE", "default");
    assert!(both.run().expect(0).out.contains("github-mcp"));
    let other_api = companion_without_team_a();
    assert_eq!(at_home(&other_api, &home, &["mcp", "list"]).run().expect(0).out, "");
    at_home(&companion, &home, &["workspace", "use", "default"]).run().expect(0);
    assert_eq!(list(&[]).run().expect(0).out, "");
}

fn companion_without_team_a() -> Companion {
    Companion::start()
}

#[test]
fn a_variable_that_goes_before_the_choice_is_warned_of() {
    let (companion, home) = (companion(), tempfile::tempdir().unwrap());
    let run =
        at_home(&companion, &home, &["workspace", "use", "team-a"]).env("AEROSTACK_WORKSPACE", "default");
    let ended = run.run().prints("Workspace in use: team-a\n");
    assert!(
        ended.err.starts_with("warning: AEROSTACK_WORKSPACE is set to another workspace"),
        "{}",
        ended.err
    );
    let run = at_home(&companion, &home, &["mcp", "list"]).env("AEROSTACK_WORKSPACE", "Not A Slug");
    assert!(run.run().expect(2).err.contains("AEROSTACK_WORKSPACE does not hold a workspace's slug"));
}

#[test]
fn only_what_exists_can_be_used() {
    let (companion, home) = (companion(), tempfile::tempdir().unwrap());
    let ended = at_home(&companion, &home, &["workspace", "use", "taem-a"]).run().expect(3);
    assert!(ended.err.contains("hint: did you mean 'team-a'?\n"), "{}", ended.err);
    let ended = at_home(&companion, &home, &["--json", "workspace", "use", "zzz"]).run().expect(3);
    assert_eq!(ended.error_document()["hint"], "'aerostack workspace list' shows them");
    assert!(!home.path().join("aerostack").exists(), "nothing was written");
    let document = at_home(&companion, &home, &["workspace", "use", "team-a", "--json"]).run().document();
    assert_eq!(document["slug"], "team-a");
}

#[test]
fn a_damaged_file_is_not_taken_for_an_empty_one() {
    let (companion, home) = (companion(), tempfile::tempdir().unwrap());
    std::fs::create_dir(home.path().join("aerostack")).unwrap();
    let file = home.path().join("aerostack/config.json");
    for damaged in ["", "{", "[]", "{\"workspaces\":1}"] {
        std::fs::write(&file, damaged).unwrap();
        for arguments in [&["mcp", "list"][..], &["workspace", "use", "team-a"]] {
            let ended = at_home(&companion, &home, arguments).run().expect(1);
            assert!(ended.err.contains("config.json is damaged\nhint: remove the file"), "{}", ended.err);
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
        // A workspace that is named needs no file.
        at_home(&companion, &home, &["-w", "team-a", "mcp", "list"]).run().expect(0);
    }
}

/// A repository can bring any file along; none of them may say where the key goes.
#[test]
fn nothing_is_read_from_the_current_directory() {
    let (companion, folder) = (companion(), tempfile::tempdir().unwrap());
    let elsewhere = "https://evil.example";
    let key = &companion.api_key;
    let config =
        json!({"workspaces": {companion.base_url.clone(): "team-a"}, "api_url": elsewhere}).to_string();
    std::fs::create_dir_all(folder.path().join("aerostack")).unwrap();
    std::fs::create_dir_all(folder.path().join(".config/aerostack")).unwrap();
    for (name, content) in [
        (".env", format!("AEROSTACK_API_KEY={key}\nAEROSTACK_API_URL={elsewhere}\n")),
        ("aerostack.toml", format!("api_key = \"{key}\"\napi_url = \"{elsewhere}\"\n")),
        ("config.json", config.clone()),
        ("aerostack/config.json", config.clone()),
        (".config/aerostack/config.json", config),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let run = aerostack(&["mcp", "list"]).folder(folder.path());
    let ended = run.env("AEROSTACK_API_URL", &companion.base_url).run().expect(4);
    assert!(ended.err.contains(&format!("there is no API key for {}", companion.base_url)), "{}", ended.err);
    // A relative configuration directory is none.
    companion.add_server("github-mcp", "https://github-mcp.example/");
    for directory in ["", ".", ".config"] {
        let run = aerostack(&["mcp", "list"]).against(&companion).folder(folder.path());
        let run = run.env("XDG_CONFIG_HOME", directory).env("HOME", folder.path().join("nobody"));
        assert!(run.run().expect(0).out.contains("github-mcp"), "{directory}: the default workspace is used");
    }
}

#[test]
fn deleted_with_all_that_is_in_it() {
    let (companion, home) = (companion(), tempfile::tempdir().unwrap());
    companion.add_server("stays", "https://stays.example/");
    companion.set("stays", "TOKEN", "x");
    let in_team = ["-w", "team-a"];
    cli(&companion, &[&in_team[..], &["mcp", "add", "goes", "--url", "https://goes.example/"]].concat())
        .expect(0);
    cli(&companion, &[&in_team[..], &["secrets", "set", "goes", "TOKEN", "x"]].concat()).expect(0);
    let token = companion.token("team-a");
    let authorization = format!("Bearer {token}");
    let gateway = || {
        let headers = [("Authorization", authorization.as_str())];
        request(companion.address, "GET", "/ws/team-a", &headers, b"").status
    };
    assert_eq!(gateway(), 406, "accepted, only not without Accept");
    at_home(&companion, &home, &["workspace", "use", "team-a"]).run().expect(0);

    let ended =
        at_home(&companion, &home, &["workspace", "delete", "team-a"]).stdin("team-a\n").run().expect(2);
    assert!(ended.err.contains("hint: pass --yes"), "{}", ended.err);
    assert_eq!(gateway(), 406);
    at_home(&companion, &home, &["workspace", "delete", "team-a", "--yes"])
        .run()
        .prints("Workspace deleted: team-a\n");
    assert_eq!(gateway(), 401);
    companion.admin("GET", "/api/v1/admin/mcp-servers?workspace=team-a", None).expect_error(404, "not_found");
    companion.admin("GET", "/api/v1/admin/workspaces/team-a/tokens", None).expect_error(404, "not_found");
    // It is not in use any more either.
    assert!(at_home(&companion, &home, &["mcp", "list"]).run().expect(0).out.contains("stays"));
    let mut companion = companion;
    companion.stop();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        companion.sqlite().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let tables = ["workspaces", "mcp_servers", "mcp_workspace_secrets", "workspace_tokens"];
    assert_eq!(tables.map(count), [1, 1, 1, 0]);
}

#[test]
fn the_default_workspace_stays() {
    let companion = companion();
    let ended = cli(&companion, &["workspace", "delete", "default", "--yes"]).expect(6);
    assert!(ended.err.contains("the default workspace cannot be deleted"), "{}", ended.err);
    companion.admin("DELETE", &format!("{WORKSPACES}/default"), None).expect_error(409, "conflict");
    let ended = cli(&companion, &["workspace", "delete", "taem-a", "--yes"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'team-a'?\n"), "{}", ended.err);
    let document = cli(&companion, &["workspace", "delete", "team-a", "--yes", "--json"]).document();
    assert_eq!(document, json!({"deleted": ["team-a"]}));
    companion.admin("DELETE", &format!("{WORKSPACES}/team-a"), None).expect_error(404, "not_found");
    assert_eq!(companion.admin("GET", WORKSPACES, None).json()["workspaces"].as_array().unwrap().len(), 1);
}

#[test]
fn a_new_workspace_of_an_old_name_inherits_nothing() {
    let companion = companion();
    let old_token = companion.token("team-a");
    cli(&companion, &["-w", "team-a", "mcp", "add", "a", "--url", "https://a.example/"]).expect(0);
    cli(&companion, &["workspace", "delete", "team-a", "--yes"]).expect(0);
    cli(&companion, &["workspace", "create", "Team A"]).expect(0);
    assert_eq!(cli(&companion, &["-w", "team-a", "mcp", "list"]).expect(0).out, "");
    let authorization = format!("Bearer {old_token}");
    let headers = [("Authorization", authorization.as_str())];
    request(companion.address, "GET", "/ws/team-a", &headers, b"").expect_error(401, "unauthorized");
}
