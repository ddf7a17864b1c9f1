//! Keyrings that are locked, missing or silent: each command ends within two seconds with
//! exit 4, says which it is and what to do; the ways that need no keyring work at once.

use std::ffi::OsString;

use serde_json::Value;

use crate::harness::keyring_session::{KeyringSession, in_time};
use crate::harness::parts::parts;
use crate::harness::program::Aerostack;
use crate::harness::session_bus::{SessionBus, SilentSocket};
use crate::harness::{Companion, Ended, aerostack};

/// Every command that would ask the keyring.
const COMMANDS: [&[&str]; 9] = [
    &["secrets", "list", "github-mcp"],
    &["secrets", "set", "github-mcp", "TOKEN", "value"],
    &["mcp", "list"],
    &["workspace", "list"],
    &["auth", "login", "--with-token"],
    &["auth", "status"],
    &["auth", "logout"],
    &["whoami"],
    &["login", "--with-token", "--json"],
];

/// Commands that never need a key.
const WITHOUT_KEY: [&[&str]; 5] =
    [&["--help"], &["--version"], &["auth", "login", "--help"], &["keygen"], &["demo"]];

/// A user of a companion whose session is this.
struct User<'a> {
    companion: &'a Companion,
    session: Vec<(String, OsString)>,
}

impl User<'_> {
    fn run(&self, arguments: &[&str]) -> Aerostack {
        let run = aerostack(arguments).envs(self.session.clone());
        run.env("AEROSTACK_API_URL", &self.companion.base_url).stdin(self.companion.api_key.clone())
    }

    /// Each command says this, in time and with the three ways out.
    #[track_caller]
    fn finds(&self, state: &str, message: &str) {
        for command in COMMANDS {
            let ended = self.refused(command, state);
            assert!(ended.err.contains(message), "{command:?}: {}", ended.err);
            if command.contains(&"logout") {
                continue;
            }
            let login = format!("'aerostack auth login --api-url {} ", self.companion.base_url);
            assert!(ended.err.contains(&login), "{command:?}: {}", ended.err);
            for way in ["AEROSTACK_API_KEY ", "AEROSTACK_API_KEY_FILE", " --insecure-storage"] {
                assert!(ended.err.contains(way), "{command:?} does not name {way}: {}", ended.err);
            }
        }
        let ended = self.refused(&["auth", "status", "--json"], state);
        let document: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&document["keyring"]["state"], &document["status"]), (&state.into(), &"no_key".into()));
        assert!(document["keyring"]["message"].as_str().unwrap().contains(message), "{document}");
        assert!(document["keyring"]["hint"].as_str().unwrap().contains("--insecure-storage"), "{document}");
        self.ways_out();
    }

    /// Runs a command that finds no key. On a machine that is busy with other things a real keyring
    /// may need more than the second that it has: then once more, and once again.
    #[track_caller]
    fn refused(&self, command: &[&str], state: &str) -> Ended {
        let run = || in_time(|| self.run(command).run()).expect(4);
        let was_slow = |ended: &Ended| {
            state != "slow" && format!("{}{}", ended.out, ended.err).contains("did not answer within")
        };
        let mut ended = run();
        for _ in 0..2 {
            if was_slow(&ended) {
                ended = run();
            }
        }
        ended
    }

    /// The environment, a key file, and the plain-text file.
    #[track_caller]
    fn ways_out(&self) {
        let list = || self.run(&["secrets", "list", "github-mcp"]);
        in_time(|| list().env("AEROSTACK_API_KEY", &self.companion.api_key).run()).expect(0);
        let file = self.companion.folder.path().join("key");
        std::fs::write(&file, &self.companion.api_key).unwrap();
        in_time(|| list().env("AEROSTACK_API_KEY_FILE", &file).run()).expect(0);
        let login = ["auth", "login", "--with-token", "--insecure-storage"];
        in_time(|| self.run(&login).run()).expect(0);
        in_time(|| list().run()).expect(0);
        in_time(|| self.run(&["auth", "status"]).run()).expect(0);
        in_time(|| self.run(&["auth", "logout"]).run());
        in_time(|| list().run()).expect(4);
    }
}

fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    companion
}

