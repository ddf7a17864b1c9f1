//! A proxy of the environment (T9): for https only, as a tunnel, without the API key in the
//! clear; and certificate authorities of the environment. The API is at a name that only the
//! proxy can find, or at 0.0.0.0, which leads here but is no loopback address.

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::connect_proxy::ConnectProxy;
use crate::harness::program::Aerostack;
use crate::harness::upstream::json_answer;
use crate::harness::{Ended, Upstream, aerostack};

const LIST: [&str; 3] = ["secrets", "list", "github-mcp"];
const NAME: &str = "api.aerostack.test";
const KEY: &str = "ak_canary-key";
/// `user:canary p@ss` as Basic credentials.
const BASIC: &str = "Basic dXNlcjpjYW5hcnkgcEBzcw==";

/// An API behind TLS, with its certificate in a file.
struct Api {
    upstream: Upstream,
    authority: PathBuf,
    _folder: TempDir,
}

impl Api {
    fn start() -> Self {
        let (upstream, pem) =
            Upstream::tls(&[NAME, "0.0.0.0", "localhost"], 0, |_| json_answer(&json!({"secrets": []})));
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, pem).unwrap();
        Self { upstream, authority, _folder: folder }
    }

    /// The program, with the API under this name.
    fn at(&self, host: &str) -> Aerostack {
        let url = format!("https://{host}:{}", self.upstream.address.port());
        aerostack(&LIST)
            .env("AEROSTACK_API_URL", url)
            .env("AEROSTACK_API_KEY", KEY)
            .env("AEROSTACK_CA_CERT", &self.authority)
    }
}

/// The proxy's URL with user name and password.
fn with_password(proxy: &ConnectProxy) -> String {
    format!("http://user:canary%20p%40ss@{}", proxy.address)
}

#[track_caller]
fn fails(ended: Ended, code: i32, message: &str, hint: &str) {
    let ended = ended.expect(code);
    assert!(ended.err.starts_with(&format!("error: {message}")), "{}", ended.err);
    assert!(ended.err.contains(&format!("hint: {hint}")), "{}", ended.err);
    assert!(!ended.both().contains("canary") && !ended.both().contains("p%40ss"), "{}", ended.err);
}

#[test]
fn https_goes_through_a_tunnel() {
    let api = Api::start();
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let proxy = ConnectProxy::to(api.upstream.address);
        api.at(NAME).env(variable, with_password(&proxy)).run().expect(0);
        let requests = proxy.requests();
        assert_eq!(requests.len(), 1, "{variable}");
        let place = format!("{NAME}:{}", api.upstream.address.port());
        assert!(requests[0].head_text().starts_with(&format!("CONNECT {place} HTTP/1.1\r\n")));
        assert_eq!(requests[0].values("proxy-authorization"), [BASIC]);
        // The key is inside, where the proxy cannot look.
        let seen = proxy.everything();
        assert!(seen.contains(NAME) && !seen.contains("ak_canary"), "{seen}");
    }
    for request in api.upstream.received() {
        assert_eq!(request.values("authorization"), [format!("Bearer {KEY}")]);
        assert!(request.values("proxy-authorization").is_empty(), "{}", request.head_text());
    }
    // Host and port alone are enough.
    let proxy = ConnectProxy::to(api.upstream.address);
    api.at("0.0.0.0").env("HTTPS_PROXY", proxy.address.to_string()).run().expect(0);
    assert_eq!(proxy.requests().len(), 1);
    assert!(proxy.requests()[0].values("proxy-authorization").is_empty());
    assert_eq!(api.upstream.received().len(), 3);
}

#[test]
fn who_is_reached_without_the_proxy() {
    let (api, proxy) = (Api::start(), ConnectProxy::refusing(b""));
    let run = |host: &str| api.at(host).env("HTTPS_PROXY", format!("http://{}", proxy.address));
    run("0.0.0.0").run().expect(7);
    assert_eq!(proxy.requests().len(), 1, "0.0.0.0 is not this machine by name");
    for (variable, hosts) in
        [("NO_PROXY", "0.0.0.0"), ("no_proxy", "other.example, 0.0.0.0/8"), ("NO_PROXY", "*")]
    {
        run("0.0.0.0").env(variable, hosts).run().expect(0);
    }
    run("0.0.0.0").env("HTTPS_PROXY", "").run().expect(0);
    // This machine, whatever the variables say; also where the proxy's URL is none.
    run("localhost").run().expect(0);
    run("localhost").env("HTTPS_PROXY", "socks5://canary").run().expect(0);
    // These are not read.
    let mut other = api.at("0.0.0.0");
    for name in ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
        other = other.env(name, format!("http://{}", proxy.address));
    }
    other.run().expect(0);
    assert_eq!(proxy.requests().len(), 1);
}

