//! Under which names a listener answers (T10): its own address, loopback names, the names of
//! its certificate and those it was given; on every route, and the URLs it tells have them.

use std::io::{BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aerostack::server::settings::TlsFiles;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::companion::KEY;
use crate::harness::http::{raw, read_answer};
use crate::harness::{Answer, Companion, aerostack, request};

const WORKSPACES: &str = "/api/v1/admin/workspaces";

/// A companion that listens there and answers to these names too.
fn companion(listen: &str, allowed: &[&str], tls: Option<TlsFiles>) -> Companion {
    let mut companion = Companion::start();
    companion.listen = listen.parse().unwrap();
    companion.allowed_hosts = allowed.iter().map(|name| name.parse().unwrap()).collect();
    companion.open(KEY, true, tls).unwrap();
    companion
}

/// An address of this machine that is not loopback, if it has one.
fn outer_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: this only chooses the way.
    let chosen = socket.connect("203.0.113.1:9").and_then(|()| socket.local_addr());
    chosen.map_or_else(|_| IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}

fn get(target: &str, host: &str, key: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )
}

/// The gateway's URL that the answer to an admin names, or the status of the refusal.
fn told(answer: &Answer) -> Result<String, u16> {
    if answer.status != 200 {
        return Err(answer.status);
    }
    let url = answer.json()["workspaces"][0]["gateway_url"].as_str().unwrap().to_owned();
    Ok(url.strip_suffix("/ws/default").unwrap().to_owned())
}

#[test]
fn a_loopback_listener() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let companion = companion(listen, &["mcp.example.com", "other.example:8443"], None);
        let address = companion.address;
        let ask = |target: &str, host: &str| {
            told(&raw(address, get(target, host, &companion.api_key).as_bytes()).unwrap())
        };
        let port = address.port();
        for (host, base) in [
            (address.to_string(), format!("http://{address}")),
            ("localhost".to_owned(), "http://localhost".to_owned()),
            (format!("LocalHost.:{port}"), format!("http://localhost.:{port}")),
            (format!("[::1]:{port}"), format!("http://[::1]:{port}")),
            ("127.8.9.10:1".to_owned(), "http://127.8.9.10:1".to_owned()),
            // A proxy on this machine, which speaks https to the world.
            ("MCP.example.com".to_owned(), "https://mcp.example.com".to_owned()),
            ("mcp.example.com.:8443".to_owned(), "https://mcp.example.com.:8443".to_owned()),
            ("other.example:8443".to_owned(), "https://other.example:8443".to_owned()),
        ] {
            assert_eq!(ask(WORKSPACES, &host), Ok(base.clone()), "{host}");
            assert_eq!(ask(&format!("http://{host}{WORKSPACES}"), &host), Ok(base), "absolute form, {host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "mcp.example.com.evil.example",
            "other.example",
            "other.example:8444",
            "0.0.0.0",
            "192.0.2.77",
            "[2001:db8::1]",
        ] {
            assert_eq!(ask(WORKSPACES, host), Err(403), "{host}");
            assert_eq!(ask(&format!("http://{host}{WORKSPACES}"), host), Err(403), "absolute form, {host}");
            // The one must not lend its name to the other.
            for (target, host) in [(host, "localhost"), ("localhost", host)] {
                let status = ask(&format!("http://{target}{WORKSPACES}"), host);
                assert_eq!(status, Err(400), "target {target}, Host {host}");
            }
        }
    }
}

#[test]
fn every_route_refuses_a_foreign_name_and_says_what_to_do() {
    let mut companion = Companion::start();
    let token = companion.token("default");
    let key = companion.api_key.clone();
    for (listen, hint) in [("127.0.0.1:0", "http://localhost:PORT"), ("0.0.0.0:0", "--allowed-host NAME")] {
        companion.listen = listen.parse().unwrap();
        companion.restart();
        let address = SocketAddr::from(([127, 0, 0, 1], companion.address.port()));
        for (method, path, credential) in [
            ("GET", "/healthz", ""),
            ("GET", "/readyz", ""),
            ("GET", "/metrics", &key),
            ("GET", WORKSPACES, &key),
            ("POST", "/api/v1/cli/validate", &key),
            ("POST", "/ws/default", &token),
            ("GET", "/ws/default", &token),
            ("DELETE", "/ws/default", &token),
            ("POST", "/ws/default/demo-mcp", &token),
            ("GET", "/nothing", ""),
        ] {
            let authorization = format!("Bearer {credential}");
            let headers = [("Host", "evil.example"), ("Authorization", authorization.as_str())];
            let error = request(address, method, path, &headers, b"").expect_error(403, "forbidden");
            assert!(error["hint"].as_str().unwrap().contains(hint), "{method} {path}: {error}");
            assert!(!error.to_string().contains("evil"), "{error}");
            let own = [headers[1]];
            let status = request(address, method, path, &own, b"").status;
            assert_ne!(status, 403, "{method} {path} under its own name");
        }
    }
}

