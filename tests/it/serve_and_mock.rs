//! The commands that start a server: what they print, the files they make, what they
//! refuse, and how they end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aerostack::server::demo_upstream::hash_prefix;
use aerostack::server::tls::make_loopback_certificate;
use base64::Engine as _;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::companion::KEY;
use crate::harness::program::Aerostack;
use crate::harness::{McpSession, Running, aerostack, request, shell};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// `aerostack serve` on this file, with the tests' key.
fn serve(database: &Path) -> Aerostack {
    serve_with(database, &["--listen", "127.0.0.1:0"])
}

fn serve_with(database: &Path, options: &[&str]) -> Aerostack {
    let url = format!("sqlite:{}", database.display());
    aerostack(&[&["serve", "--database", &url], options].concat()).env("WORKFLOW_SECRETS_KEY", KEY)
}

/// The program as the server's admin.
fn admin(server: &Running, key: &str, arguments: &[&str]) -> Aerostack {
    let run = aerostack(arguments).env("AEROSTACK_API_URL", server.variable("AEROSTACK_API_URL"));
    run.env("AEROSTACK_API_KEY", key)
}

/// Name and bytes of each file of a folder, without the lock and SQLite's shared memory.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = |path: &PathBuf| path.extension().is_none_or(|kind| kind != "lock" && kind != "db-shm");
    entries.filter(kept).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn mock_prints_the_lines_of_the_contract_in_order() {
    let folder = folder();
    let file = folder.path().join("mock.env");
    let arguments = ["mock", "--listen", "127.0.0.1:0", "--env-file", file.to_str().unwrap()];
    let server = aerostack(&arguments).start("AEROSTACK_TOKEN");
    let address = server.address();
    let (key, token) = (server.variable("AEROSTACK_API_KEY"), server.variable("AEROSTACK_TOKEN"));
    let lines = format!(
        "export AEROSTACK_API_URL=http://{address}\n\
         export AEROSTACK_API_KEY={key}\n\
         export AEROSTACK_WORKSPACE_URL=http://{address}/ws/default\n\
         export AEROSTACK_TOKEN={token}\n"
    );
    assert_eq!(server.printed, lines);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);
    assert!(key.starts_with("ak_") && token.starts_with("mwt_") && address.ip().is_loopback());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(request(address, "GET", path, &[], b"").status, 200);
    }
    let (code, log) = server.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("Listening. Ctrl-C ends it") && !log.contains(key_part(&lines)), "{log}");
}

/// The random part of the API key.
fn key_part(lines: &str) -> &str {
    lines.lines().nth(1).unwrap().rsplit_once('_').unwrap().1
}

#[test]
fn the_file_of_variables_is_the_owner_s_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let folder = folder();
        let file = folder.path().join("mock.env");
        // What stood there before: a file for everybody, or a link to one.
        let other = folder.path().join("other");
        std::fs::write(&other, "untouched").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&other, &file).unwrap();
        let arguments = ["mock", "--listen", "127.0.0.1:0", "--env-file", file.to_str().unwrap()];
        let mut server = aerostack(&arguments).umask(umask).start("AEROSTACK_TOKEN");
        assert_eq!(mode(&file), 0o600, "umask {umask}");
        assert!(file.symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "untouched");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), server.printed);
        let kept = std::mem::replace(&mut server.temporary, self::folder());
        let temporary = kept.path();
        let store = std::fs::read_dir(temporary).unwrap().next().unwrap().unwrap().path();
        assert_eq!(mode(&store), 0o700, "umask {umask}: others may look into the store's folder");
        assert_eq!(server.terminate().0, 0);
        assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0, "the throw-away store is still there");
    }
    let ended =
        aerostack(&["mock", "--listen", "127.0.0.1:0", "--env-file", "/nonexistent/x"]).run().expect(1);
    assert!(ended.err.contains("was not written") && ended.out.is_empty(), "{}", ended.err);
}

#[test]
fn mock_shows_that_injection_works() {
    let server = aerostack(&["mock", "--listen", "127.0.0.1:0"]).start("AEROSTACK_TOKEN");
    let key = server.variable("AEROSTACK_API_KEY").to_owned();
    let list = admin(&server, &key, &["mcp", "list", "--json", "--fields", "slug,allow_private_network"]);
    assert_eq!(list.run().document()["servers"][0]["slug"], "demo-mcp");
    admin(&server, &key, &["secrets", "set", "demo-mcp", "GITHUB_TOKEN", "ghp_xxx"]).run().expect(0);
    admin(&server, &key, &["secrets", "inject", "demo-mcp", "GITHUB_TOKEN", "--bearer"]).run().expect(0);
    let session = McpSession::open(server.address(), "/ws/default", server.variable("AEROSTACK_TOKEN"));
    assert_eq!(session.tools(), ["demo-mcp__echo", "demo-mcp__whoami"]);
    let answer = session.call("demo-mcp__whoami");
    let headers = &answer["result"]["structuredContent"]["headers"];
    assert_eq!(headers["authorization"], hash_prefix(b"Bearer ghp_xxx"));
    assert!(!answer.to_string().contains("ghp_xxx"));
    let echo = json!({"name": "demo-mcp__echo", "arguments": {"text": "hello"}});
    assert_eq!(session.rpc("tools/call", &echo)["result"]["content"][0]["text"], "hello");
}

