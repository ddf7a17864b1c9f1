//! Defects that were found in comparable tools, one test for each, by its number: what went
//! wrong there must not go wrong here. (Those about values: `peer_defects_values.rs`.)

use crate::harness::program::Aerostack;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::shell::{set_from_stdin, shell};
use crate::harness::{Companion, Ended, McpSession, Upstream, aerostack, cli};

/// A companion with the MCP server `raw`, and a member's session.
pub struct Scene {
    pub companion: Companion,
    upstream: Upstream,
    session: McpSession,
}

impl Scene {
    pub fn new() -> Self {
        let (companion, upstream) = (Companion::start(), Upstream::mcp());
        companion.add_server("raw", &upstream.url());
        let session = companion.session(&companion.token("default"), None);
        Self { companion, upstream, session }
    }

    /// What a call carries as the header `token` now.
    pub fn arrives(&self) -> Vec<String> {
        self.session.call("raw__echo");
        self.upstream.received_of("tools/call").pop().unwrap().values("token")
    }

    pub fn set(&self, input: impl Into<Vec<u8>>) -> Ended {
        set_from_stdin(&self.companion, "raw", "TOKEN", input)
    }

    pub fn run(&self, arguments: &[&str]) -> Aerostack {
        aerostack(arguments).against(&self.companion)
    }

    /// A script in which `aerostack` speaks to the companion.
    pub fn shell(&self, script: &str) -> Ended {
        let Companion { base_url, api_key, .. } = &self.companion;
        shell(&format!(
            "export AEROSTACK_API_URL={base_url} AEROSTACK_API_KEY={api_key} HOME=/nonexistent\n{script}"
        ))
    }

