//! `secrets set` and `secrets delete` on a terminal: what is asked and shown there, what
//! Ctrl-C leaves behind, and where a redirection makes it no terminal.

use serde_json::json;

use crate::harness::program::Aerostack;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::{Companion, aerostack};

fn companion() -> Companion {
    let companion = Companion::start();
    for slug in ["github-mcp", "slack-mcp"] {
        companion.add_server(slug, &format!("https://{slug}.example/mcp"));
        for name in ["A_TOKEN", "B_TOKEN"] {
            companion.set(slug, name, "canary-old");
        }
    }
    assert_eq!(companion.inject("github-mcp", "A_TOKEN", &json!({"type": "bearer"})).status, 200);
    companion
}

fn names(companion: &Companion, slug: &str) -> Vec<String> {
    let list = companion.admin("GET", &format!("/api/v1/admin/mcp-servers/{slug}/secrets"), None).json();
    let secrets = list["secrets"].as_array().unwrap().iter();
    secrets.map(|secret| format!("{}:{}", secret["name"].as_str().unwrap(), secret["version"])).collect()
}

fn run(companion: &Companion, arguments: &[&str]) -> Aerostack {
    aerostack(&[&["secrets"], arguments].concat()).against(companion)
}

/// The program under `sh`, with redirections.
fn redirected(run: Aerostack, redirection: &str) -> Aerostack {
    run.by("/bin/sh", &["-c".as_ref(), format!("exec \"$0\" \"$@\" {redirection}").as_ref()])
}

const QUESTION: &str = "Value of NEW for github-mcp (not shown): ";

#[test]
fn a_value_is_asked_for_once_and_its_length_is_shown() {
    let companion = companion();
    let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "NEW"]));
    terminal.expect(QUESTION);
    terminal.send_line("canary-typed");
    terminal.expect("\r\nReceived 12 bytes.\r\n");
    terminal.expect("Secret created. Takes effect on next tool call.");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 0, "{transcript}");
    assert_eq!(transcript.matches("not shown").count(), 1, "{transcript}");
    assert!(!transcript.contains("canary"), "{transcript}");
}

#[test]
fn ctrl_c_at_the_prompt_stores_nothing() {
    let companion = companion();
    for typed in ["canary\u{3}", "\u{3}"] {
        let mut terminal = PseudoTerminal::spawn(run(&companion, &["set", "github-mcp", "A_TOKEN"]));
        terminal.expect("(not shown): ");
        terminal.send(typed);
        let (code, transcript) = terminal.end();
        assert_eq!(code, 130, "{transcript}");
        assert!(transcript.contains("interrupted; nothing was stored"), "{transcript}");
        assert!(!transcript.contains("canary"), "{transcript}");
    }
    assert_eq!(names(&companion, "github-mcp"), ["A_TOKEN:1", "B_TOKEN:1"]);
}

/// The value still goes past the redirected streams, to and from the terminal itself.
#[test]
fn prompt_asks_on_the_terminal_whatever_the_streams_are() {
    let companion = companion();
    for redirection in ["</dev/null", "2>/dev/null", "</dev/null 2>/dev/null"] {
        let set = run(&companion, &["set", "github-mcp", "NEW", "--prompt"]);
        let mut terminal = PseudoTerminal::spawn(redirected(set, redirection));
        terminal.expect(QUESTION);
        terminal.send_line("canary-typed");
        terminal.expect("Takes effect on next tool call.");
        let (code, transcript) = terminal.end();
        assert_eq!(code, 0, "{transcript}");
        assert!(!transcript.contains("canary"), "{transcript}");
    }
    assert_eq!(names(&companion, "github-mcp"), ["A_TOKEN:1", "B_TOKEN:1", "NEW:3"]);
    // Not said: then standard input is the value, and it is empty.
    let set = redirected(run(&companion, &["set", "github-mcp", "NEW"]), "</dev/null");
    let (code, transcript) = PseudoTerminal::spawn(set).end();
    assert_eq!(code, 2, "{transcript}");
    assert!(transcript.contains("the value is empty; nothing was stored"), "{transcript}");
    assert!(transcript.contains("--prompt asks for it"), "{transcript}");
    // Without any terminal there is nobody to ask.
    run(&companion, &["set", "github-mcp", "NEW", "--prompt"])
        .by("setsid", &["--wait".as_ref()])
        .run()
        .expect(2);
    assert_eq!(names(&companion, "github-mcp")[2], "NEW:3");
}

