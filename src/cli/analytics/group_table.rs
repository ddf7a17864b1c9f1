//! Calls in groups as a table; on a terminal with a bar for each.

use super::{GroupBy, duration};
use crate::api::analytics::{CallGroup, CallGroups};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::domain::WorkspaceSlug;

/// Fields of a group in JSON.
pub(super) const FIELDS: &[&str] =
    &["server", "tool", "token", "token_name", "calls", "failures", "mean_ms", "p95_ms"];
/// Longest bar, in characters.
const BAR: u64 = 24;

pub(super) fn show(
    workspace: &WorkspaceSlug,
    document: &CallGroups,
    by: &[GroupBy],
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    if context.json() {
        return context.print_list("groups", document);
    }
    if document.groups.is_empty() {
        context.terminal.note(&format!("No calls in the workspace {workspace} since {}.", document.since));
        return Ok(());
    }
    let text = table(&document.groups, by, context.terminal.shows_data());
    context.terminal.data(&text)?;
    if document.truncated {
        context.terminal.note("There are more; these have the most calls.");
    }
    Ok(())
}

/// Columns by which calls were put together, then the numbers.
fn table(groups: &[CallGroup], by: &[GroupBy], with_bars: bool) -> String {
    let mut titles: Vec<&str> = by.iter().map(|by| title(*by)).collect();
    titles.extend(["CALLS", "FAILURES", "MEAN", "P95"]);
    if with_bars {
        titles.push("");
    }
    let most = groups.iter().map(|group| group.calls).max().unwrap_or(0);
    let mut table = Table::new(&titles);
    for group in groups {
        let mut cells: Vec<String> = by.iter().map(|by| name(*by, group)).collect();
        cells.extend([group.calls.to_string(), group.failures.to_string()]);
        cells.extend([duration(group.mean_ms), duration(group.p95_ms)]);
        if with_bars {
            cells.push(bar(group, most));
        }
        table.cells(&cells);
    }
    table.text()
}

fn title(by: GroupBy) -> &'static str {
    match by {
        GroupBy::Tool => "TOOL",
        GroupBy::Token => "TOKEN",
        GroupBy::Server => "SERVER",
    }
}

/// A tool has the name that members of the workspace call it by.
fn name(by: GroupBy, group: &CallGroup) -> String {
    let text = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    match by {
        GroupBy::Tool => format!("{}__{}", text(&group.server), text(&group.tool)),
        GroupBy::Server => text(&group.server),
        GroupBy::Token => match &group.token_name {
            Some(name) => format!("{name} ({})", text(&group.token)),
            None => text(&group.token),
        },
    }
}

/// Full blocks for calls that succeeded, then shaded ones for those that did not. What is
/// there is seen: one block at least.
fn bar(group: &CallGroup, most: u64) -> String {
    let length = |count: u64| {
        let blocks = (u128::from(count) * u128::from(BAR)).div_ceil(u128::from(most.max(1)));
        usize::try_from(blocks).unwrap_or_default()
    };
    let whole = length(group.calls);
    let failed = length(group.failures).min(whole);
    format!("{}{}", "█".repeat(whole - failed), "░".repeat(failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(tool: &str, calls: u64, failures: u64) -> CallGroup {
        CallGroup {
            server: Some("github-mcp".to_owned()),
            tool: Some(tool.to_owned()),
            token: None,
            token_name: None,
            calls,
            failures,
            mean_ms: 12.5,
            p95_ms: 1_500.0,
        }
    }

    #[test]
    fn bars_are_for_terminals() {
        let groups = [group("get_me", 48, 4), group("a\u{1b}[2J", 1, 1)];
        let plain = "\
TOOL                     CALLS   FAILURES   MEAN    P95
github-mcp__get_me       48      4          12 ms   1.5 s
github-mcp__a\\u{1b}[2J   1       1          12 ms   1.5 s";
        assert_eq!(table(&groups, &[GroupBy::Tool], false), plain);
        let shown = table(&groups, &[GroupBy::Server, GroupBy::Tool], true);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("SERVER       TOOL "), "{shown}");
        assert!(lines[1].ends_with(&format!("1.5 s   {}░░", "█".repeat(22))), "{shown}");
        assert!(lines[2].ends_with("1.5 s   ░"), "{shown}");
    }

    #[test]
    fn bars_have_the_right_length() {
        let length = |calls, failures, most| bar(&group("t", calls, failures), most).chars().count();
        assert_eq!((length(10, 0, 10), length(5, 5, 10), length(1, 0, 1_000_000)), (24, 12, 1));
        assert_eq!(bar(&group("t", u64::MAX, 0), u64::MAX).chars().count(), 24);
        assert_eq!(bar(&group("t", 0, 0), 0), "");
    }
}
