//! Random bytes from the operating system. A source that fails means that the
//! operation fails: nothing is ever sealed or issued with a weak stand-in.

use std::cell::RefCell;

use uuid::Uuid;
use zeroize::Zeroizing;

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system's random source failed")]
pub struct RandomnessFailed;

/// Fills the buffer.
///
/// # Errors
/// [`RandomnessFailed`] when the system's source fails.
pub fn fill_random(buffer: &mut [u8]) -> Result<(), RandomnessFailed> {
    getrandom::fill(buffer).map_err(|_| RandomnessFailed)
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `count` characters of base62, each uniform: bytes of 248 and above are thrown away.
///
/// # Errors
/// [`RandomnessFailed`] when the system's source fails.
pub fn random_base62(count: usize) -> Result<Zeroizing<String>, RandomnessFailed> {
    let mut text = Zeroizing::new(String::with_capacity(count));
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while text.len() < count {
        fill_random(bytes.as_mut_slice())?;
        let usable = bytes.iter().filter(|byte| **byte < 248).take(count - text.len());
        text.extend(usable.map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    Ok(text)
}

/// Ids of requests that are drawn at once.
const IDS_AT_ONCE: usize = 64;

/// Ids for the requests of one core, drawn from the system for many at once: asking it for each costs
/// as much as a read of the store. They are told to everybody.
#[derive(Default)]
pub(super) struct RequestIds(RefCell<Vec<[u8; 16]>>);

impl RequestIds {
    /// The next one: a random UUID.
    pub(super) fn next(&self) -> Uuid {
        let mut drawn = self.0.borrow_mut();
        if drawn.is_empty() {
            let mut bytes = [0; IDS_AT_ONCE * 16];
            if fill_random(&mut bytes).is_ok() {
                drawn.extend(bytes.as_chunks::<16>().0);
            }
        }
        drawn.pop().map_or_else(Uuid::new_v4, |bytes| uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_differ() {
        let ids = RequestIds::default();
        let drawn: std::collections::HashSet<Uuid> = (0..IDS_AT_ONCE * 3).map(|_| ids.next()).collect();
        assert_eq!(drawn.len(), IDS_AT_ONCE * 3);
        assert!(drawn.iter().all(|id| id.get_version_num() == 4));
    }

    #[test]
    fn every_character_comes_up() {
        let text = random_base62(20_000).unwrap();
        assert_eq!(text.len(), 20_000);
        for character in BASE62 {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((150..550).contains(&count), "{} came up {count} times", char::from(*character));
        }
    }
}
