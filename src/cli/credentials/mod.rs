//! Where the API key comes from. Each source is a `CredentialStore`; the first that has
//! a key wins. The key is asked for by origin, so that a store can bind it to one.

#[cfg(target_os = "macos")]
#[path = "apple_keychain.rs"]
mod platform_keyring;
#[cfg(all(unix, not(target_os = "macos")))]
#[path = "secret_service.rs"]
mod platform_keyring;
#[cfg(windows)]
#[path = "windows_credentials.rs"]
mod platform_keyring;

mod given_key;
pub mod keyring_trouble;
pub mod older_cli;
pub mod os_keyring;
pub mod plain_file;
mod private_file;

use std::path::PathBuf;

use serde::Serialize;

pub use given_key::{EnvironmentKey, KeyFile, parse};
use keyring_trouble::{KeyringState, KeyringTrouble};
use os_keyring::OsKeyring;
use plain_file::PlainFile;

use super::failure::Failure;
use super::global_options::DEFAULT_API_URL;
use super::{env_vars, settings::Settings, terminal::Terminal};
use crate::client::ApiBase;
use crate::domain::{ApiKey, Origin};

/// Something that may hold the API key for an origin.
pub trait CredentialStore {
    /// The key for this origin; `None` when this store has none.
    ///
    /// # Errors
    /// When the store has something that is no API key, or cannot be read.
    fn api_key(&self, origin: &Origin) -> Result<Option<ApiKey>, Failure>;
}

impl CredentialStore for OsKeyring {
    fn api_key(&self, origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        let bytes = self.read(origin).map_err(KeyringTrouble::into_failure)?;
        bytes.map(|bytes| of_keyring(&bytes)).transpose()
    }
}

impl CredentialStore for PlainFile {
    fn api_key(&self, origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        let text = self.read(origin)?;
        text.map(|text| parse(&text, &self.path().display().to_string())).transpose()
    }
}

fn of_keyring(bytes: &[u8]) -> Result<ApiKey, Failure> {
    parse(std::str::from_utf8(bytes).unwrap_or_default(), "the keyring's entry")
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// `AEROSTACK_API_KEY`.
    Environment,
    /// The file that `AEROSTACK_API_KEY_FILE` names.
    File,
    /// The system's keyring.
    Keyring,
    /// The plain-text file of `--insecure-storage`.
    PlainFile,
}

/// What the stores said, in the contract's order. What comes after a store that has a key
/// is not asked.
pub struct Lookup {
    /// The key and its source.
    pub found: Option<(ApiKey, KeySource)>,
    /// Why the keyring gave no answer.
    pub trouble: Option<KeyringTrouble>,
    /// Whether the keyring was asked.
    pub keyring_asked: bool,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
    plain_path: Option<PathBuf>,
}

impl Lookup {
    /// Asks the stores.
    ///
    /// # Errors
    /// When a store holds something that must not or cannot be used as a key.
    pub fn run(settings: &Settings, origin: &Origin) -> Result<Self, Failure> {
        let mut lookup =
            Self { found: None, trouble: None, keyring_asked: false, warnings: Vec::new(), plain_path: None };
        if let Some(key) =
            EnvironmentKey(settings.api_key.as_ref().map(|key| key.as_str())).api_key(origin)?
        {
            lookup.found = Some((key, KeySource::Environment));
            return Ok(lookup);
        }
        let file = KeyFile(settings.api_key_file.as_deref());
        if let Some(key) = file.api_key(origin)? {
            lookup.warnings.extend(file.warning());
            lookup.found = Some((key, KeySource::File));
            return Ok(lookup);
        }
        if settings.os_keyring {
            lookup.keyring_asked = true;
            match OsKeyring.read(origin) {
                Ok(Some(bytes)) => {
                    lookup.found = Some((of_keyring(&bytes)?, KeySource::Keyring));
                    return Ok(lookup);
                }
                Ok(None) => {}
                Err(trouble) => lookup.trouble = Some(trouble),
            }
        }
        let Some(plain) = settings.config_dir.as_deref().map(PlainFile::in_directory) else {
            return Ok(lookup);
        };
        if let Some(key) = plain.api_key(origin)? {
            if let Some(trouble @ KeyringTrouble::Slow(_)) = &lookup.trouble {
                lookup.warnings.push(format!("{trouble}; the plain-text file has a key"));
            }
            lookup.found = Some((key, KeySource::PlainFile));
        }
        lookup.plain_path = Some(plain.path());
        Ok(lookup)
    }

