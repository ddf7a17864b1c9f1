//! Where the admin API is: an https URL, or an http URL of this machine.

use url::Url;

use super::error::ClientError;
use crate::domain::origin::{Origin, is_loopback_host};

/// Where the admin API is: checked, without a slash at its end.
#[derive(Debug, Clone)]
pub struct ApiBase {
    url: Url,
    origin: Origin,
}

impl ApiBase {
    /// Accepts an https URL, or an http URL of this machine.
    ///
    /// # Errors
    /// [`ClientError::BadBase`] for what is no such URL, [`ClientError::NotEncrypted`]
    /// for plain http to another machine.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let url = Url::parse(text).map_err(|_| ClientError::BadBase)?;
        let origin = Origin::of(&url).ok_or(ClientError::BadBase)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(ClientError::BadBase);
        }
        if url.scheme() == "http" && !is_loopback_host(&url) {
            return Err(ClientError::NotEncrypted(origin));
        }
        Ok(Self { url, origin })
    }

    /// Scheme, host and port, to which an API key is bound.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL as it was given.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The URL of a route; `path` is one of `api::routes` and may have a query.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        let joined = |text: &str| ApiBase::parse(text).unwrap().join("/x");
        assert_eq!(joined("https://api.example.com"), "https://api.example.com/x");
        assert_eq!(joined("https://api.example.com/base/"), "https://api.example.com/base/x");
        for local in ["http://127.0.0.1:8787", "http://localhost", "http://[::1]:1", "http://127.9.9.9"] {
            assert!(ApiBase::parse(local).is_ok(), "{local}");
        }
        for open in
            ["http://example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0"]
        {
            assert!(matches!(ApiBase::parse(open), Err(ClientError::NotEncrypted(_))), "{open}");
        }
        for bad in ["", "api.example.com", "ftp://h", "https://u:p@h", "https://h/?q", "https://h/#f"] {
            assert!(matches!(ApiBase::parse(bad), Err(ClientError::BadBase)), "{bad}");
        }
    }
}
