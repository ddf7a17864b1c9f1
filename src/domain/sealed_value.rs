//! A sealed value as it lies in the store: one BLOB,
//! `version 0x01 | algorithm 0x01 | key_id (8) | iv (12) | ciphertext | tag (16)`.
//! This file knows the layout only; sealing and opening are the vault's.

/// Bytes before the IV: version, algorithm, key id.
pub const HEADER_BYTES: usize = 10;
/// Bytes of the initialisation vector (NIST SP 800-38D, section 8.2.2: 96 random bits).
pub const IV_BYTES: usize = 12;
/// Bytes of the authentication tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a key id.
pub const KEY_ID_BYTES: usize = 8;
/// The one known version.
pub const VERSION: u8 = 0x01;
/// AES-256-GCM, the one known algorithm.
pub const ALGORITHM: u8 = 0x01;

/// Which key sealed a value: derived from the key, so it tells nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; KEY_ID_BYTES]);

/// A sealed value of the known version and algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue(Vec<u8>);

/// Why a BLOB is not a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealedValueProblem {
    /// Shorter than header, IV and tag.
    #[error("the sealed value is truncated")]
    Truncated,
    /// A version or algorithm that this program does not know; there is no fallback.
    #[error("the sealed value has an unknown version or algorithm")]
    Unknown,
}

impl SealedValue {
    /// Accepts a BLOB of the known layout.
    ///
    /// # Errors
    /// [`SealedValueProblem`] for anything else.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SealedValueProblem> {
        if bytes.len() < HEADER_BYTES + IV_BYTES + TAG_BYTES {
            return Err(SealedValueProblem::Truncated);
        }
        if bytes[0] != VERSION || bytes[1] != ALGORITHM {
            return Err(SealedValueProblem::Unknown);
        }
        Ok(Self(bytes))
    }

    /// Puts the parts together.
    pub fn assemble(key_id: KeyId, iv: &[u8; IV_BYTES], ciphertext_and_tag: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + IV_BYTES + ciphertext_and_tag.len());
        bytes.extend_from_slice(&header(key_id));
        bytes.extend_from_slice(iv);
        bytes.extend_from_slice(ciphertext_and_tag);
        Self(bytes)
    }

    /// The whole BLOB.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Which key sealed it.
    pub fn key_id(&self) -> KeyId {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&self.0[2..HEADER_BYTES]);
        KeyId(id)
    }

    /// The IV.
    pub fn iv(&self) -> &[u8] {
        &self.0[HEADER_BYTES..HEADER_BYTES + IV_BYTES]
    }

    /// Ciphertext and tag.
    pub fn ciphertext_and_tag(&self) -> &[u8] {
        &self.0[HEADER_BYTES + IV_BYTES..]
    }
}

/// The envelope header for a key: version, algorithm, key id.
pub fn header(key_id: KeyId) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = VERSION;
    header[1] = ALGORITHM;
    header[2..].copy_from_slice(&key_id.0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let sealed = SealedValue::assemble(KeyId([7; 8]), &[9; 12], &[1; 20]);
        assert_eq!(sealed.as_bytes().len(), 10 + 12 + 20);
        assert_eq!(sealed.key_id(), KeyId([7; 8]));
        assert_eq!(sealed.iv(), [9; 12]);
        assert_eq!(sealed.ciphertext_and_tag(), [1; 20]);
        assert_eq!(SealedValue::from_bytes(sealed.as_bytes().to_vec()), Ok(sealed));
    }

    #[test]
    fn unknown_and_truncated() {
        let good = SealedValue::assemble(KeyId([7; 8]), &[9; 12], &[1; 16]);
        for place in [0, 1] {
            for byte in [0, 2, 255] {
                let mut bytes = good.as_bytes().to_vec();
                bytes[place] = byte;
                assert_eq!(SealedValue::from_bytes(bytes), Err(SealedValueProblem::Unknown));
            }
        }
        let short = good.as_bytes()[..37].to_vec();
        assert_eq!(SealedValue::from_bytes(short), Err(SealedValueProblem::Truncated));
    }
}
