//! A screen in memory (Xvfb) with somebody who types into its windows (xdotool), for the
//! window in which the keyring asks for its password.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::kept::Kept;
use super::program::{Ended, run_to_end, until};

/// Longest wait for what somebody at the screen waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running X server.
pub struct Display {
    _server: Kept,
    name: String,
}

impl Display {
    /// Starts one with a free number.
    pub fn start() -> Self {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]);
        let mut server = Kept::start(&command, Path::new("/dev/null"));
        let number = server.line();
        assert!(!number.trim().is_empty(), "Xvfb did not start");
        Self { _server: server, name: format!(":{}", number.trim()) }
    }

    /// What a program needs to show windows here.
    pub fn env(&self) -> (String, OsString) {
        ("DISPLAY".to_owned(), self.name.clone().into())
    }

    /// Whether the window can be seen in which the keyring asks for its password.
    pub fn asks_for_a_password(&self) -> bool {
        self.xdotool(&["search", "--onlyvisible", "--name", "^Unlock "]).code == 0
    }

    /// Types a text and Enter, in place of what was typed before, until this is so.
    pub fn type_until(&self, text: &str, done: impl Fn() -> bool) {
        let typed = until(PATIENCE, || {
            if self.asks_for_a_password() {
                self.xdotool(&["key", "ctrl+a"]);
                self.xdotool(&["type", "--delay", "1", text]);
                self.xdotool(&["key", "Return"]);
            }
            done().then_some(())
        });
        assert!(typed.is_some(), "nobody wanted what was typed");
    }

    fn xdotool(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new("xdotool");
        command.args(arguments).env_clear().envs([self.env()]);
        run_to_end(command, Vec::new())
    }
}
