//! The real program on a terminal, with somebody who reads and types. (Not `expectrl`: it
//! turns the echo off before the program starts, so that nothing would ever be seen, and its
//! `fork` leaks descriptors into what other tests start at that moment.)

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::program::{Aerostack, pid_of, until};

/// Longest wait for a text or for the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a shell is to the program: the first terminal that it opens becomes its controlling
/// one. It writes how the program ended between two NULs and then stays, because the
/// terminal's settings are reset when it ends. Ctrl-C ends the program only.
const SESSION: &str = r#"
trap : INT QUIT
exec 3<>"$0"
"$@" <&3 >&3 2>&3 3>&-
printf '\000%s\000' $? >&3
read -r _
"#;

/// A program that runs on a terminal of 100 columns.
pub struct PseudoTerminal {
    session: Child,
    _lifeline: ChildStdin,
    terminal: File,
    before: LocalModes,
    seen: Vec<u8>,
    /// Up to where the expected texts were found.
    found: usize,
}

impl PseudoTerminal {
    /// Starts the program; its three standard streams are the terminal.
    pub fn spawn(program: Aerostack) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        tcsetwinsize(&terminal, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let by: [&OsStr; 4] =
            ["/bin/sh".as_ref(), "-c".as_ref(), SESSION.as_ref(), OsStr::from_bytes(path.to_bytes())];
        let mut command = program.by("setsid", &by).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let before = tcgetattr(&terminal).unwrap().local_modes;
        assert!(before.contains(LocalModes::ECHO), "a new terminal shows what is typed");
        let mut session = command.spawn().unwrap();
        let lifeline = session.stdin.take().unwrap();
        let terminal = File::from(terminal);
        Self { session, _lifeline: lifeline, terminal, before, seen: Vec::new(), found: 0 }
    }

    /// Waits until the terminal shows this text, after the one that was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let new = &self.seen[self.found..];
            if let Some(at) = new.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.found += at + text.len();
                return;
            }
            assert!(self.exit_code().is_none(), "{text:?} was not shown: {}", self.transcript());
            assert!(self.read(deadline), "{text:?} was not shown in time: {}", self.transcript());
        }
    }

    /// Types this.
    pub fn send(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Types this and presses Enter.
    pub fn send_line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
    }

    /// Sends the program a signal; the shell that started it gets none.
    pub fn signal(&self, signal: Signal) {
        let session = self.session.id();
        let children = std::fs::read_to_string(format!("/proc/{session}/task/{session}/children")).unwrap();
        let program = children.split_whitespace().next().and_then(|id| id.parse().ok()).unwrap();
        kill_process(Pid::from_raw(program).unwrap(), signal).unwrap();
    }

    /// Waits until the program has taken all that was typed.
    pub fn taken(&self) {
        let path = ptsname(&self.terminal, Vec::new()).unwrap();
        let other =
            openat(CWD, path.as_c_str(), OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty());
        let other = other.unwrap();
        until(PATIENCE, || (ioctl_fionread(&other).unwrap() == 0).then_some(())).expect("it does not read");
    }

    /// Waits for the end of the program: its exit code (128 and the signal if one killed it)
    /// and all that the terminal has shown, in which lines end with `\r\n`. Fails the test if
    /// the terminal is not left as it was.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(code) = self.exit_code() {
                let after = tcgetattr(&self.terminal).unwrap().local_modes;
                assert_eq!(after, self.before, "the terminal was left in another mode");
                return (code, self.transcript());
            }
            assert!(self.read(deadline), "it did not end in time: {}", self.transcript());
        }
    }

    /// Reads what is there, or waits for it; `false` after the deadline.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).unwrap();
        let mut polled = [PollFd::new(&self.terminal, PollFlags::IN)];
        if poll(&mut polled, Some(&wait)).unwrap() == 0 {
            return false;
        }
        let mut chunk = [0; 4096];
        // An error: nobody has the other end, and nothing more will come.
        let Ok(count @ 1..) = self.terminal.read(&mut chunk) else { return false };
        self.seen.extend_from_slice(&chunk[..count]);
        true
    }

    fn exit_code(&self) -> Option<i32> {
        let text = self.seen.split(|byte| *byte == 0).nth(1)?;
        (self.seen.last() == Some(&0)).then(|| std::str::from_utf8(text).unwrap().parse().unwrap())
    }

    fn transcript(&self) -> String {
        let shown = self.seen.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(shown).into_owned()
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        // `setsid` made it the leader of a group of its own.
        let _ = kill_process_group(pid_of(&self.session), Signal::KILL);
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}