#[test]
fn serve_prints_the_key_once() {
    let folder = folder();
    let database = folder.path().join("aerostack.db");
    let first = serve(&database).start("AEROSTACK_API_URL");
    let key = first.variable("AEROSTACK_API_KEY").to_owned();
    let expected =
        format!("export AEROSTACK_API_KEY={key}\nexport AEROSTACK_API_URL=http://{}\n", first.address());
    assert_eq!(first.printed, expected);
    assert_eq!(request(first.address(), "GET", "/readyz", &[], b"").status, 200);
    let url = ["--url", "https://a.example/"];
    admin(&first, &key, &["mcp", "add", "a-mcp", url[0], url[1]]).run().expect(0);
    let (code, log) = first.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("it is shown this once") && !log.contains(key.rsplit_once('_').unwrap().1), "{log}");
    let second = serve(&database).start("AEROSTACK_API_URL");
    assert_eq!(second.printed, format!("export AEROSTACK_API_URL=http://{}\n", second.address()));
    let list = admin(&second, &key, &["mcp", "list", "--json", "--fields", "slug"]).run();
    list.prints("{\"servers\":[{\"slug\":\"a-mcp\"}]}\n");
    let (code, log) = second.terminate();
    assert_eq!(code, 0);
    assert!(!log.contains("API key"), "{log}");
}

/// The server was killed, so that there is a WAL which a start would fold into the file.
#[test]
fn a_wrong_key_changes_no_byte() {
    let folder = folder();
    let database = folder.path().join("aerostack.db");
    let mut server = serve(&database).start("AEROSTACK_API_URL");
    let key = server.variable("AEROSTACK_API_KEY").to_owned();
    admin(&server, &key, &["mcp", "add", "a-mcp", "--url", "https://a.example/"]).run().expect(0);
    admin(&server, &key, &["secrets", "set", "a-mcp", "TOKEN", "canary"]).run().expect(0);
    server.kill();
    let before = files(folder.path());
    assert!(
        before.keys().any(|path| path.to_string_lossy().ends_with("-wal")),
        "there is no WAL to be changed"
    );
    let other_key = aerostack(&["keygen"]).run().expect(0).out;
    for _ in 0..2 {
        let run = serve(&database).env("WORKFLOW_SECRETS_KEY", other_key.trim());
        let ended = run.run().expect(1);
        assert!(
            ended.err.contains("is not the key this database was made with; nothing was changed"),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("hint: start it with the key it was first started with"), "{}", ended.err);
        assert!(ended.out.is_empty() && !ended.err.contains(other_key.trim()));
        assert!(files(folder.path()) == before, "a file was changed");
    }
    let server = serve(&database).start("AEROSTACK_API_URL");
    let list = admin(&server, &key, &["secrets", "list", "a-mcp", "--json", "--fields", "name"]).run();
    list.prints("{\"secrets\":[{\"name\":\"TOKEN\"}]}\n");
    // After a clean end there are the two files and the lock, and there still are.
    assert_eq!(server.terminate().0, 0);
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names().len(), 3, "{:?}", names());
    let before = files(folder.path());
    serve(&database).env("WORKFLOW_SECRETS_KEY", other_key.trim()).run().expect(1);
    assert!(files(folder.path()) == before, "a file was changed");
    assert_eq!(names().len(), 3, "{:?}", names());
}

