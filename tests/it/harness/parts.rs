//! Programs in other languages, most of them MCP programs that we did not write, installed
//! by `tests/run` (see tests/parts/README.md).

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

/// Where the parts are. Without them a test says so and is skipped; in CI that is a failure.
pub fn parts(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("AEROSTACK_TEST_PARTS") {
        return Some(folder.into());
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: the parts are not installed; run tests/run");
    eprintln!("SKIPPED {test}: the MCP programs it needs are not installed; run tests/run");
    None
}

/// The command that runs a part: node for `.mjs`, an environment's python for `.py`.
pub fn part(folder: &Path, program: &str) -> Command {
    let is_python = Path::new(program).extension().is_some_and(|extension| extension == "py");
    let mut command = if is_python { python(folder, program) } else { node(folder) };
    command.arg(folder.join(program));
    command
}

/// Python: the SDK 1 has an environment of its own.
fn python(folder: &Path, program: &str) -> Command {
    let environment = if program.starts_with("py1_") { "venv-mcp1" } else { "venv" };
    Command::new(folder.join(environment).join("bin/python"))
}

/// Node: the one that was installed with the parts, or else the system's.
pub fn node(folder: &Path) -> Command {
    let own = folder.join("venv/bin/node");
    if own.exists() { Command::new(own) } else { Command::new("node") }
}

/// A part that goes on: it prints `LISTENING <where>`, and ends when its stdin closes.
pub struct Part {
    child: Child,
    _stdin: ChildStdin,
    /// What stands after `LISTENING`.
    pub listening: String,
}

impl Part {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = loop {
            let line = lines.next().expect("the part ended before it listened").unwrap();
            if let Some(listening) = line.strip_prefix("LISTENING ") {
                break listening.trim().to_owned();
            }
        };
        // Keep reading, so that the part never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, _stdin: stdin, listening }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A part that is an MCP server on a port of its own.
pub struct PartUpstream {
    _part: Part,
    pub port: u16,
}

impl PartUpstream {
    pub fn start(command: Command) -> Self {
        let part = Part::start(command);
        Self { port: part.listening.parse().unwrap(), _part: part }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}

/// Runs a client part to its end: exit code and the JSON document it printed.
pub fn run_client(mut command: Command, token: &str, arguments: &[&str]) -> (i32, Value) {
    let output = command.env("MWT", token).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let document = serde_json::from_str(text.trim())
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap_or(-1), document)
}

/// A client part in one long session: a line in, a line out.
pub struct ClientSession {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl ClientSession {
    pub fn start(mut command: Command, token: &str, url: &str) -> Self {
        command.env("MWT", token).args([url, "session"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdin, lines }
    }

    /// Calls a tool: `{"result":..}` or `{"error":..}`.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        writeln!(self.stdin, "{}", serde_json::json!({"tool": tool, "args": arguments})).unwrap();
        let line = self.lines.next().expect("the client ended").unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
