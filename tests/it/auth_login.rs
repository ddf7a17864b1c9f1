//! `auth login` with the real gnome-keyring: one process stores, others read, `secret-tool`
//! among them; what is no key, or not accepted, is not stored.

use std::fs;

use serde_json::json;

use crate::harness::keyring_session::KeyringSession;
use crate::harness::parts::parts;
use crate::harness::session_bus::SessionBus;
use crate::harness::{Companion, Upstream, aerostack};

fn session(test: &str) -> Option<KeyringSession> {
    parts(test).map(|_| KeyringSession::on(SessionBus::unlocked()))
}

#[test]
fn one_process_stores_and_others_read() {
    let Some(session) = session("one_process_stores_and_others_read") else { return };
    session.list().expect(4);
    let origin = session.origin();
    session.login().run().prints(&format!(
        "Logged in to {origin}, project local.\nThe API key is stored in the system keyring.\n"
    ));
    session.list().expect(0);
    session.run(&["secrets", "set", "github-mcp", "TOKEN"]).stdin("value").run().expect(0);
    assert_eq!(session.stored().as_deref(), Some(session.companion.api_key.as_str()));
    let found = session.bus.secret_tool(&["search", "--all", "service", "aerostack"]).expect(0).both();
    assert!(found.contains(&format!("attribute.username = {origin}")), "{found}");
    assert!(found.contains(&format!("label = Aerostack API key for {origin}")), "{found}");
    assert!(!session.plain_file().exists());
}

#[test]
fn what_secret_tool_stores_is_read_too() {
    let Some(session) = session("what_secret_tool_stores_is_read_too") else { return };
    let origin = session.origin();
    let store = ["store", "--label", "x", "service", "aerostack", "username", origin.as_str()];
    session.bus.secret_tool_with(&store, &session.companion.api_key).expect(0);
    session.list().expect(0);
    // Two entries for one origin: which one counts, nobody knows. Logging in settles it.
    session.bus.secret_tool_with(&[&store[..], &["more", "1"]].concat(), "ak_another").expect(0);
    let ended = session.list().expect(4);
    assert!(ended.err.contains("more than one API key"), "{}", ended.err);
    session.login().run().expect(0);
    session.list().expect(0);
    // What is no API key is not sent, and not shown.
    session.run(&["auth", "logout"]).run().expect(0);
    session.bus.secret_tool_with(&store, "canary value").expect(0);
    let ended = session.list().expect(4);
    assert!(ended.err.contains("the keyring's entry does not hold an API key"), "{}", ended.err);
    assert!(ended.err.contains("to put one in its place"), "{}", ended.err);
    assert!(!ended.both().contains("canary"));
    session.login().run().expect(0);
    session.list().expect(0);
}

#[test]
fn two_origins_side_by_side() {
    let Some(session) = session("two_origins_side_by_side") else { return };
    let other = Companion::start();
    other.add_server("github-mcp", "https://github-mcp.example/");
    let on_other = |arguments: &[&str]| session.run(arguments).env("AEROSTACK_API_URL", &other.base_url);
    session.login().run().expect(0);
    on_other(&["auth", "login", "--with-token"]).stdin(other.api_key.clone()).run().expect(0);
    session.list().expect(0);
    on_other(&["secrets", "list", "github-mcp"]).run().expect(0);
    // The other's key would not open this API: each got its own.
    assert_ne!(other.api_key, session.companion.api_key);
    session.run(&["auth", "logout"]).run().expect(0);
    session.list().expect(4);
    on_other(&["secrets", "list", "github-mcp"]).run().expect(0);
}

