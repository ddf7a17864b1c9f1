//! The harness itself: each session bus is what its name says, as real tools see it; the
//! terminal and `strace` show what there is to see; nothing is waited for without an end.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::parts::parts;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::session_bus::{SessionBus, SilentSocket, run_on};
use crate::harness::strace::strace;
use crate::harness::{Companion, Ended, aerostack};

const VALUE: &str = "canary-5f1c";
const LOOKUP: [&str; 3] = ["lookup", "service", "aerostack"];
const STORE: [&str; 4] = ["store", "--label=Aerostack", "service", "aerostack"];

/// An unlocked bus whose default collection has the value.
fn with_value() -> SessionBus {
    let bus = SessionBus::unlocked();
    bus.secret_tool_with(&STORE, VALUE).expect(0);
    bus
}

/// `secret-tool lookup` for one second; it ends with 124 if that was not enough.
fn lookup_for_a_second(variables: Vec<(String, OsString)>) -> Ended {
    run_on(variables, "timeout", &[&["1", "secret-tool"], &LOOKUP[..]].concat(), "")
}

#[test]
fn unlocked_keeps_and_gives_back() {
    if parts("unlocked_keeps_and_gives_back").is_none() {
        return;
    }
    let bus = with_value();
    assert_eq!(bus.secret_tool(&LOOKUP).expect(0).out, VALUE);
    let found = bus.secret_tool(&["search", "--all", "service", "aerostack"]).expect(0).both();
    assert!(
        found.contains("label = Aerostack") && found.contains("attribute.service = aerostack"),
        "{found}"
    );
    bus.secret_tool(&["clear", "service", "aerostack"]).expect(0);
    assert_eq!(bus.secret_tool(&LOOKUP).expect(1).out, "");
}

#[test]
fn locked_gives_nothing_back() {
    if parts("locked_gives_nothing_back").is_none() {
        return;
    }
    let bus = with_value();
    let collection = bus.default_collection();
    assert!(!bus.is_locked());
    let bus = bus.relock();
    assert!(bus.is_locked());
    assert_eq!(bus.default_collection(), collection, "the same data");
    assert_eq!(bus.secret_tool(&LOOKUP).expect(1).both(), "");
    let found = bus.secret_tool(&["search", "--all", "service", "aerostack"]).expect(0).both();
    assert!(found.contains("Cannot get secret of a locked object"), "{found}");
    assert!(!found.contains(VALUE), "{found}");
    let stored = bus.secret_tool_with(&STORE, VALUE).expect(1);
    assert!(stored.err.contains("locked collection"), "{}", stored.err);
}

#[test]
fn locked_with_a_question_that_nobody_answers() {
    let Some(parts) = parts("locked_with_a_question_that_nobody_answers") else { return };
    let bus = with_value().relock_unanswered(&parts);
    assert!(bus.is_locked());
    assert_eq!(lookup_for_a_second(bus.env()).expect(124).out, "");
}

#[test]
fn without_service_the_bus_answers_and_nobody_else() {
    if parts("without_service_the_bus_answers_and_nobody_else").is_none() {
        return;
    }
    let bus = SessionBus::without_service();
    let ended = bus.secret_tool(&LOOKUP).expect(1);
    assert!(ended.err.contains("org.freedesktop.secrets was not provided"), "{}", ended.err);
}

#[test]
fn without_collection_there_is_nothing_to_store_in() {
    if parts("without_collection_there_is_nothing_to_store_in").is_none() {
        return;
    }
    let bus = SessionBus::without_collection();
    assert_eq!(bus.default_collection(), "/");
    assert_eq!(bus.secret_tool(&LOOKUP).expect(1).both(), "");
    bus.secret_tool_with(&STORE, VALUE).expect(1);
}

#[test]
fn silent_service_never_answers() {
    let Some(parts) = parts("silent_service_never_answers") else { return };
    let bus = SessionBus::silent_service(&parts);
    assert_eq!(lookup_for_a_second(bus.env()).expect(124).both(), "");
}

#[test]
fn silent_socket_counts_and_never_answers() {
    if parts("silent_socket_counts_and_never_answers").is_none() {
        return;
    }
    let mut socket = SilentSocket::start();
    assert_eq!(socket.connections(), 0);
    for times in 1..=2 {
        assert_eq!(lookup_for_a_second(socket.env()).expect(124).both(), "");
        assert_eq!(socket.connections(), times);
    }
}

