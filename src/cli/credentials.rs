//! Where the API key comes from. Each source is a `CredentialStore`; the first that has
//! a key wins. The key is asked for by origin, so that a store can bind it to one.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::{env_vars, settings::Settings, terminal::Terminal};
use crate::domain::workspace_token::WORKSPACE_TOKEN_PREFIX;
use crate::domain::{ApiKey, Origin};

/// Most bytes that are read of a key file.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Something that may hold the API key for an origin.
pub trait CredentialStore {
    /// The key for this origin; `None` when this store has none.
    ///
    /// # Errors
    /// When the store has something that is no API key, or cannot be read.
    fn api_key(&self, origin: &Origin) -> Result<Option<ApiKey>, Failure>;
}

/// `AEROSTACK_API_KEY`. It is for whatever origin the user names beside it.
pub struct EnvironmentKey<'a>(pub Option<&'a str>);

impl CredentialStore for EnvironmentKey<'_> {
    fn api_key(&self, _origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        self.0.map(|text| parse(text, env_vars::API_KEY)).transpose()
    }
}

/// The file that `AEROSTACK_API_KEY_FILE` names.
pub struct KeyFile<'a>(pub Option<&'a Path>);

impl KeyFile<'_> {
    /// Says whether other users of the machine can read the file.
    fn is_open_to_others(&self) -> bool {
        let mode = self.0.and_then(|path| path.metadata().ok()).map(|data| data.permissions().mode());
        mode.is_some_and(|mode| mode & 0o077 != 0)
    }
}

impl CredentialStore for KeyFile<'_> {
    fn api_key(&self, _origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        let Some(path) = self.0 else { return Ok(None) };
        let unreadable = |error: anyhow::Error| Failure::not_logged_in(format!("{error:#}"));
        let text = read_key_file(path).map_err(unreadable)?;
        let line =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        parse(line, env_vars::API_KEY_FILE).map(Some)
    }
}

fn read_key_file(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let name = || format!("could not read the file that {} names", env_vars::API_KEY_FILE);
    let file = std::fs::File::open(path).with_context(name)?;
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).with_context(name)?;
    Ok(text)
}

fn parse(text: &str, source: &str) -> Result<ApiKey, Failure> {
    ApiKey::parse(text).map_err(|problem| {
        if text.starts_with(WORKSPACE_TOKEN_PREFIX) {
            return Failure::not_logged_in(format!(
                "{source} holds a workspace token, which is for the gateway"
            ))
            .with_hint("set it to an API key (ak_...)");
        }
        Failure::not_logged_in(format!("{source} does not hold an API key"))
            .with_hint(format!("{problem}; check what was copied"))
    })
}

/// Asks the stores in the contract's order.
pub fn find(settings: &Settings, origin: &Origin, terminal: &mut Terminal) -> Result<ApiKey, Failure> {
    let environment = EnvironmentKey(settings.api_key.as_ref().map(|key| key.as_str()));
    let file = KeyFile(settings.api_key_file.as_deref());
    if let Some(key) = environment.api_key(origin)? {
        return Ok(key);
    }
    if let Some(key) = file.api_key(origin)? {
        if file.is_open_to_others() {
            let variable = env_vars::API_KEY_FILE;
            terminal.warning(&format!(
                "other users can read the file that {variable} names; chmod 600 closes it"
            ));
        }
        return Ok(key);
    }
    let hint = format!("set {} or {}", env_vars::API_KEY, env_vars::API_KEY_FILE);
    Err(Failure::not_logged_in(format!("there is no API key for {origin}")).with_hint(hint))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(failure.hint(), Some("set AEROSTACK_API_KEY or AEROSTACK_API_KEY_FILE"));
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
