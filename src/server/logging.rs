//! The log: to standard error, one line for each event, without values. Libraries are
//! never logged below `warn`, whatever the filter says: they may print what they carry.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt;

use super::settings;

/// Starts the log with the filter of the environment, else with `default`.
/// A second call changes nothing.
pub fn start(default: &str, colour: bool) {
    let _ = fmt().with_env_filter(filter(default)).with_writer(std::io::stderr).with_ansi(colour).try_init();
}

/// The same with one JSON document for each event, for programs that collect logs.
pub fn start_json(default: &str) {
    let log = fmt().json().flatten_event(true).with_current_span(false).with_span_list(false);
    let _ = log.with_env_filter(filter(default)).with_writer(std::io::stderr).try_init();
}

fn filter(default: &str) -> EnvFilter {
    let chosen = settings::log_filter();
    let text = own_levels(chosen.as_deref().unwrap_or(default));
    EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(text)
}

/// `trace` becomes `aerostack=trace`; directives for other crates are dropped.
fn own_levels(text: &str) -> String {
    let own = |directive: &&str| directive.starts_with("aerostack") || !directive.contains('=');
    let named = |directive: &str| {
        if directive.starts_with("aerostack") {
            directive.to_owned()
        } else {
            format!("aerostack={directive}")
        }
    };
    text.split(',').map(str::trim).filter(own).map(named).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::own_levels;

    #[test]
    fn libraries_stay_quiet() {
        assert_eq!(own_levels("trace"), "aerostack=trace");
        assert_eq!(own_levels("debug,hyper=trace"), "aerostack=debug");
        assert_eq!(own_levels("aerostack::server=trace"), "aerostack::server=trace");
    }
}
