//! Defects of comparable tools that lose, change or invent values, one test for each, by its
//! number: what went wrong there must not go wrong here.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::program::until;
use crate::harness::{SHORT_VALUE, Upstream, aerostack, cli};
use crate::peer_defects::Scene;

const PEM: &str = "-----BEGIN KEY-----\ncanary/+=\n-----END KEY-----\n";

#[test]
fn peer_defect_01_a_value_of_several_lines_is_never_cut_at_the_first() {
    let scene = Scene::new();
    let ended = scene.set(PEM).expect(2);
    assert!(ended.err.contains("--base64") && ended.err.contains("--compact-json"), "{}", ended.err);
    assert!(!ended.both().contains("canary") && scene.names().is_empty());
    // Both ways out keep all of it.
    scene.run(&["secrets", "set", "raw", "TOKEN", "--base64"]).stdin(PEM).run().expect(0);
    let expected = scene.shell(&format!("printf %s '{PEM}' | base64 -w0")).out;
    assert_eq!(scene.arrives(), [expected]);
    let json = "{\n  \"b\": 1.50,\n  \"a\": \"x  y\\u00e4\"\n}\n";
    scene.run(&["secrets", "set", "raw", "TOKEN", "--compact-json"]).stdin(json).run().expect(0);
    assert_eq!(scene.arrives(), [r#"{"b":1.50,"a":"x  y\u00e4"}"#]);
    // A line end of a single line does not become a part of the value.
    scene.set("one line\n").expect(0);
    assert_eq!(scene.arrives(), ["one line"]);
}

#[test]
fn peer_defect_02_slow_and_long_input_is_read_to_its_end() {
    let scene = Scene::new();
    // The second half is written while the program waits for it.
    let run = scene.run(&["secrets", "set", "raw", "TOKEN"]);
    let mut command = run.into_command();
    command.stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&[b'x'; 8_000]).unwrap();
    let waits = || {
        let state = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let sleeping = state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        (sleeping && rustix::io::ioctl_fionread(&stdin).unwrap() == 0).then_some(())
    };
    until(Duration::from_secs(20), waits).unwrap();
    // Longer than any time-out on standard input that was seen elsewhere (500 ms).
    std::thread::sleep(Duration::from_millis(700));
    stdin.write_all(&[b'y'; 8_000]).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(scene.arrives(), [format!("{}{}", "x".repeat(8_000), "y".repeat(8_000))]);
    // Over 64 KiB: refused as a whole, not cut.
    let ended = scene.set(vec![b'x'; 70_000]).expect(2);
    assert!(ended.err.contains("the value has 70000 bytes; at most 16384"), "{}", ended.err);
}

#[test]
fn peer_defect_05_exactly_one_line_end_goes_and_rubbish_is_refused() {
    let scene = Scene::new();
    let ended = scene.set("with it\u{a0}\n").expect(0);
    assert_eq!(ended.err, "stored 9 bytes; removed the trailing newline\n");
    assert_eq!(scene.arrives(), ["with it\u{a0}"], "no other white space goes");
    for (input, told) in [
        (&b"canary \n"[..], "begins or ends with a blank"),
        (b"canary\n\n", "more than one line"),
        (b"canary\t\n", "control character"),
        (b"canary\xff\n", "not UTF-8 text"),
        (b"canary\xed\xa0\x80", "not UTF-8 text"),
    ] {
        let ended = scene.set(input).expect(2);
        assert!(ended.err.contains(told) && !ended.err.contains("canary"), "{}", ended.err);
    }
    assert_eq!(scene.arrives(), ["with it\u{a0}"], "what was refused replaced nothing");
    scene.run(&["secrets", "set", "raw", "TOKEN", "--base64"]).stdin(b"\xff\x00").run().expect(0);
    assert_eq!(scene.arrives(), ["/wA="]);
}

#[test]
fn peer_defect_06_the_empty_output_of_a_failed_program_is_not_stored() {
    let scene = Scene::new();
    scene.companion.set("raw", "TOKEN", "old");
    for script in [
        "false | aerostack secrets set raw TOKEN",
        "aerostack secrets set raw TOKEN </dev/null",
        "echo | aerostack secrets set raw TOKEN",
        "aerostack secrets set raw TOKEN \"$EMPTY\"",
        "aerostack secrets rotate raw TOKEN \"$EMPTY\"",
        "aerostack secrets set raw TOKEN --from-env EMPTY",
        "EMPTY= aerostack secrets set raw TOKEN --from-env EMPTY",
        "EMPTY= aerostack secrets rotate raw TOKEN --from-env EMPTY",
        "aerostack secrets set raw TOKEN --value-file /dev/null",
        "aerostack secrets set raw TOKEN --base64 </dev/null",
        "printf '  ' | aerostack secrets set raw TOKEN --trim",
    ] {
        let ended = scene.shell(script).expect(2);
        assert!(ended.err.contains("empty") && ended.out.is_empty(), "{script}: {}", ended.err);
        assert!(ended.err.contains("nothing was stored\nhint: "), "{script}: {}", ended.err);
    }
    assert_eq!(scene.arrives(), ["old"]);
}

#[test]
fn peer_defect_07_a_hyphen_is_standard_input() {
    let scene = Scene::new();
    for options in [&["-"][..], &["--", "-"], &["--value-file", "-"]] {
        let arguments = [&["secrets", "set", "raw", "TOKEN"], options].concat();
        let value = format!("by {}", options.len());
        scene.run(&arguments).stdin(value.as_str()).run().expect(0);
        assert_eq!(scene.arrives(), [value]);
    }
    scene.run(&["secrets", "rotate", "raw", "TOKEN", "-"]).stdin("rotated").run().expect(0);
    assert_eq!(scene.arrives(), ["rotated"]);
    scene.run(&["secrets", "set", "raw", "TOKEN", "-"]).run().expect(2);
}

#[test]
fn peer_defect_09_no_input_makes_it_panic() {
    let scene = Scene::new();
    let script = |redirection: &str| format!("aerostack secrets set raw TOKEN {redirection}");
    for redirection in ["</dev/null", "<&-", "</", "</dev/zero", "< /proc/self/mem", "<&- >&- 2>&-", "- <&-"]
    {
        let ended = scene.shell(&script(redirection));
        assert!(matches!(ended.code, 1 | 2), "{redirection}: {}", ended.err);
        assert!(!ended.err.contains("panicked"), "{redirection}: {}", ended.err);
    }
    for file in ["/", "/nonexistent/file", "/dev/zero", "/proc/self/mem", ""] {
        let ended = scene.run(&["secrets", "set", "raw", "TOKEN", "--value-file", file]).run().expect(2);
        assert!(!ended.err.contains("panicked"), "{file}: {}", ended.err);
    }
    for bytes in [&b"\0"[..], b"\xff\xfe", b"\xfe\xff\xd8", b"\xef\xbb\xbf", b"\r", b"{", b"\xf0\x9f\x94"] {
        for option in ["--raw", "--trim", "--base64", "--compact-json"] {
            let run = scene.run(&["secrets", "set", "raw", "TOKEN", option]).stdin(bytes);
            let ended = run.run();
            assert!(matches!(ended.code, 0 | 2), "{bytes:?} {option}: {}", ended.err);
        }
    }
    cli(&scene.companion, &["secrets", "delete", "raw", "--all"]).expect(2);
}

#[test]
fn peer_defect_10_a_value_means_the_same_in_ci_and_json_masks_as_the_table_does() {
    let scene = Scene::new();
    for (name, value) in [("CI", "true"), ("GITHUB_ACTIONS", "true"), ("CI", "")] {
        let run = scene.run(&["secrets", "set", "raw", "TOKEN", "@/etc/hostname"]).env(name, value);
        run.run().expect(0);
        assert_eq!(scene.arrives(), ["@/etc/hostname"], "{name}={value}");
    }
    scene.companion.set("raw", "TOKEN", "canary");
    for arguments in [
        &["secrets", "list", "raw"][..],
        &["secrets", "list", "raw", "--json"],
        &["secrets", "list", "--json"],
    ] {
        for variable in ["CI", "GITHUB_ACTIONS"] {
            let ended = scene.run(arguments).env(variable, "true").run().expect(0);
            assert!(!ended.both().contains("canary"), "{arguments:?}");
        }
    }
}

#[test]
fn peer_defect_14_the_program_knows_the_limit() {
    let api = Upstream::start(|_| Vec::new());
    let long = "x".repeat(16_385);
    let run = |arguments: &[&str], stdin: &str| {
        let run = aerostack(arguments).env("AEROSTACK_API_KEY", "ak_x").env("LONG", &long);
        run.env("AEROSTACK_API_URL", format!("http://{}", api.address)).stdin(stdin).run().expect(2)
    };
    for (arguments, stdin) in [
        (&["secrets", "set", "raw", "TOKEN"][..], long.as_str()),
        (&["secrets", "set", "raw", "TOKEN", &long], ""),
        (&["secrets", "set", "raw", "TOKEN", "--from-env", "LONG"], ""),
        (&["secrets", "rotate", "raw", "TOKEN", "--from-env", "LONG"], ""),
    ] {
        let ended = run(arguments, stdin);
        assert!(
            ended.err.contains("16385 bytes; at most 16384 are allowed; nothing was stored"),
            "{}",
            ended.err
        );
    }
    // As base64 it is longer than the limit, and was not before.
    let ended = run(&["secrets", "set", "raw", "TOKEN", "--base64"], &"x".repeat(13_000));
    assert!(ended.err.contains("17336 bytes"), "{}", ended.err);
    assert_eq!(api.connections(), 0);
    let scene = Scene::new();
    scene.set(&long[1..]).expect(0);
    assert_eq!(scene.arrives(), [&long[1..]]);
}

#[test]
fn peer_defect_21_what_powershell_adds_goes() {
    let scene = Scene::new();
    let utf_16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (input, told) in [
        (b"\xef\xbb\xbfghp_\r\n".to_vec(), "removed the byte order mark, removed the trailing newline"),
        (b"ghp_\r\n".to_vec(), "removed the trailing newline"),
        (utf_16("\u{feff}ghp_\r\n"), "decoded UTF-16, removed the trailing newline"),
        (utf_16("\u{feff}ghp_"), "decoded UTF-16"),
    ] {
        assert_eq!(scene.set(input).expect(0).err, format!("stored 4 bytes; {told}\n{SHORT_VALUE}"));
        assert_eq!(scene.arrives(), ["ghp_"]);
    }
    // CRLF is one line end; two are two.
    scene.set("ghp_\r\n\r\n").expect(2);
    let ended = scene.set(b"\xff\xfegh\0".as_slice()).expect(2);
    assert!(ended.err.contains("it is not UTF-16 text"), "{}", ended.err);
}