    /// Names of the secrets of `raw`.
    pub fn names(&self) -> Vec<String> {
        let list = self.companion.admin("GET", "/api/v1/admin/mcp-servers/raw/secrets", None).json();
        let secrets = list["secrets"].as_array().unwrap().iter();
        secrets.map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn peer_defect_08_nothing_prints_a_value() {
    let scene = Scene::new();
    for name in ["TOKEN", "OTHER"] {
        for (arguments, code) in [
            (&["secrets", "set", "raw", name, "canary"][..], 0),
            (&["secrets", "set", "raw", name, "canary", "-v", "--json"], 0),
            (&["secrets", "set", "raw", name, "canary", "--bearer", "--must-not-exist"], 6),
            (&["secrets", "set", "raw", name, "canary\n"], 2),
            (&["secrets", "rotate", "raw", name, "canary", "-v"], 0),
            (&["secrets", "inject", "raw", name, "--by-name"], 0),
            (&["secrets", "list", "-v"], 0),
        ] {
            let ended = cli(&scene.companion, arguments).expect(code);
            assert!(!ended.both().contains("canary"), "{arguments:?}: {}", ended.both());
        }
    }
    let ended = cli(&scene.companion, &["secrets", "delete", "raw", "TOKEN", "--yes", "-v"]).expect(0);
    assert!(!ended.both().contains("canary") && !ended.both().contains("OTHER"), "{}", ended.both());
    let mut terminal = PseudoTerminal::spawn(scene.run(&["secrets", "set", "raw", "TOKEN"]));
    terminal.expect("(not shown): ");
    terminal.send_line("canary");
    let (code, transcript) = terminal.end();
    assert!(code == 0 && !transcript.contains("canary"), "{transcript}");
}

#[test]
fn peer_defect_11_without_a_terminal_nothing_answers_yes() {
    let scene = Scene::new();
    scene.companion.set("raw", "TOKEN", "old");
    for script in [
        "aerostack secrets delete raw TOKEN",
        "aerostack secrets delete raw --all </dev/null",
        "yes | aerostack secrets delete raw TOKEN",
        "echo raw | aerostack secrets delete raw --all",
        "CI=true aerostack secrets delete raw TOKEN",
        "aerostack secrets delete raw TOKEN --if-exists",
        "aerostack secrets delete raw --all --json",
    ] {
        let ended = scene.shell(script).expect(2);
        assert!(ended.err.contains("--yes") && ended.out.is_empty(), "{script}: {}", ended.err);
    }
    assert_eq!(scene.names(), ["TOKEN"]);
    assert_eq!(scene.arrives(), ["old"]);
}

#[test]
fn peer_defect_12_an_empty_variable_deletes_nothing() {
    let scene = Scene::new();
    for name in ["A", "B"] {
        scene.companion.set("raw", name, "x");
    }
    for script in [
        "aerostack secrets delete raw \"$EMPTY\"",
        "aerostack secrets delete raw \"$EMPTY\" --yes",
        "aerostack secrets delete raw $EMPTY --yes",
        "aerostack secrets delete raw A \"$EMPTY\" --yes",
        "aerostack secrets delete raw \"$EMPTY\" --yes --if-exists",
        "aerostack secrets delete raw $EMPTY --yes --if-exists",
        "aerostack secrets delete \"$EMPTY\" --all --yes",
        "aerostack secrets delete $EMPTY --all --yes",
        "aerostack secrets delete raw --all \"$EMPTY\" --yes",
    ] {
        let ended = scene.shell(script).expect(2);
        assert!(ended.out.is_empty(), "{script}: {}", ended.out);
    }
    assert_eq!(scene.names(), ["A", "B"]);
    scene.shell("aerostack secrets delete raw --all --yes").expect(0);
    assert!(scene.names().is_empty());
}

#[test]
fn peer_defect_15_no_escape_codes_where_they_are_not_wanted() {
    let scene = Scene::new();
    let lines: [&[&str]; 6] = [
        &["secrets", "set", "raw", "TOKEN", "x"],
        &["secrets", "rotate", "raw", "TOKEN", "x"],
        &["secrets", "list"],
        &["secrets", "list", "raw", "--stale", "0s", "--fail"],
        &["secrets", "delete", "raw", "TOKEN", "--dry-run"],
        &["secrets", "delete", "raw", "NONE", "--yes"],
    ];
    for arguments in lines {
        let ended = cli(&scene.companion, arguments);
        assert!(!ended.both().contains('\u{1b}'), "{arguments:?}: {:?}", ended.both());
        let (_, transcript) = PseudoTerminal::spawn(scene.run(arguments).env("NO_COLOR", "1")).end();
        assert!(!transcript.contains('\u{1b}'), "{arguments:?}: {transcript:?}");
    }
    // It would be there otherwise.
    let (_, transcript) = PseudoTerminal::spawn(scene.run(lines[5]).env("TERM", "xterm")).end();
    assert!(transcript.contains("\u{1b}[1;31merror:"), "{transcript:?}");
}

#[test]
fn peer_defect_16_standard_output_is_data_only() {
    let scene = Scene::new();
    let run = |arguments: &[&str], stdin: &str| scene.run(arguments).stdin(stdin).run();
    // Each of them has something to say beside its data.
    run(&["secrets", "set", "raw", "TOKEN"], "x\n")
        .prints("Secret created. Takes effect on next tool call.\n");
    let hidden =
        scene.run(&["secrets", "set", "raw", "TOKEN", "abcdefgh"]).env("GITHUB_ACTIONS", "true").run();
    assert_eq!(
        hidden.prints("Secret updated. Takes effect on next tool call.\n").err,
        "::add-mask::abcdefgh\n"
    );
    run(&["secrets", "delete", "raw", "NONE", "--if-exists", "--yes"], "").prints("");
    run(&["secrets", "list", "raw", "--stale", "90d"], "").prints("");
    let lines: [&[&str]; 6] = [
        &["secrets", "set", "raw", "TOKEN", "--json"],
        &["secrets", "rotate", "raw", "TOKEN", "--json"],
        &["secrets", "inject", "raw", "TOKEN", "--bearer", "--json"],
        &["secrets", "list", "--stale", "90d", "--json"],
        &["secrets", "delete", "raw", "TOKEN", "NONE", "--if-exists", "--dry-run", "--json"],
        &["secrets", "delete", "raw", "TOKEN", "NONE", "--if-exists", "--yes", "--json"],
    ];
    for arguments in lines {
        let ended = run(arguments, "abcdefgh\n");
        assert_eq!(ended.err, "", "{arguments:?}");
        assert!(ended.document().is_object());
    }
}

/// A key, an address and a workspace that somebody else may have put into the folder.
#[test]
fn peer_defect_17_nothing_is_read_from_the_current_directory() {
    let scene = Scene::new();
    scene.companion.set("raw", "TOKEN", "x");
    let (folder, trap) = (tempfile::tempdir().unwrap(), Upstream::start(|_| Vec::new()));
    let (url, key) = (format!("http://{}", trap.address), "ak_canary");
    let json = format!(
        r#"{{"api_url":"{url}","api_key":"{key}","apiKey":"{key}","workspace":"canary",
            "origins":{{"{url}":{{"api_key":"{key}","workspace":"canary"}}}}}}"#
    );
    let env = format!("AEROSTACK_API_URL={url}\nAEROSTACK_API_KEY={key}\nAEROSTACK_WORKSPACE=canary\n");
    let toml = format!("api_url = \"{url}\"\napi_key = \"{key}\"\nworkspace = \"canary\"\n");
    for place in ["", "aerostack", ".aerostack", ".config/aerostack"] {
        let place = folder.path().join(place);
        std::fs::create_dir_all(&place).unwrap();
        for (name, text) in [
            ("credentials.json", &json),
            ("config.json", &json),
            ("aerostack.json", &json),
            (".env", &env),
            (".env.local", &env),
            ("aerostack.toml", &toml),
            (".aerostackrc", &toml),
        ] {
            std::fs::write(place.join(name), text).unwrap();
        }
    }
    // Neither a key nor an address nor a workspace is taken from there.
    let bare = |arguments: &[&str]| aerostack(arguments).folder(folder.path());
    let url_here = &scene.companion.base_url;
    for run in [
        bare(&["secrets", "list"]).env("AEROSTACK_API_URL", url_here),
        bare(&["secrets", "list"]).env("AEROSTACK_API_URL", &url),
        bare(&["secrets", "list"]),
    ] {
        let ended = run.run().expect(4);
        assert!(ended.err.contains("there is no API key") && !ended.err.contains("canary"), "{}", ended.err);
    }
    let list = scene.run(&["secrets", "list", "raw"]).folder(folder.path()).run().expect(0);
    assert!(list.out.contains("TOKEN"), "{}", list.out);
    assert_eq!(trap.connections(), 0);
}

