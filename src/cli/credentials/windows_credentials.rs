//! The keyring of Windows: the Credential Manager. It is open while its user is logged
//! in; there is nothing to look at first.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use keyring::CredentialStore;
use windows_native_keyring_store::Store;

use super::keyring_trouble::KeyringTrouble;
use crate::domain::Origin;

/// What is said while it may ask a person for something.
pub(super) const WAITING: &str = "Waiting for the Credential Manager.";
/// Whether it may ask even where [`check_unlocked`] finds nothing locked.
pub(super) const ASKS_BY_ITSELF: bool = false;

/// The store.
pub(super) fn open() -> keyring::Result<Arc<CredentialStore>> {
    let store = Store::new()?;
    Ok(store)
}

/// The key stays on this machine; the store's default would let it roam in a domain.
pub(super) fn modifiers(_origin: &Origin) -> HashMap<&'static str, String> {
    HashMap::from([("persistence", "Local".to_owned())])
}

/// The Credential Manager has no lock of its own.
#[expect(clippy::unnecessary_wraps, reason = "the Secret Service can fail here")]
pub(super) fn check_unlocked(_origin: &Origin) -> Result<bool, KeyringTrouble> {
    Ok(true)
}

/// No logon session, most of the time.
pub(super) fn trouble(_error: &(dyn StdError + Send + Sync + 'static)) -> KeyringTrouble {
    KeyringTrouble::Failed("the Credential Manager could not be used".to_owned())
}
