//! What the kernel gets to see of a key and of a value (T37): they come in by standard
//! input, they leave by the socket of the API, and they are nowhere else. Nothing is started
//! and the session bus is not contacted where it is not needed.

use crate::harness::keyring_session::KeyringSession;
use crate::harness::parts::parts;
use crate::harness::session_bus::{SessionBus, SilentSocket};
use crate::harness::strace::{Traced, strace};
use crate::harness::{Companion, aerostack};

const VALUE: &str = "canary-value-of-a-secret-0123456789";

/// Where a canary was seen: the call, and what its descriptor is.
fn places(traced: &Traced, canary: &str) -> Vec<String> {
    let mut places: Vec<String> = traced.lines_with(canary).iter().map(|line| place(line)).collect();
    places.dedup();
    places
}

/// Of `123 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, ...` it is `writev TCP`; of a file, the
/// call and the file's name.
fn place(line: &str) -> String {
    let call = line.split_once(' ').map_or(line, |(_, call)| call);
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    let descriptor = arguments.split_once('<').map_or("", |(_, rest)| rest);
    let kind = match descriptor.strip_prefix('/') {
        Some(path) => path.split('>').next().unwrap_or_default().rsplit('/').next().unwrap_or_default(),
        None => descriptor.split([':', '>']).next().unwrap_or_default(),
    };
    format!("{name} {kind}")
}

/// How a request leaves.
const SENT: &str = "writev TCP";

/// No other program was run, no process made.
#[track_caller]
fn nothing_was_started(traced: &Traced) {
    assert_eq!(traced.lines_with("execve(").len(), 1, "{:?}", traced.lines_with("execve("));
    for call in ["fork(", "clone(", "clone3("] {
        let calls = traced.lines_with(call);
        let processes: Vec<_> = calls.iter().filter(|line| !line.contains("CLONE_THREAD")).collect();
        assert!(processes.is_empty(), "{processes:?}");
    }
}

#[test]
fn the_key_of_a_login() {
    if parts("the_key_of_a_login").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let key = session.companion.api_key.clone();
    let traced = strace("all", session.login());
    assert_eq!(traced.ended.code, 0, "{}", traced.ended.err);
    // To the keyring it goes encrypted.
    assert_eq!(places(&traced, &key[3..]), ["read pipe", SENT], "{:?}", traced.lines_with(&key[3..]));
    nothing_was_started(&traced);
    // And from the keyring to the API.
    let traced = strace("all", session.run(&["secrets", "list", "github-mcp"]));
    assert_eq!(traced.ended.code, 0, "{}", traced.ended.err);
    assert_eq!(places(&traced, &key[3..]), [SENT], "{:?}", traced.lines_with(&key[3..]));
    nothing_was_started(&traced);
}

#[test]
fn the_value_of_a_set() {
    if parts("the_value_of_a_set").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    session.login().run().expect(0);
    let set = session.run(&["secrets", "set", "github-mcp", "GITHUB_TOKEN"]).stdin(VALUE);
    let traced = strace("all", set);
    assert_eq!(places(&traced, VALUE), ["read pipe", SENT], "{:?}", traced.lines_with(VALUE));
    assert_eq!(places(&traced, &session.companion.api_key[3..]), [SENT]);
    nothing_was_started(&traced);
    assert_eq!(traced.ended.expect(0).out, "Secret created. Takes effect on next tool call.\n");
}

#[test]
fn over_https_nothing_is_readable() {
    if parts("over_https_nothing_is_readable").is_none() {
        return;
    }
    let mock = aerostack(&["mock", "--tls", "--listen", "127.0.0.1:0"]).start("AEROSTACK_CA_CERT");
    let bus = SessionBus::unlocked();
    let run = |arguments: &[&str]| {
        let run = aerostack(arguments).envs(bus.env());
        let run = run.env("AEROSTACK_API_URL", mock.variable("AEROSTACK_API_URL"));
        run.env("AEROSTACK_CA_CERT", mock.variable("AEROSTACK_CA_CERT"))
    };
    let key = mock.variable("AEROSTACK_API_KEY");
    let traced = strace("all", run(&["auth", "login", "--with-token"]).stdin(key));
    assert_eq!(places(&traced, &key[3..]), ["read pipe"], "{:?}", traced.lines_with(&key[3..]));
    traced.ended.expect(0);
    let traced = strace("all", run(&["secrets", "set", "demo-mcp", "TOKEN"]).stdin(VALUE));
    assert_eq!(places(&traced, VALUE), ["read pipe"], "{:?}", traced.lines_with(VALUE));
    assert!(places(&traced, &key[3..]).is_empty());
    traced.ended.expect(0);
}

#[test]
fn the_plain_file_is_announced_before_it_is_written() {
    if parts("the_plain_file_is_announced_before_it_is_written").is_none() {
        return;
    }
    let companion = Companion::start();
    let home = tempfile::tempdir().unwrap();
    let login = aerostack(&["auth", "login", "--with-token", "--insecure-storage"]);
    let login = login.env("HOME", home.path()).env("AEROSTACK_API_URL", &companion.base_url);
    let traced = strace("all", login.stdin(companion.api_key.clone()));
    let key = &companion.api_key[3..];
    assert_eq!(
        places(&traced, key),
        ["read pipe", SENT, "write .credentials.json.new", "read credentials.json"],
        "{:?}",
        traced.lines_with(key)
    );
    let line = |text: &str| {
        let found = traced.lines.iter().position(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("{text} was not called"))
    };
    let (announced, made) =
        (line("warning: the API key is now written"), line("\".credentials.json.new\", O_WRONLY"));
    let (written, synced) = (line("write(").max(made), line("fsync("));
    assert!(announced < made, "written before it was announced");
    let opened = &traced.lines[made];
    for flag in ["O_CREAT", "O_EXCL", "O_NOFOLLOW", "0600"] {
        assert!(opened.contains(flag), "{opened}");
    }
    let renamed = line("rename");
    assert!(written < synced && synced < renamed, "not on the disk before it was renamed");
    let later = &traced.lines[renamed..];
    assert!(later.iter().any(|line| line.contains("fsync(")), "the folder was not synced");
    traced.ended.expect(0);
}

#[test]
fn with_a_key_in_the_environment_the_bus_is_not_contacted() {
    if parts("with_a_key_in_the_environment_the_bus_is_not_contacted").is_none() {
        return;
    }
    let companion = Companion::start();
    let socket = SilentSocket::start();
    let list = || {
        let run = aerostack(&["secrets", "list"]).envs(socket.env());
        run.env("AEROSTACK_API_URL", &companion.base_url)
    };
    let traced = strace("connect", list().env("AEROSTACK_API_KEY", &companion.api_key));
    assert_eq!(traced.lines_with("connect(").len(), 1, "{:?}", traced.lines);
    assert!(traced.lines_with("AF_UNIX").is_empty(), "{:?}", traced.lines);
    traced.ended.expect(0);
    let control = strace("connect", list());
    assert_eq!(control.lines_with("AF_UNIX").len(), 1, "{:?}", control.lines);
    control.ended.expect(4);
}