#[test]
fn a_proxy_that_does_not_help_is_named() {
    let api = Api::start();
    for (answer, what, way_out) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"[..],
            "wants a user name and password, or does not accept the ones it got (HTTP 407)\n",
            "put them into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT\n",
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\n\r\ncanary",
            "did not connect to https://api",
            "ask who runs the proxy",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\ncanary", "did not connect to https://api", "ask who runs the proxy"),
        (b"canary\r\n\r\n", "did not connect to https://api", "ask who runs the proxy"),
        (b"", "did not connect to https://api", "ask who runs the proxy"),
    ] {
        let proxy = ConnectProxy::refusing(answer);
        let ended = api.at(NAME).env("HTTPS_PROXY", with_password(&proxy)).run();
        fails(ended, 7, &format!("the proxy {} {what}", proxy.address), way_out);
        assert_eq!(proxy.requests().len(), 1, "{what}: a refusal is final");
        assert!(!proxy.everything().contains("ak_canary"));
    }
    // Nobody there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = api.at(NAME).env("HTTPS_PROXY", format!("http://user:canary@{closed}")).run();
    let message = format!("could not reach the proxy {closed}: Connection refused");
    fails(ended, 7, &message, "check HTTPS_PROXY; hosts in NO_PROXY are reached without the proxy\n");
    for url in [
        "socks5://user:canary@127.0.0.1:1080",
        "http://",
        "ftp://canary",
        "http://a canary",
        "http://user:12/canary@127.0.0.1:1080",
    ] {
        let ended = api.at(NAME).env("HTTPS_PROXY", url).run();
        fails(
            ended,
            2,
            "the proxy's URL is not an http:// or https:// URL of a host and a port alone\n",
            "set HTTPS_PROXY (or https_proxy)",
        );
    }
    assert_eq!(api.upstream.connections(), 0);
}

#[test]
fn the_certificate_counts_behind_a_proxy_too() {
    let (api, other) = (Api::start(), Api::start());
    let proxy = ConnectProxy::to(api.upstream.address);
    let run = api.at(NAME).env("HTTPS_PROXY", format!("http://{}", proxy.address));
    let message = format!("could not reach https://{NAME}:{} through the proxy", api.upstream.address.port());
    fails(run.env("AEROSTACK_CA_CERT", &other.authority).run(), 7, &message, "if the server's certificate");
    assert_eq!((proxy.requests().len(), api.upstream.received().len()), (1, 0));
}

#[test]
fn authorities_of_the_environment() {
    let (api, other) = (Api::start(), Api::start());
    let folder = |api: &Api| api.authority.parent().unwrap().to_owned();
    let two = std::env::join_paths([folder(&other), folder(&api)]).unwrap();
    let run = |variables: &[(&str, &std::ffi::OsStr)]| {
        let run = api.at("localhost").env("AEROSTACK_CA_CERT", "");
        variables.iter().fold(run, |run, (name, value)| run.env(name, value)).run()
    };
    let (right, wrong) = (api.authority.as_os_str(), other.authority.as_os_str());
    run(&[("SSL_CERT_FILE", right)]).expect(0);
    run(&[("SSL_CERT_DIR", folder(&api).as_os_str())]).expect(0);
    run(&[("SSL_CERT_DIR", two.as_os_str())]).expect(0);
    run(&[("SSL_CERT_FILE", wrong), ("SSL_CERT_DIR", folder(&api).as_os_str())]).expect(0);
    run(&[("SSL_CERT_FILE", wrong)]).expect(7);
    // Empty is not set.
    run(&[("SSL_CERT_FILE", "".as_ref()), ("SSL_CERT_DIR", "".as_ref())]).expect(7);
    // Ours goes before.
    run(&[("SSL_CERT_FILE", right), ("AEROSTACK_CA_CERT", wrong)]).expect(7);
    run(&[("SSL_CERT_FILE", wrong), ("AEROSTACK_CA_CERT", right)]).expect(0);
    let empty = tempfile::tempdir().unwrap();
    for (name, value) in
        [("SSL_CERT_FILE", "/nonexistent".as_ref()), ("SSL_CERT_DIR", empty.path().as_os_str())]
    {
        let message = "SSL_CERT_FILE and SSL_CERT_DIR lead to no usable certificate\n";
        fails(run(&[(name, value)]), 2, message, "correct or unset them");
    }
    assert_eq!(api.upstream.received().len(), 5);
}