#[test]
fn peer_defect_22_the_older_grammar_is_answered_with_the_right_form() {
    let scene = Scene::new();
    for rest in [
        &["set", "GITHUB_TOKEN", "canary"][..],
        &["set", "GITHUB_TOKEN=canary"],
        &["set", "ghp_canary", "canary-2"],
        &["set", "GITHUB_TOKEN", "canary", "--json"],
        &["set", "GITHUB_TOKEN", "canary", "-w", "default"],
        &["set", "-w", "default", "GITHUB_TOKEN", "canary", "-q"],
        &["set", "--timeout", "5", "GITHUB_TOKEN", "canary"],
        &["set", "--timeout=5", "GITHUB_TOKEN", "--", "canary"],
        &["set", "API_KEY", "canary", "--env", "production"],
        &["set", "--env", "production", "API_KEY", "canary"],
        &["set", "API_KEY", "canary", "--env=production"],
        &["rotate", "GITHUB_TOKEN", "canary"],
    ] {
        let ended = cli(&scene.companion, &[&["secrets"], rest].concat()).expect(2);
        let right = format!("aerostack secrets {} <mcp-slug> <NAME>", rest[0]);
        assert!(
            ended.err.contains("the MCP server is missing") && ended.err.contains(&right),
            "{}",
            ended.err
        );
        assert!(!ended.both().contains("canary"), "{}", ended.both());
    }
    // A key that might be a slug is not told from one: the answer names both.
    let right = |verb: &str| format!("now it is: aerostack secrets {verb} <mcp-slug> <NAME>\n");
    for (verb, stdin, code) in [("set", "", 2), ("set", "piped", 3), ("rotate", "piped", 3)] {
        let ended = scene.run(&["secrets", verb, "token", "ghp_canary"]).stdin(stdin).run().expect(code);
        assert!(ended.err.contains(&right(verb)) && !ended.both().contains("canary"), "{}", ended.err);
    }
    for verb in ["set", "rotate"] {
        let run = scene.run(&["secrets", verb, "token", "ghp_canary"]);
        let (code, transcript) = PseudoTerminal::spawn(run).end();
        assert_eq!(code, 3, "it asks for no value: {transcript}");
        assert!(transcript.replace("\r\n", "\n").contains(&right(verb)), "{transcript}");
        assert!(!transcript.contains("canary") && !transcript.contains("not shown"), "{transcript}");
    }
    // With a value of its own it is a slug that is wrong.
    let ended = scene.run(&["secrets", "set", "token", "NAME", "canary"]).run().expect(3);
    assert!(!ended.err.contains("older command line"), "{}", ended.err);
    let ended = cli(&scene.companion, &["secrets", "delete", "GITHUB_TOKEN", "--yes"]).expect(2);
    assert!(ended.err.contains("aerostack secrets delete <mcp-slug> <NAME>"), "{}", ended.err);
    // With three arguments it is a slug that is wrong.
    let ended = cli(&scene.companion, &["secrets", "set", "My_Server", "TOKEN", "canary"]).expect(2);
    assert!(ended.err.contains("a slug is 1 to 63 characters"), "{}", ended.err);
    assert!(scene.names().is_empty());
}
