//! `aerostack analytics`: which tools were called, how often, how long it took, and the
//! log of calls.

mod call_table;
mod group_table;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::context::Context;
use super::failure::Failure;
use super::problem::Rule;
use crate::domain::{Period, WorkspaceSlug, beginning_of_day};

/// Show which tools were called, how often and how long it took
///
/// Calls are put together by tool, token or server. MEAN and P95 are durations until
/// the whole answer was there; 95 of 100 calls took no longer than P95. No arguments
/// and no results are recorded.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AnalyticsArgs {
    /// Workspace; the one in use if left out
    #[arg(id = "named_workspace", value_name = "workspace")]
    workspace: Option<WorkspaceSlug>,
    /// What to put together by; several with commas between
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "tool",
        conflicts_with = "calls"
    )]
    by: Vec<GroupBy>,
    /// From when on: 7d (or s, m, h, w), a day (in UTC) or a time in RFC 3339
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since, conflicts_with = "calls")]
    since: String,
    /// Show the calls one by one, newest first
    #[arg(long)]
    calls: bool,
    /// With --calls, those of one token only
    #[arg(long, value_name = "TOKEN-ID", requires = "calls")]
    token: Option<String>,
    /// With --calls, those before a page that was shown
    #[arg(long, value_name = "NEXT", requires = "calls")]
    after: Option<String>,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Tools of the workspace in use, last seven days
  $ aerostack analytics
  # Who used what in team-a today
  $ aerostack analytics team-a --by token,tool --since 24h
  # The last calls of one token
  $ aerostack analytics --calls --token a1B2c3D4e5F6
  # Servers with failures, for a program
  $ aerostack analytics --by server --json --fields server,failures";

/// What calls are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GroupBy {
    /// The tool of a server
    Tool,
    /// The workspace token
    Token,
    /// The MCP server
    Server,
}

impl GroupBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Token => "token",
            Self::Server => "server",
        }
    }
}

impl AnalyticsArgs {
    /// Fields of an entry in JSON.
    pub(super) fn fields(&self) -> &'static [&'static str] {
        if self.calls { call_table::FIELDS } else { group_table::FIELDS }
    }
}

/// Checks the time and leaves it as it was written: the server's clock decides.
fn since(text: &str) -> Result<String, Rule> {
    let is_time = text.parse::<Timestamp>().is_ok() || beginning_of_day(text).is_some();
    if is_time || text.parse::<Period>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(Rule(
        "a time is a number and one of s, m, h, d, w, such as 7d, or a day such as 2026-03-15, or RFC 3339 such as \
         2026-03-15T10:00:00Z",
    ))
}

pub(super) async fn run(arguments: AnalyticsArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let workspace = match arguments.workspace {
        Some(workspace) => context.named_workspace(workspace)?,
        None => context.workspace()?,
    };
    if arguments.calls {
        let (token, after) = (arguments.token.as_deref(), arguments.after.as_deref());
        let log = context.api()?.call_log(&workspace, token, after).await?;
        return call_table::show(&workspace, &log, context);
    }
    let mut columns: Vec<GroupBy> = Vec::new();
    for by in arguments.by {
        if !columns.contains(&by) {
            columns.push(by);
        }
    }
    let by = columns.iter().map(|by| by.as_str()).collect::<Vec<_>>().join(",");
    let groups = context.api()?.call_groups(&workspace, &by, &arguments.since).await?;
    group_table::show(&workspace, &groups, &columns, context)
}

/// A duration for people: three digits say enough.
fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 100_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms => format!("{:.0} s", ms / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let told = [0.0, 0.04, 0.25, 9.94, 12.6, 999.4, 1_000.0, 99_940.0, 300_000.0].map(duration);
        let expected =
            ["0.0 ms", "0.0 ms", "0.2 ms", "9.9 ms", "13 ms", "999 ms", "1.0 s", "99.9 s", "300 s"];
        assert_eq!(told, expected);
    }

    #[test]
    fn times() {
        for good in ["7d", "24h", "2026-03-15", "2026-03-15T10:00:00Z", "2026-03-15T10:00:00+02:00"] {
            assert_eq!(since(good).ok().as_deref(), Some(good));
        }
        for bad in ["", "yesterday", "7", "2026-03", "2026-03-15T10:00"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