#[test]
fn no_server_without_a_key_of_32_bytes() {
    let folder = folder();
    let database = folder.path().join("aerostack.db");
    let url = format!("sqlite:{}", database.display());
    let start = || aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &url]);
    let refused = |run: Aerostack, reason: &str| {
        let ended = run.run().expect(2);
        assert!(ended.err.contains(reason) && ended.out.is_empty(), "{}", ended.err);
        assert!(!ended.err.contains("canary"), "{}", ended.err);
    };
    refused(start(), "WORKFLOW_SECRETS_KEY is not set");
    refused(start().env("WORKFLOW_SECRETS_KEY", ""), "WORKFLOW_SECRETS_KEY is not set");
    let (short, long) = (KEY[..40].to_owned(), format!("{KEY}{KEY}"));
    for bad in [
        "canary",
        "canary canary canary canary canary canary",
        &short,
        &long,
        &"0".repeat(63),
        &"g".repeat(64),
    ] {
        refused(start().env("WORKFLOW_SECRETS_KEY", bad), "hint: make a key with: aerostack keygen");
    }
    let file = folder.path().join("key");
    std::fs::write(&file, "canary").unwrap();
    refused(start().env("WORKFLOW_SECRETS_KEY_FILE", &file), "hint: make a key with");
    refused(start().env("WORKFLOW_SECRETS_KEY_FILE", folder.path().join("missing")), "cannot be read");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let both = start().env("WORKFLOW_SECRETS_KEY_FILE", &file).env("WORKFLOW_SECRETS_KEY", KEY);
    refused(both, "are both set; keep one");
    assert!(!database.exists(), "a refused start makes no file");
    // From a file, in hexadecimal too: the same key.
    let server = start().env("WORKFLOW_SECRETS_KEY_FILE", &file).start("AEROSTACK_API_URL");
    assert_eq!(server.terminate().0, 0);
    let bytes = base64::engine::general_purpose::STANDARD.decode(KEY).unwrap();
    let server = start().env("WORKFLOW_SECRETS_KEY", hex::encode(bytes)).start("AEROSTACK_API_URL");
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn one_server_for_a_port_and_one_for_a_file() {
    let (folder, other) = (folder(), tempfile::tempdir().unwrap());
    let database = folder.path().join("aerostack.db");
    let server = serve(&database).start("AEROSTACK_API_URL");
    let listen = server.address().to_string();
    let elsewhere = other.path().join("other.db");
    for run in [serve_with(&elsewhere, &["--listen", &listen]), aerostack(&["mock", "--listen", &listen])] {
        let ended = run.run().expect(1);
        assert!(
            ended.err.contains(&format!("cannot listen on {listen}")) && ended.out.is_empty(),
            "{}",
            ended.err
        );
    }
    assert!(!elsewhere.exists(), "a start without a port makes no file");
    let before = files(folder.path());
    let ended = serve(&database).run().expect(1);
    assert!(
        ended.err.contains("is in use by another aerostack server") && ended.out.is_empty(),
        "{}",
        ended.err
    );
    assert!(files(folder.path()) == before);
    assert_eq!(request(server.address(), "GET", "/readyz", &[], b"").status, 200, "the first one goes on");
    // When it has gone, in whatever way, the file is free.
    drop(server);
    assert_eq!(serve(&database).start("AEROSTACK_API_URL").terminate().0, 0);
}

#[test]
fn plain_http_stays_on_this_machine() {
    let folder = folder();
    let database = folder.path().join("aerostack.db");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        for run in [serve_with(&database, &["--listen", listen]), aerostack(&["mock", "--listen", listen])] {
            let ended = run.run().expect(2);
            assert!(
                ended.err.contains("not on a loopback address needs TLS") && ended.out.is_empty(),
                "{}",
                ended.err
            );
        }
    }
    for listen in ["localhost", "8787", "127.0.0.1", ""] {
        serve_with(&database, &["--listen", listen]).run().expect(2);
    }
    let ended =
        aerostack(&["serve", "--database", "postgres://canary@h/db"]).env("WORKFLOW_SECRETS_KEY", KEY);
    let ended = ended.run().expect(2);
    assert!(ended.err.contains("SQLite only") && !ended.err.contains("canary"), "{}", ended.err);
    assert!(!database.exists());
}

#[test]
fn the_database_is_the_owner_s() {
    let folder = folder();
    let database = folder.path().join("aerostack.db");
    let mut server = serve(&database).umask("000").start("AEROSTACK_API_URL");
    for file in ["aerostack.db", "aerostack.db-wal", "aerostack.db-shm", "aerostack.db.lock"] {
        assert_eq!(mode(&folder.path().join(file)), 0o600, "{file}");
    }
    for file in ["aerostack.db.analytics", "aerostack.db.analytics-wal", "aerostack.db.analytics-shm"] {
        assert_eq!(mode(&folder.path().join(file)), 0o600, "{file}");
    }
    server.kill();
    for wide in [0o640, 0o604, 0o666, 0o620] {
        std::fs::set_permissions(&database, std::fs::Permissions::from_mode(wide)).unwrap();
        let ended = serve(&database).run().expect(1);
        assert!(ended.err.contains(&format!("is open to other users (mode {wide:03o})")), "{}", ended.err);
        assert!(ended.err.contains("chmod 600"), "{}", ended.err);
        assert_eq!(mode(&database), wide, "it is not changed behind the owner's back");
    }
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(serve(&database).start("AEROSTACK_API_URL").terminate().0, 0);
    std::fs::write(folder.path().join("no.db"), "this is no database, but long enough to look like one")
        .unwrap();
    let no_database = folder.path().join("no.db");
    std::fs::set_permissions(&no_database, std::fs::Permissions::from_mode(0o600)).unwrap();
    serve(&no_database).run().expect(1);
    assert!(std::fs::read_to_string(&no_database).unwrap().starts_with("this is no database"));
}

