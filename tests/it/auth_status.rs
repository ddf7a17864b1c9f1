//! `auth status`: which key, from where, and whether the API accepts it; exit 0, 4 or 7.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::keyring_session::KeyringSession;
use crate::harness::parts::parts;
use crate::harness::session_bus::SessionBus;
use crate::harness::upstream::http_answer;
use crate::harness::{Companion, Ended, Upstream, aerostack};

/// A key of which the end may be shown.
const KEY: &str = "ak_0123456789abcdefWXYZ";

fn status(url: &str, key: &str, more: &[&str]) -> Ended {
    let run = aerostack(&[&["auth", "status"], more].concat());
    run.env("AEROSTACK_API_URL", url).env("AEROSTACK_API_KEY", key).run()
}

#[test]
fn accepted_from_the_keyring() {
    if parts("accepted_from_the_keyring").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    session.login().run().expect(0);
    let (origin, key) = (session.origin(), session.companion.api_key.as_str());
    let last_four = &key[key.len() - 4..];
    let expected = format!(
        "API      {origin}\nAPI key  ****{last_four}, from the system keyring\nStatus   accepted, project local\n"
    );
    for command in [&["auth", "status"][..], &["whoami"]] {
        let ended = session.run(command).run().prints(&expected);
        assert_eq!(ended.err, "");
    }
    let document = session.run(&["whoami", "--json"]).run().document();
    let expected = json!({
        "origin": origin, "status": "accepted", "source": "keyring", "plain_text": false,
        "key_last_four": last_four, "project": "local",
        "keyring": {"state": "available", "message": null, "hint": null},
    });
    assert_eq!(document, expected);
}

#[test]
fn from_the_environment_and_from_a_file() {
    let companion = Companion::start();
    let last_four = &companion.api_key[companion.api_key.len() - 4..];
    let out = status(&companion.base_url, &companion.api_key, &[]).expect(0).out;
    assert!(out.contains(&format!("API key  ****{last_four}, from AEROSTACK_API_KEY\n")), "{out}");
    let file = companion.folder.path().join("key");
    std::fs::write(&file, &companion.api_key).unwrap();
    let run = aerostack(&["auth", "status"]).env("AEROSTACK_API_URL", &companion.base_url);
    let ended = run.env("AEROSTACK_API_KEY_FILE", &file).run().expect(0);
    assert!(ended.out.contains("from the file that AEROSTACK_API_KEY_FILE names\n"), "{}", ended.out);
    assert!(ended.err.contains("warning: other users can read the file"), "{}", ended.err);
    let run = aerostack(&["whoami", "--json"]).env("AEROSTACK_API_URL", &companion.base_url);
    let ended = run.env("AEROSTACK_API_KEY_FILE", &file).run().expect(0);
    let warning: Value = serde_json::from_str(&ended.err).unwrap();
    assert!(warning["warning"]["message"].as_str().unwrap().starts_with("other users"), "{warning}");
}

#[test]
fn no_key_a_rejected_one_and_an_api_that_is_not_there() {
    let companion = Companion::start();
    let url = companion.base_url.as_str();
    let none = aerostack(&["auth", "status"]).env("AEROSTACK_API_URL", url).run().expect(4);
    assert!(none.out.starts_with(&format!("API      {url}\nAPI key  none\nKeyring  ")), "{}", none.out);

    let rejected = status(url, KEY, &[]).expect(4);
    assert_eq!(
        rejected.out,
        format!("API      {url}\nAPI key  ****WXYZ, from AEROSTACK_API_KEY\nStatus   not accepted\n")
    );
    assert!(rejected.err.starts_with("error: "), "{}", rejected.err);

    let nobody = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let unreachable = status(&nobody, KEY, &[]).expect(7);
    assert!(
        unreachable.out.ends_with("Status   not checked: the API was not reachable\n"),
        "{unreachable:?}"
    );

    let broken = Upstream::start(|_| http_answer("500 Internal Server Error", &[], "{}"));
    let unknown = status(&format!("http://{}", broken.address), KEY, &[]).expect(7);
    assert!(unknown.out.ends_with("Status   not checked: the API gave no clear answer\n"), "{unknown:?}");

    for (url, code, word) in [(url, 4, "rejected"), (nobody.as_str(), 7, "not_reachable")] {
        let ended = status(url, KEY, &["--json"]).expect(code);
        let document: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&document["status"], &document["key_last_four"]), (&word.into(), &"WXYZ".into()));
        let error: Value = serde_json::from_str(&ended.err).unwrap();
        assert!(error["error"]["message"].is_string(), "{error}");
    }
}

#[test]
fn every_end_is_0_4_7_or_8() {
    for (answer, expected) in [
        ("401 Unauthorized", 4),
        ("403 Forbidden", 7),
        ("429 Too Many Requests", 8),
        ("500 Internal Server Error", 7),
        ("404 Not Found", 7),
        ("302 Found", 7),
    ] {
        let body = json!({"error": {"code": "unauthorized", "message": "no", "request_id": "r"}}).to_string();
        let api = Upstream::start(move |_| http_answer(answer, &[], &body));
        status(&format!("http://{}", api.address), KEY, &[]).expect(expected);
    }
}

#[test]
fn no_more_of_a_key_than_its_end_is_shown() {
    let companion = Companion::start();
    for (key, shown) in [(KEY, "****WXYZ"), ("ak_short-canary", "****,")] {
        for more in [&[][..], &["--json"], &["--verbose"]] {
            let ended = status(&companion.base_url, key, more).expect(4);
            assert!(!ended.both().contains(&key[3..]), "{}", ended.both());
            assert!(more == ["--json"] || ended.out.contains(shown), "{}", ended.out);
        }
    }
}

#[test]
fn what_is_no_key_has_a_status_too() {
    let companion = Companion::start();
    let file = companion.folder.path().join("key");
    std::fs::write(&file, "canary").unwrap();
    for (variable, value, source) in [
        ("AEROSTACK_API_KEY", "canary", "environment"),
        ("AEROSTACK_API_KEY_FILE", file.to_str().unwrap(), "file"),
        ("AEROSTACK_API_KEY_FILE", "/nonexistent/canary", "file"),
    ] {
        let run = |arguments: &[&str]| {
            let run = aerostack(arguments).env("AEROSTACK_API_URL", &companion.base_url);
            run.env(variable, value).run().expect(4)
        };
        let ended = run(&["auth", "status"]);
        assert!(ended.out.contains("API key  unusable, from "), "{}", ended.out);
        assert!(!ended.both().contains("canary"), "{}", ended.both());
        let document: Value = serde_json::from_str(&run(&["whoami", "--json"]).out).unwrap();
        assert_eq!((&document["status"], &document["source"]), (&"unusable".into(), &source.into()));
    }
}

#[test]
fn an_interactive_look_has_no_fields() {
    let ended = aerostack(&["auth", "status", "--json", "--fields", "origin"]).run().expect(2);
    assert!(ended.err.contains("--fields is for commands that print a list"), "{}", ended.err);
}
