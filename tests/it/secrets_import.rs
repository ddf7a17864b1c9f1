//! `secrets import`: what is done and said, what is asked before something is deleted, and
//! that nothing is done when anything is wrong. (The files: `secrets_import_files.rs`.)

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::program::Aerostack;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::upstream::json_answer;
use crate::harness::{Companion, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";
/// Two names that are there, one that is new.
const FILE: &str = "# my secrets\nexport B_TOKEN='canary-b'\nA_TOKEN=canary-a\nN_TOKEN=canary-n\n";

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    for name in ["A_TOKEN", "B_TOKEN", "C_TOKEN", "D_TOKEN"] {
        companion.set("github-mcp", name, "canary-old");
    }
    companion
}

/// `secrets import github-mcp` with this on standard input.
fn import(companion: &Companion, rest: &[&str], input: impl Into<Vec<u8>>) -> Aerostack {
    aerostack(&[&["secrets", "import", "github-mcp"], rest].concat()).against(companion).stdin(input)
}

/// Names with versions, in a line.
fn stored(companion: &Companion) -> String {
    let list = companion.admin("GET", SECRETS, None).json();
    let secrets = list["secrets"].as_array().unwrap().iter();
    let words = secrets.map(|secret| format!("{}:{}", secret["name"].as_str().unwrap(), secret["version"]));
    words.collect::<Vec<_>>().join(" ")
}

/// A file with this content, in a folder that goes with the test.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.env");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn from_standard_input_and_from_a_file() {
    let companion = companion();
    let ended = import(&companion, &[], FILE)
        .run()
        .prints("1 created, 2 replaced, 0 deleted. Takes effect on next tool call.\n");
    assert_eq!(ended.err, "");
    import(&companion, &["-"], FILE)
        .run()
        .prints("0 created, 3 replaced, 0 deleted. Takes effect on next tool call.\n");
    let (_folder, path) = file(FILE);
    // What stands on standard input is left alone.
    let ended = import(&companion, &[&path], "A_TOKEN=other\nX=x\n").run();
    ended.prints("0 created, 3 replaced, 0 deleted. Takes effect on next tool call.\n");
    assert_eq!(stored(&companion), "A_TOKEN:4 B_TOKEN:4 C_TOKEN:1 D_TOKEN:1 N_TOKEN:3");
    let json = r#"{"A_TOKEN": "canary-a", "M_TOKEN": "canary-m"}"#;
    let ended = import(&companion, &["-q"], json).run();
    ended.prints("1 created, 1 replaced, 0 deleted. Takes effect on next tool call.\n");
}

