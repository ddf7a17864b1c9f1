//! `aerostack secrets delete`: some secrets of a server, or all of them.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::secrets::{DeletedList, SecretSummary};
use crate::cli::age::ago;
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::table::{Table, day};
use crate::client::ClientError;
use crate::client::error::Verdict;
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug, suggestion};

/// Delete secrets of an MCP server
///
/// A deleted secret is not sent from the next tool call on, and its value cannot
/// be brought back. On a terminal you are shown what would go, and asked; without
/// one, --yes is needed. If one of several names is not there, nothing is deleted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DeleteArgs {
    /// MCP server that the secrets belong to
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Names of the secrets
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<SecretName>,
    /// Delete every secret of the server
    #[arg(long)]
    all: bool,
    /// Pass over names that are not there
    #[arg(long)]
    if_exists: bool,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # One secret
  $ aerostack secrets delete github-mcp GITHUB_TOKEN
  # In a script that may run twice
  $ aerostack secrets delete github-mcp OLD_TOKEN --if-exists --yes
  # Every secret of a server, without being asked
  $ aerostack secrets delete github-mcp --all --yes";

/// What is printed as JSON: the API's document, with more where more was asked for.
#[derive(Default, Serialize)]
struct DeletedDocument {
    deleted: Vec<String>,
    /// With `--if-exists`: what was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    /// With `--dry-run`: what would be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_delete: Option<Vec<String>>,
}

/// One run of the command.
struct Deletion<'a> {
    arguments: &'a DeleteArgs,
    workspace: WorkspaceSlug,
    /// The server's secrets as they were found.
    present: Vec<SecretSummary>,
}

pub(super) async fn run(arguments: DeleteArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    if !arguments.dry_run {
        arguments.confirmation.check_possible(context)?;
    }
    let workspace = context.workspace()?;
    let present = context.api()?.secrets(&workspace, &arguments.server).await?.secrets;
    let deletion = Deletion { arguments: &arguments, workspace, present };
    if arguments.all { deletion.of_all(context).await } else { deletion.of_some(context).await }
}

impl Deletion<'_> {
    async fn of_all(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let server = &self.arguments.server;
        if self.present.is_empty() {
            context.terminal.note(&format!("No secrets for {server}; nothing to delete."));
        }
        if self.arguments.dry_run {
            return self.would_delete(self.present.iter().collect(), Vec::new(), context);
        }
        if self.present.is_empty() {
            return self.print(Vec::new(), Vec::new(), context);
        }
        let question = format!("Delete every secret of {server}?");
        let at_stake = at_stake(server, &self.present).text();
        self.arguments.confirmation.ask_for_word(context, &at_stake, &question, server.as_str())?;
        if self.arguments.confirmation.yes {
            let DeletedList { deleted } = context.api()?.delete_all_secrets(&self.workspace, server).await?;
            return self.print(deleted, Vec::new(), context);
        }
        // What was shown, and no more.
        let shown: Vec<&SecretSummary> = self.present.iter().collect();
        self.delete_each(&shown, Vec::new(), context).await?;
        self.tell_what_is_left(context).await
    }

    /// Names what came while the question stood; where that cannot be found out, nothing.
    async fn tell_what_is_left(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let list = context.api()?.secrets(&self.workspace, &self.arguments.server).await;
        let left: Vec<String> =
            list.map(|list| list.secrets).unwrap_or_default().into_iter().map(|one| one.name).collect();
        if !left.is_empty() {
            let names = left.join(", ");
            context.terminal.warning(&format!(
                "not deleted, because somebody set it in the meantime: {}",
                printable::one_line(&names)
            ));
        }
        Ok(())
    }

    async fn of_some(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        let server = &self.arguments.server;
        let (chosen, missing) = self.choose()?;
        for name in &missing {
            let name = SecretName::parse(name).map_or_else(|_| String::new(), |name| name.shown().to_owned());
            context.terminal.note(&format!("{server} has no secret {name}."));
        }
        if self.arguments.dry_run {
            return self.would_delete(chosen, missing, context);
        }
        if !chosen.is_empty() {
            let question = format!("Delete {} of {server}?", counted(chosen.len()));
            let at_stake = at_stake(server, chosen.iter().copied()).text();
            self.arguments.confirmation.ask(context, &at_stake, &question)?;
        }
        self.delete_each(&chosen, missing, context).await
    }

    /// The secrets that were named, in that order and each once, and names that are not there.
    fn choose(&self) -> Result<(Vec<&SecretSummary>, Vec<String>), Failure> {
        let (mut chosen, mut missing): (Vec<&SecretSummary>, Vec<String>) = (Vec::new(), Vec::new());
        for name in &self.arguments.names {
            match check_present(name, &self.arguments.server, &self.present, "deleted") {
                Ok(secret) if chosen.iter().any(|one| one.name == secret.name) => {}
                Ok(secret) => chosen.push(secret),
                Err(failure) if !self.arguments.if_exists => return Err(failure),
                Err(_) if missing.iter().any(|one| one == name.as_str()) => {}
                Err(_) => missing.push(name.to_string()),
            }
        }
        Ok((chosen, missing))
    }

    async fn delete_each(
        &self,
        chosen: &[&SecretSummary],
        mut missing: Vec<String>,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let mut deleted: Vec<String> = Vec::new();
        for (index, secret) in chosen.iter().enumerate() {
            let name =
                SecretName::parse(&secret.name).map_err(|problem| Failure::usage(problem.to_string()))?;
            match context.api()?.delete_secret(&self.workspace, &self.arguments.server, &name).await {
                Ok(()) => deleted.push(name.to_string()),
                // Somebody else was faster.
                Err(
                    ClientError::Refused { verdict: Verdict { status: 404, .. }, .. }
                    | ClientError::PerhapsDeleted { .. },
                ) if self.arguments.if_exists || self.arguments.all => {
                    missing.push(name.to_string());
                }
                Err(error) => {
                    let done = how_far(&deleted, &chosen[index..], error.is_uncertain());
                    let failure = Failure::from(error);
                    if deleted.is_empty() {
                        return Err(done.map_or(failure.clone(), |done| failure.with_context(&done)));
                    }
                    self.print(deleted, missing, context)?;
                    return Err(failure.partly_done(&done.unwrap_or_default()));
                }
            }
        }
        self.print(deleted, missing, context)
    }

    fn would_delete(
        &self,
        chosen: Vec<&SecretSummary>,
        missing: Vec<String>,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let names: Vec<String> = chosen.into_iter().map(|secret| secret.name.clone()).collect();
        if context.json() {
            let missing = self.arguments.if_exists.then_some(missing);
            let document =
                DeletedDocument { missing, would_delete: Some(names), ..DeletedDocument::default() };
            return context.terminal.json(&document);
        }
        for name in names {
            let (name, server) = (printable::one_line(&name), &self.arguments.server);
            context.terminal.data(&format!("Would delete {name} from {server}."))?;
        }
        Ok(())
    }

    fn print(
        &self,
        deleted: Vec<String>,
        missing: Vec<String>,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if context.json() {
            let missing = self.arguments.if_exists.then_some(missing);
            return context.terminal.json(&DeletedDocument { deleted, missing, would_delete: None });
        }
        for name in deleted {
            let (name, server) = (printable::one_line(&name), &self.arguments.server);
            let told = format!("Deleted {name} from {server}. No longer sent from the next tool call.");
            context.terminal.data(&told)?;
        }
        Ok(())
    }
}

