//! Whatever legal value is given, in whatever way, arrives at the upstream byte for byte:
//! as an argument, on standard input in chunks of any size, from a file, from a variable, at
//! the hidden prompt. No way of them shows it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::program::{Aerostack, until};
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::shell::os;
use crate::harness::{Companion, Ended, McpSession, Upstream, aerostack};

const LIMIT: usize = 16_384;

/// A character that may stand in a header: no control character of ASCII.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::char::range('!', '~'),
        1 => prop::sample::select(vec![' ', '"', '\'', '\\', '$', '`', '%', '#', '=', '@', '-', '\u{feff}', '\u{9b}']),
        1 => any::<char>().prop_filter("a control character", |one| *one >= ' ' && *one != '\u{7f}'),
    ]
}

/// A legal value: mostly short, sometimes of about the longest length.
fn value() -> impl Strategy<Value = String> {
    let short = prop::collection::vec(character(), 1..200);
    let long = (prop::collection::vec(character(), 1..50), LIMIT - 8..=LIMIT).prop_map(|(unit, length)| {
        let mut bytes = 0;
        let endless = unit.into_iter().cycle();
        endless
            .take_while(|one| {
                bytes += one.len_utf8();
                bytes <= length
            })
            .collect()
    });
    prop_oneof![9 => short, 1 => long]
        .prop_map(|characters: Vec<char>| characters.into_iter().collect::<String>())
        .prop_filter("blanks at an end", |text| {
            !text.is_empty() && !text.starts_with(' ') && !text.ends_with(' ')
        })
}

struct Scene {
    companion: Companion,
    upstream: Upstream,
    session: McpSession,
}

impl Scene {
    fn new() -> Self {
        let (companion, upstream) = (Companion::start(), Upstream::mcp());
        companion.add_server("raw", &upstream.url());
        let session = companion.session(&companion.token("default"), None);
        Self { companion, upstream, session }
    }

    fn run(&self, options: &[&str]) -> Aerostack {
        aerostack(&[&["secrets", "set", "raw", "TOKEN"], options].concat()).against(&self.companion)
    }

    /// The bytes of the header `token` of a call that is made now.
    fn arrives(&self) -> Vec<u8> {
        self.session.call("raw__echo");
        let head = self.upstream.received_of("tools/call").pop().unwrap().head;
        let mut lines = head.split(|byte| *byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(b"token: ")).unwrap();
        line.strip_suffix(b"\r").unwrap().to_vec()
    }

    #[track_caller]
    fn check(&self, value: &str, ended: &Ended, way: &str) {
        assert_eq!(ended.code, 0, "{way}: {}", ended.err);
        assert!(value.len() < 4 || !ended.both().contains(value), "{way} shows the value");
        assert!(self.arrives() == value.as_bytes(), "{way}: {value:?} was not kept");
    }
}

fn runner(cases: u32) -> TestRunner {
    // A failure must not be made smaller for hours: each try runs the program.
    TestRunner::new(Config { cases, max_shrink_iters: 40, failure_persistence: None, ..Config::default() })
}

/// Writes chunk after chunk, each when the one before was taken from the pipe, so that the
/// program finds an empty pipe in between.
fn in_chunks(run: Aerostack, bytes: &[u8], cuts: &[Index]) -> Ended {
    let mut command = run.into_command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([bytes.len()]).collect();
    places.sort_unstable();
    let mut at = 0;
    for place in places {
        // Where the program has ended already, its exit code and the arrived value tell.
        let _ = stdin.write_all(&bytes[at..place]);
        at = place;
        let mut taken = || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || rustix::io::ioctl_fionread(&stdin).unwrap() == 0).then_some(())
        };
        until(Duration::from_secs(20), &mut taken).expect("the program stopped reading");
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn as_an_argument_from_a_file_and_from_a_variable() {
    let (scene, folder) = (Scene::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("value");
    let path = file.to_str().unwrap();
    let outcome = runner(40).run(&value(), |value| {
        let has_mark = value.starts_with('\u{feff}');
        std::fs::write(&file, &value).unwrap();
        let options = ["--value-file", path, "--raw"];
        let ended = scene.run(if has_mark { &options } else { &options[..2] }).run();
        scene.check(&value, &ended, "a file");
        let ended = scene.run(&["--from-env", "THE_VALUE"]).env("THE_VALUE", &value).run();
        scene.check(&value, &ended, "a variable");
        // A lone '-' means standard input there.
        if value != "-" {
            scene.check(&value, &scene.run(&["--"]).arg(os(value.as_bytes())).run(), "an argument");
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn on_standard_input_in_chunks() {
    let scene = Scene::new();
    let input = (value(), prop::collection::vec(any::<Index>(), 0..6), 0..4_usize);
    let outcome = runner(60).run(&input, |(value, cuts, form)| {
        // With --raw all is kept; else one line end goes, and a byte order mark.
        let (before, after) = [("", ""), ("", "\n"), ("\u{feff}", "\r\n"), ("", "")][form];
        let raw = form == 3 || value.starts_with('\u{feff}') && before.is_empty();
        let after = if raw { "" } else { after };
        let run = scene.run(if raw { &["--raw"] } else { &[] });
        let ended = in_chunks(run, format!("{before}{value}{after}").as_bytes(), &cuts);
        scene.check(&value, &ended, "standard input");
        let said = ended.err.lines().filter(|line| !line.starts_with("under 8 bytes")).count();
        assert_eq!(said == 0, before.is_empty() && after.is_empty(), "{}", ended.err);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn typed_at_the_prompt() {
    let scene = Scene::new();
    let outcome = runner(12).run(&value(), |value| {
        let mut terminal = PseudoTerminal::spawn(scene.run(&[]));
        terminal.expect("Value of TOKEN for raw (not shown): ");
        terminal.send_line(&value);
        terminal.expect(&format!("Received {} byte", value.len()));
        let (code, transcript) = terminal.end();
        let ended = Ended { code, out: transcript, err: String::new() };
        scene.check(&value, &ended, "the prompt");
        Ok(())
    });
    outcome.unwrap();
}