#[test]
fn no_bus() {
    let companion = companion();
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("no-such-socket");
    for address in [None, Some(format!("unix:path={}", missing.display())), Some("disabled:".to_owned())] {
        let mut session = vec![("HOME".to_owned(), home.path().into())];
        session.extend(address.map(|address| ("DBUS_SESSION_BUS_ADDRESS".to_owned(), address.into())));
        User { companion: &companion, session }.finds("missing", "there is no D-Bus session bus");
    }
}

#[test]
fn a_bus_without_a_service() {
    if parts("a_bus_without_a_service").is_none() {
        return;
    }
    let (companion, bus) = (companion(), SessionBus::without_service());
    User { companion: &companion, session: bus.env() }.finds("missing", "no keyring is running");
}

#[test]
fn a_service_without_a_collection() {
    if parts("a_service_without_a_collection").is_none() {
        return;
    }
    let (companion, bus) = (companion(), SessionBus::without_collection());
    User { companion: &companion, session: bus.env() }.finds("missing", "no default collection");
}

#[test]
fn a_locked_keyring() {
    if parts("a_locked_keyring").is_none() {
        return;
    }
    // Locked with an entry of this origin in it, and locked without one.
    let mut session = KeyringSession::on(SessionBus::unlocked());
    session.login().run().expect(0);
    session.bus = session.bus.relock();
    User { companion: &session.companion, session: session.bus.env() }
        .finds("locked", "the keyring is locked");
    let (companion, bus) = (companion(), SessionBus::unlocked().relock());
    User { companion: &companion, session: bus.env() }.finds("locked", "the keyring is locked");
}

#[test]
fn no_command_makes_a_locked_keyring_ask() {
    let test = "no_command_makes_a_locked_keyring_ask";
    let Some(folder) = parts(test) else { return };
    let mut session = KeyringSession::on(SessionBus::unlocked());
    session.login().run().expect(0);
    // Whoever asks here waits for ever.
    session.bus = session.bus.relock_unanswered(&folder);
    let user = User { companion: &session.companion, session: session.bus.env() };
    user.finds("locked", "the keyring is locked");
}

#[test]
fn peer_defect_18_a_keyring_that_never_answers_is_given_up() {
    let test = "peer_defect_18_a_keyring_that_never_answers_is_given_up";
    let Some(folder) = parts(test) else { return };
    let (companion, bus) = (companion(), SessionBus::silent_service(&folder));
    let user = User { companion: &companion, session: bus.env() };
    user.finds("slow", "the keyring did not answer within 1 s");
}

#[test]
fn a_socket_that_never_answers_and_who_does_not_touch_it() {
    let companion = companion();
    let mut socket = SilentSocket::start();
    let user = User { companion: &companion, session: socket.env() };
    for command in WITHOUT_KEY {
        user.run(command).run().expect(0);
    }
    let mock = aerostack(&["mock", "--listen", "127.0.0.1:0"]).envs(socket.env()).start("AEROSTACK_TOKEN");
    assert_eq!(mock.terminate().0, 0);
    for command in
        COMMANDS.iter().filter(|command| !command.contains(&"login") && !command.contains(&"logout"))
    {
        user.run(command).env("AEROSTACK_API_KEY", &companion.api_key).run().expect(0);
    }
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database"];
    let database = format!("sqlite:{}", companion.folder.path().join("other.db").display());
    let serve = aerostack(&serve).arg(database).env("WORKFLOW_SECRETS_KEY", crate::harness::companion::KEY);
    assert_eq!(serve.envs(socket.env()).start("AEROSTACK_API_URL").terminate().0, 0);
    assert_eq!(socket.connections(), 0, "the keyring was contacted without need");
    // A silent keyring costs a command one call, and so one second.
    for (times, command) in COMMANDS.into_iter().enumerate() {
        user.run(command).run().expect(4);
        assert_eq!(socket.connections(), times + 1, "{command:?}");
    }
    user.finds("slow", "the keyring did not answer within 1 s");
}

#[test]
fn with_a_slow_keyring_the_plain_file_is_used_and_the_wait_is_explained() {
    let companion = companion();
    let socket = SilentSocket::start();
    let user = User { companion: &companion, session: socket.env() };
    let login: Ended = user.run(&["login", "--with-token", "--insecure-storage"]).run().expect(0);
    assert!(login.err.contains("did not answer within 1 s; if it holds a key"), "{}", login.err);
    let ended = user.run(&["secrets", "list", "github-mcp"]).run().expect(0);
    assert!(ended.err.contains("did not answer within 1 s; the plain-text file has a key"), "{}", ended.err);
}