/// The secret of this name; `done` is what was not done if there is none.
pub(super) fn check_present<'a>(
    name: &SecretName,
    server: &ServerSlug,
    present: &'a [SecretSummary],
    done: &str,
) -> Result<&'a SecretSummary, Failure> {
    if let Some(secret) = present.iter().find(|secret| secret.name == name.as_str()) {
        return Ok(secret);
    }
    let names = present.iter().map(|secret| secret.name.as_str());
    let hint =
        suggestion::hint(name.as_str(), names, &format!("'aerostack secrets list {server}' shows them"));
    // A value may stand there.
    Err(Failure::not_found(format!("{server} has no secret {}; nothing was {done}", name.shown()))
        .with_hint(hint))
}

/// What would be lost, with its age.
pub(super) fn at_stake<'a>(
    server: &ServerSlug,
    secrets: impl IntoIterator<Item = &'a SecretSummary>,
) -> Table {
    let mut table = Table::new(&["MCP SERVER", "SECRET NAME", "INJECTION", "LAST UPDATED", "AGE"]);
    let now = Timestamp::now();
    for secret in secrets {
        let (label, age) = (secret.injection.label(&secret.name), ago(&secret.updated_at, now));
        let known = [label.as_str(), day(&secret.updated_at), &age];
        let [rule, date, age] = if secret.damaged { ["damaged", "-", "-"] } else { known };
        table.row([server.as_str(), &secret.name, rule, date, age]);
    }
    table
}

/// What became of the names when the first one of `left` failed; `None` if it was the only one.
fn how_far(deleted: &[String], left: &[&SecretSummary], uncertain: bool) -> Option<String> {
    let mut parts = Vec::new();
    if !deleted.is_empty() {
        parts.push(format!("deleted {}", deleted.join(", ")));
    }
    match left {
        [failed, rest @ ..] if uncertain => {
            parts.push(format!("not known: {}", failed.name));
            if !rest.is_empty() {
                parts.push(format!("not tried: {}", joined(rest)));
            }
        }
        _ => parts.push(format!("not deleted {}", joined(left))),
    }
    (parts.len() > 1 || left.len() > 1).then(|| parts.join("; "))
}

fn joined(secrets: &[&SecretSummary]) -> String {
    secrets.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn counted(count: usize) -> String {
    if count == 1 { "1 secret".to_owned() } else { format!("{count} secrets") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::secrets::InjectionDocument;

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let text = "2026-03-15T00:00:00Z".to_owned();
        let present = [SecretSummary {
            name: "GITHUB_TOKEN".to_owned(),
            injection: InjectionDocument::Name {},
            created_at: text.clone(),
            updated_at: text,
            version: 1,
            damaged: false,
        }];
        let server = ServerSlug::parse("github-mcp").unwrap();
        let check =
            |name: &str| check_present(&SecretName::parse(name).unwrap(), &server, &present, "deleted");
        assert!(check("GITHUB_TOKEN").is_ok());
        let failure = check("GITHUB_TOKN").unwrap_err();
        assert_eq!((failure.exit_code(), failure.hint()), (3, Some("did you mean 'GITHUB_TOKEN'?")));
        assert!(check("OTHER").unwrap_err().hint().unwrap().contains("secrets list github-mcp"));
    }
}
