//! The real program, run with an environment that holds nothing but what the test gives.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::companion::Companion;

/// Longest time that a run may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A user without rights: `nobody`.
pub const NOBODY: u32 = 65534;

/// A run that ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Fails the test unless the run ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// A command line of the program.
pub struct Aerostack {
    command: Command,
    stdin: Vec<u8>,
}

/// The program with these arguments, an empty environment and no home. (Without `HOME` it
/// would take the one of /etc/passwd.)
pub fn aerostack(arguments: &[&str]) -> Aerostack {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aerostack"));
    command.args(arguments).env_clear().env("HOME", "/nonexistent");
    Aerostack { command, stdin: Vec::new() }
}

impl Aerostack {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Many variables, such as `env()` of a session bus.
    pub fn envs(mut self, variables: Vec<(String, OsString)>) -> Self {
        self.command.envs(variables);
        self
    }

    /// One more argument, whatever its bytes are.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Runs it by another program, whose arguments come first. That one gets the same
    /// environment, which has no `PATH`: it is looked for in /bin and /usr/bin.
    pub fn by(mut self, program: &str, arguments: &[&OsStr]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = self.command.get_current_dir() {
            command.current_dir(folder);
        }
        self.command = command;
        self
    }

    /// Runs this copy of the program.
    pub fn program(mut self, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(self.command.get_args());
        command.env_clear().envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self
    }

    /// Runs it as a user without rights, where the tests run as root: root may read and
    /// write everything.
    pub fn by_ordinary_user(mut self) -> Self {
        if rustix::process::geteuid().is_root() {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        self
    }

    /// Runs it by `sh` under this umask.
    pub fn umask(self, umask: &str) -> Self {
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        self.by("/bin/sh", &["-c".as_ref(), script.as_ref()])
    }

    pub fn folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Speaks to this companion with its API key.
    pub fn against(self, companion: &Companion) -> Self {
        self.env("AEROSTACK_API_URL", &companion.base_url).env("AEROSTACK_API_KEY", &companion.api_key)
    }

    /// What stands on standard input; without it, it is empty and not a terminal.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it to its end. One that goes on and on, such as a server that should have
    /// refused to start, is killed and fails the test.
    pub fn run(self) -> Ended {
        run_to_end(self.command, self.stdin)
    }

    /// The command, for who runs it in another way. What was to stand on standard input is
    /// not part of it.
    pub fn into_command(self) -> Command {
        assert!(self.stdin.is_empty(), "standard input would be lost");
        self.command
    }

    /// Starts it as a server and reads its `export NAME=VALUE` lines until the one named
    /// `last`. Its log is collected.
    pub fn start(mut self, last: &str) -> Running {
        // A killed server leaves its temporary folder: in one of ours it goes with the test.
        let temporary = tempfile::tempdir().unwrap();
        self.command.env("TMPDIR", temporary.path());
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let (mut variables, mut printed) = (HashMap::new(), String::new());
        while !variables.contains_key(last) {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("it ended with {status} before it was ready: {}", log.join().unwrap());
            }
            printed.push_str(&line);
            if let Some((name, value)) =
                line.trim().strip_prefix("export ").and_then(|rest| rest.split_once('='))
            {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        Running { child: Some(child), variables, printed, log: Some(log), temporary }
    }
}

/// Runs any command to its end with these bytes on standard input. If it takes longer than
/// [`PATIENCE`], it is killed with all that it started, and the test fails.
pub fn run_to_end(mut command: Command, stdin: Vec<u8>) -> Ended {
    let ended = run_within(PATIENCE, &mut command, stdin);
    ended.unwrap_or_else(|| panic!("it did not end within {PATIENCE:?}: {command:?}"))
}

/// The same with a patience of choice; `None` if it had to be killed.
pub fn run_within(patience: Duration, command: &mut Command, stdin: Vec<u8>) -> Option<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = spawn(command);
    let mut input = child.stdin.take().unwrap();
    let writing = thread::spawn(move || {
        let _ = input.write_all(&stdin);
    });
    // Until it is waited for below, no other process can get this id.
    let pid = pid_of(&child);
    let (done, ended) = mpsc::channel::<()>();
    let watching = thread::spawn(move || {
        let late = ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    writing.join().unwrap();
    let late = watching.join().unwrap();
    (!late).then(|| Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    })
}

/// Starts a program that may be a fresh copy: a child of another test, freshly forked, may
/// still hold it open.
fn spawn(command: &mut Command) -> Child {
    let started = until(PATIENCE, || match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => None,
        result => Some(result.unwrap()),
    });
    started.expect("the program is held open by another process")
}

/// The id of a process that was not yet waited for.
pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// Looks again and again until there is something to see; `None` if `patience` is over first.
pub fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Some(seen) => return Some(seen),
            None if Instant::now() >= deadline => return None,
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// A server process. Dropping it kills it.
pub struct Running {
    child: Option<Child>,
    pub variables: HashMap<String, String>,
    /// Standard output up to the last variable, as it was printed.
    pub printed: String,
    log: Option<thread::JoinHandle<String>>,
    /// What it takes for the system's temporary folder.
    pub temporary: tempfile::TempDir,
}

impl Running {
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("{name} was not printed"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        let url = self.variable("AEROSTACK_API_URL");
        url.rsplit_once('/').unwrap().1.replace("localhost", "127.0.0.1").parse().unwrap()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; waits, and answers exit code and log.
    pub fn terminate(self) -> (i32, String) {
        self.end_by(Signal::TERM)
    }

    /// A signal; waits, and answers exit code and log. One that goes on is killed and fails
    /// the test.
    pub fn end_by(self, signal: Signal) -> (i32, String) {
        self.end_within(PATIENCE, signal)
    }

    /// The same with less patience.
    pub fn end_within(mut self, patience: Duration, signal: Signal) -> (i32, String) {
        let child = self.child.as_mut().unwrap();
        kill_process(pid_of(child), signal).unwrap();
        let status = until(patience, || child.try_wait().unwrap());
        self.kill();
        let log = self.log.take().unwrap().join().unwrap();
        let Some(status) = status else {
            panic!("{patience:?} after {signal:?} it was still running; its log: {log}");
        };
        (status.code().unwrap_or(-1), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
