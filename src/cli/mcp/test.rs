//! `aerostack mcp test`: whether an MCP server works with its secrets, and what is wrong.

use clap::Args;

use crate::api::server_test::{Finding, FindingLevel, ServerTestReport};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, FailureKind};
use crate::cli::printable::one_line;
use crate::domain::ServerSlug;

/// Connect to an MCP server with its secrets and say what is wrong
///
/// The companion server connects, as it does for members: it opens a session and
/// lists the tools, but calls none. Exit 0 if that works, 7 if there is no
/// connection, 6 if a setting here is in the way (a credential, an address), else 1.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TestArgs {
    /// MCP server to test
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
}

const EXAMPLES: &str = "\
EXAMPLES
  $ aerostack mcp test github-mcp
  # What was found, for a program
  $ aerostack mcp test github-mcp --json";

pub(super) async fn run(arguments: TestArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let TestArgs { server } = arguments;
    let workspace = context.workspace()?;
    let mut report = context.api()?.test_server(&workspace, &server).await?;
    for hint in report.findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
        *hint = context.in_workspace(hint);
    }
    if context.json() {
        context.terminal.json(&report)?;
    } else if report.ok {
        context.terminal.data(&summary(&report))?;
    }
    let (errors, warnings): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.level == FindingLevel::Error);
    if !context.json() {
        for finding in warnings {
            let hint =
                finding.hint.as_deref().map(|hint| format!(" ({})", one_line(hint))).unwrap_or_default();
            context.terminal.warning(&format!("{}{hint}", one_line(&finding.message)));
        }
    }
    if report.ok { Ok(()) } else { Err(failure(&server, &errors)) }
}

/// `github-mcp works: MCP 2025-11-25 (legacy era), 12 tools, 340 ms`.
fn summary(report: &ServerTestReport) -> String {
    let tools = match report.tools.unwrap_or(0) {
        1 => "1 tool".to_owned(),
        count => format!("{count} tools"),
    };
    let protocol = report.protocol.as_deref().unwrap_or("of an unknown version");
    let era = report.era.as_deref().map(|era| format!(" ({era} era)")).unwrap_or_default();
    format!("{} works: MCP {protocol}{era}, {tools}, {} ms", report.server, report.took_ms)
}

/// The first error decides the exit code.
fn failure(server: &ServerSlug, errors: &[&Finding]) -> Failure {
    let Some(first) = errors.first() else {
        return Failure::new(
            FailureKind::Unexpected,
            format!("{server} does not work, and nothing says why"),
        );
    };
    let kind = match first.code.as_str() {
        "dns_failed" | "connection_refused" | "connect_timed_out" | "unreachable" | "tls_failed"
        | "timed_out" | "cut" => FailureKind::Network,
        "address_refused" | "credential_refused" | "no_credential" | "secret_unavailable" => {
            FailureKind::Conflict
        }
        _ => FailureKind::Unexpected,
    };
    let failure = Failure::new(kind, format!("{server} does not work: {}", one_line(&first.message)));
    match &first.hint {
        Some(hint) => failure.with_hint(one_line(hint)),
        None => failure,
    }
}
