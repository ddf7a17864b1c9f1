//! Values under 8 bytes are not redacted from answers, and the commands that store one say
//! so, without the value: to people in words, to programs in a warning on standard error.

use serde_json::{Value, json};

use crate::harness::{Companion, Ended, SHORT_VALUE, aerostack};

fn run(companion: &Companion, arguments: &[&str], stdin: &str) -> Ended {
    aerostack(&[&["secrets"], arguments].concat()).against(companion).stdin(stdin).run().expect(0)
}

/// The message of the only line on standard error, a warning's document.
#[track_caller]
fn warned(ended: &Ended) -> String {
    let document: Value = serde_json::from_str(&ended.err).unwrap_or_else(|_| panic!("{}", ended.err));
    assert_eq!(ended.err.lines().count(), 1);
    assert_eq!(document, json!({"warning": {"message": document["warning"]["message"]}}));
    document["warning"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn set_rotate_and_import_say_so() {
    let companion = Companion::start();
    companion.add_server("raw", "https://raw.example/mcp");
    let set = |command: &str, value: &str, rest: &[&str]| {
        run(&companion, &[&[command, "raw", "TOKEN", value], rest].concat(), "").err
    };
    for command in ["set", "rotate"] {
        assert_eq!(set(command, "1234567", &[]), SHORT_VALUE);
        assert_eq!(set(command, "12345678", &[]), "");
        assert_eq!(set(command, "p\u{e4}sswor", &[]), "", "bytes count");
        assert_eq!(set(command, "1234567", &["--quiet"]), "");
        let ended = run(&companion, &[command, "raw", "TOKEN", "1234567", "--json"], "");
        assert_eq!(warned(&ended), SHORT_VALUE.trim_end());
        assert!(ended.document()["secret"].is_object());
        assert_eq!(set(command, "1234567", &["--json", "--quiet"]), "");
        assert_eq!(set(command, "12345678", &["--json"]), "");
    }
    let told = SHORT_VALUE.replace("this value", "ONE, THREE");
    let file = "ONE=1234567\nTWO=12345678\nTHREE=x\n";
    assert_eq!(run(&companion, &["import", "raw"], file).err, told);
    assert_eq!(run(&companion, &["import", "raw", "-q"], file).err, "");
    let dry = run(&companion, &["import", "raw", "--dry-run"], file).err;
    assert!(dry.contains(&told), "{dry}");
    let ended = run(&companion, &["import", "raw", "--json"], file);
    assert_eq!(warned(&ended), told.trim_end());
    let names = ["created", "deleted", "updated"];
    assert_eq!(ended.document().as_object().unwrap().keys().collect::<Vec<_>>(), names);
    assert_eq!(run(&companion, &["import", "raw", "--json"], "TWO=12345678\n").err, "");
}