/// A certificate for these names, and the files a server is started with.
fn certificate(companion: &Companion, names: &[&str]) -> (CertificateDer<'static>, TlsFiles) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let made = made.unwrap();
    let file = |name: &str| companion.folder.path().join(name);
    let files = TlsFiles { certificate: file("server.pem"), key: file("server.key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (made.cert.der().clone(), files)
}

/// Sends these bytes over TLS to a server whose certificate is this one.
fn over_tls(address: SocketAddr, trusted: &CertificateDer<'static>, name: &str, bytes: &str) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(bytes.as_bytes()).unwrap();
    read_answer(&mut BufReader::new(stream)).expect("an answer")
}

#[test]
fn a_listener_for_all_with_tls() {
    let mut companion = Companion::start();
    let (trusted, files) = certificate(&companion, &["mcp.example.com", "*.team.example", "192.0.2.9"]);
    companion.allowed_hosts = vec!["given.example".parse().unwrap()];
    for listen in ["0.0.0.0:0", "[::]:0", "127.0.0.1:0"] {
        companion.listen = listen.parse().unwrap();
        companion.open(KEY, true, Some(files.clone())).unwrap();
        let here = if listen.starts_with("127.") { IpAddr::from([127, 0, 0, 1]) } else { outer_address() };
        let address = SocketAddr::new(here, companion.address.port());
        let ask = |target: &str, host: &str| {
            told(&over_tls(address, &trusted, "mcp.example.com", &get(target, host, &companion.api_key)))
        };
        for host in [
            &*address.to_string(),
            &here.to_string(),
            "localhost:8443",
            "[::1]:8443",
            "mcp.example.com",
            "MCP.EXAMPLE.COM.:8443",
            "a.team.example:8443",
            "192.0.2.9",
            "given.example:8443",
        ] {
            let base = format!("https://{}", host.to_lowercase());
            assert_eq!(ask(WORKSPACES, host), Ok(base.clone()), "{host} at {listen}");
            assert_eq!(ask(&format!("https://{host}{WORKSPACES}"), host), Ok(base), "absolute, {host}");
        }
        for host in [
            "evil.example",
            "example.com",
            "team.example",
            "a.b.team.example",
            "a.mcp.example.com",
            "192.0.2.77",
            "0.0.0.0",
            "a.given.example",
        ] {
            assert_eq!(ask(WORKSPACES, host), Err(403), "{host} at {listen}");
            assert_eq!(ask(&format!("https://{host}{WORKSPACES}"), host), Err(403), "absolute, {host}");
        }
    }
}

#[test]
fn pages_of_the_given_name_are_the_servers_own() {
    let companion = companion("127.0.0.1:0", &["mcp.example.com"], None);
    let status = |origin: &str| {
        let headers = [("Host", "mcp.example.com"), ("Origin", origin)];
        request(companion.address, "GET", "/healthz", &headers, b"").status
    };
    assert_eq!(status("https://mcp.example.com"), 200);
    for origin in ["https://evil.example", "http://localhost", "https://mcp.example.com:8443", "null"] {
        assert_eq!(status(origin), 403, "{origin}");
    }
}

#[test]
fn the_options_of_serve_and_mock() {
    let names = ["--allowed-host", "mcp.example.com", "--allowed-host", "Box.Example:8787"];
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("a.db").display());
    let mock = [&["mock", "--listen", "127.0.0.1:0"], &names[..]].concat();
    let serve = [&["serve", "--listen", "127.0.0.1:0", "--database", &database], &names[..]].concat();
    for (arguments, key) in [(mock, "AEROSTACK_TOKEN"), (serve, "AEROSTACK_API_URL")] {
        let server = aerostack(&arguments).env("WORKFLOW_SECRETS_KEY", KEY).start(key);
        let create = |host: &str| {
            let bearer = format!("Bearer {}", server.variable("AEROSTACK_API_KEY"));
            let headers =
                [("Host", host), ("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            let path = format!("{WORKSPACES}/default/tokens");
            request(server.address(), "POST", &path, &headers, json!({"name": host}).to_string().as_bytes())
        };
        for (host, url) in [
            ("mcp.example.com", "https://mcp.example.com/ws/default"),
            ("box.example:8787", "https://box.example:8787/ws/default"),
            ("localhost:1", "http://localhost:1/ws/default"),
        ] {
            let answer = create(host);
            assert_eq!(answer.status, 201, "{}", answer.text());
            assert_eq!(answer.json()["mcp_json"]["mcpServers"]["default"]["url"], Value::from(url));
        }
        assert_eq!((create("box.example").status, create("evil.example").status), (403, 403));
        assert_eq!(server.terminate().0, 0);
    }
    for bad in ["*", "https://mcp.example.com", "mcp.example.com:0", "a,b"] {
        let ended = aerostack(&["mock", "--allowed-host", bad]).run().expect(2);
        assert!(ended.err.contains("such as mcp.example.com"), "{}", ended.err);
    }
}
