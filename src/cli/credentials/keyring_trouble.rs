//! Why the system's keyring gave no answer, told apart, with what to do about each.

use std::time::Duration;

use serde::Serialize;

use super::login_command;
use crate::cli::env_vars;
use crate::cli::failure::Failure;
use crate::domain::Origin;

/// Why the keyring could not be used. No variant holds a text that came with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringTrouble {
    /// No D-Bus session bus.
    #[error(
        "no keyring can be reached: there is no D-Bus session bus (usual over ssh, in containers and under WSL)"
    )]
    NoBus,
    /// A bus, but nobody on it keeps secrets.
    #[error("no keyring is running: nothing on the D-Bus session bus provides org.freedesktop.secrets")]
    NoService,
    /// A service that has nowhere to put a new secret.
    #[error("the keyring has no default collection (usual under WSL and in sessions without a desktop)")]
    NoCollection,
    /// Locked, and asking for its password was not allowed.
    #[error("the keyring is locked")]
    Locked,
    /// The window that asked for its password was closed, or could not be shown.
    #[error("the keyring is locked, and it was not unlocked when it asked")]
    NotUnlocked,
    /// No answer in time. The call goes on by itself and ends with the process.
    #[error("the keyring did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// More than one entry for the same origin.
    #[error("the keyring holds more than one API key for this address")]
    Ambiguous,
    /// Anything else, by the kind of the error alone.
    #[error("the keyring failed ({0})")]
    Failed(String),
}

/// The states that `auth status --json` tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyringState {
    /// Something before it had a key, so it was left alone.
    NotAsked,
    /// It answered.
    Available,
    /// It is there and locked.
    Locked,
    /// There is none that could be used.
    Missing,
    /// It did not answer in time.
    Slow,
    /// It answered with an error.
    Failed,
}

impl KeyringTrouble {
    /// The state in one word.
    pub fn state(&self) -> KeyringState {
        match self {
            Self::NoBus | Self::NoService | Self::NoCollection => KeyringState::Missing,
            Self::Locked | Self::NotUnlocked => KeyringState::Locked,
            Self::Slow(_) => KeyringState::Slow,
            Self::Ambiguous | Self::Failed(_) => KeyringState::Failed,
        }
    }

    /// What to do: first about the keyring itself, then the ways that need none.
    pub fn way_out(&self, origin: &Origin) -> String {
        let (key, file) = (env_vars::API_KEY, env_vars::API_KEY_FILE);
        let login = login_command(origin);
        let without = format!("set {key} or {file}, or run '{login} --insecure-storage' (a plain-text file)");
        match self.first_aid(origin) {
            Some(first) => format!("{first}; or {without}"),
            None => without,
        }
    }

    /// What to do to get at an entry that is to be removed.
    pub fn way_out_of_logout(&self, origin: &Origin) -> String {
        match self.first_aid(origin) {
            Some(first) => format!("{first}; then log out again"),
            None => "log out again in a session that has a keyring".to_owned(),
        }
    }

    /// What to do about the keyring itself.
    fn first_aid(&self, origin: &Origin) -> Option<String> {
        let login = login_command(origin);
        Some(match self {
            Self::NoBus => return None,
            Self::NoService => "start one (gnome-keyring, KWallet, KeePassXC)".to_owned(),
            Self::NoCollection => "log in to the desktop once, or make one with seahorse".to_owned(),
            Self::Locked => {
                format!(
                    "unlock it by logging in to the desktop, or run '{login}' on a terminal and answer its window"
                )
            }
            Self::NotUnlocked => "unlock it by logging in to the desktop".to_owned(),
            Self::Slow(_) => "look for a window in which it asks for a password, or restart it".to_owned(),
            Self::Ambiguous => "log out, then log in again".to_owned(),
            Self::Failed(_) => "restart it".to_owned(),
        })
    }

    /// The failure (exit 4) of a command that needed it.
    pub fn into_failure(self, origin: &Origin) -> Failure {
        Failure::not_logged_in(self.to_string()).with_hint(self.way_out(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_exit_4_and_names_the_three_ways_out() {
        let all = [
            KeyringTrouble::NoBus,
            KeyringTrouble::NoService,
            KeyringTrouble::NoCollection,
            KeyringTrouble::Locked,
            KeyringTrouble::NotUnlocked,
            KeyringTrouble::Slow(Duration::from_secs(1)),
            KeyringTrouble::Ambiguous,
            KeyringTrouble::Failed("x".to_owned()),
        ];
        let origin = crate::domain::UpstreamUrl::parse("https://api.example.com").unwrap().origin().clone();
        for trouble in all {
            assert!(trouble.way_out_of_logout(&origin).contains("log out"), "{trouble}");
            let failure = trouble.into_failure(&origin);
            assert_eq!(failure.exit_code(), 4);
            let hint = failure.hint().unwrap();
            for way in [
                "AEROSTACK_API_KEY ",
                "AEROSTACK_API_KEY_FILE",
                "--api-url https://api.example.com:443 --insecure-storage",
            ] {
                assert!(hint.contains(way), "{hint}");
            }
        }
        assert_eq!(
            KeyringTrouble::Slow(Duration::from_mins(1)).to_string(),
            "the keyring did not answer within 60 s"
        );
    }
}
