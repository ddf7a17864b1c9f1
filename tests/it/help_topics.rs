//! `aerostack help exit-codes` and `help environment`: the README's tables say the same as
//! the tables in the program.

use aerostack::cli::env_vars::{self, EnvVar};
use aerostack::cli::failure::FailureKind;
use aerostack::server::settings;

use crate::harness::aerostack;

const README: &str = include_str!("../../README.md");

/// The rows of the README's table that begins with this column, without the Markdown.
fn table(first: &str, number: usize) -> Vec<Vec<String>> {
    let heading = format!("| {first} | ");
    let after = README.split(&heading).nth(number).unwrap_or_else(|| panic!("no table {first}"));
    let rows = after.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.map(cells).collect()
}

fn page(topic: &str) -> String {
    let out = aerostack(&["help", topic]).run().expect(0).out;
    assert_eq!(aerostack(&[topic]).run().expect(0).out, out);
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    // On one line, to look for texts that are broken there.
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn exit_codes() {
    let kinds = FailureKind::ALL.map(|kind| (kind.exit_code(), kind.meaning()));
    let expected: Vec<_> = [(0, "done")].into_iter().chain(kinds).collect();
    let page = page("exit-codes");
    for (code, meaning) in &expected {
        assert!(page.contains(&format!(" {code} {meaning}")), "{code}: {page}");
    }
    let expected: Vec<_> =
        expected.iter().map(|(code, text)| vec![code.to_string(), (*text).to_owned()]).collect();
    assert_eq!(table("code", 1), expected);
}

#[test]
fn environment() {
    let page = page("environment");
    let plain = |text: Option<&str>| text.map_or_else(|| "–".to_owned(), |text| text.replace('\'', ""));
    for var in env_vars::COMMAND_LINE.iter().chain(env_vars::SERVER) {
        assert!(page.contains(&format!("{} {}", var.name, var.meaning)), "{}: {page}", var.name);
    }
    let row = |var: &EnvVar| {
        vec![var.name.to_owned(), plain(var.option), plain(Some(var.meaning)), plain(var.default)]
    };
    let without_quotes = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
        rows.into_iter().map(|row| row.into_iter().map(|cell| cell.replace('\'', "")).collect()).collect()
    };
    let expected: Vec<_> = env_vars::COMMAND_LINE.iter().map(row).collect();
    assert_eq!(without_quotes(table("variable", 1)), expected);
    let row = |var: &EnvVar| vec![var.name.to_owned(), plain(Some(var.meaning)), plain(var.default)];
    let expected: Vec<_> = env_vars::SERVER.iter().map(row).collect();
    assert_eq!(without_quotes(table("variable", 2)), expected);
}

/// The command line's table cannot name the server's constants; this holds the two together.
#[test]
fn names_of_the_server() {
    for name in [settings::SECRETS_KEY, settings::SECRETS_KEY_FILE, settings::LOG] {
        assert!(env_vars::SERVER.iter().any(|var| var.name == name), "{name}");
    }
    let log = env_vars::SERVER.iter().find(|var| var.name == settings::LOG).unwrap();
    assert!(log.default.is_some_and(|text| text.starts_with(settings::RUST_LOG)));
}

#[test]
fn the_help_names_the_topics() {
    let out = aerostack(&["--help"]).run().expect(0).out;
    for topic in ["exit-codes", "environment"] {
        assert!(out.contains(&format!("aerostack help {topic}  ")), "{out}");
    }
}
