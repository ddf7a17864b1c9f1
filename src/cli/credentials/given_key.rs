//! A key that the user hands over with the command: `AEROSTACK_API_KEY`, or the file that
//! `AEROSTACK_API_KEY_FILE` names. It is for whatever origin is named beside it.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::CredentialStore;
use crate::cli::detached;
use crate::cli::env_vars;
use crate::cli::failure::Failure;
use crate::domain::workspace_token::WORKSPACE_TOKEN_PREFIX;
use crate::domain::{ApiKey, Origin};

/// Most bytes that are read of a key file.
const MAX_KEY_FILE_BYTES: u16 = 4096;
/// Longest wait for a key file that is a pipe: somebody may be typing a password for it.
const MAX_KEY_FILE_WAIT: Duration = Duration::from_mins(1);

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
        let bytes = read_key_file(path)?;
        parse(std::str::from_utf8(without_surroundings(&bytes)).unwrap_or_default(), env_vars::API_KEY_FILE)
            .map(Some)
    }
}

/// Reads the file, which may also be a pipe from a program that asks for a password first.
fn read_key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let variable = env_vars::API_KEY_FILE;
    let (limit, path) = (MAX_KEY_FILE_WAIT, path.to_owned());
    let read = detached::within(limit, move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * usize::from(MAX_KEY_FILE_BYTES)));
        File::open(path)?.take(MAX_KEY_FILE_BYTES.into()).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    });
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            Err(Failure::not_logged_in(format!("could not read the file that {variable} names: {error}")))
        }
        Err(_) => Err(Failure::not_logged_in(format!(
            "the file that {variable} names gave nothing within {} s",
            limit.as_secs()
        ))
        .with_hint("if it is a pipe, its other end has to write the key and close it")),
    }
}

/// The key without what editors and shells put around it: a byte order mark, blanks and
/// line ends.
pub fn without_surroundings(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii()
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
