//! The master key and what is derived from it by HKDF-SHA256 (RFC 5869) under separate
//! labels: the sealing subkey of each secret, the row MAC's key, the key id, the key check.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::aead::KEY_BYTES;
use crate::domain::KeyId;
use crate::domain::sealed_value::KEY_ID_BYTES;
use crate::server::randomness::{RandomnessFailed, fill_random};

const EXTRACT_SALT: &[u8] = b"aerostack/workflow-secrets-key/v1";
const LABEL_SEAL: &[u8] = b"aerostack/seal/v1";
const LABEL_ROW_MAC: &[u8] = b"aerostack/row-mac/v1";
const LABEL_KEY_ID: &[u8] = b"aerostack/key-id/v1";
const LABEL_KEY_CHECK: &[u8] = b"aerostack/key-check/v1";

/// `WORKFLOW_SECRETS_KEY`: exactly 32 random bytes.
pub struct SecretsKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why a text is not a key. The text is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("WORKFLOW_SECRETS_KEY must be 32 bytes, as base64 (44 characters) or hex (64 characters)")]
pub struct KeyProblem;

impl SecretsKey {
    /// Reads base64 (standard or URL alphabet, with or without padding) or hex.
    ///
    /// # Errors
    /// [`KeyProblem`] for any other text or length, and for 32 equal bytes.
    pub fn parse(text: &str) -> Result<Self, KeyProblem> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode_hex(text).or_else(|| decode_base64(text)).ok_or(KeyProblem)?);
        let key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| KeyProblem)?;
        let key = Zeroizing::new(key);
        if key.iter().all(|byte| *byte == key[0]) {
            return Err(KeyProblem);
        }
        Ok(Self(key))
    }

    /// Makes a fresh key.
    ///
    /// # Errors
    /// [`RandomnessFailed`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, RandomnessFailed> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill_random(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The key's text form, for `aerostack keygen` and for nothing else.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|engine| engine.decode(text).ok())
}

/// Length of derived key material.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// One master key, ready for use.
struct ReadyKey {
    id: KeyId,
    secret: Prk,
    row_mac: hmac::Key,
}

/// Derivation with a length that HKDF allows cannot fail; if it does, nothing may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key derivation failed")]
pub struct DerivationFailed;

fn derive<const N: usize>(
    secret: &Prk,
    label: &[u8],
    context: &[u8],
) -> Result<Zeroizing<[u8; N]>, DerivationFailed> {
    let mut bytes = Zeroizing::new([0; N]);
    let info = [label, context];
    let material = secret.expand(&info, Bytes(N)).map_err(|_| DerivationFailed)?;
    material.fill(bytes.as_mut_slice()).map_err(|_| DerivationFailed)?;
    Ok(bytes)
}

/// The key ring: one active key that seals and opens. (Older keys, which open only,
/// join it when keys can be changed.)
pub struct Keyring {
    active: ReadyKey,
}

impl Keyring {
    /// Derives what is needed from the master key.
    ///
    /// # Errors
    /// [`DerivationFailed`] if the crypto library fails.
    pub fn new(active: &SecretsKey) -> Result<Self, DerivationFailed> {
        let secret = Salt::new(HKDF_SHA256, EXTRACT_SALT).extract(active.0.as_slice());
        let id = *derive::<KEY_ID_BYTES>(&secret, LABEL_KEY_ID, &[])?;
        let row_mac = derive::<32>(&secret, LABEL_ROW_MAC, &[])?;
        let row_mac = hmac::Key::new(hmac::HMAC_SHA256, row_mac.as_slice());
        Ok(Self { active: ReadyKey { id: KeyId(id), secret, row_mac } })
    }

    /// Id of the key that seals.
    pub fn active_id(&self) -> KeyId {
        self.active.id
    }

    /// The subkey that seals one thing, named by `context` (a secret's id).
    ///
    /// # Errors
    /// [`DerivationFailed`]; `None` when the ring has no key of this id.
    pub fn subkey(
        &self,
        id: KeyId,
        context: &[u8],
    ) -> Result<Option<Zeroizing<[u8; KEY_BYTES]>>, DerivationFailed> {
        if id != self.active.id {
            return Ok(None);
        }
        derive(&self.active.secret, LABEL_SEAL, context).map(Some)
    }

    /// The row MAC's key; `None` when the ring has no key of this id.
    pub fn row_mac_key(&self, id: KeyId) -> Option<&hmac::Key> {
        (id == self.active.id).then_some(&self.active.row_mac)
    }

    /// The value of the key-check row for the active key.
    ///
    /// # Errors
    /// [`DerivationFailed`] if the crypto library fails.
    pub fn key_check(&self) -> Result<[u8; 32], DerivationFailed> {
        derive(&self.active.secret, LABEL_KEY_CHECK, &[]).map(|bytes| *bytes)
    }

    /// Whether a stored key check belongs to the active key; compared in constant time.
    ///
    /// # Errors
    /// [`DerivationFailed`] if the crypto library fails.
    pub fn matches(&self, stored: &[u8]) -> Result<bool, DerivationFailed> {
        Ok(self.key_check()?.as_slice().ct_eq(stored).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn text_forms_of_one_key() {
        let from_hex = SecretsKey::parse(HEX).unwrap();
        let text = from_hex.to_base64();
        for form in [text.as_str(), text.trim_end_matches('='), &format!("{}\n", *text), &HEX.to_uppercase()]
        {
            assert_eq!(*SecretsKey::parse(form).unwrap().0, *from_hex.0, "{form}");
        }
    }

    #[test]
    fn refused_keys() {
        for bad in ["", "short", &HEX[2..], &format!("{HEX}00"), &"0".repeat(64), "not base64 at all!"] {
            assert!(SecretsKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn derivations_are_separate() {
        let ring = Keyring::new(&SecretsKey::parse(HEX).unwrap()).unwrap();
        let other = Keyring::new(&SecretsKey::generate().unwrap()).unwrap();
        let (one, two) =
            (ring.subkey(ring.active_id(), b"1").unwrap(), ring.subkey(ring.active_id(), b"2").unwrap());
        assert_ne!(one.as_deref(), two.as_deref());
        assert_ne!(one.unwrap().as_slice(), ring.key_check().unwrap());
        assert_ne!(ring.active_id(), other.active_id());
        assert!(ring.subkey(other.active_id(), b"1").unwrap().is_none());
        assert!(ring.matches(&ring.key_check().unwrap()).unwrap());
        assert!(!ring.matches(&other.key_check().unwrap()).unwrap());
    }
}
