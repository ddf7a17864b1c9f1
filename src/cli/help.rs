//! Help on one screen: the library's compact form, with the long description where `--help`
//! asks for it, and the global options on the program's own page only.

use std::ffi::OsString;

use clap::Command;

use super::problem::deepest;

/// What stands at the end of a command's page.
const MORE: &str = "Global options such as --json, --api-url and --workspace: aerostack --help";

/// The page that `-h`, `--help` or `help` asks for.
pub(super) fn page(command: &Command, arguments: &[OsString]) -> String {
    let short = arguments.iter().skip(1).any(|argument| argument == "-h");
    let words: Vec<OsString> = arguments.iter().filter(|argument| *argument != "help").cloned().collect();
    let mut found = deepest(command, &words);
    if !short && let Some(about) = found.get_long_about().cloned() {
        found = found.about(about);
    }
    if found.get_name() != command.get_name() {
        let is_global = |argument: &&clap::Arg| argument.is_global_set();
        let globals: Vec<_> =
            found.get_arguments().filter(is_global).map(|argument| argument.get_id().clone()).collect();
        for id in globals {
            found = found.mut_arg(id, |argument| argument.hide(true));
        }
        let examples = found.get_after_help().map(ToString::to_string);
        found = found.after_help(examples.map_or(MORE.to_owned(), |text| format!("{text}\n\n{MORE}")));
    }
    let rendered = found.render_help().to_string();
    rendered.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
