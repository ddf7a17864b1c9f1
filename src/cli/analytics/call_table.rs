//! Calls one by one as a table, newest first.

use super::duration;
use crate::api::analytics::CallLog;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::domain::WorkspaceSlug;

/// Fields of a call in JSON.
pub(super) const FIELDS: &[&str] =
    &["time", "token", "token_name", "server", "tool", "success", "outcome", "ms", "request_id"];

pub(super) fn show(
    workspace: &WorkspaceSlug,
    log: &CallLog,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    if context.json() {
        return context.print_list("calls", log);
    }
    if log.calls.is_empty() {
        context.terminal.note(&format!("No calls in the workspace {workspace}."));
        return Ok(());
    }
    let mut table = Table::new(&["TIME", "TOKEN", "TOOL", "OUTCOME", "DURATION", "REQUEST ID"]);
    for call in &log.calls {
        table.row([
            &call.time,
            call.token_name.as_deref().unwrap_or(&call.token),
            &format!("{}__{}", call.server, call.tool),
            &call.outcome,
            &duration(call.ms),
            &call.request_id,
        ]);
    }
    context.terminal.data(&table.text())?;
    if let Some(next) = &log.next {
        context.terminal.note(&format!("There are more: add --after {next}"));
    }
    Ok(())
}
