//! Questions on a terminal: signals leave it as it was, a paste is taken whole however slow it
//! comes, and nothing is confirmed that was not shown.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::program::Aerostack;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::{Companion, aerostack};

const PASTE_BEGINS: &str = "\u{1b}[200~";
const PASTE_ENDS: &str = "\u{1b}[201~";
const KEY: [&str; 3] = ["-----BEGIN KEY-----\r", "canary/+=\r", "-----END KEY-----\r"];

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    for name in ["A_TOKEN", "B_TOKEN"] {
        companion.set("github-mcp", name, "canary-old");
    }
    companion
}

fn names(companion: &Companion) -> Vec<String> {
    let list = companion.admin("GET", "/api/v1/admin/mcp-servers/github-mcp/secrets", None).json();
    let secrets = list["secrets"].as_array().unwrap().iter();
    secrets.map(|secret| format!("{}:{}", secret["name"].as_str().unwrap(), secret["version"])).collect()
}

fn run(companion: &Companion, arguments: &[&str]) -> Aerostack {
    aerostack(&[&["secrets"], arguments].concat()).against(companion)
}

fn redirected(run: Aerostack, redirection: &str) -> Aerostack {
    run.by("/bin/sh", &["-c".as_ref(), format!("exec \"$0\" \"$@\" {redirection}").as_ref()])
}

/// `end` fails the test if the terminal is left without echo.
#[test]
fn a_signal_at_the_hidden_prompt_leaves_the_terminal_as_it_was() {
    let companion = companion();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "A_TOKEN"]));
        terminal.expect("(not shown): ");
        terminal.send("canary");
        terminal.taken();
        terminal.signal(signal);
        let (ended, transcript) = terminal.end();
        assert_eq!(ended, code, "{transcript}");
        assert!(!transcript.contains("canary"), "{transcript}");
        assert_eq!(transcript.contains("interrupted; nothing was stored"), code == 130, "{transcript}");
        assert!(transcript.contains("\u{1b}[?2004l"), "{transcript:?}");
    }
    assert_eq!(names(&companion), ["A_TOKEN:1", "B_TOKEN:1"]);
}

#[test]
fn ctrl_c_at_a_question_that_is_shown_has_a_message() {
    let companion = companion();
    for which in ["A_TOKEN", "--all"] {
        let delete = run(&companion, &["delete", "github-mcp", which]).env("NO_COLOR", "1");
        let mut terminal = PseudoTerminal::spawn(delete);
        terminal.expect("github-mcp? ");
        terminal.send("y\u{3}");
        let (code, transcript) = terminal.end();
        assert_eq!(code, 130, "{transcript}");
        assert!(transcript.ends_with("\r\nerror: interrupted; nothing was changed\r\n"), "{transcript:?}");
        let mut terminal = PseudoTerminal::spawn(run(&companion, &["delete", "github-mcp", which, "--json"]));
        terminal.expect("github-mcp? ");
        terminal.send("\u{3}");
        let (code, transcript) = terminal.end();
        assert_eq!(code, 130, "{transcript}");
        let document: serde_json::Value = serde_json::from_str(transcript.lines().last().unwrap()).unwrap();
        assert_eq!(document["error"]["code"], "interrupted");
    }
    // Other signals do what they do to any program.
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["delete", "github-mcp", "A_TOKEN"]));
    terminal.expect("[y/N] ");
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.end().0, 143);
    assert_eq!(names(&companion), ["A_TOKEN:1", "B_TOKEN:1"]);
}

