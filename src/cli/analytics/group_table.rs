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
/// Where there is less room than this there are none.
const SHORTEST_BAR: u64 = 4;
/// Blanks before a bar.
const BEFORE_BAR: usize = 3;

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
    let text = if context.terminal.shows_data() {
        with_bars(&document.groups, by, context.terminal.data_width())
    } else {
        table(&document.groups, by, 0)
    };
    context.terminal.data(&text)?;
    if document.truncated {
        context.terminal.note("There are more; these have the most calls.");
    }
    Ok(())
}

/// The table with bars as long as there is room in a line of so many characters.
fn with_bars(groups: &[CallGroup], by: &[GroupBy], width: Option<usize>) -> String {
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let longest = longest(&table(groups, by, 0));
    let room = width.map_or(BAR, |width| BAR.min(width.saturating_sub(longest + BEFORE_BAR) as u64));
    table(groups, by, if room < SHORTEST_BAR { 0 } else { room })
}

/// Columns by which calls were put together, then the numbers, and a bar of at most this length.
fn table(groups: &[CallGroup], by: &[GroupBy], longest_bar: u64) -> String {
    let mut titles: Vec<&str> = by.iter().map(|by| title(*by)).collect();
    titles.extend(["CALLS", "FAILURES", "MEAN", "P95"]);
    if longest_bar > 0 {
        titles.push("");
    }
    let most = groups.iter().map(|group| group.calls).max().unwrap_or(0);
    let mut table = Table::new(&titles);
    for group in groups {
        let mut cells: Vec<String> = by.iter().map(|by| name(*by, group)).collect();
        cells.extend([group.calls.to_string(), group.failures.to_string()]);
        cells.extend([duration(group.mean_ms), duration(group.p95_ms)]);
        if longest_bar > 0 {
            cells.push(bar(group, most, longest_bar));
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
fn bar(group: &CallGroup, most: u64, longest: u64) -> String {
    let length = |count: u64| {
        let blocks = (u128::from(count) * u128::from(longest)).div_ceil(u128::from(most.max(1)));
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
        assert_eq!(table(&groups, &[GroupBy::Tool], 0), plain);
        let shown = with_bars(&groups, &[GroupBy::Server, GroupBy::Tool], None);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("SERVER       TOOL "), "{shown}");
        assert!(lines[1].ends_with(&format!("1.5 s   {}░░", "█".repeat(22))), "{shown}");
        assert!(lines[2].ends_with("1.5 s   ░"), "{shown}");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let groups = [group("create_or_update_file", 48, 4), group("x", 1, 1)];
        let longest = |width| {
            let text = with_bars(&groups, &[GroupBy::Tool], Some(width));
            text.lines().map(|line| line.chars().count()).max().unwrap()
        };
        let plain = table(&groups, &[GroupBy::Tool], 0);
        let least = plain.lines().map(|line| line.chars().count()).max().unwrap();
        for width in least..120 {
            assert!(longest(width) <= width, "{width}");
        }
        assert_eq!((longest(least + 3 + 4), longest(least + 3 + 3)), (least + 3 + 4, least));
        assert_eq!((longest(10), longest(500)), (least, least + 3 + 24));
    }

    #[test]
    fn bars_have_the_right_length() {
        let length = |calls, failures, most| bar(&group("t", calls, failures), most, BAR).chars().count();
        assert_eq!((length(10, 0, 10), length(5, 5, 10), length(1, 0, 1_000_000)), (24, 12, 1));
        assert_eq!(bar(&group("t", u64::MAX, 0), u64::MAX, BAR).chars().count(), 24);
        assert_eq!(bar(&group("t", 0, 0), 0, BAR), "");
    }
}
