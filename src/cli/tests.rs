//! The command line as a whole, without a server: what is refused before anything is
//! sent, and that no error repeats what was typed.

use super::*;
use crate::cli::failure::FailureKind;

const CANARY: &str = "canary-5f3a";

struct Ran {
    out: String,
    err: String,
    exit: u8,
}

fn run_with(settings: &Settings, arguments: &[&str], input: &[u8], tty: bool) -> Ran {
    let mut terminal = Terminal::captured(tty);
    terminal.feed(input);
    let arguments = std::iter::once("aerostack").chain(arguments.iter().copied()).map(OsString::from);
    let exit = match run_arguments(arguments, settings, &mut terminal) {
        Ok(()) => 0,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit_code()
        }
    };
    Ran { out: terminal.out_text(), err: terminal.err_text(), exit }
}

fn ran(arguments: &[&str]) -> Ran {
    run_with(&Settings::default(), arguments, b"", false)
}

fn parsed(arguments: &[&str]) -> Cli {
    Cli::try_parse_from(std::iter::once("aerostack").chain(arguments.iter().copied())).unwrap()
}

fn value_of(cli: Cli) -> Option<OsString> {
    let Command::Api(ApiCommand::Secrets(secrets::SecretsCommand::Set(arguments))) = cli.command else {
        panic!("not secrets set")
    };
    arguments.value().map(OsString::from)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn no_error_repeats_what_was_typed() {
    let c = CANARY;
    let (dashed, long, equals) = (format!("-{c}"), format!("--{c}"), format!("--json={c}"));
    let (api_url, color) = (format!("--api-url=http://{c}:x"), format!("--color={c}"));
    let cases: Vec<Vec<&str>> = vec![
        vec![c],
        vec![&long],
        vec![&dashed],
        vec!["secrets", c],
        vec!["secrets", "set", "github-mcp", c],
        vec!["secrets", "set", "Bad_Slug", c],
        vec!["secrets", "set", "github-mcp", c, "value"],
        vec!["secrets", "set", "github-mcp", "TOKEN", "value", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", "value", &dashed],
        vec!["secrets", "set", "github-mcp", "TOKEN", "value", &long],
        vec!["secrets", "set", "TOKEN", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", &equals],
        vec!["secrets", "set", "github-mcp", "TOKEN", "v", "-w", "canary_5f3a"],
        vec!["secrets", "inject", "github-mcp", "TOKEN", "--header", "canary 5f3a"],
        vec!["secrets", "inject", "github-mcp", "TOKEN", "--header", "X", "--prefix", " canary-5f3a"],
        vec!["secrets", "inject", "github-mcp", "TOKEN", "--bearer", c],
        vec!["secrets", "inject", "github-mcp", "TOKEN", &long],
        vec!["secrets", "list", "github-mcp", c],
        vec!["secrets", "list", "github-mcp", &color],
        vec!["secrets", "list", "github-mcp", "--timeout", c],
        vec!["secrets", "list", "github-mcp", "--fields", c],
        vec!["secrets", "list", "github-mcp", "--ca-cert", c],
        vec!["secrets", "list", "github-mcp", &api_url],
        vec!["secrets", "import", c, "-"],
        vec!["secrets", "import", "github-mcp", c],
        vec!["secrets", "import", "github-mcp", "-", c],
        vec!["secrets", "import", "github-mcp", "-", "--format", c],
        vec!["secrets", "delete", "github-mcp", c, "--yes"],
        vec!["secrets", "delete", "github-mcp", "TOKEN", "--all", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", "--from-env", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", "--value-file", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", "--base64", "--compact-json", c],
        vec!["secrets", "set", "github-mcp", "TOKEN", "--header", "Host", c],
        vec!["secrets", "rotate", "github-mcp", "TOKEN", c, "extra"],
        vec!["secrets", "rotate", "TOKEN", c],
        vec!["secrets", "list", "--stale", c],
        vec!["mcp", "add", "github-mcp", "--url", "https://user:canary-5f3a@host/"],
        vec!["mcp", "add", "github-mcp", "--url", c],
        vec!["mcp", "add", "github-mcp", c, "--url", "https://host/"],
        vec!["mcp", "update", "github-mcp", "--allow-private-network", c],
        vec!["workspace", "token", "create", "default", "--name", "a", "--expires-in", c],
        vec!["workspace", "token", "revoke", "default", c],
        vec!["help", c],
    ];
    for case in cases {
        for json in [false, true] {
            let mut case = case.clone();
            if json {
                case.insert(0, "--json");
            }
            let ran = ran(&case);
            let both = format!("{}{}", ran.out, ran.err);
            assert!(!both.contains("5f3a") && !both.contains(CANARY), "{case:?}\n{both}");
            assert!(matches!(ran.exit, 2 | 4), "{case:?}: exit {}\n{both}", ran.exit);
            assert!(ran.out.is_empty(), "{case:?}");
            if json {
                let document: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
                assert!(document["error"]["message"].is_string());
                assert_eq!(ran.err.lines().count(), 1);
            } else {
                assert!(ran.err.starts_with("error: "), "{case:?}\n{}", ran.err);
            }
        }
    }
}

#[test]
fn values_that_begin_with_a_hyphen_stand_after_two_hyphens() {
    fn set<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        ["secrets", "set", "github-mcp", "TOKEN"].iter().chain(rest).copied().collect()
    }
    for value in ["-secret", "--secret", "-", "-----BEGIN", "--", "-1", "--json"] {
        assert_eq!(value_of(parsed(&set(&["--", value]))), Some(OsString::from(value)));
    }
    assert_eq!(value_of(parsed(&set(&["-"]))), Some(OsString::from("-")));
    let cli = parsed(&set(&["--json", "-q", "-w", "team-a", "--timeout", "5", "--", "-secret"]));
    assert!(cli.options.json && cli.options.quiet && cli.options.timeout == 5);
    assert_eq!(value_of(cli), Some(OsString::from("-secret")));
    // Without them it may be an option that was mistyped: it is not stored as a value.
    for value in ["-secret", "--secret", "--jsn", "-1"] {
        let ran = run_with(&Settings::default(), &set(&[value]), b"", false);
        assert_eq!(ran.exit, 2);
        assert!(ran.err.contains("put '--' before it"), "{}", ran.err);
        assert!(!ran.err.contains(value), "{}", ran.err);
    }
}

#[test]
fn empty_arguments_are_refused() {
    for case in [
        vec!["secrets", "set", "", "TOKEN", "v"],
        vec!["secrets", "set", "github-mcp", "", "v"],
        vec!["secrets", "set", "github-mcp", "TOKEN", ""],
        vec!["secrets", "delete", "github-mcp", "", "--yes"],
        vec!["secrets", "delete", "github-mcp", "--yes"],
        vec!["secrets", "delete", "", "--all", "--yes"],
        vec!["secrets", "list", ""],
        vec!["mcp", "add", "github-mcp", "--url", ""],
        vec!["mcp", "add", "github-mcp", "--url", "https://h/", "--name", " "],
        vec!["mcp", "update", "github-mcp"],
        vec!["mcp", "update", "github-mcp", "--detach-secrets", "--yes"],
        vec!["workspace", "create", ""],
        vec!["workspace", "delete", "", "-y"],
        vec!["workspace", "token", "create", "default", "--name", ""],
        vec!["secrets", "inject", "github-mcp", "TOKEN"],
        vec!["secrets", "inject", "github-mcp", "TOKEN", "--bearer", "--by-name"],
        vec!["secrets", "inject", "github-mcp", "TOKEN", "--bearer", "--prefix", "x"],
        vec!["secrets", "list", "github-mcp", "--fields", "name"],
        vec!["secrets", "set", "github-mcp", "TOKEN", "v", "--json", "--fields", "name"],
    ] {
        let ran = ran(&case);
        assert_eq!(ran.exit, 2, "{case:?}\n{}", ran.err);
    }
}

#[test]
fn deleting_needs_a_terminal_or_yes() {
    for case in [
        vec!["secrets", "delete", "github-mcp", "TOKEN"],
        vec!["secrets", "delete", "github-mcp", "--all"],
        vec!["mcp", "remove", "github-mcp"],
        vec!["mcp", "update", "github-mcp", "--url", "https://h/", "--detach-secrets"],
        vec!["workspace", "delete", "team-a"],
        vec!["workspace", "token", "revoke", "default", "a1B2c3D4e5F6"],
    ] {
        let refused = ran(&case);
        assert_eq!(refused.exit, 2, "{case:?}");
        assert!(
            refused.err.contains("nothing was changed") && refused.err.contains("--yes"),
            "{}",
            refused.err
        );
        // With --yes the next thing that is missing is the key.
        let mut with_yes = case.clone();
        with_yes.push("--yes");
        assert_eq!(ran(&with_yes).exit, 4, "{case:?}");
    }
}

#[test]
fn plain_http_is_refused_before_the_key_is_read() {
    let settings = Settings { api_key: Some("not a key".to_owned().into()), ..Settings::default() };
    let ran = run_with(&settings, &["secrets", "list", "a", "--api-url", "http://example.com"], b"", false);
    assert_eq!(ran.exit, 7);
    assert!(ran.err.contains("not be encrypted"), "{}", ran.err);
}

#[test]
fn help_and_version() {
    let help = ran(&["--help"]);
    assert_eq!((help.exit, help.err.as_str()), (0, ""));
    assert!(help.out.contains("secrets"));
    assert_eq!(ran(&["--version"]).out, concat!("aerostack ", env!("CARGO_PKG_VERSION"), "\n"));
    for arguments in [&[][..], &["secrets"], &["workspace", "token"]] {
        let ran = ran(arguments);
        assert_eq!((ran.exit, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("Usage:"), "{}", ran.err);
    }
    let typo = ran(&["secrest"]);
    assert!(typo.err.contains("did you mean 'secrets'?"), "{}", typo.err);
    assert_eq!(Failure::new(FailureKind::Usage, "").exit_code(), typo.exit);
}

fn check_help(command: &clap::Command, path: &str) {
    for help in [command.clone().render_help(), command.clone().render_long_help()] {
        let text = help.to_string();
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{path}");
        assert!(!text.contains('`'), "{path}: a backtick in\n{text}");
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    assert!(!about.is_empty() && !about.ends_with('.'), "{path}: {about}");
    let deeper = command.get_subcommands().filter(|command| command.get_name() != "help");
    // A hidden command is a page of `aerostack help`.
    if !command.is_hide_set() {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(examples.starts_with("EXAMPLES\n"), "{path}");
    }
    for command in deeper {
        check_help(command, &format!("{path} {}", command.get_name()));
    }
}

#[test]
fn every_help_fits_80_columns_and_has_examples() {
    let mut command = Cli::command();
    command.build();
    check_help(&command, "aerostack");
}

/// A window of 80 columns and 45 lines: what a person sees without scrolling.
fn check_screen(command: &clap::Command, path: &[&str]) {
    let shown = |command: &&clap::Command| command.get_name() != "help" && !command.is_hide_set();
    for deeper in command.get_subcommands().filter(shown) {
        let path = [path, &[deeper.get_name()]].concat();
        for arguments in [
            [&path[..], &["--help"]].concat(),
            [&path[..], &["-h"]].concat(),
            [&["help"], &path[..]].concat(),
        ] {
            let help = ran(&arguments);
            assert_eq!((help.exit, help.err.as_str()), (0, ""), "{arguments:?}");
            assert!(help.out.contains(&format!("Usage: aerostack {}", path.join(" "))), "{}", help.out);
            let lines: Vec<&str> = help.out.lines().collect();
            assert!(lines.len() <= 45, "{path:?} has {} lines", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", help.out);
            assert!(
                !help.out.contains("--api-url <URL>") && help.out.contains("aerostack --help"),
                "{}",
                help.out
            );
            assert!(help.out.contains("EXAMPLES"), "{path:?}");
        }
        check_screen(deeper, &path);
    }
}

#[test]
fn every_commands_help_is_one_screen() {
    check_screen(&Cli::command(), &[]);
    let root = ran(&["--help"]).out;
    assert!(root.contains("--api-url <URL>"));
    assert!(root.lines().count() <= 45, "{root}");
}
