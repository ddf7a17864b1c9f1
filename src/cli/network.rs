//! What the options and the environment say about the network: authorities to trust, and the
//! proxy to go through.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Certificate;

use super::bounded_input::read_bounded;
use super::detached;
use super::env_vars;
use super::failure::{Failure, FailureKind};
use super::settings::Settings;
use crate::client::proxy::Proxy;
use crate::client::{ApiBase, Network};

/// Most bytes of a file with authorities: several times what systems come with.
const MAX_PEM_BYTES: usize = 4 << 20;

/// The network around an API. `--ca-cert` goes before `AEROSTACK_CA_CERT`, that before
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, and these before the system's authorities. Reading
/// their files may take `limit`.
///
/// # Errors
/// For files without a usable certificate, and a proxy's URL that is none.
pub fn around(
    base: &ApiBase,
    ca_cert: Option<&Path>,
    settings: &Settings,
    limit: Duration,
) -> Result<Network, Failure> {
    if !base.is_https() {
        return Ok(Network::default());
    }
    let https_proxy = settings.https_proxy.as_ref().map(|url| url.as_str());
    let proxy = Proxy::on_the_way_to(base, https_proxy, settings.no_proxy.as_deref())?;
    let authorities = match ca_cert.or(settings.ca_cert.as_deref()) {
        Some(path) => {
            let path = path.to_owned();
            Some(within(limit, move || of_ca_cert(&path))?)
        }
        None if settings.ssl_cert_file.is_some() || !settings.ssl_cert_dirs.is_empty() => {
            let (file, folders) = (settings.ssl_cert_file.clone(), settings.ssl_cert_dirs.clone());
            Some(within(limit, move || of_variables(file.as_deref(), &folders))?)
        }
        None => None,
    };
    Ok(Network { authorities, proxy })
}

/// A file may be a pipe on which nobody writes.
fn within<T: Send + 'static>(
    limit: Duration,
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    detached::within(limit, read).unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let what = format!("the certificates could not be read within {seconds} s");
        Err(Failure::new(FailureKind::Network, what)
            .with_hint("check the file of --ca-cert; --timeout sets the time limit"))
    })
}

fn of_ca_cert(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("could not read the file of --ca-cert: {error}"));
    let mut file = File::open(path).map_err(unreadable)?;
    let pem = read_bounded(&mut file, MAX_PEM_BYTES).map_err(unreadable)?;
    let Some(pem) = pem else {
        let limit = MAX_PEM_BYTES >> 20;
        return Err(Failure::usage(format!("the file of --ca-cert has more than {limit} MiB"))
            .with_hint(format!("give a PEM file with --ca-cert or {}", env_vars::CA_CERT)));
    };
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(Failure::usage("the file of --ca-cert holds no usable certificate")
            .with_hint(format!("give a PEM file with --ca-cert or {}", env_vars::CA_CERT)));
    }
    Ok(found)
}

/// The same on every system: left to itself, the TLS library looks at these variables on some.
fn of_variables(file: Option<&Path>, folders: &[PathBuf]) -> Result<Vec<Certificate>, Failure> {
    let load = rustls_native_certs::load_certs_from_paths;
    let mut found = load(file, None).certs;
    found.extend(folders.iter().flat_map(|folder| load(None, Some(folder)).certs));
    let found: Vec<_> = found.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    if found.is_empty() {
        let (file, dir) = (env_vars::SSL_CERT_FILE, env_vars::SSL_CERT_DIR);
        return Err(Failure::usage(format!("{file} and {dir} lead to no usable certificate")).with_hint(
            format!("correct or unset them, or give a PEM file with --ca-cert or {}", env_vars::CA_CERT),
        ));
    }
    Ok(found)
}
