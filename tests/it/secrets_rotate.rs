//! `secrets rotate`: a new value for what exists, the day of the old one, and nothing for
//! what does not exist.

use serde_json::{Value, json};

use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::upstream::{Received, json_answer};
use crate::harness::{Companion, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/raw/secrets";

fn companion() -> (Companion, Upstream) {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    companion.set("raw", "TOKEN", "canary-old");
    (companion, upstream)
}

fn today() -> String {
    jiff::Timestamp::now().to_string()[..10].to_owned()
}

#[test]
fn the_new_value_is_sent_and_the_rule_stays() {
    let (companion, upstream) = companion();
    assert_eq!(companion.inject("raw", "TOKEN", &json!({"type": "bearer"})).status, 200);
    let session = companion.session(&companion.token("default"), None);
    let run = aerostack(&["secrets", "rotate", "raw", "TOKEN"]).against(&companion).stdin("canary-new\n");
    let told =
        format!("Secret rotated. The old value was set {}. Takes effect on next tool call.\n", today());
    let ended = run.run().prints(&told);
    assert_eq!(ended.err, "stored 10 bytes; removed the trailing newline\n");
    session.call("raw__echo");
    let received = upstream.received_of("tools/call").pop().unwrap();
    assert_eq!(received.values("authorization"), ["Bearer canary-new"]);
    cli(&companion, &["secrets", "rotate", "raw", "TOKEN", "third"]).prints(&told);
}

#[test]
fn what_is_not_there_is_not_created() {
    let (companion, _upstream) = companion();
    let ended = cli(&companion, &["secrets", "rotate", "raw", "TOKN", "canary"]).expect(3);
    assert_eq!(ended.err, "error: raw has no secret TOKN; nothing was stored\nhint: did you mean 'TOKEN'?\n");
    let ended = cli(&companion, &["secrets", "rotate", "rw", "TOKEN", "canary", "--json"]).expect(3);
    assert_eq!(ended.error_document()["code"], "not_found");
    assert!(!ended.both().contains("canary"));
    let list = companion.admin("GET", SECRETS, None).json();
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1);
    // A value that is refused is refused before anything is looked for.
    let api = Upstream::start(|_| Vec::new());
    let run = aerostack(&["secrets", "rotate", "raw", "TOKEN"]).env("AEROSTACK_API_KEY", "ak_x");
    run.env("AEROSTACK_API_URL", format!("http://{}", api.address)).stdin("a\nb").run().expect(2);
    assert_eq!(api.connections(), 0);
}

#[test]
fn json_also_tells_the_old_date() {
    let (companion, _upstream) = companion();
    let before = companion.admin("GET", SECRETS, None).json()["secrets"][0]["updated_at"].clone();
    let document = cli(&companion, &["secrets", "rotate", "raw", "TOKEN", "x", "--json"]).document();
    let now = &companion.admin("GET", SECRETS, None).json()["secrets"][0];
    assert_eq!(document, json!({"status": "updated", "secret": now, "replaced_at": before}));
}

/// An API whose secret was set on a day long ago, and which counts versions as told.
fn api(version_after: u64) -> Upstream {
    Upstream::start(move |request: &Received| {
        let secret = |day: &str, version: u64| {
            json!({"name": "TOKEN", "injection": {"type": "name"}, "version": version,
                "created_at": "2020-01-01T00:00:00Z", "updated_at": format!("{day}T10:00:00Z")})
        };
        if request.head_text().starts_with("GET") {
            return json_answer(&json!({"secrets": [secret("2026-03-15", 1)]}));
        }
        let body: Value = request.json();
        assert_eq!(body["must_exist"], true);
        json_answer(&json!({"status": "updated", "secret": secret("2026-06-01", version_after)}))
    })
}

#[test]
fn the_day_is_the_old_values_or_is_not_told() {
    for (version, told) in [
        (2, "Secret rotated. The old value was set 2026-03-15. Takes effect on next tool call.\n"),
        // Somebody else set it in between.
        (3, "Secret rotated. Takes effect on next tool call.\n"),
    ] {
        let api = api(version);
        let run = aerostack(&["secrets", "rotate", "raw", "TOKEN", "x"]).env("AEROSTACK_API_KEY", "ak_x");
        run.env("AEROSTACK_API_URL", format!("http://{}", api.address)).run().prints(told);
    }
}

#[test]
fn on_a_terminal_nobody_types_a_value_for_nothing() {
    let (companion, _upstream) = companion();
    let run = |name: &str| aerostack(&["secrets", "rotate", "raw", name]).against(&companion);
    let (code, transcript) = PseudoTerminal::spawn(run("TOKN")).end();
    assert_eq!(code, 3, "{transcript}");
    assert!(!transcript.contains("not shown"), "{transcript}");
    let mut terminal = PseudoTerminal::spawn(run("TOKEN"));
    terminal.expect("New value of TOKEN for raw (not shown): ");
    terminal.send_line("canary-typed");
    terminal.expect("Received 12 bytes.");
    terminal.expect(&format!("Secret rotated. The old value was set {}.", today()));
    let (code, transcript) = terminal.end();
    assert_eq!(code, 0, "{transcript}");
    assert!(!transcript.contains("canary"), "{transcript}");
}
