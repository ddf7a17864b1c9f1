//! `secrets delete`: what goes, what stays, and that nothing goes by accident.

use serde_json::json;

use crate::harness::upstream::{http_answer, json_answer};
use crate::harness::{Companion, Ended, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";

fn companion() -> Companion {
    let companion = Companion::start();
    for slug in ["github-mcp", "slack-mcp"] {
        companion.add_server(slug, &format!("https://{slug}.example/mcp"));
        for name in ["A_TOKEN", "B_TOKEN", "C_TOKEN"] {
            companion.set(slug, name, "canary-delete");
        }
    }
    companion
}

fn delete(companion: &Companion, rest: &[&str]) -> Ended {
    cli(companion, &[&["secrets", "delete"], rest].concat())
}

fn names(companion: &Companion, slug: &str) -> Vec<String> {
    let list = companion.admin("GET", &format!("/api/v1/admin/mcp-servers/{slug}/secrets"), None).json();
    let secrets = list["secrets"].as_array().unwrap().iter();
    secrets.map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_and_several() {
    let companion = companion();
    let ended = delete(&companion, &["github-mcp", "B_TOKEN", "--yes"])
        .prints("Deleted B_TOKEN from github-mcp. No longer sent from the next tool call.\n");
    assert_eq!(ended.err, "");
    assert_eq!(names(&companion, "github-mcp"), ["A_TOKEN", "C_TOKEN"]);
    // In the order that was typed, each once.
    delete(&companion, &["github-mcp", "C_TOKEN", "A_TOKEN", "C_TOKEN", "-y"]).prints(
        "Deleted C_TOKEN from github-mcp. No longer sent from the next tool call.\n\
         Deleted A_TOKEN from github-mcp. No longer sent from the next tool call.\n",
    );
    assert!(names(&companion, "github-mcp").is_empty());
    assert_eq!(names(&companion, "slack-mcp").len(), 3, "another server's secrets stay");
}

#[test]
fn all_of_a_server() {
    let companion = companion();
    let document = delete(&companion, &["github-mcp", "--all", "--yes", "--json"]).document();
    assert_eq!(document, json!({"deleted": ["A_TOKEN", "B_TOKEN", "C_TOKEN"]}));
    assert!(names(&companion, "github-mcp").is_empty());
    assert_eq!(names(&companion, "slack-mcp").len(), 3);
    // Nothing left to delete is no failure.
    let ended = delete(&companion, &["github-mcp", "--all", "--yes"]).prints("");
    assert_eq!(ended.err, "No secrets for github-mcp; nothing to delete.\n");
    let document = delete(&companion, &["github-mcp", "--all", "--yes", "--json"]).document();
    assert_eq!(document, json!({"deleted": []}));
}

#[test]
fn json_lists_what_was_deleted() {
    let companion = companion();
    let document = delete(&companion, &["github-mcp", "C_TOKEN", "A_TOKEN", "--yes", "--json"]).document();
    assert_eq!(document, json!({"deleted": ["C_TOKEN", "A_TOKEN"]}));
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_deleted() {
    let companion = companion();
    for rest in
        [&["github-mcp", "A_TOKEN"][..], &["github-mcp", "--all"], &["github-mcp", "A_TOKEN", "--no-input"]]
    {
        // An answer on standard input is not an answer of a person.
        for input in ["", "y\n", "yes\n", "github-mcp\n"] {
            let run = aerostack(&[&["secrets", "delete"], rest].concat()).against(&companion).stdin(input);
            let ended = run.run().expect(2);
            assert_eq!(ended.out, "");
            assert!(ended.err.contains("nothing was changed\nhint: pass --yes"), "{}", ended.err);
        }
    }
    let ended = delete(&companion, &["github-mcp", "A_TOKEN", "--json"]).expect(2);
    assert_eq!(ended.error_document()["code"], "invalid_request");
    assert_eq!(names(&companion, "github-mcp").len(), 3);
    assert!(!cli(&companion, &["secrets", "list"]).both().contains("canary"));
}

#[test]
fn the_refusal_comes_before_any_request() {
    let upstream = Upstream::start(|_| Vec::new());
    let run = aerostack(&["secrets", "delete", "github-mcp", "--all"]);
    let url = format!("http://{}", upstream.address);
    run.env("AEROSTACK_API_URL", url).env("AEROSTACK_API_KEY", "ak_x").run().expect(2);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn one_unknown_name_and_nothing_is_deleted() {
    let companion = companion();
    let ended = delete(&companion, &["github-mcp", "A_TOKEN", "B_TOKN", "C_TOKEN", "--yes"]).expect(3);
    assert!(ended.err.contains("nothing was deleted\nhint: did you mean 'B_TOKEN'?\n"), "{}", ended.err);
    assert_eq!(ended.out, "");
    assert_eq!(names(&companion, "github-mcp").len(), 3);
    let ended = delete(&companion, &["github-mcp", "A_TOKEN", "B_TOKN", "--yes", "--json"]).expect(3);
    let error = ended.error_document();
    assert_eq!((&error["code"], &error["hint"]), (&json!("not_found"), &json!("did you mean 'B_TOKEN'?")));
    let ended = delete(&companion, &["githb-mcp", "A_TOKEN", "--yes"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'github-mcp'?\n"), "{}", ended.err);
    delete(&companion, &["githb-mcp", "--all", "--yes"]).expect(3);
    assert_eq!(names(&companion, "github-mcp").len(), 3);
}

/// An empty variable in a script must not turn "this one" into "all".
#[test]
fn empty_and_missing_names_are_errors() {
    let companion = companion();
    for rest in [
        &["github-mcp", "", "--yes"][..],
        &["github-mcp", "--yes"],
        &["", "--all", "--yes"],
        &["--all", "--yes"],
        &["github-mcp", "A_TOKEN", "", "--yes"],
        &["github-mcp", "A_TOKEN", "--all", "--yes"],
        &["github-mcp", "*", "--yes"],
    ] {
        let ended = delete(&companion, rest).expect(2);
        assert_eq!(ended.out, "", "{rest:?}");
        assert_eq!(ended.err.contains(" is empty: "), rest.contains(&""), "{}", ended.err);
    }
    assert_eq!(names(&companion, "github-mcp").len(), 3);
    assert_eq!(names(&companion, "slack-mcp").len(), 3);
}

#[test]
fn names_that_may_be_missing() {
    let companion = companion();
    let ended = delete(&companion, &["github-mcp", "A_TOKEN", "GONE", "GONE", "--if-exists", "--yes"])
        .prints("Deleted A_TOKEN from github-mcp. No longer sent from the next tool call.\n");
    assert_eq!(ended.err, "github-mcp has no secret GONE.\n");
    // Again: nothing is there, and nothing fails.
    delete(&companion, &["github-mcp", "A_TOKEN", "--if-exists", "--yes"]).prints("");
    let rest = ["github-mcp", "B_TOKEN", "GONE", "--if-exists", "--yes", "--json"];
    assert_eq!(delete(&companion, &rest).document(), json!({"deleted": ["B_TOKEN"], "missing": ["GONE"]}));
    assert_eq!(names(&companion, "github-mcp"), ["C_TOKEN"]);
    // A server that is not there is a mistake all the same.
    delete(&companion, &["githb-mcp", "C_TOKEN", "--if-exists", "--yes"]).expect(3);
    delete(&companion, &["github-mcp", "C_TOKEN", "--if-exists"]).expect(2);
    delete(&companion, &["github-mcp", "", "--if-exists", "--yes"]).expect(2);
    assert_eq!(names(&companion, "github-mcp"), ["C_TOKEN"]);
}

#[test]
fn a_dry_run_deletes_nothing_and_asks_nothing() {
    let companion = companion();
    for more in [&["--dry-run"][..], &["--dry-run", "--yes"]] {
        let run = |which: &[&str]| delete(&companion, &[&["github-mcp"], which, more].concat());
        run(&["B_TOKEN", "A_TOKEN", "B_TOKEN"])
            .prints("Would delete B_TOKEN from github-mcp.\nWould delete A_TOKEN from github-mcp.\n");
        let all = run(&["--all", "--json"]).document();
        assert_eq!(all, json!({"deleted": [], "would_delete": ["A_TOKEN", "B_TOKEN", "C_TOKEN"]}));
        run(&["A_TOKEN", "GONE"]).expect(3);
        run(&["", "A_TOKEN"]).expect(2);
        let document = run(&["A_TOKEN", "GONE", "--if-exists", "--json"]).document();
        assert_eq!(document, json!({"deleted": [], "missing": ["GONE"], "would_delete": ["A_TOKEN"]}));
    }
    assert_eq!(names(&companion, "github-mcp").len(), 3);
    delete(&companion, &["slack-mcp", "--all", "--yes"]).expect(0);
    let document = delete(&companion, &["slack-mcp", "--all", "--dry-run", "--json"]).document();
    assert_eq!(document, json!({"deleted": [], "would_delete": []}));
}

/// A secret that goes away between the look and the deletion: what was done is said.
#[test]
fn partly_done_is_exit_6_and_says_what() {
    let upstream = Upstream::start(|request| {
        let row = |name: &str| {
            let day = "2026-03-15T00:00:00Z";
            json!({"name": name, "injection": {"type": "name"}, "created_at": day, "updated_at": day, "version": 1})
        };
        let head = request.head_text();
        if head.starts_with("GET") {
            let list = json!({"secrets": [row("A_TOKEN"), row("B_TOKEN"), row("C_TOKEN")]});
            return json_answer(&list);
        }
        if head.contains("/A_TOKEN?") {
            return b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        let gone = json!({"error": {"code": "not_found", "message": "it is gone", "request_id": "r1"}});
        http_answer("404 Not Found", &[], &gone.to_string())
    });
    let run = |more: &[&str]| {
        let names = ["secrets", "delete", "github-mcp", "A_TOKEN", "B_TOKEN", "C_TOKEN", "--yes"];
        let run = aerostack(&[&names, more].concat());
        run.env("AEROSTACK_API_URL", format!("http://{}", upstream.address))
            .env("AEROSTACK_API_KEY", "ak_x")
            .run()
            .expect(6)
    };
    let ended = run(&[]);
    assert_eq!(ended.out, "Deleted A_TOKEN from github-mcp. No longer sent from the next tool call.\n");
    let told = "error: deleted A_TOKEN; not deleted B_TOKEN, C_TOKEN: it is gone\n";
    assert!(ended.err.starts_with(told), "{}", ended.err);
    let ended = run(&["--json"]);
    assert_eq!(ended.out, "{\"deleted\":[\"A_TOKEN\"]}\n");
    let document: serde_json::Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(document["error"]["code"], "conflict");
    // With --if-exists that is no failure.
    let names = ["A_TOKEN", "B_TOKEN", "C_TOKEN", "--yes", "--if-exists", "--json"];
    let run = aerostack(&[&["secrets", "delete", "github-mcp"][..], &names].concat());
    let run = run.env("AEROSTACK_API_URL", format!("http://{}", upstream.address));
    let document = run.env("AEROSTACK_API_KEY", "ak_x").run().document();
    assert_eq!(document, json!({"deleted": ["A_TOKEN"], "missing": ["B_TOKEN", "C_TOKEN"]}));
}

/// A deletion whose answer was lost is neither done nor not done.
#[test]
fn what_is_not_known_is_a_group_of_its_own() {
    let row = |name: &str| {
        let day = "2026-03-15T00:00:00Z";
        json!({"name": name, "injection": {"type": "name"}, "created_at": day, "updated_at": day, "version": 1})
    };
    let run = |lost: &'static str, first: &'static str, names: &[&str]| {
        let tried = std::sync::atomic::AtomicBool::new(false);
        let upstream = Upstream::start(move |request| {
            let head = request.head_text();
            if head.starts_with("GET") {
                return json_answer(&json!({"secrets": [row("A_TOKEN"), row("B_TOKEN"), row("C_TOKEN")]}));
            }
            if !head.contains(&format!("/{first}?")) {
                return http_answer("204 No Content", &[], "");
            }
            match lost {
                "502, then 404" if tried.swap(true, std::sync::atomic::Ordering::SeqCst) => {
                    let gone =
                        json!({"error": {"code": "not_found", "message": "it is gone", "request_id": "r1"}});
                    http_answer("404 Not Found", &[], &gone.to_string())
                }
                "no answer" => Vec::new(),
                _ => http_answer("502 Bad Gateway", &[], ""),
            }
        });
        let run = aerostack(&[&["secrets", "delete", "github-mcp", "--yes"], names].concat());
        run.env("AEROSTACK_API_URL", format!("http://{}", upstream.address))
            .env("AEROSTACK_API_KEY", "ak_x")
            .run()
    };
    let all = ["A_TOKEN", "B_TOKEN", "C_TOKEN"];
    for lost in ["502, then 404", "502", "no answer"] {
        let ended = run(lost, "B_TOKEN", &all).expect(6);
        let told = "error: deleted A_TOKEN; not known: B_TOKEN; not tried: C_TOKEN: ";
        assert!(ended.err.starts_with(told), "{}", ended.err);
        let ended = run(lost, "C_TOKEN", &all).expect(6);
        assert!(
            ended.err.starts_with("error: deleted A_TOKEN, B_TOKEN; not known: C_TOKEN: "),
            "{}",
            ended.err
        );
        let ended = run(lost, "A_TOKEN", &all);
        let told = "error: not known: A_TOKEN; not tried: B_TOKEN, C_TOKEN: ";
        assert!(ended.err.starts_with(told) && ended.code != 6, "{ended:?}");
        let ended = run(lost, "A_TOKEN", &["A_TOKEN"]);
        assert!(!ended.err.contains("not known") && ended.code != 0, "{ended:?}");
    }
}

#[test]
fn the_routes_of_the_api() {
    let companion = companion();
    let answer = companion.admin("DELETE", &format!("{SECRETS}/A_TOKEN"), None);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let answer = companion.admin("DELETE", &format!("{SECRETS}/A_TOKEN"), None);
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "not_found"));
    // An illegal name answers like an unknown one.
    assert_eq!(companion.admin("DELETE", &format!("{SECRETS}/A-TOKEN"), None).status, 404);
    assert_eq!(companion.admin("DELETE", &format!("{SECRETS}/a_token"), None).status, 404);
    let answer = companion.admin("DELETE", SECRETS, None);
    assert_eq!((answer.status, answer.json()), (200, json!({"deleted": ["B_TOKEN", "C_TOKEN"]})));
    let answer = companion.admin("DELETE", SECRETS, None);
    assert_eq!((answer.status, answer.json()), (200, json!({"deleted": []})));
    assert_eq!(names(&companion, "slack-mcp").len(), 3);
}

#[test]
fn a_secret_that_comes_back_starts_anew() {
    let companion = companion();
    assert_eq!(companion.inject("github-mcp", "A_TOKEN", &json!({"type": "bearer"})).status, 200);
    companion.set("github-mcp", "A_TOKEN", "second");
    delete(&companion, &["github-mcp", "A_TOKEN", "--yes"]).expect(0);
    let document = companion.set("github-mcp", "A_TOKEN", "third");
    assert_eq!(document["status"], "created");
    assert_eq!(document["secret"]["version"], 1);
    assert_eq!(document["secret"]["injection"], json!({"type": "name"}), "the old rule is gone too");
}
