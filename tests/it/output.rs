//! What the program does where its output cannot be read or written, and when it uses
//! colour.

use std::process::{Command, Stdio};

use crate::harness::{Companion, aerostack};

const LIST: [&str; 3] = ["secrets", "list", "github-mcp"];

/// A command line whose standard output is this.
fn with_stdout(companion: &Companion, arguments: &[&str], stdout: impl Into<Stdio>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aerostack"));
    command.args(arguments).env_clear().env("AEROSTACK_API_URL", &companion.base_url);
    command.env("AEROSTACK_API_KEY", &companion.api_key).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.stdout(stdout).spawn().unwrap().wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion.set("github-mcp", "TOKEN", "x");
    for arguments in [&LIST[..], &["secrets", "list", "--json"], &["--help"], &["keygen"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(with_stdout(&companion, arguments, writer), (0, String::new()), "{arguments:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = with_stdout(&companion, arguments, full);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("could not write to standard output"), "{err}");
    }
}

#[test]
fn colour_is_obeyed() {
    let run = |options: &[&str], variables: &[(&str, &str)]| {
        let run = aerostack(&[&["secrets", "list", "Not_A_Slug"], options].concat());
        variables.iter().fold(run, |run, (name, value)| run.env(name, value)).run().expect(2).err
    };
    let colored = |text: &str| text.starts_with("\u{1b}[1;31merror:\u{1b}[0m ");
    assert!(run(&[], &[]).starts_with("error: "), "a pipe gets no colour");
    for (options, variables) in [
        (&["--color", "always"][..], &[("NO_COLOR", "1")][..]),
        (&["--color=always"], &[]),
        (&[], &[("CLICOLOR_FORCE", "1")]),
    ] {
        assert!(colored(&run(options, variables)), "{options:?} {variables:?}");
    }
    for (options, variables) in [
        (&[][..], &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")][..]),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")]),
        (&["--color=never"], &[("CLICOLOR_FORCE", "1")]),
        (&[], &[("CLICOLOR_FORCE", "0")]),
    ] {
        assert!(!run(options, variables).contains('\u{1b}'), "{options:?} {variables:?}");
    }
    // The same where the arguments are understood.
    let run = aerostack(&["secrets", "delete", "a", "B", "--color", "always"]).env("NO_COLOR", "1");
    assert!(colored(&run.run().expect(2).err));
}
