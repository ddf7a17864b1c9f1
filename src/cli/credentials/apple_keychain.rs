//! The keyring of macOS: the user's login keychain. macOS itself asks whether a program
//! may use an entry; there is nothing to look at first.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use apple_native_keyring_store::keychain::Store;
use keyring::CredentialStore;

use super::keyring_trouble::KeyringTrouble;
use crate::domain::Origin;

/// `errSecInteractionNotAllowed`.
const INTERACTION_NOT_ALLOWED: i32 = -25308;
/// `errSecUserCanceled`.
const USER_CANCELED: i32 = -128;
/// `errSecAuthFailed`.
const AUTH_FAILED: i32 = -25293;

/// What is said while it may ask a person for something.
pub(super) const WAITING: &str = "macOS may ask for your permission. Waiting for it; look for its window.";
/// Whether it may ask even where [`check_unlocked`] finds nothing locked.
pub(super) const ASKS_BY_ITSELF: bool = true;

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

/// By the number, because the texts differ by language (Security framework, `SecBase.h`).
pub(super) fn trouble(error: &(dyn StdError + Send + Sync + 'static)) -> KeyringTrouble {
    let code = error.downcast_ref::<security_framework::base::Error>().map(|error| error.code());
    match code {
        Some(INTERACTION_NOT_ALLOWED) => KeyringTrouble::Locked,
        Some(USER_CANCELED | AUTH_FAILED) => KeyringTrouble::NotUnlocked,
        Some(code) => KeyringTrouble::Failed(format!("keychain error {code}")),
        None => KeyringTrouble::Failed("the keychain could not be used".to_owned()),
    }
}
