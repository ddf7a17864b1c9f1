//! The guide's console blocks, run as they stand: each block's commands in one shell, with
//! a `mock`, a keyring and a home; what they print must be what the guide says. Settings
//! that a reader would have made before stand in comments, `<!-- before: COMMAND -->`.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Mock;
use crate::harness::parts::parts;
use crate::harness::program::run_to_end;
use crate::harness::session_bus::SessionBus;

/// What the guide shows in place of what differs each time.
const SHOWN_URL: &str = "http://127.0.0.1:8787";
const SHOWN_HOME: &str = "/home/anna";
/// Stands alone on a line of the script's output between two commands.
const END: &str = "----8<----";

/// A command and what it prints.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// A block of the guide, with what goes before it.
#[derive(Debug, Default)]
struct Block {
    before: Vec<String>,
    steps: Vec<Step>,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut block, mut inside) = (Vec::new(), Block::default(), false);
    for (number, line) in text.lines().enumerate() {
        if inside {
            if line.trim_start() == "```" {
                inside = false;
                blocks.push(std::mem::take(&mut block));
            } else if let Some(command) = line.strip_prefix("$ ") {
                block.steps.push(Step { line: number + 1, command: command.to_owned(), output: Vec::new() });
            } else {
                let step = block.steps.last_mut();
                let step = step.unwrap_or_else(|| panic!("line {}: output before a command", number + 1));
                if step.output.is_empty() && step.command.ends_with('\\') {
                    step.command = format!("{}\n{line}", step.command);
                } else {
                    step.output.push(line.to_owned());
                }
            }
        } else if let Some(command) = line.strip_prefix("<!-- before: ") {
            block.before.push(command.strip_suffix(" -->").unwrap().to_owned());
        } else if line.trim_start() == "```console" {
            inside = true;
        }
    }
    blocks
}

/// Runs a block: one shell, each command's output (both streams, as a terminal shows them)
/// apart from the others.
fn run(block: &Block, mock: &Mock, bus: &SessionBus) -> Vec<Vec<String>> {
    let mut script = format!(". '{}'\nunset AEROSTACK_TOKEN\ncd \"$HOME\"\n", mock.env_file.display());
    for command in &block.before {
        script.push_str(&format!("{{ {command}\n}} >/dev/null 2>&1\n"));
    }
    for step in &block.steps {
        // `$?` is that of the command before.
        script.push_str(&format!(
            "(exit ${{code:-0}})\n{}\ncode=$?\nprintf '\\n%s\\n' '{END}'\n",
            step.command
        ));
    }
    let program = Path::new(env!("CARGO_BIN_EXE_aerostack")).parent().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec 2>&1\n{script}")]).env_clear().envs(bus.env());
    command.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    let ended = run_to_end(command, Vec::new());
    let (mut outputs, mut lines) = (Vec::new(), Vec::new());
    for line in ended.out.lines() {
        if line == END {
            // The line end before the marker, for outputs that have none of their own.
            let whole: Vec<String> = std::mem::take(&mut lines);
            outputs.push(whole.into_iter().filter(|line: &String| !line.is_empty()).collect());
        } else {
            lines.push(line.to_owned());
        }
    }
    outputs
}

/// A line without what differs each time.
fn plain(line: &str, url: &str, home: &Path) -> String {
    let mut line = line.replace(url, SHOWN_URL).replace(&home.display().to_string(), SHOWN_HOME);
    let last_four = "\"key_last_four\":\"";
    if let Some(at) = line.find(last_four) {
        line.replace_range(at + last_four.len()..at + last_four.len() + 4, "last");
    }
    let mut words = Vec::new();
    for word in line.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "-_:.*".contains(c))) {
        let (body, end) = match word.char_indices().next_back() {
            Some((at, c)) if !(c.is_ascii_alphanumeric() || "-_:.*".contains(c)) => word.split_at(at),
            _ => (word, ""),
        };
        words.push(format!("{}{end}", plain_word(body)));
    }
    // Columns are as wide as what differs.
    let line = words.concat();
    let mut squeezed: VecDeque<&str> = line.split("  ").filter(|part| !part.is_empty()).collect();
    if line.starts_with("  ") {
        squeezed.push_front("");
    }
    squeezed.iter().map(|part| part.trim()).collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn plain_word(word: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let date = word.len() >= 10 && word.is_char_boundary(10) && {
        let parts: Vec<_> = word[..10].split('-').collect();
        parts.len() == 3 && parts.iter().all(|part| digits(part)) && parts[0].len() == 4
    };
    let hexadecimal = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = word.len() == 12
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && word.bytes().any(|byte| byte.is_ascii_digit());
    match word {
        _ if date => "DATE",
        _ if hexadecimal => "REQUEST-ID",
        _ if id => "TOKEN-ID",
        _ if word.starts_with("****") && word.len() == 8 => "****last",
        _ if word.starts_with("ak_") => "API-KEY",
        _ if word.starts_with("mwt_") => "TOKEN",
        _ => word,
    }
}

#[test]
fn every_console_block_does_what_it_says() {
    if parts("every_console_block_does_what_it_says").is_none() {
        return;
    }
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide.md");
    let text = fs::read_to_string(guide).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() > 10, "the blocks were not found");
    let mut wrong = Vec::new();
    for block in &blocks {
        let (mock, bus) = (Mock::start(), SessionBus::unlocked());
        let (url, home): (String, PathBuf) =
            (mock.running.variable("AEROSTACK_API_URL").to_owned(), bus.home());
        let outputs = run(block, &mock, &bus);
        let first = block.steps.first().map_or(0, |step| step.line);
        assert_eq!(
            outputs.len(),
            block.steps.len(),
            "a command of the block at line {first} ended the shell"
        );
        for (step, output) in block.steps.iter().zip(outputs) {
            let plain = |lines: &[String]| {
                let lines = lines.iter().map(|line| plain(line, &url, &home));
                lines.collect::<Vec<_>>().join("\n")
            };
            let (expected, found) = (plain(&step.output), plain(&output));
            if expected != found {
                wrong.push(format!(
                    "line {}: $ {}\nthe guide:\n{expected}\nit is:\n{found}\n",
                    step.line, step.command
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
