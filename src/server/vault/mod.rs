//! The vault: the only holder of the master key. It seals values before they reach the
//! store and opens them for the gateway; a value opens only in the place, under the
//! rule and for the origin it was set for.

pub mod aead;
mod envelope;
pub mod keyring;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

pub use envelope::{Binding, RowFacts};
pub use keyring::{DerivationFailed, Keyring, SecretsKey};

use crate::domain::sealed_value::IV_BYTES;
use crate::domain::{KeyId, SealedValue, SecretValue};
use crate::server::randomness::{RandomnessFailed, fill_random};

/// HMAC-SHA-256 of a row.
pub type RowMac = [u8; 32];

/// Why the vault could not do it. No variant tells anything about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The row, the BLOB or its place was changed.
    #[error("the stored secret does not verify: its row was changed outside of aerostack")]
    Tampered,
    /// Sealed under a key that is not in the ring.
    #[error("the secret was sealed under another WORKFLOW_SECRETS_KEY")]
    UnknownKey,
    /// No random bytes.
    #[error(transparent)]
    Randomness(#[from] RandomnessFailed),
    /// The crypto library failed.
    #[error(transparent)]
    Derivation(#[from] DerivationFailed),
    /// The crypto library failed.
    #[error(transparent)]
    Aead(#[from] aead::AeadError),
}

/// Seals and opens.
pub struct Vault {
    keyring: Keyring,
}

impl Vault {
    /// A vault on a key ring.
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring }
    }

    /// The key ring, for the key check at start.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Seals a value for its place, under a fresh random IV.
    ///
    /// # Errors
    /// [`VaultError`] when the random source or the crypto library fails.
    pub fn seal(&self, binding: &Binding<'_>, value: &SecretValue) -> Result<SealedValue, VaultError> {
        let key_id = self.keyring.active_id();
        let data = envelope::associated_data(key_id, binding);
        self.seal_bytes(key_id, binding.secret_id.as_bytes(), &data, value.expose())
    }

    /// The MAC of a row with this rule and these dates.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] when the BLOB was sealed under another key.
    pub fn row_mac(&self, binding: &Binding<'_>, facts: &RowFacts<'_>) -> Result<RowMac, VaultError> {
        let key = self.keyring.row_mac_key(facts.sealed.key_id()).ok_or(VaultError::UnknownKey)?;
        let mut mac = [0; 32];
        mac.copy_from_slice(envelope::row_tag(key, binding, facts).as_ref());
        Ok(mac)
    }

    /// Checks a row's MAC, in constant time.
    ///
    /// # Errors
    /// [`VaultError::Tampered`] or [`VaultError::UnknownKey`].
    pub fn verify_row(
        &self,
        binding: &Binding<'_>,
        facts: &RowFacts<'_>,
        mac: &[u8],
    ) -> Result<(), VaultError> {
        let key = self.keyring.row_mac_key(facts.sealed.key_id()).ok_or(VaultError::UnknownKey)?;
        hmac::verify(key, &envelope::row_bytes(binding, facts), mac).map_err(|_| VaultError::Tampered)
    }

    /// Verifies a row and opens its value. Only the gateway calls this.
    ///
    /// # Errors
    /// [`VaultError`] when anything does not fit; the caller must then not make the call.
    pub fn open(
        &self,
        binding: &Binding<'_>,
        facts: &RowFacts<'_>,
        mac: &[u8],
    ) -> Result<SecretValue, VaultError> {
        self.verify_row(binding, facts, mac)?;
        let data = envelope::associated_data(facts.sealed.key_id(), binding);
        let mut plaintext = self.open_bytes(binding.secret_id.as_bytes(), &data, facts.sealed)?;
        SecretValue::parse(std::mem::take(&mut *plaintext)).map_err(|_| VaultError::Tampered)
    }

    /// Seals one of the server's own keys, for example the token pepper.
    ///
    /// # Errors
    /// [`VaultError`] when the random source or the crypto library fails.
    pub fn seal_internal(
        &self,
        project_id: &str,
        purpose: &str,
        key: &[u8],
    ) -> Result<SealedValue, VaultError> {
        let key_id = self.keyring.active_id();
        let data = envelope::internal_associated_data(key_id, project_id, purpose);
        self.seal_bytes(key_id, purpose.as_bytes(), &data, key)
    }

    /// Opens one of the server's own keys.
    ///
    /// # Errors
    /// [`VaultError`] when anything does not fit.
    pub fn open_internal(
        &self,
        project_id: &str,
        purpose: &str,
        sealed: &SealedValue,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let data = envelope::internal_associated_data(sealed.key_id(), project_id, purpose);
        self.open_bytes(purpose.as_bytes(), &data, sealed)
    }

    fn seal_bytes(
        &self,
        key_id: KeyId,
        context: &[u8],
        associated_data: &[u8],
        plaintext: &[u8],
    ) -> Result<SealedValue, VaultError> {
        let subkey = self.keyring.subkey(key_id, context)?.ok_or(VaultError::UnknownKey)?;
        let mut iv = [0; IV_BYTES];
        fill_random(&mut iv)?;
        let ciphertext = aead::seal(subkey.as_slice(), &iv, associated_data, plaintext)?;
        Ok(SealedValue::assemble(key_id, &iv, &ciphertext))
    }

    fn open_bytes(
        &self,
        context: &[u8],
        associated_data: &[u8],
        sealed: &SealedValue,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let subkey = self.keyring.subkey(sealed.key_id(), context)?.ok_or(VaultError::UnknownKey)?;
        aead::open(subkey.as_slice(), sealed.iv(), associated_data, sealed.ciphertext_and_tag())
            .map_err(|_| VaultError::Tampered)
    }
}
