//! `aerostack secrets inject`: chooses the header in which a secret is sent.

use clap::Args;

use super::rule_args::RuleArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::domain::{SecretName, ServerSlug};

/// Choose the header in which a secret is sent
///
/// The value stays as it is. Without a rule a secret is sent in a header of its own
/// name.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, mut_group("rule", |rule| rule.required(true)))]
pub(in crate::cli) struct InjectArgs {
    /// MCP server that the secret belongs to
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Name of the secret
    #[arg(value_name = "NAME")]
    name: SecretName,
    #[command(flatten)]
    rule: RuleArgs,
}

const USAGE: &str = "\
aerostack secrets inject <mcp-slug> <NAME>
    --header <HEADER> [--prefix <TEXT>] | --bearer | --mcp-secret | --by-name";

const EXAMPLES: &str = "\
EXAMPLES
  # Send it as bearer auth
  $ aerostack secrets inject github-mcp GITHUB_TOKEN --bearer
  # Send it in a header of your choice
  $ aerostack secrets inject my-api API_KEY --header X-API-Key
  # Put a word before it
  $ aerostack secrets inject my-api API_KEY --header Authorization \\
      --prefix \"Token \"";

pub(super) async fn run(arguments: InjectArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let InjectArgs { server, name, rule } = arguments;
    let rule = rule.document(&name)?.ok_or_else(|| Failure::usage("no rule was chosen"))?;
    let workspace = context.workspace()?;
    let answer = context.api()?.set_injection(&workspace, &server, &name, &rule).await?;
    if context.json() {
        return context.terminal.json(&answer);
    }
    let masked = answer.secret.injection.masked(&answer.secret.name);
    context.terminal.data(&format!("Injected as: {}", printable::one_line(&masked)))
}
