//! `aerostack mcp test` against MCP servers whose certificates are good, and wrong in one way
//! each, with real TLS on both sides: what is wrong is said, and what to do.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::harness::{Ended, Running, Upstream, aerostack, mcp_answer};

/// An authority, and the certificate by which others know it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

fn parameters(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters
}

fn authority(name: &str) -> Authority {
    let mut parameters = parameters(&[], name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    Authority { issuer: Issuer::new(parameters, key), certificate }
}

/// An MCP server with a certificate for 127.0.0.1, changed so, that this authority has issued.
fn issued(by: &Authority, change: impl Fn(&mut CertificateParams)) -> Upstream {
    let mut leaf = parameters(&["127.0.0.1"], "canary-common-name");
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &by.issuer).unwrap();
    Upstream::with_chain(vec![certificate.der().clone()], &key, 0, mcp_answer)
}

fn self_signed(change: impl Fn(&mut CertificateParams)) -> (Upstream, String) {
    let mut leaf = parameters(&["127.0.0.1"], "canary-common-name");
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.self_signed(&key).unwrap();
    let upstream = Upstream::with_chain(vec![certificate.der().clone()], &key, 0, mcp_answer);
    (upstream, certificate.pem())
}

/// A companion that knows these authorities and no others.
fn mock(known: &[&str]) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known.pem");
    std::fs::write(&file, known.concat()).unwrap();
    let mock = aerostack(&["mock", "--listen", "127.0.0.1:0"]).env("SSL_CERT_FILE", &file);
    (mock.start("AEROSTACK_TOKEN"), folder)
}

fn test(mock: &Running, upstream: &Upstream) -> Ended {
    let program = |arguments: &[&str]| {
        let program = aerostack(arguments).env("AEROSTACK_API_URL", mock.variable("AEROSTACK_API_URL"));
        program.env("AEROSTACK_API_KEY", mock.variable("AEROSTACK_API_KEY")).run()
    };
    let url = format!("https://{}/mcp", upstream.address);
    let slug = format!("up-{}", upstream.address.port());
    program(&["mcp", "add", &slug, "--url", &url]).expect(0);
    program(&["mcp", "test", &slug])
}

/// Fails the test unless this is what was found wrong with the certificate, and this is the way out.
#[track_caller]
fn finds(mock: &Running, upstream: &Upstream, wrong: &str, way_out: &[&str]) {
    let ended = test(mock, upstream).expect(7);
    let (address, err) = (upstream.address, &ended.err);
    let said = format!(
        "error: up-{} does not work: the certificate of https://{address} is not accepted: {wrong}\nhint: ",
        address.port()
    );
    assert!(err.starts_with(&said), "{said}\n{err}");
    for word in way_out {
        assert!(err.contains(word), "{word}\n{err}");
    }
    assert!(!err.contains("canary") && upstream.received().is_empty(), "{err}");
}

const UNKNOWN: &str = "it is self-signed, or from an authority that the aerostack server does not know";
const IS_AUTHORITY: &str =
    "it is the certificate of an authority (CA:TRUE), as openssl req -x509 makes it, and no server's";

#[test]
fn each_flaw_has_its_own_words() {
    let known = authority("known");
    let (mock, _folder) = mock(&[&known.certificate.pem()]);
    let works = test(&mock, &issued(&known, |_| {})).expect(0);
    assert!(works.out.contains(" works: "), "{}", works.out);

    let make_known = ["SSL_CERT_FILE", "restart", "fullchain.pem"];
    finds(&mock, &self_signed(|_| {}).0, UNKNOWN, &make_known);
    finds(&mock, &issued(&authority("unknown"), |_| {}), UNKNOWN, &make_known);
    let impostor = "its signature is not that of the authority of this name that the aerostack server knows";
    finds(&mock, &issued(&authority("known"), |_| {}), impostor, &["SSL_CERT_FILE"]);

    let (past, future) = (rcgen::date_time_ymd(2021, 3, 15), rcgen::date_time_ymd(2121, 3, 15));
    let expired = issued(&known, |leaf| leaf.not_after = past);
    finds(&mock, &expired, "it has expired, on 2021-03-15", &["renew it", "the clock"]);
    let early = issued(&known, |leaf| leaf.not_before = future);
    finds(&mock, &early, "it is not valid before 2121-03-15", &["the clock"]);

    let other =
        issued(&known, |leaf| leaf.subject_alt_names = parameters(&["canary.example"], "").subject_alt_names);
    let name = "it is for another host name, not for 127.0.0.1";
    finds(
        &mock,
        &other,
        name,
        &["mcp update up-", "--url <URL>", "127.0.0.1 among its subject alternative names"],
    );
    // The common name has not counted for long.
    let common = issued(&known, |leaf| {
        leaf.subject_alt_names.clear();
        leaf.distinguished_name.push(DnType::CommonName, "127.0.0.1");
    });
    finds(&mock, &common, name, &["subject alternative names"]);

    let client = issued(&known, |leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    finds(&mock, &client, "it is for another use than that of a server (serverAuth)", &["serverAuth"]);
    let (itself, _) = self_signed(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));

    finds(&mock, &itself, IS_AUTHORITY, &["basicConstraints=CA:FALSE", "SSL_CERT_FILE"]);
}

#[test]
fn the_way_out_leads_out() {
    // An authority of one's own, and a self-signed certificate, each made known.
    let (own, (alone, pem)) = (authority("own"), self_signed(|_| {}));
    let (mock, _folder) = mock(&[&own.certificate.pem(), &pem]);
    test(&mock, &issued(&own, |_| {})).expect(0);
    test(&mock, &alone).expect(0);
    // A chain that is not whole, and the whole one.
    let mut middle = parameters(&[], "middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().unwrap();
    let certificate = middle.signed_by(&key, &own.issuer).unwrap();
    let middle = Authority { issuer: Issuer::new(middle, key), certificate };
    finds(&mock, &issued(&middle, |_| {}), UNKNOWN, &["fullchain.pem"]);
    let key = KeyPair::generate().unwrap();
    let leaf = parameters(&["127.0.0.1"], "leaf").signed_by(&key, &middle.issuer).unwrap();
    let chain = vec![leaf.der().clone(), middle.certificate.der().clone()];
    test(&mock, &Upstream::with_chain(chain, &key, 0, mcp_answer)).expect(0);
}
