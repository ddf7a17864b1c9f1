//! AES-256-GCM with a 96-bit IV and a 128-bit tag (NIST SP 800-38D), on aws-lc-rs.
//! Any other size of key, IV or tag is refused, not adapted.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::domain::sealed_value::{IV_BYTES, TAG_BYTES};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Sealing or opening did not work. Deliberately without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authenticated encryption failed")]
pub struct AeadError;

fn prepare(key: &[u8], iv: &[u8]) -> Result<(LessSafeKey, Nonce), AeadError> {
    let iv: [u8; IV_BYTES] = iv.try_into().map_err(|_| AeadError)?;
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| AeadError)?;
    Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(iv)))
}

/// Seals `plaintext`; the answer is ciphertext and tag. The caller brings an IV that
/// was never used with this key.
///
/// # Errors
/// [`AeadError`] for a key that is not 32 bytes or an IV that is not 12.
pub fn seal(key: &[u8], iv: &[u8], associated_data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, AeadError> {
    let (key, nonce) = prepare(key, iv)?;
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    buffer.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(nonce, Aad::from(associated_data), &mut buffer).map_err(|_| AeadError)?;
    Ok(buffer)
}

/// Opens ciphertext and tag.
///
/// # Errors
/// [`AeadError`] when anything was changed, or for wrong sizes.
pub fn open(
    key: &[u8],
    iv: &[u8],
    associated_data: &[u8],
    ciphertext_and_tag: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let (key, nonce) = prepare(key, iv)?;
    let mut buffer = Zeroizing::new(ciphertext_and_tag.to_vec());
    let length =
        key.open_in_place(nonce, Aad::from(associated_data), &mut buffer).map_err(|_| AeadError)?.len();
    buffer.truncate(length);
    Ok(buffer)
}