/// The folder of sockets is for its owner only, as the rule for `XDG_RUNTIME_DIR` demands.
#[test]
fn every_session_has_a_home_of_its_own() {
    if parts("every_session_has_a_home_of_its_own").is_none() {
        return;
    }
    let (bus, other, socket) =
        (SessionBus::without_service(), SessionBus::without_service(), SilentSocket::start());
    let mut folders = HashSet::new();
    for variables in [bus.env(), other.env(), socket.env()] {
        let variables: HashMap<_, _> = variables.into_iter().collect();
        assert_eq!(variables.len(), 5, "{variables:?}");
        let runtime = fs::metadata(&variables["XDG_RUNTIME_DIR"]).unwrap();
        assert_eq!(runtime.permissions().mode() & 0o777, 0o700);
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            assert!(Path::new(&variables[name]).is_dir(), "{name}");
            folders.insert(variables[name].clone());
        }
    }
    assert_eq!(folders.len(), 12, "{folders:?}");
    assert_ne!(bus.home(), other.home());
}

/// Processes that have this text in their environment.
fn processes_with(text: &Path) -> usize {
    let text = text.as_os_str().as_encoded_bytes();
    let holds = |environment: Vec<u8>| environment.windows(text.len()).any(|part| part == text);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|one| fs::read(one.path().join("environ")).is_ok_and(holds)).count()
}

#[test]
fn nothing_outlives_a_bus() {
    let Some(parts) = parts("nothing_outlives_a_bus") else { return };
    let bus = with_value().relock_unanswered(&parts);
    let home = bus.home();
    // At least the bus, the program that owns a name, and their keepers.
    assert!(processes_with(&home) >= 3, "{}", processes_with(&home));
    drop(bus);
    assert_eq!(processes_with(&home), 0);
    assert!(!home.exists());
}

#[test]
fn strace_shows_strings_whole_and_as_they_are() {
    if parts("strace_shows_strings_whole_and_as_they_are").is_none() {
        return;
    }
    let long = format!("{VALUE}{}", "x".repeat(100_000));
    let socket = SilentSocket::start();
    let run = aerostack(&["--version"]).envs(socket.env()).env("CANARY", &long);
    let traced = strace("execve", run).expect(0);
    assert_eq!(traced.ended.err, "");
    assert!(traced.ended.out.starts_with("aerostack "));
    assert_eq!(traced.lines.len(), 1, "nothing but the one call: {:?}", traced.lines);
    let mut given: Vec<_> = socket.env();
    given.push(("CANARY".to_owned(), long.into()));
    given.sort();
    let given: Vec<_> = given.iter().map(|(name, value)| format!("\"{name}={}\"", value.display())).collect();
    let environment = format!("[{}])", given.join(", "));
    assert_eq!(traced.lines_with(&environment).len(), 1, "{:?}", traced.lines);
}

/// What is asked for is what the program does after it has made itself not dumpable.
#[test]
fn strace_reads_what_the_program_reads_and_sends() {
    if parts("strace_reads_what_the_program_reads_and_sends").is_none() {
        return;
    }
    let companion = Companion::start();
    companion.add_server("demo-mcp", "http://127.0.0.1:1/mcp");
    let run = aerostack(&["secrets", "set", "demo-mcp", "A"]).against(&companion).stdin(VALUE);
    let traced = strace("read,/^writev?$,%network", run).expect(0);
    let holds = |call: &str| traced.lines_with(VALUE).iter().any(|line| line.contains(call));
    assert!(holds("read"), "{:?}", traced.lines);
    assert!(holds("write"), "{:?}", traced.lines);
    let port = format!("sin_port=htons({})", companion.address.port());
    assert!(traced.lines_with(&port).iter().any(|line| line.contains("connect(")), "{:?}", traced.lines);
    assert_eq!(traced.lines_with("execve("), [""; 0]);
}

#[test]
fn terminal_hides_the_prompted_value_and_shows_a_typed_answer() {
    let companion = Companion::start();
    companion.add_server("demo-mcp", "http://127.0.0.1:1/mcp");
    let mut terminal =
        PseudoTerminal::spawn(aerostack(&["secrets", "set", "demo-mcp", "A"]).against(&companion));
    terminal.expect("Value of A");
    terminal.send_line(VALUE);
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(VALUE), "{shown}");
    let secrets = companion.admin("GET", "/api/v1/admin/mcp-servers/demo-mcp/secrets", None);
    assert!(secrets.text().contains("\"A\""), "{}", secrets.text());
    let mut terminal =
        PseudoTerminal::spawn(aerostack(&["secrets", "delete", "demo-mcp", "A"]).against(&companion));
    terminal.expect("[y/N]");
    terminal.send("ye");
    // Shown by the terminal, before the program has read it.
    terminal.expect("ye");
    terminal.send_line("s");
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    let secrets = companion.admin("GET", "/api/v1/admin/mcp-servers/demo-mcp/secrets", None);
    assert!(!secrets.text().contains("\"A\""), "{}", secrets.text());
}

#[test]
#[should_panic(expected = "it was still running")]
fn a_server_that_does_not_end_fails_the_test() {
    let running = aerostack(&["mock", "--listen", "127.0.0.1:0"]).start("AEROSTACK_TOKEN");
    running.end_within(Duration::from_millis(50), Signal::CONT);
}
