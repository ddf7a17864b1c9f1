//! Runs the official conformance suite and reads what it found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::parts::node;
use super::program::run_within;

/// Longest time that one run of the suite may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// The suite's own limits are short; on a busy machine a scenario gets further chances.
const CHANCES: usize = 3;
/// How much is shown of what a client said.
const LINES_SAID: usize = 12;
/// If more than these fail, it was not the machine.
const FEW: usize = 8;
/// Length of `-2026-11-23T21-48-54-713Z`, the end of the name of a result's folder.
const STAMP: usize = 25;

/// One check of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Which one; it may come several times.
    pub id: String,
    /// `SUCCESS`, `FAILURE`, `WARNING`, `INFO` or `SKIPPED`.
    pub status: String,
    /// Why, unless it is a success.
    #[serde(default)]
    pub error_message: Option<String>,
}

impl Check {
    /// Whether it counts against the scenario.
    pub fn is_bad(&self) -> bool {
        matches!(self.status.as_str(), "FAILURE" | "WARNING")
    }
}

/// The checks of a scenario that ran.
pub type Checks = Vec<Check>;

/// Whether a scenario passed: the suite counts warnings as failures too.
pub fn passed(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.status == "SUCCESS") && !checks.iter().any(Check::is_bad)
}

fn suite(folder: &Path) -> Command {
    let mut command = node(folder);
    command.arg(folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    command.current_dir(folder);
    command
}

/// The scenarios that a revision demands of a server.
pub fn required_of_servers(folder: &Path, revision: &str) -> Vec<String> {
    let file = format!("node_modules/@modelcontextprotocol/conformance/requirements/{revision}.yaml");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let list = text.split("\nserver:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().map(|line| line.trim_start_matches("  - ").to_owned()).collect()
}

/// Runs all scenarios of a revision against the server at this address, those that fail
/// once more or twice: what was found, by scenario.
pub fn against_server(folder: &Path, url: &str, revision: &str) -> BTreeMap<String, Checks> {
    let mut found = run_server(folder, &["--url", url, "--requirements", revision]);
    for _ in 1..CHANCES {
        let failed: Vec<_> = found.iter().filter(|(_, checks)| !passed(checks)).collect();
        let names = failed.into_iter().map(|(scenario, _)| scenario.clone());
        let failed: Vec<String> = names.filter(|scenario| !is_extension(scenario)).collect();
        if failed.len() > FEW {
            break;
        }
        for scenario in &failed {
            let one = ["--url", url, "--scenario", scenario, "--spec-version", revision];
            let again = run_server(folder, &one);
            found.extend(again.into_iter().filter(|(_, checks)| passed(checks)));
        }
    }
    found
}

/// The extension with tasks, which the SDK does not have.
pub fn is_extension(scenario: &str) -> bool {
    scenario.starts_with("tasks-")
}

fn run_server(folder: &Path, arguments: &[&str]) -> BTreeMap<String, Checks> {
    let results = tempfile::tempdir().unwrap();
    let mut command = suite(folder);
    command.arg("server").args(arguments).arg("--output-dir").arg(results.path());
    let ended = run_within(PATIENCE, &mut command, Vec::new()).expect("the suite did not end");
    let found = read_results(results.path(), "server-");
    assert!(!found.is_empty(), "{} {}", ended.out, ended.err);
    found
}

fn read_results(folder: &Path, prefix: &str) -> BTreeMap<String, Checks> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        let scenario = &name[prefix.len()..name.len() - STAMP];
        let text = fs::read_to_string(entry.unwrap().path().join("checks.json")).unwrap_or_default();
        let checks = serde_json::from_str(&text).unwrap_or_default();
        found.insert(scenario.to_owned(), checks);
    }
    found
}

/// How a client did in a scenario.
pub struct ClientRun {
    /// Whether the suite is content.
    pub passed: bool,
    /// What it found.
    pub checks: Checks,
    /// What the client said, if it failed.
    pub said: String,
}

/// Runs a client scenario with `conformance_client.mjs` and these variables.
pub fn client_run(folder: &Path, scenario: &str, revision: &str, variables: &[(&str, &str)]) -> ClientRun {
    let results = tempfile::tempdir().unwrap();
    let mut command = suite(folder);
    // The suite splits its command at spaces, so there are no paths in it.
    let path = format!("{}:{}", folder.join("venv/bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).envs(variables.iter().copied());
    command.args(["client", "--command", "node conformance_client.mjs", "--timeout", "40000"]);
    command.args(["--scenario", scenario, "--spec-version", revision, "--output-dir"]).arg(results.path());
    let ended = run_within(PATIENCE, &mut command, Vec::new());
    let checks = read_results(results.path(), "").into_values().next().unwrap_or_default();
    let Some(ended) = ended else {
        return ClientRun { passed: false, checks, said: "its server waits for connections to close".into() };
    };
    let passed = ended.code == 0 && passed(&checks);
    ClientRun { passed, checks, said: if passed { String::new() } else { said(results.path()) } }
}

/// The end of what the client printed in the one run whose results are here.
fn said(results: &Path) -> String {
    let folder = fs::read_dir(results).unwrap().next().unwrap().unwrap().path();
    let texts =
        ["stdout.txt", "stderr.txt"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
    let text = texts.concat();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SAID)..].join("\n")
}

/// The checks that are not as they should be, each on a line.
pub fn describe(checks: &[Check]) -> String {
    let bad = checks.iter().filter(|check| check.is_bad());
    let line = |check: &Check| {
        let why = check.error_message.as_deref().unwrap_or_default();
        format!("    {} {} {why}\n", check.id, check.status)
    };
    bad.map(line).collect()
}
