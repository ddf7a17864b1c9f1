//! The key that the product's older command line left in `~/.aerostack/credentials.json`
//! (`{"api_key":"ak_..."}`), in plain text and without saying for which API.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::private_file;
use crate::domain::ApiKey;

#[derive(Deserialize)]
struct Content {
    api_key: Zeroizing<String>,
}

/// A key that was found there.
pub struct OlderKey {
    /// The key.
    pub key: ApiKey,
    /// The file.
    pub path: PathBuf,
}

impl OlderKey {
    /// Looks for it. What is no regular file of this user, or holds no API key, is as good
    /// as nothing: it is only an offer.
    pub fn find(home: &Path) -> Option<Self> {
        let path = home.join(".aerostack").join("credentials.json");
        let found = private_file::read(CWD, &path).ok().flatten()?;
        let content: Content = serde_json::from_slice(&found.bytes).ok()?;
        Some(Self { key: ApiKey::parse(&content.api_key).ok()?, path })
    }

    /// Removes the file.
    pub fn remove_file(&self) -> std::io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}
