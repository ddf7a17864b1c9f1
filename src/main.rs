//! The program: parse, run, exit code.

use std::process::ExitCode;

use aerostack::cli::settings::Settings;
use aerostack::cli::terminal::Terminal;
use aerostack::cli::{hardening, run_arguments};

fn main() -> ExitCode {
    hardening::harden();
    let settings = Settings::from_environment();
    let mut terminal = Terminal::stdio();
    match run_arguments(std::env::args_os(), &settings, &mut terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