/// Longer than the program waits for a paste that is not marked.
fn pause() {
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_marked_paste_is_one_value_however_slow_it_comes() {
    let companion = companion();
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "NEW"]));
    terminal.expect("\u{1b}[?2004h");
    terminal.expect("(not shown): ");
    terminal.send(PASTE_BEGINS);
    for line in KEY {
        terminal.send(line);
        terminal.taken();
        pause();
    }
    terminal.send(PASTE_ENDS);
    let (code, transcript) = terminal.end();
    assert_eq!(code, 2, "{transcript}");
    assert!(transcript.contains("more than one line") && transcript.contains("--base64"), "{transcript}");
    assert!(!transcript.contains("canary"), "{transcript}");
    assert_eq!(names(&companion), ["A_TOKEN:1", "B_TOKEN:1"]);
    // One line, with its line end or without one.
    for (pasted, typed) in [("canary-pasted\r", ""), ("canary-pasted", "\r")] {
        let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "NEW"]));
        terminal.expect("(not shown): ");
        terminal.send(&format!("{PASTE_BEGINS}{pasted}{PASTE_ENDS}{typed}"));
        terminal.expect("\u{1b}[?2004l");
        terminal.expect("Received 13 bytes.");
        let (code, transcript) = terminal.end();
        assert!(code == 0 && !transcript.contains("canary"), "{transcript}");
    }
}

#[test]
fn the_first_line_of_a_key_alone_is_refused() {
    let companion = companion();
    for more in [&[][..], &["--base64"]] {
        let set = run(&companion, &[&["set", "github-mcp", "NEW"], more].concat()).env("TERM", "dumb");
        let mut terminal = PseudoTerminal::spawn(set);
        terminal.expect("(not shown): ");
        terminal.send(KEY[0]);
        let (code, transcript) = terminal.end();
        assert_eq!(code, 2, "{transcript}");
        assert!(transcript.contains("first line of a key of several; nothing was stored"), "{transcript}");
        assert!(transcript.contains("--base64") && transcript.contains("--compact-json"), "{transcript}");
        assert!(!transcript.contains('\u{1b}'), "a dumb terminal is not asked for marks: {transcript:?}");
    }
    // What comes late belongs to it.
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "NEW"]));
    terminal.expect("(not shown): ");
    terminal.send(KEY[0]);
    terminal.taken();
    pause();
    terminal.send(KEY[1]);
    let (code, transcript) = terminal.end();
    assert!(code == 2 && transcript.contains("more than one line"), "{transcript}");
    assert_eq!(names(&companion), ["A_TOKEN:1", "B_TOKEN:1"]);
}

/// What is shown goes to the terminal itself where standard error does not.
#[test]
fn nothing_is_confirmed_that_was_not_shown() {
    let (companion, folder) = (companion(), tempfile::tempdir().unwrap());
    let file = folder.path().join("new.env");
    std::fs::write(&file, "NEW=canary-new\n").unwrap();
    let import = ["import", "github-mcp", file.to_str().unwrap(), "--prune"];
    for (arguments, question) in [
        (&["delete", "github-mcp", "A_TOKEN"][..], "Delete 1 secret of github-mcp? [y/N] "),
        (&["delete", "github-mcp", "--all"], "Type 'github-mcp' to confirm: "),
        (&import, "Type 'github-mcp' to confirm: "),
    ] {
        for redirection in ["2>/dev/null", "2>&-", ">/dev/null 2>&1"] {
            let mut terminal = PseudoTerminal::spawn(redirected(run(&companion, arguments), redirection));
            terminal.expect("MCP SERVER   SECRET NAME ");
            terminal.expect("AGE");
            terminal.expect("github-mcp   A_TOKEN ");
            terminal.expect("just now\r\n");
            terminal.expect(question);
            terminal.send_line("no");
            let (code, transcript) = terminal.end();
            assert_eq!(code, 2, "{arguments:?} {redirection}: {transcript}");
        }
        // No terminal at all, though standard input is one: nobody is asked.
        let alone = redirected(run(&companion, arguments), "2>/dev/null");
        let script = "exec setsid -w \"$0\" \"$@\"";
        let alone = alone.by("/bin/sh", &["-c".as_ref(), script.as_ref()]);
        let (code, transcript) = PseudoTerminal::spawn(alone).end();
        assert_eq!((code, transcript.as_str()), (2, ""), "{arguments:?}");
        // Where it may be seen, it is said why.
        let (code, transcript) = PseudoTerminal::spawn(run(&companion, arguments).arg("--no-input")).end();
        assert_eq!(code, 2, "{transcript}");
        assert!(transcript.contains("--no-input forbids to ask; nothing was changed"), "{transcript}");
    }
    assert_eq!(names(&companion), ["A_TOKEN:1", "B_TOKEN:1"]);
}

