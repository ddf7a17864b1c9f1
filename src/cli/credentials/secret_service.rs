//! The keyring of Linux and its relatives: the Secret Service on the D-Bus session bus
//! (gnome-keyring, `KWallet`, `KeePassXC`). The store would ask for a password by itself when
//! it meets a locked keyring, so that is looked at first.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use dbus_secret_service::{EncryptionType, Error, SecretService};
use dbus_secret_service_keyring_store::Store;
use keyring::CredentialStore;

use super::keyring_trouble::KeyringTrouble;
use super::os_keyring::SERVICE;
use crate::domain::Origin;

/// What is said while it may ask a person for something.
pub(super) const WAITING: &str = "The keyring is locked. Waiting for its password; look for its window.";
/// Whether it may ask even where [`check_unlocked`] finds nothing locked.
pub(super) const ASKS_BY_ITSELF: bool = false;

/// The store. Secrets cross the bus encrypted (its `dh-ietf1024-sha256-aes128-cbc-pkcs7`).
pub(super) fn open() -> keyring::Result<Arc<CredentialStore>> {
    let store = Store::new()?;
    Ok(store)
}

/// What the entry is called in the keyring's own windows.
pub(super) fn modifiers(origin: &Origin) -> HashMap<&'static str, String> {
    HashMap::from([("label", format!("Aerostack API key for {origin}"))])
}

/// Looks whether entries can be read and written without a prompt, and whether there may
/// be one of this origin. No secret crosses the bus here, so the session needs no
/// encryption.
pub(super) fn check_unlocked(origin: &Origin) -> Result<bool, KeyringTrouble> {
    let failed = |error: Error| of_service(&error);
    let service = SecretService::connect(EncryptionType::Plain).map_err(failed)?;
    let attributes = HashMap::from([("service", SERVICE), ("username", origin.as_str())]);
    let found = service.search_items(attributes).map_err(failed)?;
    if !found.locked.is_empty() {
        return Err(KeyringTrouble::Locked);
    }
    if !found.unlocked.is_empty() {
        return Ok(true);
    }
    // A locked keyring may hide what it holds.
    let collection = service.get_default_collection().map_err(|error| match error {
        Error::NoResult => KeyringTrouble::NoCollection,
        error => of_service(&error),
    })?;
    if collection.is_locked().map_err(failed)? { Err(KeyringTrouble::Locked) } else { Ok(false) }
}

/// What an error of the store means.
pub(super) fn trouble(error: &(dyn StdError + Send + Sync + 'static)) -> KeyringTrouble {
    match error.downcast_ref::<Error>() {
        Some(error) => of_service(error),
        None => KeyringTrouble::Failed("unexpected answer".to_owned()),
    }
}

fn of_service(error: &Error) -> KeyringTrouble {
    match error {
        Error::Locked => KeyringTrouble::Locked,
        Error::Prompt => KeyringTrouble::NotUnlocked,
        Error::NoResult => KeyringTrouble::NoCollection,
        Error::Unavailable => KeyringTrouble::NoService,
        Error::Dbus(error) => of_bus(error.name().unwrap_or_default()),
        // Their texts may hold bytes of an answer.
        _ => KeyringTrouble::Failed("unexpected answer".to_owned()),
    }
}

/// By the error's name (D-Bus specification, "Message Bus Messages" and the
/// reference library's `DBUS_ERROR_*`).
fn of_bus(name: &str) -> KeyringTrouble {
    let kind = name.strip_prefix("org.freedesktop.DBus.Error.").unwrap_or_default();
    match kind {
        // The last three: a variable that names no bus, or the bus of another user.
        "NotSupported" | "NoServer" | "FileNotFound" | "BadAddress" | "AccessDenied" | "AuthFailed" => {
            KeyringTrouble::NoBus
        }
        "ServiceUnknown" | "NameHasNoOwner" => KeyringTrouble::NoService,
        kind if kind.starts_with("Spawn.") => KeyringTrouble::NoService,
        "NoReply" | "Timeout" | "TimedOut" => KeyringTrouble::Slow(super::os_keyring::CALL_LIMIT),
        _ if name == "org.freedesktop.Secret.Error.IsLocked" => KeyringTrouble::Locked,
        _ if name.is_empty() => KeyringTrouble::Failed("D-Bus".to_owned()),
        _ => KeyringTrouble::Failed(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_bus_errors() {
        let of = |kind: &str| of_bus(&format!("org.freedesktop.DBus.Error.{kind}"));
        for kind in ["NotSupported", "NoServer", "FileNotFound", "BadAddress", "AccessDenied", "AuthFailed"] {
            assert_eq!(of(kind), KeyringTrouble::NoBus, "{kind}");
        }
        for kind in ["ServiceUnknown", "NameHasNoOwner", "Spawn.ChildExited"] {
            assert_eq!(of(kind), KeyringTrouble::NoService, "{kind}");
        }
        assert!(matches!(of("NoReply"), KeyringTrouble::Slow(_)));
        assert_eq!(of_bus("org.freedesktop.Secret.Error.IsLocked"), KeyringTrouble::Locked);
        assert_eq!(of("NoMemory"), KeyringTrouble::Failed("org.freedesktop.DBus.Error.NoMemory".to_owned()));
        assert_eq!(of_bus(""), KeyringTrouble::Failed("D-Bus".to_owned()));
        assert_eq!(of_service(&Error::Parse), KeyringTrouble::Failed("unexpected answer".to_owned()));
    }
}
