//! A real shell in a real terminal (tmux): somebody types, and looks at the screen.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::program::{Ended, run_to_end, until};

/// Longest wait for something on the screen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell on a screen of 160 columns.
pub struct Tmux {
    folder: TempDir,
}

impl Tmux {
    /// Starts a shell with these variables and no others.
    pub fn start(shell: &[&str], variables: &[(String, OsString)]) -> Self {
        let tmux = Self { folder: tempfile::tempdir().unwrap() };
        let mut command =
            vec!["new-session", "-d", "-x", "160", "-y", "40", "--", "env", "-i", "TERM=screen"];
        let variables: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
        command.extend(variables.iter().map(String::as_str));
        command.extend(shell);
        tmux.run(&command).expect(0);
        tmux
    }

    /// Types a text, or presses keys such as `Tab`, `Enter`, `C-u`.
    pub fn send(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat()).expect(0);
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"]).expect(0).out
    }

    /// Waits until the screen is like that.
    #[track_caller]
    pub fn wait(&self, what: &str, seen: impl Fn(&str) -> bool) {
        let found = until(PATIENCE, || seen(&self.screen()).then_some(()));
        assert!(found.is_some(), "{what} was not seen:\n{}", self.screen());
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("socket")).args(["-f", "/dev/null"]);
        command.args(arguments).env_remove("TMUX");
        run_to_end(command, Vec::new())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}