    /// The keyring's state in one word.
    pub fn keyring_state(&self) -> KeyringState {
        match &self.trouble {
            Some(trouble) => trouble.state(),
            None if self.keyring_asked => KeyringState::Available,
            None => KeyringState::NotAsked,
        }
    }

    /// The source in words.
    pub fn source_text(&self) -> Option<String> {
        let (_, source) = self.found.as_ref()?;
        Some(match source {
            KeySource::Environment => env_vars::API_KEY.to_owned(),
            KeySource::File => format!("the file that {} names", env_vars::API_KEY_FILE),
            KeySource::Keyring => "the system keyring".to_owned(),
            KeySource::PlainFile => {
                let path = self.plain_path.as_ref().map(|path| path.display().to_string());
                format!("{} (plain text)", path.unwrap_or_default())
            }
        })
    }

    /// The failure (exit 4) where no store has a key.
    pub fn no_key(&self, origin: &Origin) -> Failure {
        if let Some(trouble) = &self.trouble {
            let message = format!("there is no API key for {origin} that can be read: {trouble}");
            Failure::not_logged_in(message).with_hint(trouble.way_out())
        } else {
            let (key, file) = (env_vars::API_KEY, env_vars::API_KEY_FILE);
            let hint = format!("run '{}', or set {key} or {file}", login_command(origin));
            Failure::not_logged_in(format!("there is no API key for {origin}")).with_hint(hint)
        }
    }
}

/// The command that stores a key for this origin.
pub fn login_command(origin: &Origin) -> String {
    let is_default = ApiBase::parse(DEFAULT_API_URL).is_ok_and(|base| base.origin() == origin);
    if is_default {
        "aerostack auth login".to_owned()
    } else {
        format!("aerostack auth login --api-url {origin}")
    }
}

/// The key for an origin.
///
/// # Errors
/// Exit 4 when there is none, or none that can be used.
pub fn find(settings: &Settings, origin: &Origin, terminal: &mut Terminal) -> Result<ApiKey, Failure> {
    let mut lookup = Lookup::run(settings, origin)?;
    for warning in std::mem::take(&mut lookup.warnings) {
        terminal.warning(&warning);
    }
    match lookup.found.take() {
        Some((key, _)) => Ok(key),
        None => Err(lookup.no_key(origin)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use zeroize::Zeroizing;

    use super::*;

    fn origin() -> Origin {
        crate::domain::UpstreamUrl::parse("https://api.example.com").unwrap().origin().clone()
    }

    fn with_key(key: Option<&str>) -> Settings {
        Settings { api_key: key.map(|key| Zeroizing::new(key.to_owned())), ..Settings::default() }
    }

    #[test]
    fn no_key_is_exit_4_with_a_hint() {
        let failure = find(&with_key(None), &origin(), &mut Terminal::captured(false)).unwrap_err();
        assert_eq!(failure.exit_code(), 4);
        assert_eq!(
            failure.hint(),
            Some(
                "run 'aerostack auth login --api-url https://api.example.com:443', or set AEROSTACK_API_KEY or AEROSTACK_API_KEY_FILE"
            )
        );
    }

    #[test]
    fn a_bad_key_is_not_repeated() {
        let failure =
            find(&with_key(Some("canary\n")), &origin(), &mut Terminal::captured(false)).unwrap_err();
        assert_eq!(failure.exit_code(), 4);
        assert!(!format!("{failure:?}").contains("canary"));
    }

    #[test]
    fn the_file_loses_one_line_end_and_open_ones_are_named() {
        let path = std::env::temp_dir().join(format!("aerostack-key-{}", std::process::id()));
        std::fs::write(&path, "ak_abc\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let settings = Settings { api_key_file: Some(path.clone()), ..Settings::default() };
        let mut terminal = Terminal::captured(false);
        let key = find(&settings, &origin(), &mut terminal);
        std::fs::write(&path, "ak_abc\n\n").unwrap();
        let two_lines = find(&settings, &origin(), &mut Terminal::captured(false));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(key.unwrap().expose(), "ak_abc");
        assert!(terminal.err_text().starts_with("warning: other users"));
        assert_eq!(two_lines.unwrap_err().exit_code(), 4);
        assert_eq!(find(&settings, &origin(), &mut terminal).unwrap_err().exit_code(), 4);
    }
}
