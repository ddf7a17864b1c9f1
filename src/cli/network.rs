//! What the options and the environment say about the network: authorities to trust, and the
//! proxy to go through.

use std::path::Path;

use reqwest::Certificate;

use super::env_vars;
use super::failure::Failure;
use super::settings::Settings;
use crate::client::proxy::Proxy;
use crate::client::{ApiBase, Network};

/// The network around an API. `--ca-cert` goes before `AEROSTACK_CA_CERT`, that before
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, and these before the system's authorities.
///
/// # Errors
/// For files without a usable certificate, and a proxy's URL that is none.
pub fn around(base: &ApiBase, ca_cert: Option<&Path>, settings: &Settings) -> Result<Network, Failure> {
    if !base.is_https() {
        return Ok(Network::default());
    }
    let https_proxy = settings.https_proxy.as_ref().map(|url| url.as_str());
    let proxy = Proxy::on_the_way_to(base, https_proxy, settings.no_proxy.as_deref())?;
    let authorities = match ca_cert.or(settings.ca_cert.as_deref()) {
        Some(path) => Some(of_ca_cert(path)?),
        None if settings.ssl_cert_file.is_some() || !settings.ssl_cert_dirs.is_empty() => {
            Some(of_variables(settings)?)
        }
        None => None,
    };
    Ok(Network { authorities, proxy })
}

fn of_ca_cert(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("could not read the file of --ca-cert: {error}")))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(Failure::usage("the file of --ca-cert holds no usable certificate")
            .with_hint(format!("give a PEM file with --ca-cert or {}", env_vars::CA_CERT)));
    }
    Ok(found)
}

/// The same on every system: left to itself, the TLS library looks at these variables on some.
fn of_variables(settings: &Settings) -> Result<Vec<Certificate>, Failure> {
    let load = rustls_native_certs::load_certs_from_paths;
    let mut found = load(settings.ssl_cert_file.as_deref(), None).certs;
    found.extend(settings.ssl_cert_dirs.iter().flat_map(|folder| load(None, Some(folder)).certs));
    let found: Vec<_> = found.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    if found.is_empty() {
        let (file, dir) = (env_vars::SSL_CERT_FILE, env_vars::SSL_CERT_DIR);
        return Err(Failure::usage(format!("{file} and {dir} lead to no usable certificate")).with_hint(
            format!("correct or unset them, or give a PEM file with --ca-cert or {}", env_vars::CA_CERT),
        ));
    }
    Ok(found)
}