#[test]
fn a_value_in_the_arguments_gets_one_line() {
    let companion = companion();
    let set = &["set", "github-mcp", "NEW", "canary-typed"];
    let line = "The shell's history now has that value. Safer, it asks: aerostack secrets set github-mcp NEW";
    let (code, transcript) = PseudoTerminal::spawn(run(&companion, set)).end();
    assert_eq!(code, 0, "{transcript}");
    assert_eq!(transcript, format!("{line}\r\nSecret created. Takes effect on next tool call.\r\n"));
    for quieter in ["--quiet", "--json"] {
        let quiet = run(&companion, set).arg(quieter);
        let (code, transcript) = PseudoTerminal::spawn(quiet).end();
        assert_eq!(code, 0, "{transcript}");
        assert!(!transcript.contains("history"), "{transcript}");
    }
    assert_eq!(run(&companion, set).run().expect(0).err, "", "a script is not told");
}

#[test]
fn deleting_shows_what_goes_and_asks() {
    let companion = companion();
    for (answer, code) in [("n", 2), ("", 2), ("github-mcp", 2), ("y", 0)] {
        let delete = run(&companion, &["delete", "github-mcp", "A_TOKEN"]);
        let mut terminal = PseudoTerminal::spawn(delete);
        terminal.expect("MCP SERVER   SECRET NAME   INJECTION                LAST UPDATED   AGE\r\n");
        let today = jiff::Timestamp::now().to_string()[..10].to_owned();
        terminal
            .expect(&format!("github-mcp   A_TOKEN       Authorization (Bearer)   {today}     just now\r\n"));
        terminal.expect("Delete 1 secret of github-mcp? [y/N] ");
        terminal.send_line(answer);
        let (ended, transcript) = terminal.end();
        assert_eq!(ended, code, "{transcript}");
        let told = if code == 0 { "Deleted A_TOKEN" } else { "not confirmed; nothing was changed" };
        assert!(transcript.contains(told) && !transcript.contains("B_TOKEN"), "{transcript}");
        let left = if code == 0 { 1 } else { 2 };
        assert_eq!(names(&companion, "github-mcp").len(), left);
    }
}

#[test]
fn deleting_all_wants_the_slug() {
    let companion = companion();
    for (answer, code) in
        [("y", 2), ("yes", 2), ("", 2), ("github-mc", 2), ("slack-mcp", 2), ("github-mcp", 0)]
    {
        let delete = run(&companion, &["delete", "github-mcp", "--all"]);
        let mut terminal = PseudoTerminal::spawn(delete);
        terminal.expect("github-mcp   A_TOKEN ");
        terminal.expect("github-mcp   B_TOKEN ");
        terminal.expect("Delete every secret of github-mcp? Type 'github-mcp' to confirm: ");
        terminal.send_line(answer);
        let (ended, transcript) = terminal.end();
        assert_eq!(ended, code, "{transcript}");
        assert_eq!(names(&companion, "github-mcp").len(), if code == 0 { 0 } else { 2 }, "{transcript}");
    }
    assert_eq!(names(&companion, "slack-mcp").len(), 2);
}

#[test]
fn ctrl_c_and_the_end_of_input_at_the_question_delete_nothing() {
    let companion = companion();
    for (typed, code) in [("\u{3}", 130), ("y\u{3}", 130), ("\u{4}", 2)] {
        for all in [false, true] {
            let which = if all { "--all" } else { "A_TOKEN" };
            let mut terminal = PseudoTerminal::spawn(run(&companion, &["delete", "github-mcp", which]));
            terminal.expect(if all { "to confirm: " } else { "[y/N] " });
            terminal.send(typed);
            let (ended, transcript) = terminal.end();
            assert_eq!(ended, code, "{transcript}");
        }
    }
    assert_eq!(names(&companion, "github-mcp").len(), 2);
}

/// Even on a terminal: what stands on standard input is not a person's answer.
#[test]
fn redirected_input_answers_nothing() {
    let companion = companion();
    for redirection in ["</dev/null", "<<< y", "<<< github-mcp"] {
        for which in ["--all", "A_TOKEN"] {
            let delete = run(&companion, &["delete", "github-mcp", which]);
            let script = format!("exec \"$0\" \"$@\" {redirection}");
            let delete = delete.by("/bin/bash", &["-c".as_ref(), script.as_ref()]);
            let (code, transcript) = PseudoTerminal::spawn(delete).end();
            assert_eq!(code, 2, "{transcript}");
            assert!(transcript.contains("nothing was changed"), "{transcript}");
        }
    }
    assert_eq!(names(&companion, "github-mcp").len(), 2);
}
