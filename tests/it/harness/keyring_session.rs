//! A user in a session with a keyring, and an API to log in to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::companion::Companion;
use super::program::{Aerostack, Ended, aerostack};
use super::session_bus::SessionBus;

/// Longest time for a command whose keyring does not answer: 2 s are promised, the rest is
/// for a machine that is busy with other tests.
const BOUND: Duration = Duration::from_secs(5);

/// A session bus and a companion server that has one MCP server, `github-mcp`.
pub struct KeyringSession {
    pub bus: SessionBus,
    pub companion: Companion,
}

impl KeyringSession {
    pub fn on(bus: SessionBus) -> Self {
        let companion = Companion::start();
        companion.add_server("github-mcp", "https://github-mcp.example/");
        Self { bus, companion }
    }

    /// The program in this session, for this API, without a key.
    pub fn run(&self, arguments: &[&str]) -> Aerostack {
        aerostack(arguments).envs(self.bus.env()).env("AEROSTACK_API_URL", &self.companion.base_url)
    }

    /// `auth login --with-token`, with the right key on standard input.
    pub fn login(&self) -> Aerostack {
        self.run(&["auth", "login", "--with-token"]).stdin(format!("{}\n", self.companion.api_key))
    }

    /// A command that needs the key.
    pub fn list(&self) -> Ended {
        self.run(&["secrets", "list", "github-mcp"]).run()
    }

    /// The key that the keyring holds for this API, as `secret-tool` reads it.
    pub fn stored(&self) -> Option<String> {
        let ended = self.bus.secret_tool(&["lookup", "service", "aerostack", "username", &self.origin()]);
        (ended.code == 0).then(|| ended.out.trim_end().to_owned())
    }

    pub fn origin(&self) -> String {
        self.companion.base_url.clone()
    }

    /// Where the plain-text key file would be.
    pub fn plain_file(&self) -> PathBuf {
        self.bus.home().join(".config/aerostack/credentials.json")
    }
}

/// Fails the test if this takes longer than the bound.
#[track_caller]
pub fn in_time<T>(run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let elapsed = start.elapsed();
    assert!(elapsed < BOUND, "it took {elapsed:?}");
    result
}
