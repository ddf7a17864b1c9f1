//! What the operating system may keep of the process (T26): no core dump, and no reading
//! of its memory by other programs of the same user.

use std::fs;

use crate::harness::aerostack;

#[test]
fn no_core_dumps() {
    let running = aerostack(&["mock", "--listen", "127.0.0.1:0"]).start("AEROSTACK_TOKEN");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = core["Max core file size".len()..].split_whitespace().take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}