#[test]
fn a_login_replaces_the_key() {
    let Some(session) = session("a_login_replaces_the_key") else { return };
    // An API that accepts every key.
    let summary =
        json!({"keyType": "project", "projectId": "p", "projectName": "p", "slug": "p", "url": "u"});
    let body = summary.to_string();
    let api = Upstream::start(move |_| crate::harness::upstream::http_answer("200 OK", &[], &body));
    let url = format!("http://{}", api.address);
    for key in ["ak_one", "ak_two", "\u{feff}ak_three\r\n", "  ak_four \n\n"] {
        let run = session.run(&["login", "--with-token", "--json"]).env("AEROSTACK_API_URL", &url);
        let document = run.stdin(key).run().document();
        assert_eq!(document, json!({"origin": url, "storage": "keyring", "project": "p"}));
        let lookup = ["lookup", "service", "aerostack", "username", url.as_str()];
        let stored = session.bus.secret_tool(&lookup).expect(0).out;
        assert_eq!(stored.trim(), key.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'));
    }
    let heads: Vec<_> = api.received().iter().map(crate::harness::upstream::Received::head_text).collect();
    assert_eq!(heads.len(), 4);
    assert!(heads[0].starts_with("POST /api/v1/cli/validate HTTP/1.1\r\n"), "{}", heads[0]);
}

#[test]
fn what_is_no_key_or_not_accepted_is_not_stored() {
    let Some(session) = session("what_is_no_key_or_not_accepted_is_not_stored") else { return };
    let long = "ak_".to_owned() + &"x".repeat(70_000);
    let too_long = format!("ak_canary{}", "x".repeat(504));
    for (input, code, text) in [
        ("", 2, "no API key was given"),
        ("\n", 2, "no API key was given"),
        ("canary", 2, "this is not an API key"),
        ("ak_can ary", 2, "this is not an API key"),
        ("ak_canary\nak_canary", 2, "this is not an API key"),
        ("mwt_canary", 2, "this is a workspace token"),
        (too_long.as_str(), 2, "at most 512 characters"),
        (long.as_str(), 2, "longer than any API key"),
        ("ak_canary", 4, "does not accept this API key"),
    ] {
        let ended = session.run(&["auth", "login", "--with-token"]).stdin(input).run().expect(code);
        let said = ended.err.contains(text) && ended.err.contains("nothing was stored");
        assert!(said, "{}", ended.err);
        assert!(ended.out.is_empty() && !ended.err.contains("canary"), "{}", ended.err);
        let json = session.run(&["auth", "login", "--with-token", "--json"]).stdin(input).run().expect(code);
        json.error_document();
    }
    let ended = session.run(&["auth", "login", "--with-token"]).arg("ak_canary").run().expect(2);
    assert!(!ended.err.contains("canary"), "a key as an argument is not repeated: {}", ended.err);
    // Nobody answers, and an answer that is not the API's.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = |url: &str| session.login().env("AEROSTACK_API_URL", url).run();
    let hangs_up = Upstream::start(|_| Vec::new());
    for address in [nobody, hangs_up.address] {
        let ended = at(&format!("http://{address}")).expect(7);
        assert!(ended.err.contains("could not be checked, so nothing was stored"), "{}", ended.err);
        assert!(!ended.err.contains("may have been made"), "a check changes nothing: {}", ended.err);
    }
    let page = Upstream::start(|_| crate::harness::upstream::http_answer("200 OK", &[], "<html>"));
    at(&format!("http://{}", page.address)).expect(1);
    at("http://192.0.2.1").expect(7);
    at("ftp://x").expect(2);
    let search = session.bus.secret_tool(&["search", "--all", "service", "aerostack"]);
    assert_eq!(search.both(), "", "something was stored");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let Some(session) = session("without_a_terminal_nobody_is_asked") else { return };
    let ended = session.run(&["auth", "login"]).stdin(session.companion.api_key.clone()).run().expect(2);
    let hint = format!("aerostack auth login --api-url {} --with-token < FILE", session.origin());
    assert!(ended.err.contains(&hint), "{}", ended.err);
    let ended = session.run(&["login", "--insecure-storage"]).run().expect(2);
    assert!(ended.err.contains(" --with-token --insecure-storage < FILE"), "{}", ended.err);
    assert_eq!(session.stored(), None);
}

#[test]
fn the_last_login_counts() {
    let Some(session) = session("the_last_login_counts") else { return };
    session.login().run().expect(0);
    let plain = session.run(&["auth", "login", "--with-token", "--insecure-storage"]);
    let ended = plain.stdin(session.companion.api_key.clone()).run().expect(0);
    assert!(ended.err.contains("Removed the older key from the system keyring."), "{}", ended.err);
    assert_eq!(session.stored(), None);
    assert!(session.plain_file().exists());
    session.list().expect(0);
    let ended = session.login().run().expect(0);
    assert!(ended.err.contains("Removed the plain-text copy"), "{}", ended.err);
    assert!(session.stored().is_some() && !session.plain_file().exists());
    session.list().expect(0);
}

#[test]
fn the_keyring_goes_before_the_plain_file_and_the_environment_before_both() {
    let Some(session) = session("the_keyring_goes_before_the_plain_file") else { return };
    let (origin, key) = (session.origin(), session.companion.api_key.clone());
    let source = |variables: &[(&str, &str)]| {
        let run = session.run(&["auth", "status", "--json"]);
        let ended = variables.iter().fold(run, |run, (name, value)| run.env(name, value)).run();
        let document: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        (document["source"].clone(), document["keyring"]["state"].clone())
    };
    assert_eq!(source(&[]), (json!(null), json!("available")));
    let plain = session.run(&["auth", "login", "--with-token", "--insecure-storage"]);
    plain.stdin(key.clone()).run().expect(0);
    assert_eq!(source(&[]), (json!("plain_file"), json!("available")));
    let store = ["store", "--label", "x", "service", "aerostack", "username", origin.as_str()];
    session.bus.secret_tool_with(&store, &key).expect(0);
    assert_eq!(source(&[]), (json!("keyring"), json!("available")));
    let file = session.bus.home().join("key");
    fs::write(&file, &key).unwrap();
    let by_file = ("AEROSTACK_API_KEY_FILE", file.to_str().unwrap());
    assert_eq!(source(&[by_file]), (json!("file"), json!("not_asked")));
    assert_eq!(
        source(&[by_file, ("AEROSTACK_API_KEY", "ak_other")]),
        (json!("environment"), json!("not_asked"))
    );
}

#[test]
fn a_variable_that_goes_first_is_named() {
    let Some(session) = session("a_variable_that_goes_first_is_named") else { return };
    let both = session.login().env("AEROSTACK_API_KEY", "ak_x").env("AEROSTACK_API_KEY_FILE", "/nonexistent");
    let ended = both.run().expect(0);
    assert!(ended.err.contains("AEROSTACK_API_KEY is set") && !ended.err.contains("_FILE"), "{}", ended.err);
    for variable in ["AEROSTACK_API_KEY", "AEROSTACK_API_KEY_FILE"] {
        let ended = session.login().env(variable, "ak_other").run().expect(0);
        assert!(
            ended.err.contains(&format!("warning: {variable} is set and goes before the stored key")),
            "{}",
            ended.err
        );
    }
    assert!(session.stored().is_some());
}

#[test]
fn of_the_keyring_too_a_key_is_for_its_own_origin() {
    let Some(session) = session("of_the_keyring_too_a_key_is_for_its_own_origin") else { return };
    session.login().run().expect(0);
    let run = |arguments: &[&str]| aerostack(arguments).envs(session.bus.env());
    crate::key_origin::only_for_its_own(&session.companion, &run);
}
