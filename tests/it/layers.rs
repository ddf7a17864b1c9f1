//! The house's rules, read off the source: layers point down, values have one way, only
//! the right file prints, reads the environment or decides an exit code.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path below `src/` and its text without the tests beside the code.
struct Source {
    path: String,
    text: String,
    lines: usize,
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    rust_files(&root, &mut paths);
    assert!(!paths.is_empty());
    let read = |path: &PathBuf| {
        let whole = fs::read_to_string(path).unwrap();
        let text = whole.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        let path = path.strip_prefix(&root).unwrap().display().to_string();
        Source { path, text, lines: whole.lines().count() }
    };
    paths.iter().map(read).collect()
}

/// Files of `src` outside of tests, whose path begins with one of these.
fn under(prefixes: &[&str]) -> Vec<Source> {
    let inside = |source: &Source| prefixes.iter().any(|prefix| source.path.starts_with(prefix));
    sources("src").into_iter().filter(inside).filter(|source| !source.path.ends_with("tests.rs")).collect()
}

/// Lines of code (no comments) that hold one of the words, as `file:line`.
fn places(files: &[Source], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            let code = if is_comment { "" } else { line.split(" // ").next().unwrap_or_default() };
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!("src/{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    found
}

#[track_caller]
fn nowhere(files: &[Source], words: &[&str]) {
    let found = places(files, words);
    assert!(found.is_empty(), "{words:?} must not stand here:\n{}", found.join("\n"));
}

fn without(files: Vec<Source>, exceptions: &[&str]) -> Vec<Source> {
    files.into_iter().filter(|file| !exceptions.contains(&file.path.as_str())).collect()
}

/// The commands that start or prepare a server.
const START_COMMANDS: [&str; 5] =
    ["cli/serve.rs", "cli/mock.rs", "cli/demo.rs", "cli/demo_client.rs", "cli/keygen.rs"];

#[test]
fn cli_and_client_never_name_the_server() {
    nowhere(
        &without(under(&["cli", "client"]), &START_COMMANDS),
        &["server::", "rusqlite", "aws_lc_rs", "hyper::"],
    );
    nowhere(&under(&["client"]), &["crate::cli"]);
    nowhere(&under(&["server"]), &["crate::cli", "crate::client", "reqwest"]);
}

#[test]
fn domain_and_api_stand_below_everything() {
    let below = [
        "crate::api",
        "crate::cli",
        "crate::client",
        "crate::server",
        "tokio",
        "hyper",
        "reqwest",
        "rusqlite",
    ];
    nowhere(&under(&["domain"]), &below);
    nowhere(&under(&["domain"]), &["std::fs", "std::net::Tcp", "std::env", "async fn", "serde"]);
    nowhere(
        &under(&["api"]),
        &["crate::cli", "crate::client", "crate::server", "tokio", "hyper", "reqwest", "axum"],
    );
}

#[test]
fn inside_the_server_too() {
    let store =
        ["server::vault", "server::admin", "server::gateway", "server::router", "SecretValue", "axum"];
    nowhere(&under(&["server/store"]), &store);
    nowhere(
        &under(&["server/vault"]),
        &["server::admin", "server::gateway", "server::router", "axum", "hyper"],
    );
    nowhere(&under(&["server/admin"]), &["server::gateway", "server::router", "server::listener"]);
    nowhere(
        &under(&["server/analytics"]),
        &["server::vault", "server::admin", "server::gateway", "server::router", "axum", "hyper"],
    );
    nowhere(&under(&["server/gateway"]), &["server::admin", "server::router", "server::listener", "axum"]);
}

#[test]
fn only_the_gateway_opens_sealed_values() {
    let elsewhere = without(
        under(&["server", "cli", "client", "api"]),
        &["server/gateway/inject.rs", "server/vault/mod.rs"],
    );
    nowhere(&elsewhere, &["vault.open(", ".open_bytes(", "aead::open("]);
    let inject = places(&under(&["server/gateway/inject.rs"]), &["vault.open("]);
    assert_eq!(inject.len(), 1, "the test must know the one place: {inject:?}");
    // A value's bytes are read where they are sealed, sent or made into a header, only.
    let readers =
        ["domain/secret_value.rs", "api/secrets.rs", "server/vault/mod.rs", "server/gateway/inject.rs"];
    let others = without(under(&["server", "cli", "client", "api", "domain"]), &readers);
    let found = places(&others, &["value.expose()", ".expose_text()", "secret.expose()"]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn no_answer_has_a_field_for_a_value() {
    let wire = under(&["api"]);
    let mut holders = Vec::new();
    for file in &wire {
        let mut item = String::new();
        for line in file.text.lines() {
            if let Some(rest) = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum ")) {
                item = rest.split([' ', '<', '(', '{']).next().unwrap_or_default().to_owned();
            }
            let is_field =
                line.trim_start().starts_with("pub ") && !line.contains("fn ") && line.contains(": ");
            if is_field && (line.contains("SecretInRequest") || line.contains("SecretValue")) {
                holders.push(item.clone());
            }
        }
    }
    holders.sort();
    assert_eq!(holders, ["BatchEntry", "SetSecretRequest"]);
}

#[test]
fn one_place_prints_one_decides_two_read_the_environment() {
    let all = || under(&["cli", "client", "api", "domain", "server", "main.rs", "lib.rs"]);
    let print = ["println!", "print!(", "eprint!(", "stdout()", "stderr()"];
    nowhere(&without(all(), &["cli/terminal.rs", "cli/hidden_input.rs"]), &print);
    nowhere(&without(all(), &["main.rs"]), &["process::exit", "ExitCode"]);
    let environment = ["env::var", "env::vars", "env::var_os"];
    nowhere(&without(all(), &["cli/settings.rs", "server/settings.rs"]), &environment);
    nowhere(
        &all(),
        &["danger_", "connection_verbose", "dbg!(", "todo!(", "unimplemented!(", "#[allow(", "#![allow("],
    );
    nowhere(&all(), &[".unwrap()"]);
}

#[test]
fn every_file_says_what_it_is_and_none_is_long() {
    for folder in ["src", "tests/it"] {
        for file in sources(folder) {
            let header = file.text.lines().take_while(|line| line.starts_with("//!")).count();
            assert!((1..=6).contains(&header), "{folder}/{}: {header} header lines", file.path);
            assert!(file.lines <= 400, "{folder}/{} has {} lines", file.path, file.lines);
        }
    }
}

#[test]
fn functions_fit_on_a_screen() {
    for folder in ["src", "tests/it"] {
        for file in sources(folder) {
            let mut start = None;
            for (number, line) in file.text.lines().enumerate() {
                let indent = line.len() - line.trim_start().len();
                let code = line.trim_start();
                let visible = ["fn ", "pub ", "pub(", "async fn ", "const fn "]
                    .iter()
                    .any(|begin| code.starts_with(begin));
                if start.is_none() && visible && (code.starts_with("fn ") || code.contains(" fn ")) {
                    start = Some((number, indent));
                }
                if let Some((first, depth)) = start
                    && indent == depth
                    && (code == "}" || code.ends_with(';') || code.ends_with(" }"))
                {
                    assert!(
                        number - first < 80,
                        "{folder}/{}:{} is {} lines",
                        file.path,
                        first + 1,
                        number - first
                    );
                    start = None;
                }
            }
        }
    }
}

#[test]
fn every_route_is_written_once() {
    let elsewhere = without(under(&["cli", "client", "server"]), &[]);
    nowhere(&elsewhere, &["\"/api/v1", "\"/ws/", "\"/healthz", "\"/readyz"]);
}
