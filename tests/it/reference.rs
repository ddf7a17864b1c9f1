//! What is generated from the grammar of the command line and checked in: man pages and
//! the CLI reference. `AEROSTACK_WRITE_REFERENCE=1 cargo test reference` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use aerostack::cli::failure::FailureKind;
use aerostack::cli::{Cli, env_vars};
use clap::{Arg, Command, CommandFactory};

/// The grammar without the subcommand `help`, whose pages would repeat the others.
fn grammar() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Every command with the words that lead to it.
fn commands(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    found.push((path.to_owned(), command.clone()));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        commands(below, &format!("{path} {}", below.get_name()), found);
    }
}

fn all() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    commands(&grammar(), "aerostack", &mut found);
    found
}

/// Compares a file that is kept with the sources, or writes it anew.
#[track_caller]
pub fn kept(file: &Path, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("AEROSTACK_WRITE_REFERENCE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is old; write it anew: AEROSTACK_WRITE_REFERENCE=1 cargo test --test it reference",
        file.display()
    );
}

#[test]
fn man_pages() {
    let mut names = Vec::new();
    for (path, command) in all() {
        let name = path.replace(' ', "-");
        // The grammar keeps borrowed names only.
        let kept_name: &'static str = name.clone().leak();
        let command = command.name(kept_name).display_name(kept_name).version(env!("CARGO_PKG_VERSION"));
        kept(&PathBuf::from(format!("docs/man/{name}.1")), &man_page(&path, &command));
        names.push(format!("{name}.1"));
    }
    names.sort();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man");
    let mut there: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, names, "a page of a command that is gone, or none of one that is there");
}

#[test]
fn cli_reference() {
    let mut text = String::from(
        "# CLI reference\n\nMade from the program's own grammar, and compared with it by a test. The same as man pages: \
         [man/](man/).\n",
    );
    for (path, command) in all() {
        describe(&path, &command, &mut text);
    }
    kept(Path::new("docs/cli.md"), &text);
}

fn describe(path: &str, command: &Command, text: &mut String) {
    write!(text, "\n## {path}\n\n").unwrap();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    writeln!(text, "{}\n", about.unwrap_or_default()).unwrap();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    writeln!(text, "```\n{usage}\n```\n").unwrap();
    let below: Vec<_> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    for below in &below {
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "* `{path} {}`: {about}", below.get_name()).unwrap();
    }
    let is_own = |argument: &&Arg| {
        !argument.is_hide_set()
            && argument.get_id() != "help"
            && (path == "aerostack" || !argument.is_global_set())
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(is_own).collect();
    if !arguments.is_empty() {
        if !below.is_empty() {
            text.push('\n');
        }
        text.push_str("| argument | meaning |\n| --- | --- |\n");
        for argument in arguments {
            writeln!(text, "| {} | {} |", name(argument), meaning(argument)).unwrap();
        }
    }
    for (heading, lines) in parts_after_help(command) {
        match heading.as_deref() {
            Some("EXAMPLES") => writeln!(text, "\n```sh\n{}\n```", lines.join("\n")).unwrap(),
            Some(_) => writeln!(text, "\n```text\n{}\n```", lines.join("\n")).unwrap(),
            None => writeln!(text, "\n{}", lines.join(" ")).unwrap(),
        }
    }
}

/// What stands below the help: parts with blank lines in between, each under a heading in
/// capitals or without one.
fn parts_after_help(command: &Command) -> Vec<(Option<String>, Vec<String>)> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let parts = text.split("\n\n").filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
            let is_heading = !first.chars().any(char::is_lowercase);
            let (heading, lines) = if is_heading { (Some(first.to_owned()), rest) } else { (None, part) };
            (heading, lines.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned()).collect())
        })
        .collect()
}

/// A page of the manual: the library's parts, and ours for what stands below the help, with
/// its lines as they are.
fn man_page(path: &str, command: &Command) -> String {
    let man = clap_mangen::Man::new(command.clone());
    let man = man.title(path.replace(' ', "-").to_uppercase()).date("").source("aerostack");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let mut page = String::from_utf8(page).unwrap();
    for (heading, lines) in parts_after_help(command) {
        match heading {
            Some(heading) => {
                writeln!(page, ".SH \"{heading}\"\n.EX").unwrap();
                for line in &lines {
                    writeln!(page, "{}", roff(line)).unwrap();
                }
                page.push_str(".EE\n");
            }
            None => writeln!(page, ".PP\n{}", roff(&lines.join(" "))).unwrap(),
        }
    }
    page.push_str(".SH \"EXIT STATUS\"\n");
    let kinds = FailureKind::ALL.map(|kind| (kind.exit_code(), kind.meaning()));
    for (code, meaning) in [(0, "done")].into_iter().chain(kinds) {
        writeln!(page, ".TP\n\\fB{code}\\fR\n{}", roff(meaning)).unwrap();
    }
    page.push_str(".SH ENVIRONMENT\n");
    if path != "aerostack" {
        page.push_str("The variables are listed in\n.BR aerostack (1).\n");
        return page;
    }
    for (heading, variables) in
        [("", env_vars::COMMAND_LINE), (".SS \"The companion server\"\n", env_vars::SERVER)]
    {
        page.push_str(heading);
        for var in variables {
            let default = var.default.map(|text| format!(" (default: {text})")).unwrap_or_default();
            let text = roff(&format!("{}{default}", var.meaning));
            writeln!(page, ".TP\n\\fB{}\\fR\n{text}", roff(var.name)).unwrap();
        }
    }
    page
}

/// A line of text as it stands, whatever it begins with.
fn roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

/// `-w, --workspace <SLUG>` or `<mcp-slug>`.
fn name(argument: &Arg) -> String {
    let mut parts = Vec::new();
    parts.extend(argument.get_short().map(|short| format!("-{short}")));
    parts.extend(argument.get_long().map(|long| format!("--{long}")));
    let values = argument.get_value_names().unwrap_or_default().iter().map(|value| format!("<{value}>"));
    let values = if argument.get_action().takes_values() {
        values.collect::<Vec<_>>().join(" ")
    } else {
        String::new()
    };
    format!("`{}`", format!("{} {values}", parts.join(", ")).trim())
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let known: Vec<_> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let known = if known.is_empty() || !argument.get_action().takes_values() {
        String::new()
    } else {
        format!(" (one of: {})", known.join(", "))
    };
    let default: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let takes = argument.get_action().takes_values() && !default.is_empty();
    let default = if takes { format!(" (default: {})", default.join(", ")) } else { String::new() };
    format!("{}{known}{default}", help.replace('|', "\\|"))
}
