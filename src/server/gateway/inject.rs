//! Injection: the secrets of one server, opened and made into headers. If any of them
//! does not open, there is no header at all and the call is not made.

use std::rc::Rc;

use aws_lc_rs::digest;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::problem::UpstreamProblem;
use super::redaction::Secrets;
use crate::server::startup::Project;
use crate::server::store::{SecretRow, ServerRow};
use crate::server::vault::{Binding, RowFacts};

/// Headers to send, and a digest of the rows they come from.
pub(super) struct Injected {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is taken out of the answers, unless that is nothing.
    pub(super) redacted: Option<Rc<Secrets>>,
    /// Differs as soon as any secret, rule or the URL differs.
    pub(super) fingerprint: [u8; 32],
}

impl Injected {
    /// Opens all secrets of the server.
    pub(super) fn open(project: &Project, server: &ServerRow) -> Result<Self, UpstreamProblem> {
        if server.has_damaged_secret {
            tracing::error!(server = %server.slug, "a secret's row is damaged; the server is not called");
            return Err(UpstreamProblem::SecretUnavailable);
        }
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(server.secrets.len());
        let mut redacted = Secrets::default();
        for secret in &server.secrets {
            let header = open_header(project, server, secret, &mut redacted)?;
            if headers.iter().any(|(name, _)| *name == header.0) {
                tracing::error!(server = %server.slug, "two secrets on one header; the server is not called");
                return Err(UpstreamProblem::SecretUnavailable);
            }
            headers.push(header);
        }
        let redacted = (!redacted.is_empty()).then(|| Rc::new(redacted));
        Ok(Self { headers, redacted, fingerprint: fingerprint(server) })
    }

    /// Puts the headers in, last, over whatever stands there.
    pub(super) fn insert_into(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }
}

/// A digest of the server's secrets, rules and URL.
pub(super) fn fingerprint(server: &ServerRow) -> [u8; 32] {
    let mut rows = digest::Context::new(&digest::SHA256);
    rows.update(server.url.as_str().as_bytes());
    for secret in &server.secrets {
        rows.update(&secret.row_mac);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(rows.finish().as_ref());
    fingerprint
}

fn open_header(
    project: &Project,
    server: &ServerRow,
    secret: &SecretRow,
    redacted: &mut Secrets,
) -> Result<(HeaderName, HeaderValue), UpstreamProblem> {
    let binding = Binding::of(&project.row.id, server, secret);
    let value = project.vault.open(&binding, &RowFacts::of(secret), &secret.row_mac).map_err(|error| {
        tracing::error!(server = %server.slug, %error, "a secret does not open; the server is not called");
        UpstreamProblem::SecretUnavailable
    })?;
    if server.redact_responses {
        redacted.add(value.expose());
    }
    let prefix = secret.rule.prefix();
    let mut bytes = Zeroizing::new(Vec::with_capacity(prefix.len() + value.byte_length()));
    bytes.extend_from_slice(prefix.as_bytes());
    bytes.extend_from_slice(value.expose());
    let illegal = |_| UpstreamProblem::SecretUnavailable;
    let name = HeaderName::from_bytes(secret.rule.header_name(&secret.name).as_bytes())
        .map_err(|_| UpstreamProblem::SecretUnavailable)?;
    let mut header = HeaderValue::from_bytes(&bytes).map_err(illegal)?;
    header.set_sensitive(true);
    Ok((name, header))
}
