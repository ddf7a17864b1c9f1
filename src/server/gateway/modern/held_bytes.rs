//! How many bytes of what servers want and say are kept for clients that have to come back for
//! them. The numbers are bounds for each token and for all.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes for one token.
const TOKEN_BYTES: usize = 16 << 20;
/// Bytes at all.
const ALL_BYTES: usize = 128 << 20;

/// Whose bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The token's.
    OfToken,
    /// That of all together.
    OfAll,
}

/// The numbers.
#[derive(Default)]
pub(super) struct HeldBytes(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    of_tokens: HashMap<String, usize>,
}

impl HeldBytes {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of this token.
    pub(super) fn of_token(&self, token_id: &str) -> usize {
        self.counts().of_tokens.get(token_id).copied().unwrap_or_default()
    }

    /// Counts more of a token's.
    ///
    /// # Errors
    /// [`Full`] when that is over a bound; then nothing was counted.
    pub(super) fn take(&self, token_id: &str, bytes: usize) -> Result<(), Full> {
        let mut counts = self.counts();
        let of_token = counts.of_tokens.get(token_id).copied().unwrap_or_default();
        if of_token + bytes > TOKEN_BYTES {
            return Err(Full::OfToken);
        }
        if counts.all + bytes > ALL_BYTES {
            return Err(Full::OfAll);
        }
        counts.all += bytes;
        if bytes > 0 {
            counts.of_tokens.insert(token_id.to_owned(), of_token + bytes);
        }
        Ok(())
    }

    /// They are not kept any more.
    pub(super) fn give_back(&self, token_id: &str, bytes: usize) {
        let mut counts = self.counts();
        counts.all = counts.all.saturating_sub(bytes);
        if let Some(of_token) = counts.of_tokens.get_mut(token_id) {
            *of_token = of_token.saturating_sub(bytes);
            if *of_token == 0 {
                counts.of_tokens.remove(token_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_bound_for_each_and_one_for_all() {
        let held = HeldBytes::default();
        for token in 0..8 {
            assert_eq!(held.take(&token.to_string(), TOKEN_BYTES), Ok(()));
        }
        assert_eq!(held.take("7", 1), Err(Full::OfToken));
        assert_eq!(held.take("8", 1), Err(Full::OfAll));
        assert_eq!(held.take("8", 0), Ok(()));
        held.give_back("7", 1);
        assert_eq!((held.take("8", 1), held.take("8", 1)), (Ok(()), Err(Full::OfAll)));
        for token in 0..8 {
            held.give_back(&token.to_string(), TOKEN_BYTES);
        }
        held.give_back("8", 1);
        assert!(held.counts().of_tokens.is_empty());
    }
}
