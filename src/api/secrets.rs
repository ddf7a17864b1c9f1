//! Secrets on the wire. A value travels in one direction only: the request can carry
//! it, no answer has a field for it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::{Injection, InjectionProblem, SecretName, SecretValue, ValueProblem};

/// POST `.../secrets`: create or replace a value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSecretRequest {
    /// The secret's name.
    pub name: String,
    /// The value.
    pub value: SecretInRequest,
    /// The rule to store with it; without it an existing secret keeps its rule.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::object::optional")]
    pub injection: Option<InjectionDocument>,
    /// Refuse with 404 unless the secret exists.
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_exist: bool,
    /// Refuse with 409 if the secret exists.
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_not_exist: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// A value on its way to the server, unchecked. Only requests may hold it (a test in
/// `tests/it/layers.rs` reads this file for that); it is wiped on drop.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretInRequest(Zeroizing<String>);

impl SecretInRequest {
    /// Prepares a checked value for sending.
    pub fn sending(value: &SecretValue) -> Self {
        Self(Zeroizing::new(value.expose_text().to_owned()))
    }

    /// Checks what arrived.
    ///
    /// # Errors
    /// The [`ValueProblem`] found.
    pub fn check(&self) -> Result<SecretValue, ValueProblem> {
        SecretValue::parse(self.0.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for SecretInRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretInRequest(redacted)")
    }
}

/// An injection rule as JSON: `{"type":"name"}`, `{"type":"header","header","prefix"?}`
/// or `{"type":"bearer"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum InjectionDocument {
    /// The secret's own name is the header.
    Name {},
    /// A header of choice.
    Header {
        /// The header.
        header: String,
        /// Text before the value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
    },
    /// `Authorization: Bearer value`.
    Bearer {},
}

impl InjectionDocument {
    /// Checks the rule for a secret of this name.
    ///
    /// # Errors
    /// The [`InjectionProblem`] found.
    pub fn check(&self, name: &SecretName) -> Result<Injection, InjectionProblem> {
        let rule = match self {
            Self::Name {} => Injection::Name,
            Self::Header { header, prefix } => Injection::header(header, prefix.as_deref().unwrap_or(""))?,
            Self::Bearer {} => Injection::Bearer,
        };
        rule.check_for(name)?;
        Ok(rule)
    }

    /// What the column INJECTION shows for a secret of this name.
    pub fn label(&self, name: &str) -> String {
        match self {
            Self::Name {} => name.to_owned(),
            Self::Header { header, .. } => header.clone(),
            Self::Bearer {} => "Authorization (Bearer)".to_owned(),
        }
    }

    /// What is sent, with the value masked: `Authorization: Bearer ****`.
    pub fn masked(&self, name: &str) -> String {
        match self {
            Self::Name {} => format!("{name}: ****"),
            Self::Header { header, prefix } => format!("{header}: {}****", prefix.as_deref().unwrap_or("")),
            Self::Bearer {} => "Authorization: Bearer ****".to_owned(),
        }
    }
}

impl From<&Injection> for InjectionDocument {
    fn from(rule: &Injection) -> Self {
        match rule {
            Injection::Name => Self::Name {},
            Injection::Header { header, prefix } => Self::Header {
                header: header.as_str().to_owned(),
                prefix: (!prefix.is_empty()).then(|| prefix.clone()),
            },
            Injection::Bearer => Self::Bearer {},
        }
    }
}

/// Everything that may be known of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretSummary {
    /// Name.
    pub name: String,
    /// Rule.
    pub injection: InjectionDocument,
    /// First `set`.
    pub created_at: String,
    /// Last `set`; `inject` does not move it.
    pub updated_at: String,
    /// Counts the `set`s, from 1.
    pub version: u64,
    /// Whether the row cannot be read: its server is not called until the secret is
    /// deleted and set again. The other fields but the name then say nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub damaged: bool,
}

/// GET `.../secrets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretList {
    /// By name.
    pub secrets: Vec<SecretSummary>,
}

/// What a `set` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetStatus {
    /// 201.
    Created,
    /// 200.
    Updated,
}

/// Answer to a `set`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetSecretSummary {
    /// What happened.
    pub status: SetStatus,
    /// The secret now.
    pub secret: SecretSummary,
}

/// Answer to a change of the rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretDocument {
    /// The secret now.
    pub secret: SecretSummary,
}

/// Answer to DELETE `.../secrets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeletedList {
    /// Names, sorted.
    pub deleted: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_json() {
        let text = |rule: &InjectionDocument| serde_json::to_string(rule).unwrap();
        assert_eq!(text(&InjectionDocument::Name {}), r#"{"type":"name"}"#);
        assert_eq!(text(&InjectionDocument::Bearer {}), r#"{"type":"bearer"}"#);
        let rule: InjectionDocument =
            serde_json::from_str(r#"{"type":"header","header":"X","prefix":"T "}"#).unwrap();
        assert_eq!(rule.masked("N"), "X: T ****");
        assert!(serde_json::from_str::<InjectionDocument>(r#"{"type":"bearer","header":"X"}"#).is_err());
        assert!(serde_json::from_str::<InjectionDocument>(r#"{"type":"query"}"#).is_err());
    }

    #[test]
    fn debug_output_is_redacted() {
        let request: SetSecretRequest = serde_json::from_str(r#"{"name":"A","value":"canary"}"#).unwrap();
        assert!(!format!("{request:?}").contains("canary"));
    }
}