#[test]
fn mock_over_tls() {
    let folder = folder();
    let file = folder.path().join("mock.env");
    let arguments = ["mock", "--listen", "127.0.0.1:0", "--tls", "--env-file", file.to_str().unwrap()];
    let server = aerostack(&arguments).start("AEROSTACK_CA_CERT");
    let names: Vec<_> = server.printed.lines().map(|line| line[7..].split_once('=').unwrap().0).collect();
    let expected =
        "AEROSTACK_API_URL AEROSTACK_API_KEY AEROSTACK_WORKSPACE_URL AEROSTACK_TOKEN AEROSTACK_CA_CERT";
    assert_eq!(names.join(" "), expected);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), server.printed);
    assert!(server.variable("AEROSTACK_WORKSPACE_URL").starts_with("https://127.0.0.1:"));
    let in_shell = |script: &str| shell::shell(&format!(". '{}'\n{script}", file.display()));
    in_shell("aerostack secrets set demo-mcp TOKEN x")
        .prints("Secret created. Takes effect on next tool call.\n");
    in_shell("aerostack secrets list --json --fields slug")
        .prints("{\"servers\":[{\"slug\":\"demo-mcp\"}]}\n");
    in_shell("curl -sS --cacert $AEROSTACK_CA_CERT $AEROSTACK_API_URL/healthz").prints("{\"status\":\"ok\"}");
    let key = server.variable("AEROSTACK_API_KEY");
    let list = ["secrets", "list"];
    let authority = server.variable("AEROSTACK_CA_CERT");
    admin(&server, key, &["secrets", "list", "--ca-cert", authority]).run().expect(0);
    // Without the authority, or with another one, the key is not sent.
    let ended = admin(&server, key, &list).run().expect(7);
    assert!(ended.err.contains("certificate") && ended.err.contains("--ca-cert"), "{}", ended.err);
    let (_, other) = make_loopback_certificate(folder.path()).unwrap();
    admin(&server, key, &list).env("AEROSTACK_CA_CERT", &other).run().expect(7);
    admin(&server, key, &list).env("AEROSTACK_CA_CERT", &file).run().expect(2);
    // Plain HTTP to that port.
    let plain = server.variable("AEROSTACK_API_URL").replace("https://", "http://");
    aerostack(&list).env("AEROSTACK_API_URL", plain).env("AEROSTACK_API_KEY", key).run().expect(7);
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn serve_over_tls() {
    let folder = folder();
    let (files, authority) = make_loopback_certificate(folder.path()).unwrap();
    let database = folder.path().join("aerostack.db");
    let (certificate, key_file) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    for half in [["--tls-cert", certificate], ["--tls-key", key_file]] {
        serve_with(&database, &half).run().expect(2);
    }
    for (cert, key) in [(certificate, "/nonexistent"), ("/nonexistent", key_file), (key_file, certificate)] {
        let run = serve_with(&database, &["--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key]);
        assert!(run.run().expect(1).err.contains("cannot be used"));
    }
    assert!(!database.exists());
    // With TLS it may listen for others too.
    let options = ["--listen", "0.0.0.0:0", "--tls-cert", certificate, "--tls-key", key_file];
    let server = serve_with(&database, &options).start("AEROSTACK_API_URL");
    let url = format!("https://127.0.0.1:{}", server.address().port());
    let list = aerostack(&["workspace", "list", "--json"]).env("AEROSTACK_API_URL", &url);
    let list = list.env("AEROSTACK_API_KEY", server.variable("AEROSTACK_API_KEY"));
    let document = list.env("AEROSTACK_CA_CERT", &authority).run().document();
    assert_eq!(document["workspaces"][0]["gateway_url"], format!("{url}/ws/default"));
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn keygen_makes_keys_of_32_bytes() {
    let keys = [(); 2].map(|()| aerostack(&["keygen"]).run().expect(0));
    for key in &keys {
        assert_eq!((key.out.lines().count(), key.err.as_str()), (1, ""));
        let bytes = base64::engine::general_purpose::STANDARD.decode(key.out.trim_end()).unwrap();
        assert_eq!(bytes.len(), 32);
    }
    assert_ne!(keys[0].out, keys[1].out);
    let folder = folder();
    let run = serve(&folder.path().join("a.db")).env("WORKFLOW_SECRETS_KEY", keys[0].out.trim_end());
    assert_eq!(run.start("AEROSTACK_API_URL").terminate().0, 0);
}
