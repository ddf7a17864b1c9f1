//! The help of a command, on one screen: the options that every command takes stand in the
//! help of the program alone.

use std::ffi::OsString;

use super::problem::deepest;

/// Heading of the options that every command takes.
pub(super) const GLOBAL: &str = "Global options";

/// The help of the deepest command that was named; `None` for a topic, which is a page of
/// its own.
pub(super) fn of_command(program: &clap::Command, arguments: &[OsString]) -> Option<String> {
    let is_help = |argument: &OsString| argument == "help";
    let named: Vec<OsString> = arguments.iter().filter(|argument| !is_help(argument)).cloned().collect();
    let command = deepest(program, &named);
    if command.is_hide_set() {
        return None;
    }
    if command.get_name() == program.get_name() {
        let mut command = command;
        let help = command.render_help().to_string();
        return Some(help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"));
    }
    let about = command.get_long_about().or_else(|| command.get_about()).cloned().unwrap_or_default();
    let help = command
        .about(about)
        .mut_args(|argument| {
            let global = argument.get_help_heading() == Some(GLOBAL);
            argument.hide(global).hide_possible_values(global)
        })
        .render_help()
        .to_string();
    let short = "Print help (see more with '--help')";
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let text = lines.join("\n").trim_end().replace(short, "Print help");
    Some(format!("{text}\n\n--json, -w, --no-input and other options of all commands: aerostack --help"))
}
