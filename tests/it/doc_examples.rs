//! Command lines in the pages that no test runs as they stand: the grammar must take each.

use std::fs;
use std::path::Path;

use aerostack::cli::Cli;
use clap::CommandFactory;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// What the pages write for something of the reader's own.
const STAND_INS: [(&str, &str); 3] = [("SLUG", "github-mcp"), ("WORKSPACE", "team-a"), ("NAME", "A_NAME")];

#[track_caller]
fn is_taken(line: &str) {
    let command = line.split(" < ").next().unwrap().split(" | ").next().unwrap().split("  #").next().unwrap();
    let words = command.split_whitespace().map(|word| {
        let stand_in = STAND_INS.iter().find(|(shown, _)| *shown == word);
        stand_in.map_or(word, |(_, own)| own).trim_matches('"').to_owned()
    });
    let parsed = Cli::command().try_get_matches_from(words);
    assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
}

#[test]
fn in_the_page_for_other_habits() {
    let text = page("coming-from.md");
    let cells =
        text.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(2).unwrap());
    let commands: Vec<_> = cells.filter(|cell| cell.contains("`aerostack ")).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for cell in commands {
        is_taken(cell.trim().trim_matches('`'));
    }
}

#[test]
fn in_the_page_for_ci() {
    let text = page("ci.md");
    let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let commands: Vec<_> = blocks.filter_map(|line| line.find("aerostack ").map(|at| &line[at..])).collect();
    assert!(
        commands.iter().filter(|command| command.contains("secrets rotate")).count() == 2,
        "{commands:?}"
    );
    for command in commands {
        is_taken(command);
    }
}
