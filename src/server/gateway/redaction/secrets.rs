//! The secrets of one request, and what is made of them when its answer has a body.

use std::cell::OnceCell;

use zeroize::Zeroizing;

use super::pattern::{Form, Pattern};
use super::start_pairs::StartPairs;
use crate::domain::secret_value::SHORTEST_REDACTED_VALUE;

/// The values that are taken out of an answer. Wiped on drop.
#[derive(Default)]
pub struct Secrets {
    values: Vec<Zeroizing<Vec<u8>>>,
    starts: OnceCell<StartPairs>,
}

impl Secrets {
    /// Adds a value, unless it is too short or known.
    pub fn add(&mut self, value: &[u8]) {
        if value.len() >= SHORTEST_REDACTED_VALUE
            && !self.values.iter().any(|known| known.as_slice() == value)
        {
            self.values.push(Zeroizing::new(value.to_vec()));
            self.starts = OnceCell::new();
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The pattern of a number.
    pub(super) fn pattern(&self, number: u32) -> Option<Pattern<'_>> {
        let number = usize::try_from(number).ok()?;
        let secret = self.values.get(number / Form::ALL.len())?;
        Some(Pattern { secret, form: Form::ALL[number % Form::ALL.len()] })
    }

    /// All patterns with their numbers.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (u32, Pattern<'_>)> {
        let forms = |secret| Form::ALL.into_iter().map(move |form| Pattern { secret, form });
        (0..).zip(self.values.iter().flat_map(move |secret| forms(secret.as_slice())))
    }

    /// How many patterns there are.
    pub(super) fn pattern_count(&self) -> usize {
        self.values.len() * Form::ALL.len()
    }

    /// Whether a value has characters beyond ASCII.
    pub(super) fn has_non_ascii(&self) -> bool {
        self.values.iter().any(|value| !value.is_ascii())
    }

    /// The table of beginnings, made at the first call.
    pub(super) fn starts(&self) -> &StartPairs {
        self.starts.get_or_init(|| StartPairs::of(self))
    }
}
