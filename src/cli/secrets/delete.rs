//! `aerostack secrets delete`: some secrets of a server, or all of them.

use clap::Args;

use super::list::table;
use crate::api::secrets::{DeletedList, SecretSummary};
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug, suggestion};

/// Delete secrets of an MCP server
///
/// A deleted secret is not sent from the next tool call on, and its value cannot
/// be brought back.
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
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # One secret
  $ aerostack secrets delete github-mcp GITHUB_TOKEN
  # Every secret of a server, without being asked
  $ aerostack secrets delete github-mcp --all --yes";

pub(super) async fn run(arguments: DeleteArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    arguments.confirmation.check_possible(context)?;
    let workspace = context.workspace()?;
    let present = context.api()?.secrets(&workspace, &arguments.server).await?.secrets;
    if arguments.all {
        delete_all(&arguments, &workspace, &present, context).await
    } else {
        delete_named(&arguments, &workspace, &present, context).await
    }
}

async fn delete_all(
    arguments: &DeleteArgs,
    workspace: &WorkspaceSlug,
    present: &[SecretSummary],
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let server = &arguments.server;
    if present.is_empty() {
        context.terminal.note(&format!("No secrets for {server}; nothing to delete."));
        return print_deleted(context, server, Vec::new());
    }
    let question = format!("Delete every secret of {server}?");
    let at_stake = table(present).text();
    arguments.confirmation.ask_for_word(context, &at_stake, &question, server.as_str())?;
    let deleted = context.api()?.delete_all_secrets(workspace, server).await?.deleted;
    print_deleted(context, server, deleted)
}

async fn delete_named(
    arguments: &DeleteArgs,
    workspace: &WorkspaceSlug,
    present: &[SecretSummary],
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let server = &arguments.server;
    let mut names: Vec<&SecretName> = Vec::new();
    for name in &arguments.names {
        check_present(name, server, present)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let chosen = present.iter().filter(|secret| names.iter().any(|name| name.as_str() == secret.name));
    let question = format!("Delete {} of {server}?", counted(names.len()));
    arguments.confirmation.ask(context, &table(chosen).text(), &question)?;
    let mut deleted = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if let Err(error) = context.api()?.delete_secret(workspace, server, name).await {
            let failure = Failure::from(error);
            if deleted.is_empty() {
                return Err(failure);
            }
            let done = format!("deleted {}; not deleted {}", deleted.join(", "), joined(&names[index..]));
            print_deleted(context, server, deleted)?;
            return Err(failure.partly_done(&done));
        }
        deleted.push(name.to_string());
    }
    print_deleted(context, server, deleted)
}

fn check_present(name: &SecretName, server: &ServerSlug, present: &[SecretSummary]) -> Result<(), Failure> {
    if present.iter().any(|secret| secret.name == name.as_str()) {
        return Ok(());
    }
    let names = present.iter().map(|secret| secret.name.as_str());
    let hint =
        suggestion::hint(name.as_str(), names, &format!("'aerostack secrets list {server}' shows them"));
    Err(Failure::not_found(format!("{server} has no secret {name}; nothing was deleted"))
        .with_hint(printable::one_line(&hint)))
}

fn print_deleted(
    context: &mut Context<'_>,
    server: &ServerSlug,
    deleted: Vec<String>,
) -> Result<(), Failure> {
    if context.json() {
        return context.terminal.json(&DeletedList { deleted });
    }
    for name in deleted {
        let name = printable::one_line(&name).into_owned();
        context
            .terminal
            .data(&format!("Deleted {name} from {server}. No longer sent from the next tool call."))?;
    }
    Ok(())
}

fn joined(names: &[&SecretName]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
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
        let check = |name: &str| check_present(&SecretName::parse(name).unwrap(), &server, &present);
        assert!(check("GITHUB_TOKEN").is_ok());
        let failure = check("GITHUB_TOKN").unwrap_err();
        assert_eq!((failure.exit_code(), failure.hint()), (3, Some("did you mean 'GITHUB_TOKEN'?")));
        assert!(check("OTHER").unwrap_err().hint().unwrap().contains("secrets list github-mcp"));
    }
}
