//! TLS: the listener's configuration from PEM files, the upstreams' with the system's
//! roots, and the throw-away certificate of `mock --tls`. Certificates are always checked.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::settings::TlsFiles;
use super::startup::StartError;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> StartError {
    StartError::System(format!("the TLS file {} cannot be used: {error}", path.display()))
}

/// What the listener speaks TLS with.
pub(super) struct ListenerTls {
    pub(super) config: Arc<ServerConfig>,
    /// The certificate that clients check the name with.
    pub(super) leaf: CertificateDer<'static>,
}

/// The listener's TLS: HTTP/1.1 over TLS 1.2 or 1.3.
pub(super) fn listener_tls(files: &TlsFiles) -> Result<ListenerTls, StartError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(|error| unusable(&files.certificate, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&files.certificate, error))?;
    let leaf =
        chain.first().cloned().ok_or_else(|| unusable(&files.certificate, "it holds no certificate"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.certificate, error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&files.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ListenerTls { config: Arc::new(config), leaf })
}

/// TLS to upstreams, with the system's roots (`SSL_CERT_FILE` is obeyed). Loaded at the
/// first https call; `None` if the machine has no usable roots.
pub(super) fn upstream_config() -> Option<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    CONFIG.get_or_init(load_upstream_config).clone()
}

/// What may be logged of a failure with an upstream: not the names in its certificate, which
/// are the upstream's own words.
pub(super) fn told(error: &std::io::Error) -> String {
    use tokio_rustls::rustls::{CertificateError, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, .. })) => {
            format!("its certificate is not for {}", expected.to_str())
        }
        _ => error.to_string(),
    }
}

fn load_upstream_config() -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::error!("no certificate authority found on this machine; https upstreams cannot be reached");
        return None;
    }
    let config =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().ok()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(config))
}

/// Writes a fresh authority (`ca.pem`) and a certificate for this machine's loopback
/// names (`server.pem`, `server.key`, mode 0600) into `folder`.
///
/// # Errors
/// [`StartError::System`] when the files cannot be made.
pub fn make_loopback_certificate(folder: &Path) -> Result<(TlsFiles, std::path::PathBuf), StartError> {
    let failed =
        |error: rcgen::Error| StartError::System(format!("the TLS certificate was not made: {error}"));
    let named = |name: &str, hosts: Vec<String>| {
        let mut parameters = CertificateParams::new(hosts)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        Ok(parameters)
    };
    let mut authority = named("aerostack mock authority", Vec::new()).map_err(failed)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate().map_err(failed)?;
    let authority_certificate = authority.self_signed(&authority_key).map_err(failed)?;
    let issuer = Issuer::new(authority, authority_key);

    let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let mut leaf = named("localhost", hosts).map_err(failed)?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate().map_err(failed)?;
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer).map_err(failed)?;

    let files = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    let authority_file = folder.join("ca.pem");
    for (path, text) in [
        (&authority_file, authority_certificate.pem()),
        (&files.certificate, leaf_certificate.pem()),
        (&files.key, leaf_key.serialize_pem()),
    ] {
        write_private(path, text.as_bytes()).map_err(|error| unusable(path, error))?;
    }
    Ok((files, authority_file))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}
