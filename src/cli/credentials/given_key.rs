//! A key that the user hands over with the command: `AEROSTACK_API_KEY`, or the file that
//! `AEROSTACK_API_KEY_FILE` names. It is for whatever origin is named beside it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::CredentialStore;
use crate::cli::env_vars;
use crate::cli::failure::Failure;
use crate::domain::workspace_token::WORKSPACE_TOKEN_PREFIX;
use crate::domain::{ApiKey, Origin};

/// Most bytes that are read of a key file.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// `AEROSTACK_API_KEY`.
pub struct EnvironmentKey<'a>(pub Option<&'a str>);

impl CredentialStore for EnvironmentKey<'_> {
    fn api_key(&self, _origin: &Origin) -> Result<Option<ApiKey>, Failure> {
        self.0.map(|text| parse(text, env_vars::API_KEY)).transpose()
    }
}

/// The file that `AEROSTACK_API_KEY_FILE` names.
pub struct KeyFile<'a>(pub Option<&'a Path>);

impl KeyFile<'_> {
    /// Says it where other users of the machine can read the file.
    pub fn warning(&self) -> Option<String> {
        let mode = self.0.and_then(|path| path.metadata().ok()).map(|data| data.permissions().mode());
        mode.filter(|mode| mode & 0o077 != 0).map(|_| {
            let variable = env_vars::API_KEY_FILE;
            format!("other users can read the file that {variable} names; chmod 600 closes it")
        })
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

/// Checks a key's form; the text is not repeated.
///
/// # Errors
/// Exit 4, naming the source.
pub fn parse(text: &str, source: &str) -> Result<ApiKey, Failure> {
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
