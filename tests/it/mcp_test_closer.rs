//! `aerostack mcp test`, a second look: at what is no HTTP, at refusals that do not say that a
//! credential is missing, at the workspace of `-w`; and what the test shows of the health.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::mcp::message;
use crate::harness::upstream::{http_answer, json_answer};
use crate::harness::{Companion, McpSession, Upstream, aerostack, cli, mcp_answer, request};
use crate::mcp_test::{CANARY, SECRET, codes, finds, report, scene};

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;
/// An alert, by which a handshake is refused.
const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

/// Listens, and says this to everybody at once, and that to who begins with this byte; then it closes.
fn listener(at_once: &'static [u8], answer: impl Fn(u8) -> &'static [u8] + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let _ = (&socket).write_all(at_once);
            let mut said = [0; 4096];
            if (&socket).read(&mut said).is_ok_and(|read| read > 0) {
                let _ = (&socket).write_all(answer(said[0]));
            }
        }
    });
    address
}

fn nothing(_: u8) -> &'static [u8] {
    b""
}

#[test]
fn what_listens_does_not_speak_http() {
    let companion = Companion::start();
    for (slug, address) in [
        ("ssh", listener(b"SSH-2.0-OpenSSH_9.6 canary\r\n", nothing)),
        ("closes", listener(b"", nothing)),
        ("garbage", listener(b"", |_| b"\x00\x01\xffcanary\r\n\r\n")),
    ] {
        companion.add_server(slug, &format!("http://{address}/mcp"));
        finds(
            &companion,
            slug,
            "cut",
            7,
            "closed the connection before an answer was complete, or does not speak HTTP",
        );
        let hint = report(&companion, slug)["findings"][0]["hint"].as_str().unwrap().to_owned();
        assert!(!hint.contains("client certificate"), "{hint}");
    }
}

#[test]
fn what_listens_speaks_tls() {
    let companion = Companion::start();
    let (self_signed, _) = Upstream::tls(&["localhost", "127.0.0.1"], 0, mcp_answer);
    // A server that refuses the handshake, and does the same to plain HTTP.
    let refusing = listener(b"", |_| ALERT);
    // nginx knows plain HTTP when it sees it, and answers in it.
    let nginx = listener(b"", |first| match first {
        HANDSHAKE => ALERT,
        _ => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    });
    for (slug, address) in [("self-signed", self_signed.address), ("refusing", refusing), ("nginx", nginx)] {
        companion.add_server(slug, &format!("http://{address}/mcp"));
        finds(&companion, slug, "tls_failed", 7, "speaks TLS, and the URL says http://");
        let hint = report(&companion, slug)["findings"][0]["hint"].clone();
        assert_eq!(hint, format!("use https:// in the URL: aerostack mcp update {slug} --url <URL>"));
    }
}

#[test]
fn over_https_a_client_certificate_may_be_missing() {
    let (upstream, pem) = Upstream::tls(&["127.0.0.1"], 0, |_| Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, pem).unwrap();
    let mock = aerostack(&["mock", "--listen", "127.0.0.1:0"]).env("SSL_CERT_FILE", &authority);
    let mock = mock.start("AEROSTACK_TOKEN");
    let bearer = format!("Bearer {}", mock.variable("AEROSTACK_API_KEY"));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = json!({"slug": "up", "url": format!("https://{}/mcp", upstream.address)}).to_string();
    let servers = "/api/v1/admin/mcp-servers";
    assert_eq!(request(mock.address(), "POST", servers, &headers, body.as_bytes()).status, 201);
    let report = request(mock.address(), "POST", &format!("{servers}/up/test"), &headers, b"").json();
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "cut", "{report}");
    assert!(finding["hint"].as_str().unwrap().contains("it may want a client certificate"), "{report}");
}

/// Hosted servers refuse in JSON-RPC, or with other statuses than 401.
#[test]
fn a_refusal_that_does_not_speak_of_a_credential() {
    let in_json = |of: &'static str| {
        move |request: &crate::harness::upstream::Received| {
            if request.method() != of {
                return mcp_answer(request);
            }
            let error = json!({"code": -32001, "message": CANARY});
            json_answer(&json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": error}))
        }
    };
    for (companion, code) in [
        (scene(in_json("initialize")), "not_initialized"),
        (scene(in_json("tools/list")), "no_tools"),
        (scene(|_| http_answer("400 Bad Request", &[], CANARY)), "http_status"),
        (scene(|_| http_answer("404 Not Found", &[], CANARY)), "http_status"),
    ] {
        let (companion, _upstream) = companion;
        let hint = || {
            let report = report(&companion, "up");
            assert_eq!(codes(&report), [code], "{report}");
            report["findings"][0]["hint"].as_str().unwrap().to_owned()
        };
        let none = "; no secret is set for it; if it wants one: aerostack secrets set up <NAME>";
        assert!(hint().ends_with(none), "{}", hint());
        companion.set("up", "TOKEN", SECRET);
        let sent = "; sent were TOKEN (in the header TOKEN); if one of them is wrong: aerostack secrets set up <NAME>, \
                    aerostack secrets inject up <NAME>";
        assert!(hint().ends_with(sent), "{}", hint());
    }
    let (companion, _upstream) = scene(|_| http_answer("500 Internal Server Error", &[], CANARY));
    let hint = report(&companion, "up")["findings"][0]["hint"].clone();
    assert_eq!(hint, "the server itself fails; see its log");
}

