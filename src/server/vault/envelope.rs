//! What a sealed value is bound to. The associated data names the place it was sealed
//! for, and the row's MAC covers the rule and the dates as well, so a value that was
//! moved, renamed or re-pointed, or whose rule was changed behind our back, does not open.

use aws_lc_rs::{digest, hmac};

use crate::domain::sealed_value::header;
use crate::domain::{Injection, KeyId, Origin, SealedValue, SecretName};
use crate::server::clock::Millis;
use crate::server::store::{SecretRow, ServerRow};

const LABEL_SECRET: &[u8] = b"aerostack/mcp-secret";
const LABEL_ROW: &[u8] = b"aerostack/mcp-secret-row";
const LABEL_INTERNAL: &[u8] = b"aerostack/internal-key";

/// The place a value is sealed for.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Id of the project.
    pub project_id: &'a str,
    /// Id of the workspace.
    pub workspace_id: &'a str,
    /// Id of the MCP server.
    pub server_id: &'a str,
    /// The only origin the value may be sent to.
    pub origin: &'a Origin,
    /// Id of the secret.
    pub secret_id: &'a str,
    /// Its name.
    pub name: &'a SecretName,
    /// Counts the `set`s.
    pub version: u64,
}

impl<'a> Binding<'a> {
    /// The place of a secret's row.
    pub fn of(project_id: &'a str, server: &'a ServerRow, secret: &'a SecretRow) -> Self {
        Self {
            project_id,
            workspace_id: &server.workspace_id,
            server_id: &server.id,
            origin: server.origin(),
            secret_id: &secret.id,
            name: &secret.name,
            version: secret.version,
        }
    }
}

/// What else the row's MAC covers.
#[derive(Debug, Clone, Copy)]
pub struct RowFacts<'a> {
    /// The rule.
    pub rule: &'a Injection,
    /// First `set`.
    pub created_at: Millis,
    /// Last `set`.
    pub updated_at: Millis,
    /// The BLOB.
    pub sealed: &'a SealedValue,
}

impl<'a> RowFacts<'a> {
    /// The facts of a secret's row.
    pub fn of(secret: &'a SecretRow) -> Self {
        let SecretRow { rule, created_at, updated_at, sealed, .. } = secret;
        Self { rule, created_at: *created_at, updated_at: *updated_at, sealed }
    }
}

/// Length-prefixed fields: no two different lists give the same bytes.
struct Fields(Vec<u8>);

impl Fields {
    fn new(label: &[u8]) -> Self {
        let mut fields = Self(Vec::with_capacity(320));
        fields.push(label);
        fields
    }

    fn push(&mut self, field: &[u8]) {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
    }

    fn push_binding(&mut self, binding: &Binding<'_>) {
        let Binding { project_id, workspace_id, server_id, origin, secret_id, name, version } = binding;
        for text in [project_id, workspace_id, server_id, secret_id, name.as_str(), origin.as_str()] {
            self.push(text.as_bytes());
        }
        self.push(&version.to_be_bytes());
    }
}

/// Associated data of a secret's value.
pub(super) fn associated_data(key_id: KeyId, binding: &Binding<'_>) -> Vec<u8> {
    let mut fields = Fields::new(LABEL_SECRET);
    fields.push(&header(key_id));
    fields.push_binding(binding);
    fields.0
}

/// Associated data of one of the server's own keys.
pub(super) fn internal_associated_data(key_id: KeyId, project_id: &str, purpose: &str) -> Vec<u8> {
    let mut fields = Fields::new(LABEL_INTERNAL);
    fields.push(&header(key_id));
    fields.push(project_id.as_bytes());
    fields.push(purpose.as_bytes());
    fields.0
}

/// The bytes that a row's MAC is made over.
pub(super) fn row_bytes(binding: &Binding<'_>, facts: &RowFacts<'_>) -> Vec<u8> {
    let mut fields = Fields::new(LABEL_ROW);
    fields.push_binding(binding);
    let (kind, rule_header, prefix) = rule_parts(facts.rule);
    for text in [kind, rule_header, prefix] {
        fields.push(text.as_bytes());
    }
    fields.push(&facts.created_at.to_be_bytes());
    fields.push(&facts.updated_at.to_be_bytes());
    fields.push(digest::digest(&digest::SHA256, facts.sealed.as_bytes()).as_ref());
    fields.0
}

fn rule_parts(rule: &Injection) -> (&'static str, &str, &str) {
    match rule {
        Injection::Name => ("name", "", ""),
        Injection::Header { header, prefix } => ("header", header.as_str(), prefix),
        Injection::Bearer => ("bearer", "", ""),
    }
}

/// HMAC-SHA-256 over a row.
pub(super) fn row_tag(key: &hmac::Key, binding: &Binding<'_>, facts: &RowFacts<'_>) -> hmac::Tag {
    hmac::sign(key, &row_bytes(binding, facts))
}
