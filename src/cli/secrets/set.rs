//! `aerostack secrets set`: creates a secret or replaces its value.

use clap::Args;

use super::delete::check_present;
use super::rule_args::RuleArgs;
use super::value_source::{For, ValueArgs};
use crate::api::secrets::{SecretSummary, SetSecretSummary, SetStatus};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, FailureKind};
use crate::cli::{older_grammar, printable};
use crate::client::ClientError;
use crate::client::secrets::SetOptions;
use crate::domain::{SecretName, ServerSlug, WorkspaceSlug};

/// Create a secret or replace its value
///
/// Without VALUE it is read from standard input to its end, less one final line
/// end, or asked for without being shown. A VALUE on the command line stays in the
/// shell's history. By default the secret is sent in a header of its own name; with
/// an underscore in it, nginx, gunicorn and Django drop that header.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SetArgs {
    /// MCP server that gets the secret
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Name of the secret: letters, digits and '_'
    #[arg(value_name = "NAME")]
    name: SecretName,
    #[command(flatten)]
    value: ValueArgs,
    #[command(flatten)]
    rule: RuleArgs,
    /// Fail unless the secret exists
    #[arg(long, conflicts_with = "must_not_exist")]
    must_exist: bool,
    /// Fail if the secret exists
    #[arg(long)]
    must_not_exist: bool,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Ask for the value, without showing it
  $ aerostack secrets set github-mcp GITHUB_TOKEN
  # Take it from another program, and say how it is sent
  $ pass github | aerostack secrets set github-mcp GITHUB_TOKEN --bearer
  # A key of several lines, if the MCP server takes base64
  $ aerostack secrets set my-api KEY --value-file key.pem --base64
  # Take it from the command line
  $ aerostack secrets set github-mcp GITHUB_TOKEN \"ghp_xxxxxxxxxxxx\"";

pub(super) async fn run(arguments: SetArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let SetArgs { server, name, value, rule, must_exist, must_not_exist } = arguments;
    let injection = rule.document(&name)?;
    let workspace = context.workspace()?;
    let two_words = value.two_words();
    if value.asks(context) {
        let list = secrets_of(&workspace, &server, "set", two_words, context).await?;
        check_precondition(&list, &server, &name, must_exist, must_not_exist)?;
    }
    let given = value.obtain(&For { command: "set", server: &server, name: &name }, context)?;
    let has_rule = injection.is_some();
    let options = SetOptions { injection, must_exist, must_not_exist };
    let answer = context.api()?.set_secret(&workspace, &server, &name, &given.value, options).await;
    let answer = answer.map_err(|error| no_server(error, "set", two_words && !must_exist))?;
    print(&answer, has_rule, context)?;
    given.report(context);
    Ok(())
}

/// The server's secrets, looked at before anybody types a value for nothing.
pub(super) async fn secrets_of(
    workspace: &WorkspaceSlug,
    server: &ServerSlug,
    command: &str,
    two_words: bool,
    context: &mut Context<'_>,
) -> Result<Vec<SecretSummary>, Failure> {
    let list = context.api()?.secrets(workspace, server).await;
    Ok(list.map_err(|error| no_server(error, command, two_words))?.secrets)
}

/// Where there is no such server, it may be that none was named.
fn no_server(error: ClientError, command: &str, two_words: bool) -> Failure {
    let failure = Failure::from(error);
    let not_there = failure.kind() == FailureKind::NotFound;
    older_grammar::perhaps(failure, command, two_words && not_there)
}

fn check_precondition(
    present: &[SecretSummary],
    server: &ServerSlug,
    name: &SecretName,
    must_exist: bool,
    must_not_exist: bool,
) -> Result<(), Failure> {
    if must_exist {
        return check_present(name, server, present, "stored").map(|_| ());
    }
    if must_not_exist && present.iter().any(|secret| secret.name == name.as_str()) {
        let told = format!("the secret {name} exists already; it was not changed");
        return Err(Failure::new(FailureKind::Conflict, told)
            .with_hint("to replace its value use: aerostack secrets rotate"));
    }
    Ok(())
}

fn print(answer: &SetSecretSummary, has_rule: bool, context: &mut Context<'_>) -> Result<(), Failure> {
    if context.json() {
        return context.terminal.json(answer);
    }
    context.terminal.data(match answer.status {
        SetStatus::Created => "Secret created. Takes effect on next tool call.",
        SetStatus::Updated => "Secret updated. Takes effect on next tool call.",
    })?;
    if has_rule {
        let masked = answer.secret.injection.masked(&answer.secret.name);
        context.terminal.data(&format!("Injected as: {}", printable::one_line(&masked)))?;
    }
    Ok(())
}

#[cfg(test)]
impl SetArgs {
    /// The VALUE argument, for tests of the grammar.
    pub(in crate::cli) fn value(&self) -> Option<&std::ffi::OsStr> {
        self.value.value()
    }
}
