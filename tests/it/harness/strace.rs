//! The program under `strace`: every system call of a kind, with every string whole, so that
//! a canary in any argument is found as it is, with what each descriptor stands for.

use std::collections::HashMap;
use std::fs;

use super::program::{Aerostack, Ended};

/// A run that ended, and its system calls.
pub struct Traced {
    pub ended: Ended,
    /// One call each, after the id of the thread, in the order in which they began.
    pub lines: Vec<String>,
}

impl Traced {
    /// Fails the test unless the run ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        Self { ended: self.ended.expect(code), lines: self.lines }
    }

    /// The lines that hold this text.
    pub fn lines_with(&self, text: &str) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|line| line.contains(text)).collect()
    }
}

/// Runs the program to its end, with its threads and children. The filter is what
/// `strace --trace=` takes, without `!`: `connect`, `write,sendmsg`, `%network`, `all`.
///
/// `prctl` does nothing and says that it worked. Otherwise only root could read strings from
/// the program after it has made itself not dumpable, and no canary would ever be found.
/// `strace` can do so to a call that it traces; these lines are not given back.
pub fn strace(filter: &str, program: Aerostack) -> Traced {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let trace = format!("--trace=prctl,{filter}");
    let options = [
        "--follow-forks",
        "--quiet=all",
        "--no-abbrev",
        "--decode-fds=all",
        "--string-limit=1000000",
        "--inject=prctl:retval=0",
        &trace,
        "--output",
        file.to_str().unwrap(),
        "--",
    ];
    let ended = program.by("strace", &options.map(AsRef::as_ref)).run();
    let text = fs::read(file).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
    let mut lines = whole_calls(&String::from_utf8_lossy(&text));
    let all = lines.len();
    lines.retain(|line| !line.split(' ').nth(1).is_some_and(|call| call.starts_with("prctl(")));
    assert!(lines.len() < all, "strings could not be read: {lines:?}");
    Traced { ended, lines }
}

/// Puts together what `strace` splits when another thread calls in between:
/// `12 read(0, <unfinished ...>` and `12 <... read resumed>"x", 8) = 1`.
fn whole_calls(trace: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or((line, ""));
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"))
            && let Some(begun) = unfinished.remove(thread)
        {
            lines[begun].push_str(rest.1);
        } else if let Some(begin) = call.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, lines.len());
            lines.push(format!("{thread} {begin}"));
        } else {
            lines.push(format!("{thread} {call}"));
        }
    }
    lines
}
