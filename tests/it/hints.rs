//! What to do next, where something was refused: the way out that is named works, and what
//! sounds alike is no advice.

use crate::harness::{Companion, Upstream, aerostack, cli};

fn companion() -> (Companion, Upstream) {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("raw", &upstream.url());
    (companion, upstream)
}

#[test]
fn a_word_of_another_tool_leads_to_ours() {
    for (arguments, told) in [
        (&["secrets", "get", "raw", "TOKEN"][..], "no command returns a value"),
        (&["secrets", "show"], "no command returns a value"),
        (&["secrets", "unset", "raw", "TOKEN"], "did you mean 'delete'?"),
        (&["secrets", "rm"], "did you mean 'delete'?"),
        (&["secrets", "remove"], "did you mean 'delete'?"),
        (&["secrets", "put"], "did you mean 'set'?"),
        (&["secrets", "update"], "did you mean 'set'?"),
        (&["-w", "team", "mcp", "delete", "raw"], "did you mean 'remove'?"),
        (&["mcp", "rm"], "did you mean 'remove'?"),
        (&["mcp", "create"], "did you mean 'add'?"),
        (&["workspace", "rm"], "did you mean 'delete'?"),
        (&["workspace", "token", "delete"], "did you mean 'revoke'?"),
        (&["workspace", "token", "get"], "a token is shown once"),
        (&["get"], "no command returns a value"),
        // What is only mistyped.
        (&["secrets", "lst"], "did you mean 'list'?"),
        (&["secrts"], "did you mean 'secrets'?"),
    ] {
        let ended = aerostack(arguments).run().expect(2);
        let hint = ended.err.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(hint.starts_with(&format!("hint: {told}")), "{arguments:?}: {hint}");
        assert!(hint.contains(" usage: aerostack "), "{hint}");
    }
}

#[test]
fn help_of_a_command_below_the_top() {
    let out = aerostack(&["secrets", "help", "set"]).run().expect(0).out;
    assert_eq!(out, aerostack(&["secrets", "set", "--help"]).run().expect(0).out);
    let out = aerostack(&["workspace", "token", "help"]).run().expect(0).out;
    assert_eq!(out, aerostack(&["workspace", "token", "--help"]).run().expect(0).out);
}

/// The command of a hint, with a name and a header filled in.
fn command_of(err: &str, name: &str) -> Vec<String> {
    let start = err.find("aerostack secrets").unwrap();
    let text = err[start..].split(['\'', '\n', ';']).next().unwrap();
    let text = text.replace("<NAME>", name).replace("<HEADER>", "X-Own");
    text.split_whitespace().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_reserved_name_is_stored_the_way_the_hint_says() {
    let (companion, _upstream) = companion();
    let ended = aerostack(&["secrets", "set", "raw", "HOST"]).against(&companion).stdin("x").run().expect(2);
    let command = command_of(&ended.err, "HOST");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    aerostack(&command).against(&companion).stdin("x").run().expect(0);
}

#[test]
fn an_import_goes_on_the_way_the_hint_says() {
    for (file, name) in [("OK=x\nHOST=y\n", "HOST"), ("A_KEY=x\na_key=y\n", "a_key")] {
        let (companion, _upstream) = companion();
        let import = || aerostack(&["secrets", "import", "raw"]).against(&companion).stdin(file).run();
        let refused = import();
        assert!([2, 6].contains(&refused.code), "{}", refused.err);
        let command = command_of(&refused.err, name);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        aerostack(&command).against(&companion).stdin("x").run().expect(0);
        import().expect(0);
    }
}

#[test]
fn hints_that_fit_the_mistake() {
    let (companion, _upstream) = companion();
    let set = |input: &str, more: &[&str]| {
        let arguments = [&["secrets", "set", "raw", "TOKEN"], more].concat();
        aerostack(&arguments).against(&companion).stdin(input).run()
    };
    for input in ["abc\n\n", "\nabc\n", "abc\r\n\r\n"] {
        let ended = set(input, &[]).expect(2);
        assert!(ended.err.contains("hint: --trim removes line ends around it\n"), "{}", ended.err);
        set(input, &["--trim"]).expect(0);
    }
    let ended = set("abc\ndef\n\n", &[]).expect(2);
    assert!(ended.err.contains("--base64") && !ended.err.contains("--trim"), "{}", ended.err);
    let ended = cli(&companion, &["secrets", "import", "raw", "/nonexistent/file"]).expect(2);
    assert!(ended.err.contains("hint: give the path of a file that you can read"), "{}", ended.err);
    let ended = cli(&companion, &["secrets", "delete", "raw", "--yes"]).expect(2);
    assert!(ended.err.contains("an argument is missing: <NAME>... (or --all)\n"), "{}", ended.err);
}
