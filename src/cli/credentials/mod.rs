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
use std::time::Duration;

use serde::Serialize;

pub use given_key::{EnvironmentKey, KeyFile, parse, without_surroundings};
use keyring_trouble::{KeyringState, KeyringTrouble};
use os_keyring::{CALL_LIMIT, OsKeyring};
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
        let bytes = self.read(origin).map_err(|trouble| trouble.into_failure(origin))?;
        bytes.map(|bytes| of_keyring(&bytes, origin)).transpose()
    }
}

impl CredentialStore for PlainFile {
    fn api_key(&self, origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        let text = self.read(origin)?;
        text.map(|text| stored(&text, &self.path().display().to_string(), origin)).transpose()
    }
}

fn of_keyring(bytes: &[u8], origin: &Origin) -> Result<ApiKey, Failure> {
    stored(std::str::from_utf8(bytes).unwrap_or_default(), "the keyring's entry", origin)
}

/// A key from a place that a login fills.
fn stored(text: &str, place: &str, origin: &Origin) -> Result<ApiKey, Failure> {
    let hint = || format!("run '{}' to put one in its place", login_command(origin));
    parse(text, place).map_err(|failure| failure.with_hint(hint()))
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
#[derive(Default)]
pub struct Lookup {
    /// The key and its source.
    pub found: Option<(ApiKey, KeySource)>,
    /// A source that holds something that is no key or must not be used as one, and why.
    /// What comes after it is not asked either.
    pub unusable: Option<(KeySource, Failure)>,
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
    pub fn run(settings: &Settings, origin: &Origin) -> Self {
        Self::run_within(CALL_LIMIT, settings, origin)
    }

    /// The same with another deadline for the keyring.
    pub fn run_within(limit: Duration, settings: &Settings, origin: &Origin) -> Self {
        let mut lookup = Self::default();
        match lookup.ask_all(limit, settings, origin) {
            Ok(found) => lookup.found = found,
            Err(unusable) => lookup.unusable = Some(unusable),
        }
        lookup
    }

    fn ask_all(
        &mut self,
        limit: Duration,
        settings: &Settings,
        origin: &Origin,
    ) -> Result<Option<(ApiKey, KeySource)>, (KeySource, Failure)> {
        let of = |source: KeySource| move |failure: Failure| (source, failure);
        let environment = EnvironmentKey(settings.api_key.as_ref().map(|key| key.as_str()));
        if let Some(key) = environment.api_key(origin).map_err(of(KeySource::Environment))? {
            return Ok(Some((key, KeySource::Environment)));
        }
        let file = KeyFile(settings.api_key_file.as_deref());
        if let Some(key) = file.api_key(origin).map_err(of(KeySource::File))? {
            self.warnings.extend(file.warning());
            return Ok(Some((key, KeySource::File)));
        }
        if settings.os_keyring {
            self.keyring_asked = true;
            match OsKeyring.read_within(limit, origin) {
                Ok(Some(bytes)) => {
                    let key = of_keyring(&bytes, origin).map_err(of(KeySource::Keyring))?;
                    return Ok(Some((key, KeySource::Keyring)));
                }
                Ok(None) => {}
                Err(trouble) => self.trouble = Some(trouble),
            }
        }
        let Some(plain) = settings.config_dir.as_deref().map(PlainFile::in_directory) else {
            return Ok(None);
        };
        self.plain_path = Some(plain.path());
        let key = plain.api_key(origin).map_err(of(KeySource::PlainFile))?;
        if let (Some(_), Some(trouble @ KeyringTrouble::Slow(_))) = (&key, &self.trouble) {
            self.warnings.push(format!("{trouble}; the plain-text file has a key"));
        }
        Ok(key.map(|key| (key, KeySource::PlainFile)))
    }

    /// Where the key comes from, or what should have been one.
    pub fn source(&self) -> Option<KeySource> {
        let found = self.found.as_ref().map(|(_, source)| *source);
        found.or(self.unusable.as_ref().map(|(source, _)| *source))
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
        Some(match self.source()? {
            KeySource::Environment => env_vars::API_KEY.to_owned(),
            KeySource::File => format!("the file that {} names", env_vars::API_KEY_FILE),
            KeySource::Keyring => "the system keyring".to_owned(),
            KeySource::PlainFile => {
                let path = self.plain_path.as_ref().map(|path| path.display().to_string());
                format!("{} (plain text)", path.unwrap_or_default())
            }
        })
    }

    /// The failure (exit 4) where no store has a key that can be used.
    pub fn no_key(&self, origin: &Origin) -> Failure {
        if let Some((_, failure)) = &self.unusable {
            return failure.clone();
        }
        if let Some(trouble) = &self.trouble {
            let message = format!("there is no API key for {origin} that can be read: {trouble}");
            return Failure::not_logged_in(message).with_hint(trouble.way_out(origin));
        }
        let (key, file) = (env_vars::API_KEY, env_vars::API_KEY_FILE);
        let hint = format!("run '{}', or set {key} or {file}", login_command(origin));
        Failure::not_logged_in(format!("there is no API key for {origin}")).with_hint(hint)
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
    let mut lookup = Lookup::run(settings, origin);
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
    fn the_file_loses_what_is_around_the_key_and_open_ones_are_named() {
        let path = std::env::temp_dir().join(format!("aerostack-key-{}", std::process::id()));
        std::fs::write(&path, "\u{feff} ak_abc \r\n\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let settings = Settings { api_key_file: Some(path.clone()), ..Settings::default() };
        let mut terminal = Terminal::captured(false);
        let key = find(&settings, &origin(), &mut terminal);
        std::fs::write(&path, "ak_abc\nak_abc\n").unwrap();
        let two_lines = find(&settings, &origin(), &mut Terminal::captured(false));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(key.unwrap().expose(), "ak_abc");
        assert!(terminal.err_text().starts_with("warning: other users"));
        assert_eq!(two_lines.unwrap_err().exit_code(), 4);
        assert_eq!(find(&settings, &origin(), &mut terminal).unwrap_err().exit_code(), 4);
    }
}
