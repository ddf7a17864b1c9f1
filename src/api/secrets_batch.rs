//! POST `.../secrets/batch`: many values at once, all of them or none. What is wrong is
//! told for every entry by its place in the list, never by its value.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::object::Object;
use super::secrets::{SecretInRequest, is_false};
use crate::domain::{SecretName, SecretValue, ValueProblem};

/// Most entries of one batch.
pub const MAX_BATCH_ENTRIES: usize = 1_000;
/// Longest body of one batch, in bytes.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// The request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretsBatchRequest {
    /// What to create or replace. One entry more than [`MAX_BATCH_ENTRIES`] is read at most.
    #[serde(deserialize_with = "bounded")]
    pub secrets: Vec<BatchEntry>,
    /// Delete the secrets of the server that are not in the list.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prune: bool,
    /// Answer what would be done and do nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
}

/// One secret of the list; an existing one keeps its rule.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchEntry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: SecretInRequest,
}

impl BatchEntry {
    /// Prepares a checked secret for sending.
    pub fn sending(name: &SecretName, value: &SecretValue) -> Self {
        Self { name: name.as_str().to_owned(), value: SecretInRequest::sending(value) }
    }
}

/// What was done, or would be: names, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsBatchSummary {
    /// New ones.
    pub created: Vec<String>,
    /// Existing ones with a new value.
    pub updated: Vec<String>,
    /// Those that were not in the list.
    pub deleted: Vec<String>,
}

/// Why an entry cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryProblem {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its name; `null` if that is not legal, because it may be a value.
    pub name: Option<String>,
    /// What is wrong.
    pub code: EntryProblemCode,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum EntryProblemCode {
    /// The name is not legal.
    #[error("a secret's name is 1 to 128 letters, digits and '_', and does not begin with a digit")]
    InvalidName,
    /// The name stands in the list before.
    #[error("the name is given twice")]
    DuplicateName,
    /// Nothing at all.
    #[error("the value is empty")]
    EmptyValue,
    /// Over 16,384 bytes.
    #[error("the value has more than 16384 bytes")]
    ValueTooLong,
    /// A line break in the value.
    #[error("the value has more than one line; an HTTP header has one")]
    LineBreak,
    /// Another control character.
    #[error("the value has a control character (tab, NUL, escape ...)")]
    ControlCharacter,
    /// A blank at the value's beginning or end.
    #[error("the value begins or ends with a blank, which HTTP would drop")]
    OuterBlank,
    /// Not UTF-8.
    #[error("the value is not UTF-8 text")]
    NotUtf8,
    /// A new secret's name becomes a header, and that one is reserved.
    #[error("by default the secret's name becomes a header, and this one is reserved")]
    ReservedName,
    /// Another secret of the server is sent in the same header.
    #[error(
        "another secret of the server is sent in the same header (case and '_' or '-' make no difference)"
    )]
    HeaderTaken,
    /// The stored row was changed outside of the server.
    #[error("the stored secret does not verify; delete it first")]
    Damaged,
    /// What this version does not know.
    #[error("it is not accepted")]
    #[serde(other)]
    Other,
}

impl EntryProblemCode {
    /// Whether the entry is legal, and only what is stored is in its way.
    pub fn is_conflict(self) -> bool {
        matches!(self, Self::HeaderTaken | Self::Damaged)
    }
}

impl From<ValueProblem> for EntryProblemCode {
    fn from(problem: ValueProblem) -> Self {
        match problem {
            ValueProblem::Empty => Self::EmptyValue,
            ValueProblem::TooLong(_) => Self::ValueTooLong,
            ValueProblem::LineBreak => Self::LineBreak,
            ValueProblem::ControlByte(_) => Self::ControlCharacter,
            ValueProblem::OuterBlank => Self::OuterBlank,
            ValueProblem::NotUtf8(_) => Self::NotUtf8,
        }
    }
}

/// Reads entries until there are too many; what follows is passed over without being kept.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BatchEntry>, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<BatchEntry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of secrets")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while entries.len() <= MAX_BATCH_ENTRIES {
                let Some(Object(entry)) = list.next_element()? else { return Ok(entries) };
                entries.push(entry);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(entries)
        }
    }
    deserializer.deserialize_seq(Entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SecretsBatchRequest, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn one_entry_more_than_allowed_is_kept_at_most() {
        for (count, kept) in [(0, 0), (1, 1), (1_000, 1_000), (1_001, 1_001), (5_000, 1_001)] {
            let entries = vec![r#"{"name":"A","value":"x"}"#; count].join(",");
            let request = parsed(&format!(r#"{{"secrets":[{entries}],"prune":true}}"#)).unwrap();
            assert_eq!((request.secrets.len(), request.prune, request.dry_run), (kept, true, false));
        }
    }

    #[test]
    fn entries_are_objects_with_these_two_members() {
        for bad in [
            r#"["A","x"]"#,
            r#"{"name":"A"}"#,
            r#"{"name":"A","value":null}"#,
            r#"{"name":"A","value":1}"#,
            r#"{"name":"A","value":"x","injection":{"type":"bearer"}}"#,
            r#"{"name":"A","value":"x","value":"y"}"#,
            "null",
        ] {
            assert!(parsed(&format!(r#"{{"secrets":[{bad}]}}"#)).is_err(), "{bad}");
        }
        assert!(parsed("{}").is_err() && parsed(r#"{"secrets":{}}"#).is_err());
    }

    #[test]
    fn nothing_is_shown_and_nothing_needless_is_sent() {
        let request = parsed(r#"{"secrets":[{"name":"A","value":"canary"}],"dry_run":false}"#).unwrap();
        assert!(!format!("{request:?}").contains("canary"));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"secrets":[{"name":"A","value":"canary"}]}"#);
    }

    #[test]
    fn codes_of_the_future_are_taken() {
        let code = |text: &str| serde_json::from_str::<EntryProblemCode>(text).unwrap();
        assert_eq!(code(r#""header_taken""#), EntryProblemCode::HeaderTaken);
        assert_eq!(code(r#""too_young""#), EntryProblemCode::Other);
    }
}
