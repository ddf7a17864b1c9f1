//! Values under 8 bytes are not redacted from answers, and the commands that store one say
//! so: to people only, and without the value.

use serde_json::Value;

use crate::harness::{Companion, Ended, SHORT_VALUE, aerostack};

fn run(companion: &Companion, arguments: &[&str], stdin: &str) -> Ended {
    aerostack(&[&["secrets"], arguments].concat()).against(companion).stdin(stdin).run().expect(0)
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
        assert_eq!(set(command, "1234567", &["--json"]), "");
    }
    let told = SHORT_VALUE.replace("this value", "ONE, THREE");
    let file = "ONE=1234567\nTWO=12345678\nTHREE=x\n";
    assert_eq!(run(&companion, &["import", "raw"], file).err, told);
    assert_eq!(run(&companion, &["import", "raw", "-q"], file).err, "");
    let dry = run(&companion, &["import", "raw", "--dry-run"], file).err;
    assert!(dry.contains(&told), "{dry}");
    let ended = run(&companion, &["import", "raw", "--json"], file);
    let document: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.err.as_str(), document.as_object().unwrap().len()), ("", 3), "{document}");
}
