//! A process in the background that does not outlive its test, not even a test that was
//! killed: a small `sh` keeps it, and kills it when the pipe from the test closes.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::program::{pid_of, until};

/// Longest time that the keeper may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `"$@"` with the file `$0` on standard input, and reaps what it kills.
const KEEPER: &str = r#""$@" <"$0" & read -r _; kill -KILL $!; wait"#;

/// A running process. Dropping it kills it and what it started.
pub struct Kept {
    keeper: Child,
    lifeline: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Kept {
    /// Starts a program with the variables of this command, no others, and this file on
    /// standard input. Its standard error goes nowhere.
    pub fn start(program: &Command, stdin: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER]).arg(stdin).arg(program.get_program()).args(program.get_args());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut keeper = command.spawn().unwrap();
        let lifeline = keeper.stdin.take();
        let lines = BufReader::new(keeper.stdout.take().unwrap());
        Self { keeper, lifeline, lines }
    }

    /// The next line that it prints; empty if it has closed its standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.lifeline = None;
        let keeper = pid_of(&self.keeper);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let in_time = until(PATIENCE, || waitid(WaitId::Pid(keeper), ended).unwrap());
        // What is left of the group. Nobody else can have its number before the `wait`.
        let _ = kill_process_group(keeper, Signal::KILL);
        let _ = self.keeper.wait();
        assert!(in_time.is_some() || std::thread::panicking(), "the keeper went on for {PATIENCE:?}");
    }
}
