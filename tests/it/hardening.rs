//! What the operating system may keep of the process (T26): no core dump, and no reading
//! of its memory by other programs of the same user.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::harness::aerostack;
use crate::harness::program::NOBODY;

#[test]
fn no_core_dumps() {
    let running = aerostack(&["mock", "--listen", "127.0.0.1:0"]).start("AEROSTACK_TOKEN");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = core["Max core file size".len()..].split_whitespace().take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}

/// A program of an ordinary user, killed when it is dropped.
struct Ordinary(Child);

impl Ordinary {
    fn start(program: &Path, arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("HOME", folder).env("TMPDIR", folder);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        loop {
            match command.spawn() {
                Ok(child) => return Self(child),
                // A child of another test, freshly forked, still holds the copy open.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether the kernel lets other programs of the same user look into it: what is not
    /// dumpable belongs to root under `/proc` (proc(5)).
    fn is_dumpable(&self) -> bool {
        fs::metadata(format!("/proc/{}/mem", self.0.id())).unwrap().uid() != 0
    }

    fn wait_for_a_line(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended");
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn other_programs_of_the_user_cannot_look_into_it() {
    // Where an ordinary user may run it from, and write.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("aerostack");
    fs::copy(env!("CARGO_BIN_EXE_aerostack"), &program).unwrap();
    let mut mock = Ordinary::start(&program, &["mock", "--listen", "127.0.0.1:0"], folder.path());
    mock.wait_for_a_line();
    assert!(!mock.is_dumpable());
    let mut control = Ordinary::start(Path::new("/bin/sh"), &["-c", "echo x; read y"], folder.path());
    control.wait_for_a_line();
    assert!(control.is_dumpable(), "the control must tell the difference");
}
