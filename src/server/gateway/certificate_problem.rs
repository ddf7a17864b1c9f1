//! Why the certificate of an MCP server is not accepted, and what its admin can do. The names
//! in it are the upstream's own words and stay out; the dates are numbers.

use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::pki_types::UnixTime;

use crate::server::clock;
use crate::server::store::ServerRow;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CertificateProblem {
    /// Self-signed, or from an authority that is not known here, or the link to it was not sent.
    UnknownIssuer,
    /// An authority of this name is known here, with another key.
    OtherKey,
    /// An authority's own certificate in the place of a server's.
    IsAuthority,
    /// Since this moment, in seconds since 1970, if the dates make sense.
    Expired(Option<u64>),
    /// From this moment on, in seconds since 1970.
    NotYetValid(Option<u64>),
    /// For other host names.
    OtherName,
    /// For another use, such as that of a client.
    OtherUse,
    /// Signed in a way that does not count here.
    Algorithm,
    /// X.509 before version 3.
    OldForm,
    /// Something else.
    Unusable,
}

impl From<&CertificateError> for CertificateProblem {
    fn from(error: &CertificateError) -> Self {
        let seconds = |time: &UnixTime| Some(time.as_secs());
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::BadSignature => Self::OtherKey,
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(seconds(not_after)),
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(seconds(not_before)),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::OtherUse
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Algorithm,
            CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
                Some(webpki::Error::CaUsedAsEndEntity) => Self::IsAuthority,
                Some(webpki::Error::UnsupportedCertVersion) => Self::OldForm,
                _ => Self::Unusable,
            },
            _ => Self::Unusable,
        }
    }
}

impl CertificateProblem {
    /// What is wrong, to stand after "the certificate is not accepted: ".
    pub(super) fn words(self, server: &ServerRow) -> String {
        let host = host(server);
        match self {
            Self::UnknownIssuer => {
                "it is self-signed, or from an authority that the aerostack server does not know".to_owned()
            }
            Self::OtherKey => {
                "its signature is not that of the authority of this name that the aerostack server knows".to_owned()
            }
            Self::IsAuthority => {
                "it is the certificate of an authority (CA:TRUE), as openssl req -x509 makes it, and no server's"
                    .to_owned()
            }
            Self::Expired(since) => match day(since) {
                Some(day) => format!("it has expired, on {day}"),
                None => "it has expired".to_owned(),
            },
            Self::NotYetValid(from) => match day(from) {
                Some(day) => format!("it is not valid before {day}"),
                None => "it is not valid yet".to_owned(),
            },
            Self::OtherName => format!("it is for another host name, not for {host}"),
            Self::OtherUse => "it is for another use than that of a server (serverAuth)".to_owned(),
            Self::Algorithm => "it is signed with an algorithm that is not accepted".to_owned(),
            Self::OldForm => "its form is older than X.509 version 3".to_owned(),
            Self::Unusable => "it does not stand up to the check".to_owned(),
        }
    }

    /// What to do. There is no option that switches the check off.
    pub(super) fn hint(self, server: &ServerRow) -> String {
        let host = host(server);
        match self {
            Self::UnknownIssuer => format!("{KNOWN}; {CHAIN}"),
            Self::OtherKey => KNOWN.to_owned(),
            Self::IsAuthority => {
                format!("give the MCP server a certificate of its own, with basicConstraints=CA:FALSE; then {KNOWN}")
            }
            Self::Expired(_) => {
                "renew it and let the MCP server load the new one; if it is good, check the clock of the aerostack server"
                    .to_owned()
            }
            Self::NotYetValid(_) => "check the clock of the aerostack server".to_owned(),
            Self::OtherName => format!(
                "use a name that stands in the certificate: aerostack mcp update {} --url <URL>; or get one with {host} \
                 among its subject alternative names",
                server.slug
            ),
            Self::OtherUse => "get one with the extended key usage serverAuth".to_owned(),
            Self::Algorithm => "get one that is signed with RSA or ECDSA, and SHA-256 or better".to_owned(),
            Self::OldForm => {
                format!("get one with {host} among its subject alternative names, which version 3 has")
            }
            Self::Unusable => "get another one for the MCP server".to_owned(),
        }
    }
}

/// How an authority becomes known. The variable takes the place of the system's authorities.
const KNOWN: &str = "to accept it, add the authority's certificate (or the self-signed one) in PEM to the system's on the \
                     aerostack server's machine, or to the file in its SSL_CERT_FILE, which replaces the system's, and restart it";
const CHAIN: &str =
    "if the authority is a public one, the MCP server must send its whole chain (fullchain.pem)";

fn host(server: &ServerRow) -> &str {
    server.url.url().host_str().unwrap_or_default()
}

/// The day (UTC), as 2026-03-15.
fn day(seconds: Option<u64>) -> Option<String> {
    let millis = i64::try_from(seconds?).ok()?.checked_mul(1_000)?;
    clock::rfc3339(millis).split_once('T').map(|(day, _)| day.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::OtherError;

    use super::*;

    #[test]
    fn rare_flaws() {
        let of_webpki = |error: webpki::Error| {
            CertificateProblem::from(&CertificateError::Other(OtherError(Arc::new(error))))
        };
        assert_eq!(of_webpki(webpki::Error::UnsupportedCertVersion), CertificateProblem::OldForm);
        assert_eq!(of_webpki(webpki::Error::EmptyEkuExtension), CertificateProblem::Unusable);
        let algorithm = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: Vec::new(),
            supported_algorithms: Vec::new(),
        };
        assert_eq!(CertificateProblem::from(&algorithm), CertificateProblem::Algorithm);
        assert_eq!((day(Some(1_773_568_800)).as_deref(), day(Some(u64::MAX))), (Some("2026-03-15"), None));
    }
}