#[test]
fn too_many_requests() {
    let (companion, _upstream) =
        scene(|_| http_answer("429 Too Many Requests", &[("Retry-After", "7")], CANARY));
    finds(&companion, "up", "http_status", 1, "429");
    let hint = report(&companion, "up")["findings"][0]["hint"].clone();
    assert!(
        hint.as_str().unwrap().starts_with("wait, then test again; ask who runs the MCP server"),
        "{hint}"
    );
}

/// Without `-w` the commands of the hints would act on another workspace.
#[test]
fn hints_are_for_the_workspace_that_was_given() {
    let (companion, upstream) =
        (Companion::start(), Upstream::start(|_| http_answer("401 Unauthorized", &[], "")));
    assert_eq!(
        companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "real"}))).status,
        201
    );
    cli(&companion, &["-w", "real", "mcp", "add", "up", "--url", &upstream.url()]).expect(0);
    let ended = cli(&companion, &["mcp", "test", "up", "-w", "real"]).expect(6);
    assert!(ended.err.contains("hint: set one: aerostack -w real secrets set up <NAME>\n"), "{}", ended.err);
    let own = aerostack(&["mcp", "test", "up"]).env("AEROSTACK_WORKSPACE", "real").against(&companion).run();
    let own = own.expect(6).err;
    assert!(own.contains("hint: set one: aerostack secrets set up <NAME>\n"), "{own}");
    cli(&companion, &["-w", "real", "secrets", "set", "up", "API_KEY", "a-value-of-some-length"]).expect(0);
    let ended = cli(&companion, &["mcp", "test", "up", "--workspace", "real"]).expect(6);
    assert!(
        ended.err.contains("(send it in another header: aerostack -w real secrets inject up API_KEY"),
        "{}",
        ended.err
    );
    assert!(
        !ended.err.contains("aerostack secrets") && !ended.err.contains("aerostack mcp"),
        "{}",
        ended.err
    );
    let ended = cli(&companion, &["mcp", "test", "gone", "-w", "real", "--json"]).expect(3);
    assert!(
        ended.error_document()["hint"].as_str().unwrap().contains("aerostack -w real mcp list"),
        "{}",
        ended.err
    );
}

/// A test changes nothing, so there is nothing to look for when it was not answered in time.
#[test]
fn a_test_that_was_given_up_changed_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let companion = Companion::start();
    companion.add_server("silent", &format!("http://{}/mcp", silent.local_addr().unwrap()));
    let ended = cli(&companion, &["mcp", "test", "silent", "--timeout", "1"]).expect(7);
    assert!(ended.err.starts_with("error: no answer within 1 s\n"), "{}", ended.err);
    assert!(!ended.err.contains("change") && ended.err.contains("--timeout"), "{}", ended.err);
}

#[test]
fn the_health_hears_of_tests_and_handshakes() {
    let (companion, upstream) =
        scene(|request| match request.json()["params"]["clientInfo"]["name"].as_str() {
            Some("fails") => http_answer("500 Internal Server Error", &[], ""),
            Some("refused") => {
                let error = json!({"code": -32001, "message": CANARY});
                json_answer(&json!({"jsonrpc": "2.0", "id": 1, "error": error}))
            }
            _ => mcp_answer(request),
        });
    let health = || companion.admin("GET", "/api/v1/admin/mcp-servers/up", None).json()["health"].clone();
    let (state, reason) = (|| health()["state"].clone(), || health()["reason"].clone());
    let (address, path, token) = (companion.address, gateway_path(Some("up")), companion.token("default"));
    let session = McpSession { address, path, token, id: String::new() };
    let initialize = |client: &str| {
        let client = json!({"name": client, "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        assert_eq!(session.send(&message("initialize", &params), &[]).status, 200);
    };
    assert_eq!(state(), "unknown");
    initialize("fails");
    assert_eq!((state(), reason()), (json!("failing"), json!("http_status")));
    initialize("works");
    assert_eq!((state(), reason()), (json!("ok"), Value::Null));
    initialize("refused");
    assert_eq!((state(), reason()), (json!("failing"), json!("not_initialized")));
    assert_eq!(report(&companion, "up")["ok"], true);
    assert_eq!(state(), "ok");
    drop(upstream);
    let (dead, _upstream) = scene(|_| Vec::new());
    assert_eq!(report(&dead, "up")["ok"], false);
    let health = dead.admin("GET", "/api/v1/admin/mcp-servers/up", None).json()["health"].clone();
    assert_eq!((&health["state"], &health["reason"]), (&json!("failing"), &json!("cut")));
}
