//! The system's keyring: one entry for each API origin. Every call runs on a thread of
//! its own that nobody waits for longer than the deadline, because a keyring may wait for
//! a person who is not there, and the process must be able to end all the same.

use std::time::Duration;

use keyring::{Entry, Error};
use zeroize::Zeroizing;

use super::keyring_trouble::KeyringTrouble;
use super::platform_keyring as platform;
use crate::cli::detached::{self, NoResult};
use crate::domain::{ApiKey, Origin};

/// Name of the program in the keyring (attribute `service`).
pub(super) const SERVICE: &str = "aerostack";
/// Longest wait for one call.
pub const CALL_LIMIT: Duration = Duration::from_secs(1);
/// What is said while the keyring may ask a person for something.
pub const WAITING: &str = platform::WAITING;

/// Longest wait for a person who is asked for the keyring's password.
pub const PROMPT_LIMIT: Duration = Duration::from_mins(1);

/// The keyring of the user's session.
#[derive(Debug, Clone, Copy)]
pub struct OsKeyring;

impl OsKeyring {
    /// The entry of an origin, unchecked. Never asks for the keyring's password.
    ///
    /// # Errors
    /// When the keyring is not there, is locked or does not answer within 1 s.
    pub fn read(self, origin: &Origin) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringTrouble> {
        self.read_within(CALL_LIMIT, origin)
    }

    /// The same with another deadline.
    ///
    /// # Errors
    /// As for [`OsKeyring::read`].
    pub fn read_within(
        self,
        limit: Duration,
        origin: &Origin,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringTrouble> {
        let origin = origin.clone();
        within(limit, move || {
            if !platform::check_unlocked(&origin)? {
                return Ok(None);
            }
            match entry(&origin)?.get_secret() {
                Ok(secret) => Ok(Some(Zeroizing::new(secret))),
                Err(Error::NoEntry) => Ok(None),
                Err(error) => Err(trouble(&error)),
            }
        })
    }

    /// Whether an entry could be written now; answers whether the keyring may want to ask a
    /// person for something then.
    ///
    /// # Errors
    /// As for [`OsKeyring::read`], but not [`KeyringTrouble::Locked`].
    pub fn check_writable(self, origin: &Origin) -> Result<bool, KeyringTrouble> {
        let origin = origin.clone();
        match within(CALL_LIMIT, move || platform::check_unlocked(&origin)) {
            Ok(_) => Ok(platform::ASKS_BY_ITSELF),
            Err(KeyringTrouble::Locked) => Ok(true),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes the entry of an origin, in place of an older one, and reads it back; `false`
    /// when the keyring gives back something else. With `may_ask`, the keyring may ask for
    /// its password and has a minute for it.
    ///
    /// # Errors
    /// As for [`OsKeyring::read`]. After any of them the key may be stored all the same.
    pub fn store(self, origin: &Origin, key: &ApiKey, may_ask: bool) -> Result<bool, KeyringTrouble> {
        let (origin, key) = (origin.clone(), Zeroizing::new(key.expose().as_bytes().to_vec()));
        within(if may_ask { PROMPT_LIMIT } else { CALL_LIMIT }, move || {
            if !may_ask {
                platform::check_unlocked(&origin)?;
            }
            let entry = entry(&origin)?;
            let failed = |error: Error| trouble(&error);
            let mut stored = entry.set_secret(&key);
            if let Err(Error::Ambiguous(entries)) = &stored {
                delete_all(entries)?;
                stored = entry.set_secret(&key);
            }
            stored.map_err(failed)?;
            let read_back = Zeroizing::new(entry.get_secret().map_err(failed)?);
            Ok(*read_back == *key)
        })
    }

    /// Deletes the entry of an origin; `false` when there was none.
    ///
    /// # Errors
    /// As for [`OsKeyring::read`].
    pub fn remove(self, origin: &Origin) -> Result<bool, KeyringTrouble> {
        let origin = origin.clone();
        within(CALL_LIMIT, move || {
            if !platform::check_unlocked(&origin)? {
                return Ok(false);
            }
            match entry(&origin)?.delete_credential() {
                Ok(()) => Ok(true),
                Err(Error::NoEntry) => Ok(false),
                Err(Error::Ambiguous(entries)) => delete_all(&entries).map(|()| true),
                Err(error) => Err(trouble(&error)),
            }
        })
    }
}

fn entry(origin: &Origin) -> Result<Entry, KeyringTrouble> {
    let modifiers = platform::modifiers(origin);
    let modifiers = modifiers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let store = platform::open().map_err(|error| trouble(&error))?;
    store.build(SERVICE, origin.as_str(), Some(&modifiers)).map_err(|error| trouble(&error))
}

fn delete_all(entries: &[Entry]) -> Result<(), KeyringTrouble> {
    entries.iter().try_for_each(|entry| entry.delete_credential().map_err(|error| trouble(&error)))
}

fn trouble(error: &Error) -> KeyringTrouble {
    match error {
        Error::Ambiguous(_) => KeyringTrouble::Ambiguous,
        Error::PlatformFailure(cause) | Error::NoStorageAccess(cause) => platform::trouble(cause.as_ref()),
        // The other kinds may carry the entry's bytes: their name must do.
        Error::TooLong(..) => KeyringTrouble::Failed("the key is too long for it".to_owned()),
        Error::NotSupportedByStore(_) => KeyringTrouble::Failed("not supported".to_owned()),
        _ => KeyringTrouble::Failed("unexpected answer".to_owned()),
    }
}

/// Runs a call of the keyring with a deadline.
fn within<T: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> Result<T, KeyringTrouble> + Send + 'static,
) -> Result<T, KeyringTrouble> {
    detached::within(limit, call).unwrap_or_else(|none| {
        Err(match none {
            NoResult::Late => KeyringTrouble::Slow(limit),
            NoResult::Broken => KeyringTrouble::Failed("it broke off".to_owned()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_show_what_the_entry_held() {
        let bytes = || b"canary\xff".to_vec();
        for error in [Error::BadEncoding(bytes()), Error::BadDataFormat(bytes(), "canary".into())] {
            let trouble = trouble(&error);
            assert!(!format!("{trouble} {trouble:?}").contains("canary"));
        }
    }
}
