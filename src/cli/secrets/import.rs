//! `aerostack secrets import`: many secrets at once, all of them or none.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use clap::{Args, ValueHint, value_parser};

use super::delete::at_stake;
use super::entries::Entry;
use super::import_source::{self, Format};
use super::value_source::too_short_for_redaction;
use crate::api::secrets_batch::{
    BatchEntry, EntryProblem, EntryProblemCode, MAX_BATCH_BYTES, SecretsBatchRequest, SecretsBatchSummary,
};
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::client::ClientError;
use crate::domain::{ServerSlug, WorkspaceSlug};

/// After this time somebody at a terminal is told that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Set many secrets at once, all of them or none
///
/// A .env file has one NAME=VALUE a line, comments that begin with '#', and quotes
/// where a value needs them: single ones for a value as it stands, double ones with
/// backslashes before special characters. Nothing is expanded. JSON is one object
/// with names and texts. If anything is wrong, every problem is told with its line,
/// and nothing is changed. Secrets that exist stay in the header they are sent in.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ImportArgs {
    /// MCP server that gets the secrets
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// File to read; '-' or none reads standard input
    #[arg(value_name = "FILE", value_parser = value_parser!(OsString), value_hint = ValueHint::FilePath)]
    file: Option<OsString>,
    /// How the file is written; found out if left out
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Delete the server's secrets that are not in the file
    #[arg(long)]
    prune: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Look first, then do it
  $ aerostack secrets import github-mcp .env --dry-run
  $ aerostack secrets import github-mcp .env
  # From another program, and nothing else stays
  $ sops -d secrets.json | aerostack secrets import github-mcp --prune --yes";

pub(super) async fn run(arguments: ImportArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let ImportArgs { server, file, format, prune, dry_run, confirmation } = arguments;
    let asks = prune && !dry_run;
    if asks {
        confirmation.check_possible(context)?;
    }
    let entries = import_source::read(file.as_ref(), format, context)?;
    let workspace = context.workspace()?;
    let mut agreed = None;
    if asks && !confirmation.yes {
        agreed = Some(ask(&confirmation, &workspace, &server, &entries, context).await?);
    }
    let batch = SecretsBatchRequest {
        secrets: entries.iter().map(|entry| BatchEntry::sending(&entry.name, &entry.value)).collect(),
        prune,
        dry_run,
    };
    check_size(&batch)?;
    let answer = send(&batch, &workspace, &server, context).await?;
    let answer = answer.map_err(|error| explained(error, &entries, &server))?;
    print(&answer, dry_run, context)?;
    report_short_values(&entries, context);
    let unseen = |name: &&String| agreed.as_ref().is_some_and(|agreed| !agreed.contains(*name));
    let unseen: Vec<&str> = answer.deleted.iter().filter(unseen).map(String::as_str).collect();
    if !unseen.is_empty() {
        let names = unseen.join(", ");
        context.terminal.warning(&format!(
            "also deleted, because somebody set it in the meantime: {}",
            printable::one_line(&names)
        ));
    }
    Ok(())
}

/// Shows the secrets that would be deleted, if there are any, and asks for the slug. Answers
/// the names that were shown.
async fn ask(
    confirmation: &Confirmation,
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    entries: &[Entry],
    context: &mut Context<'_>,
) -> Result<Vec<String>, Failure> {
    let mut present = context.api()?.secrets(workspace, server).await?.secrets;
    let kept: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    present.retain(|secret| !kept.contains(secret.name.as_str()));
    if !present.is_empty() {
        let question = format!("Delete these secrets of {server}, which the import does not have?");
        let at_stake = at_stake(server, &present).text();
        confirmation.ask_for_word(context, &at_stake, &question, server.as_str())?;
    }
    Ok(present.into_iter().map(|secret| secret.name).collect())
}

/// Sends it, and says so at a terminal when it takes its time.
async fn send(
    batch: &SecretsBatchRequest,
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    context: &mut Context<'_>,
) -> Result<Result<SecretsBatchSummary, ClientError>, Failure> {
    let (api, terminal) = context.api_and_terminal()?;
    let mut sending = std::pin::pin!(api.set_secrets(workspace, server, batch));
    if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut sending).await {
        return Ok(answer);
    }
    if terminal.talks_to_terminal() {
        terminal.note(&format!("Importing {} into {server} ...", counted(batch.secrets.len())));
    }
    Ok(sending.await)
}

/// As JSON the file may be longer than it was: quotes and backslashes are escaped.
fn check_size(batch: &SecretsBatchRequest) -> Result<(), Failure> {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, batch).map_err(anyhow::Error::new)?;
    if size.0 <= MAX_BATCH_BYTES {
        return Ok(());
    }
    let limit = MAX_BATCH_BYTES >> 20;
    Err(Failure::invalid_value(format!("as JSON that is more than {limit} MiB; nothing was sent"))
        .with_hint("import it in several parts"))
}

/// Counts what is written and keeps nothing.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The server's problems with the lines on which the entries stand.
fn explained(error: ClientError, entries: &[Entry], server: &ServerSlug) -> Failure {
    let (mut details, mut ways_out) = (Vec::new(), Vec::new());
    if let ClientError::Refused { problems, .. } = &error {
        for problem in problems {
            let place = match entries.get(problem.index) {
                Some(entry) => format!("line {}", entry.line),
                None => format!("secret {}", problem.index),
            };
            details.push(format!("{place}: {}", problem.code));
            ways_out.extend(way_out(problem, server));
        }
    }
    let failure = Failure::from(error);
    if details.is_empty() {
        return failure;
    }
    ways_out.dedup();
    let failure = failure.with_details(&details);
    if ways_out.is_empty() { failure } else { failure.with_hint(ways_out.join("; ")) }
}

/// What a person can do about it, for the first secret of its kind.
fn way_out(problem: &EntryProblem, server: &ServerSlug) -> Option<String> {
    match problem.code {
        EntryProblemCode::ReservedName | EntryProblemCode::HeaderTaken => Some(format!(
            "set it with a header of its own, 'aerostack secrets set {server} <NAME> --header <HEADER>', and import again: it keeps that"
        )),
        EntryProblemCode::Damaged => {
            Some(format!("delete it, 'aerostack secrets delete {server} <NAME>', and import again"))
        }
        _ => None,
    }
}

fn print(answer: &SecretsBatchSummary, dry_run: bool, context: &mut Context<'_>) -> Result<(), Failure> {
    if context.json() {
        return context.terminal.json(answer);
    }
    let counts = [answer.created.len(), answer.updated.len(), answer.deleted.len()];
    if !dry_run {
        let [created, replaced, deleted] = counts;
        return context.terminal.data(&format!(
            "{created} created, {replaced} replaced, {deleted} deleted. Takes effect on next tool call."
        ));
    }
    let marks =
        [("+ create", &answer.created), ("~ replace", &answer.updated), ("- delete", &answer.deleted)];
    let lines = marks.iter().flat_map(|(mark, names)| {
        names.iter().map(move |name| format!("{mark} {}", printable::one_line(name)))
    });
    context.terminal.data(&lines.collect::<Vec<_>>().join("\n"))?;
    context.terminal.note("Nothing was changed: this is a dry run.");
    Ok(())
}

fn report_short_values(entries: &[Entry], context: &mut Context<'_>) {
    let short = entries.iter().filter(|entry| !entry.value.is_redactable());
    let names: Vec<&str> = short.map(|entry| entry.name.as_str()).collect();
    if !names.is_empty() {
        context.terminal.caution(&too_short_for_redaction(&names.join(", ")));
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 secret".to_owned() } else { format!("{count} secrets") }
}