#[test]
fn a_dry_run_shows_names_and_changes_nothing() {
    let companion = companion();
    let before = stored(&companion);
    let shown = "+ create N_TOKEN\n~ replace A_TOKEN\n~ replace B_TOKEN\n";
    let ended = import(&companion, &["--dry-run"], FILE).run().prints(shown);
    assert_eq!(ended.err, "Nothing was changed: this is a dry run.\n");
    // With --prune too nobody is asked.
    let shown = format!("{shown}- delete C_TOKEN\n- delete D_TOKEN\n");
    let ended = import(&companion, &["--dry-run", "--prune", "-q"], FILE).run().prints(&shown);
    assert_eq!(ended.err, "");
    let document = import(&companion, &["--dry-run", "--prune", "--json"], FILE).run().document();
    let expected = json!({
        "created": ["N_TOKEN"], "updated": ["A_TOKEN", "B_TOKEN"], "deleted": ["C_TOKEN", "D_TOKEN"]
    });
    assert_eq!(document, expected);
    // It is checked by the server like the real one.
    let ended = import(&companion, &["--dry-run"], "HOST=canary\n").run().expect(2);
    assert!(ended.err.contains("line 1: by default"), "{}", ended.err);
    assert_eq!(stored(&companion), before);
    let document = import(&companion, &["--prune", "--json", "--yes"], FILE).run().document();
    assert_eq!(document, expected);
    assert_eq!(stored(&companion), "A_TOKEN:2 B_TOKEN:2 N_TOKEN:1");
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_pruned() {
    let companion = companion();
    let (before, (_folder, path)) = (stored(&companion), file(FILE));
    for rest in [&["--prune"][..], &["-", "--prune"], &[&path, "--prune"], &[&path, "--prune", "--no-input"]]
    {
        let ended = import(&companion, rest, "github-mcp\n").run().expect(2);
        assert!(ended.out.is_empty(), "{}", ended.out);
        assert!(ended.err.contains("nothing was changed\nhint: pass --yes"), "{}", ended.err);
    }
    assert_eq!(stored(&companion), before);
    let ended = import(&companion, &[&path, "--prune", "--yes"], "").run();
    ended.prints("1 created, 2 replaced, 2 deleted. Takes effect on next tool call.\n");
    // Nothing is left that could be deleted: --yes is wanted all the same.
    import(&companion, &[&path, "--prune"], "").run().expect(2);
}

#[test]
fn on_a_terminal_the_slug_is_asked_for() {
    let companion = companion();
    let (before, (_folder, path)) = (stored(&companion), file(FILE));
    let start = |rest: &[&str]| {
        let arguments = [&["secrets", "import", "github-mcp", &path, "--prune"], rest].concat();
        PseudoTerminal::spawn(aerostack(&arguments).against(&companion))
    };
    for (typed, code) in [("yes\r", 2), ("github\r", 2), ("\r", 2), ("\u{4}", 2), ("\u{3}", 130)] {
        let mut terminal = start(&[]);
        terminal.expect("Type 'github-mcp' to confirm: ");
        terminal.send(typed);
        let (exit, transcript) = terminal.end();
        assert_eq!(exit, code, "{typed:?}: {transcript}");
        assert!(!transcript.contains("canary") && !transcript.contains("created"), "{transcript}");
        assert_eq!(stored(&companion), before);
    }
    let (exit, transcript) = start(&["--no-input"]).end();
    assert_eq!(exit, 2, "{transcript}");
    let mut terminal = start(&[]);
    terminal.expect("Delete these secrets of github-mcp, which the import does not have? Type");
    terminal.expect("to confirm: ");
    terminal.send_line("github-mcp");
    let (exit, transcript) = terminal.end();
    assert_eq!(exit, 0, "{transcript}");
    let shown = transcript.split("Delete these").next().unwrap();
    assert!(shown.contains("C_TOKEN") && shown.contains("D_TOKEN") && !shown.contains("A_TOKEN"), "{shown}");
    assert!(transcript.contains("1 created, 2 replaced, 2 deleted."), "{transcript}");
    assert!(!transcript.contains("Importing") && !transcript.contains("canary"), "{transcript}");
    // Nothing more to delete, nothing to ask.
    let (exit, transcript) = start(&[]).end();
    assert_eq!((exit, transcript.contains("confirm")), (0, false), "{transcript}");
}

#[test]
fn a_terminal_is_no_file() {
    let companion = companion();
    let start = |rest: &[&str]| {
        let arguments = [&["secrets", "import", "github-mcp"], rest].concat();
        PseudoTerminal::spawn(aerostack(&arguments).against(&companion))
    };
    let (exit, transcript) = start(&[]).end();
    assert_eq!(exit, 2, "{transcript}");
    assert!(transcript.contains("there is no file to import; nothing was sent"), "{transcript}");
    let mut terminal = start(&["-"]);
    terminal.expect("Ctrl-D ends it.");
    terminal.send("A_TOKEN=x\r\u{4}");
    let (exit, transcript) = terminal.end();
    assert_eq!(exit, 0, "{transcript}");
    assert!(transcript.contains("0 created, 1 replaced"), "{transcript}");
}

/// An API that takes its time.
fn slow() -> Upstream {
    Upstream::start(|_| {
        std::thread::sleep(Duration::from_millis(1_300));
        json_answer(&json!({"created": ["A"], "updated": [], "deleted": []}))
    })
}

#[test]
fn progress_is_for_people_who_wait() {
    let (slow, (_folder, path)) = (slow(), file("A=the canary\n"));
    let run = |rest: &[&str]| {
        let arguments = [&["secrets", "import", "github-mcp", &path], rest].concat();
        let run = aerostack(&arguments).env("AEROSTACK_API_URL", format!("http://{}", slow.address));
        run.env("AEROSTACK_API_KEY", "ak_x")
    };
    let (exit, transcript) = PseudoTerminal::spawn(run(&[])).end();
    let expected = "Importing 1 secret into github-mcp ...\r\n\
        1 created, 0 replaced, 0 deleted. Takes effect on next tool call.\r\n";
    assert_eq!((exit, transcript.as_str()), (0, expected));
    let (exit, transcript) = PseudoTerminal::spawn(run(&["-q"])).end();
    assert_eq!((exit, transcript.contains("Importing")), (0, false), "{transcript}");
    assert_eq!(run(&[]).run().expect(0).err, "", "not a terminal");
    assert_eq!(slow.received().len(), 3, "each was sent once");
}

#[test]
fn problems_that_only_the_server_sees_have_lines_too() {
    let companion = companion();
    let before = stored(&companion);
    let ended = import(&companion, &[], "N=canary\n\nHOST=canary\na_token=canary\n").run().expect(2);
    let told = "error: 2 of 3 secrets cannot be stored; nothing was changed\n  \
        line 3: by default the secret's name becomes a header, and this one is reserved\n  \
        line 4: another secret of the server is sent in the same header (case and '_' or '-' make no difference)\n\
        hint: ";
    assert!(ended.err.starts_with(told) && ended.err.contains("\nrequest id: "), "{}", ended.err);
    // Two secrets on one header, and nothing else: a conflict.
    let ended =
        import(&companion, &["--json"], "{\"N\": \"canary\",\n\"a_token\": \"canary\"}").run().expect(6);
    let error = ended.error_document();
    assert_eq!(error["code"], "conflict");
    assert!(error["message"].as_str().unwrap().contains("\n  line 2: another secret"), "{error}");
    assert!(!ended.both().contains("canary"));
    assert_eq!(stored(&companion), before);
}

#[test]
fn unknown_servers_and_workspaces() {
    let companion = companion();
    let run = |arguments: &[&str]| aerostack(arguments).against(&companion).stdin("A=canary\n").run();
    let ended = run(&["secrets", "import", "githb-mcp"]).expect(3);
    assert!(ended.err.contains("hint: did you mean 'github-mcp'?\n"), "{}", ended.err);
    run(&["-w", "nope", "secrets", "import", "github-mcp"]).expect(3);
    cli(&companion, &["workspace", "create", "Team A"]).expect(0);
    run(&["-w", "team-a", "secrets", "import", "github-mcp"]).expect(3);
}

/// Between the question and the answer somebody else sets a secret: it goes too, and that is
/// said.
#[test]
fn what_nobody_was_shown_is_told_when_it_is_deleted() {
    let api = Upstream::start(|request| {
        let row = |name: &str| {
            let day = "2026-03-15T00:00:00Z";
            json!({"name": name, "injection": {"type": "name"}, "created_at": day, "updated_at": day, "version": 1})
        };
        if request.head_text().starts_with("GET") {
            return json_answer(&json!({"secrets": [row("A"), row("SHOWN")]}));
        }
        json_answer(&json!({"created": [], "updated": ["A"], "deleted": ["NEW_ONE", "SHOWN"]}))
    });
    let (_folder, path) = file("A=canary\n");
    let run =
        aerostack(&["secrets", "import", "github-mcp", &path, "--prune"]).env("AEROSTACK_API_KEY", "ak_x");
    let mut terminal = PseudoTerminal::spawn(run.env("AEROSTACK_API_URL", format!("http://{}", api.address)));
    terminal.expect("to confirm: ");
    terminal.send_line("github-mcp");
    let (exit, transcript) = terminal.end();
    assert_eq!(exit, 0, "{transcript}");
    let told = " also deleted, because somebody set it in the meantime: NEW_ONE\r\n";
    assert!(transcript.contains("warning:") && transcript.ends_with(told), "{transcript}");
}

/// What a hostile API cannot do: forge lines, or place a problem where nothing stands.
#[test]
fn answers_of_a_hostile_api_are_escaped() {
    let run = |answer: Vec<u8>, rest: &[&str]| {
        let api = Upstream::start(move |_| answer.clone());
        let arguments = [&["secrets", "import", "github-mcp"], rest].concat();
        let run = aerostack(&arguments).env("AEROSTACK_API_URL", format!("http://{}", api.address));
        run.env("AEROSTACK_API_KEY", "ak_x").stdin("A=canary\n").run()
    };
    let names = json!({"created": ["A\n- delete B", "C\u{1b}[2J"], "updated": [], "deleted": []});
    let ended = run(json_answer(&names), &["--dry-run"]).expect(0);
    assert_eq!(ended.out, "+ create A\\u{a}- delete B\n+ create C\\u{1b}[2J\n");
    let problems: Value = json!({"error": {"code": "invalid_value", "message": "no", "request_id": "r", "problems": [
        {"index": 99, "name": null, "code": "a_code_of_the_future"}
    ]}});
    let answer =
        crate::harness::upstream::http_answer("422 Unprocessable Content", &[], &problems.to_string());
    let ended = run(answer, &[]).expect(2);
    assert!(ended.err.starts_with("error: no\n  secret 99: it is not accepted\n"), "{}", ended.err);
}
