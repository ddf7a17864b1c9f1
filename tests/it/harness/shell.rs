//! Short ways to run the program: against a companion, against a `mock` process, and from
//! a shell as a person would. What it said in JSON is taken apart here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::companion::Companion;
use super::program::{Ended, Running, aerostack};

/// What is said of a value that is too short to be redacted.
pub const SHORT_VALUE: &str =
    "under 8 bytes, too short to be redacted from the MCP server's answers: this value\n";

/// Runs the program against a companion.
pub fn cli(companion: &Companion, arguments: &[&str]) -> Ended {
    aerostack(arguments).against(companion).run()
}

/// Runs `aerostack secrets set SLUG NAME` with these bytes on standard input.
pub fn set_from_stdin(companion: &Companion, slug: &str, name: &str, bytes: impl Into<Vec<u8>>) -> Ended {
    aerostack(&["secrets", "set", slug, name]).against(companion).stdin(bytes).run()
}

/// Bytes as an argument, whatever they are.
pub fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// The folder that holds the program, for `PATH`.
fn program_folder() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_aerostack")).parent().unwrap()
}

/// Runs a script with `sh`, the program first on the PATH and nothing else of ours set.
pub fn shell(script: &str) -> Ended {
    let path = format!("{}:{}", program_folder().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.env_clear().env("PATH", path).args(["-c", script]).stdin(Stdio::null());
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// Fails the test unless the run did what it should and printed exactly this.
    #[track_caller]
    pub fn prints(self, expected: &str) -> Self {
        let ended = self.expect(0);
        assert_eq!(ended.out, expected, "stderr: {}", ended.err);
        ended
    }

    /// The one JSON document on standard output of a run that did what it should.
    #[track_caller]
    pub fn document(self) -> Value {
        let ended = self.expect(0);
        assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
        serde_json::from_str(&ended.out).unwrap()
    }

    /// `error` of the one JSON document on standard error; nothing was printed as data.
    #[track_caller]
    pub fn error_document(&self) -> Value {
        assert_eq!(self.out, "", "data was printed; stderr: {}", self.err);
        assert_eq!(self.err.lines().count(), 1, "not one line: {}", self.err);
        let document: Value = serde_json::from_str(&self.err).unwrap();
        let members: Vec<_> = document["error"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["code", "hint", "message", "request_id"], "{document}");
        assert_eq!(document.as_object().unwrap().len(), 1, "{document}");
        document["error"].clone()
    }

    /// Both outputs, to look for what must not be in them.
    pub fn both(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// An `aerostack mock` process with its file of variables.
pub struct Mock {
    pub running: Running,
    pub env_file: PathBuf,
    _folder: TempDir,
}

impl Mock {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::start_logging("info")
    }

    /// The same with this log level.
    pub fn start_logging(level: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env_file = folder.path().join("mock.env");
        let arguments = ["mock", "--listen", "127.0.0.1:0", "--env-file", env_file.to_str().unwrap()];
        let running = aerostack(&arguments).env("AEROSTACK_LOG", level).start("AEROSTACK_TOKEN");
        Self { running, env_file, _folder: folder }
    }

    /// Sources the file of variables in a shell, then runs the script there.
    pub fn shell(&self, script: &str) -> Ended {
        shell(&format!(". '{}'\n{script}", self.env_file.display()))
    }
}