#[test]
fn the_length_is_told_where_the_question_stood() {
    let companion = companion();
    for (more, redirection) in [("--quiet", ""), ("--json", ""), ("--prompt", "2>/dev/null")] {
        let set = run(&companion, &["set", "github-mcp", "NEW", more]);
        let mut terminal = PseudoTerminal::spawn(redirected(set, redirection));
        terminal.expect("(not shown): ");
        terminal.send_line("canary-typed");
        terminal.expect("\r\nReceived 12 bytes.\r\n");
        assert_eq!(terminal.end().0, 0);
    }
}

#[test]
fn deleting_all_deletes_what_was_shown_and_no_more() {
    let companion = companion();
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["delete", "github-mcp", "--all"]));
    terminal.expect("to confirm: ");
    companion.set("github-mcp", "LATE", "x");
    assert_eq!(
        companion.admin("DELETE", "/api/v1/admin/mcp-servers/github-mcp/secrets/A_TOKEN", None).status,
        204
    );
    terminal.send_line("github-mcp");
    terminal.expect("Deleted B_TOKEN from github-mcp.");
    terminal.expect("not deleted, because somebody set it in the meantime: LATE");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(names(&companion), ["LATE:1"]);
}

#[test]
fn nobody_types_a_value_for_nothing() {
    let companion = companion();
    for (arguments, code, told) in [
        (&["set", "githb-mcp", "NEW"][..], 3, "did you mean 'github-mcp'?"),
        (
            &["set", "github-mcp", "NEW", "--must-exist"],
            3,
            "github-mcp has no secret NEW; nothing was stored",
        ),
        (&["set", "github-mcp", "A_TOKEN", "--must-not-exist"], 6, "the secret A_TOKEN exists already"),
        (&["rotate", "githb-mcp", "A_TOKEN"], 3, "did you mean 'github-mcp'?"),
    ] {
        let (ended, transcript) = PseudoTerminal::spawn(run(&companion, arguments)).end();
        assert_eq!(ended, code, "{transcript}");
        assert!(transcript.contains(told) && !transcript.contains("not shown"), "{transcript}");
    }
    for more in ["--must-exist", "--must-not-exist"] {
        let name = if more == "--must-exist" { "A_TOKEN" } else { "NEW" };
        let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", name, more]));
        terminal.expect("(not shown): ");
        terminal.send_line("x");
        assert_eq!(terminal.end().0, 0);
    }
}

/// Where the name should stand there may be a value.
#[test]
fn what_looks_like_a_credential_is_not_shown() {
    let companion = companion();
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "ghp_canary"]));
    terminal.expect("Value of **** for github-mcp (not shown): ");
    terminal.send("\u{3}");
    assert_eq!(terminal.end().0, 130);
    for arguments in [
        &["rotate", "github-mcp", "ghp_canary"][..],
        &["delete", "github-mcp", "ghp_canary"],
        &["delete", "github-mcp", "ghp_canary", "--if-exists"],
        &["inject", "github-mcp", "ghp_canary", "--bearer"],
        &["set", "github-mcp", "ghp_canary", "x", "--must-exist"],
    ] {
        let (code, transcript) = PseudoTerminal::spawn(run(&companion, arguments)).end();
        assert_eq!(code, if arguments.contains(&"--if-exists") { 0 } else { 3 }, "{transcript}");
        assert!(!transcript.contains("canary"), "{transcript}");
    }
}
