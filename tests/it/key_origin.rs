//! A stored key is sent to the origin it was stored for, and to no other (P10, T35):
//! another `--api-url` ends with exit 4 before any connection.

use std::net::TcpListener;

use crate::harness::program::Aerostack;
use crate::harness::{Companion, aerostack};

/// Commands that would send a key.
const COMMANDS: [&[&str]; 5] = [
    &["secrets", "list", "github-mcp"],
    &["secrets", "set", "github-mcp", "TOKEN", "value"],
    &["mcp", "list"],
    &["auth", "status"],
    &["workspace", "use", "default"],
];

/// Listens, and says afterwards that nobody came.
struct Trap(TcpListener);

impl Trap {
    fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    #[track_caller]
    fn saw_nobody(&self) {
        assert!(self.0.accept().is_err(), "somebody connected");
    }
}

/// With a key stored for the companion's origin, no other origin gets it.
#[track_caller]
pub fn only_for_its_own(companion: &Companion, run: &dyn Fn(&[&str]) -> Aerostack) {
    let own = &companion.base_url;
    run(&["secrets", "list", "github-mcp", "--api-url", own]).run().expect(0);
    run(&["secrets", "list", "github-mcp", "--api-url", &format!("{own}/")]).run().expect(0);
    let trap = Trap::on("127.0.0.1:0");
    let port = companion.address.port();
    let same_port = Trap::on(&format!("127.0.0.2:{port}"));
    let others = [
        format!("http://127.0.0.1:{}", trap.port()),
        format!("http://localhost:{}", trap.port()),
        format!("https://127.0.0.1:{}", trap.port()),
        format!("http://127.0.0.2:{port}"),
        format!("http://localhost:{port}"),
    ];
    for other in &others {
        for command in COMMANDS {
            let ended = run(&[command, &["--api-url", other]].concat()).run().expect(4);
            assert!(ended.err.contains(&format!("error: there is no API key for {other}")), "{}", ended.err);
            let by_variable = run(command).env("AEROSTACK_API_URL", other).run().expect(4);
            assert_eq!(by_variable.err, ended.err);
        }
    }
    trap.saw_nobody();
    same_port.saw_nobody();
    // Plain http to another machine is refused before a key is looked for.
    run(&["secrets", "list", "github-mcp", "--api-url", "http://192.0.2.1"]).run().expect(7);
}

#[test]
fn of_the_plain_file() {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| aerostack(arguments).env("HOME", home.path());
    let login = ["auth", "login", "--with-token", "--insecure-storage", "--api-url", &companion.base_url];
    run(&login).stdin(companion.api_key.clone()).run().expect(0);
    only_for_its_own(&companion, &run);
}
