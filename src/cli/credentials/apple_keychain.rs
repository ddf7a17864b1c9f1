//! The keyring of macOS: the user's login keychain. macOS itself asks whether a program
//! may use an entry; there is nothing to look at first.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use apple_native_keyring_store::keychain::Store;
use keyring::CredentialStore;

use super::keyring_trouble::KeyringTrouble;
use crate::domain::Origin;

/// The store.
pub(super) fn open() -> keyring::Result<Arc<CredentialStore>> {
    let store = Store::new()?;
    Ok(store)
}

/// None: the store knows no modifier but another keychain.
pub(super) fn modifiers(_origin: &Origin) -> HashMap<&'static str, String> {
    HashMap::new()
}

/// The keychain says so itself when it is used.
#[expect(clippy::unnecessary_wraps, reason = "the Secret Service can fail here")]
pub(super) fn check_unlocked(_origin: &Origin) -> Result<bool, KeyringTrouble> {
    Ok(true)
}

/// Locked, or the user said no: the store's texts name neither key nor entry, but they
/// differ by language.
pub(super) fn trouble(_error: &(dyn StdError + Send + Sync + 'static)) -> KeyringTrouble {
    KeyringTrouble::Failed("the keychain could not be used".to_owned())
}
