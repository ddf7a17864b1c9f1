//! `aerostack secrets inject`: chooses the header in which a secret is sent.

use clap::Args;

use crate::api::secrets::InjectionDocument;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::domain::{Injection, InjectionHeader, InjectionProblem, SecretName, ServerSlug};

/// Choose the header in which a secret is sent
///
/// The value stays as it is. Without a rule a secret is sent in a header of its own
/// name.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE)]
pub(in crate::cli) struct InjectArgs {
    /// MCP server that the secret belongs to
    #[arg(value_name = "mcp-slug")]
    server: ServerSlug,
    /// Name of the secret
    #[arg(value_name = "NAME")]
    name: SecretName,
    #[command(flatten)]
    rule: RuleArgs,
    /// Text before the value, with --header
    #[arg(long, value_name = "TEXT", requires = "header", conflicts_with_all = ["bearer", "mcp_secret", "by_name"])]
    #[arg(allow_hyphen_values = true)]
    prefix: Option<String>,
}

/// Exactly one of the rules.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RuleArgs {
    /// Send it in this header
    #[arg(long, value_name = "HEADER")]
    header: Option<String>,
    /// Send it as 'Authorization: Bearer <value>'
    #[arg(long)]
    bearer: bool,
    /// Send it in the header X-Mcp-Secret-<NAME>
    #[arg(long)]
    mcp_secret: bool,
    /// Send it in a header of its own name (the default)
    #[arg(long)]
    by_name: bool,
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
    let InjectArgs { server, name, rule, prefix } = arguments;
    let rule = rule.check(&name, prefix.as_deref()).map_err(|problem| refused(&problem))?;
    let workspace = context.workspace()?;
    let document = InjectionDocument::from(&rule);
    let answer = context.api()?.set_injection(&workspace, &server, &name, &document).await?;
    if context.json() {
        return context.terminal.json(&answer);
    }
    let masked = answer.secret.injection.masked(&answer.secret.name);
    context.terminal.data(&format!("Injected as: {}", crate::cli::printable::one_line(&masked)))
}

impl RuleArgs {
    fn check(&self, name: &SecretName, prefix: Option<&str>) -> Result<Injection, InjectionProblem> {
        let rule = if let Some(header) = &self.header {
            Injection::header(header, prefix.unwrap_or_default())?
        } else if self.bearer {
            Injection::Bearer
        } else if self.mcp_secret {
            Injection::Header { header: InjectionHeader::mcp_secret(name)?, prefix: String::new() }
        } else {
            Injection::Name
        };
        rule.check_for(name)?;
        Ok(rule)
    }
}

fn refused(problem: &InjectionProblem) -> Failure {
    let hint = match problem {
        InjectionProblem::Reserved(_) => "choose another header with --header, or --bearer or --mcp-secret",
        InjectionProblem::NotAHeader => "give a header name such as X-API-Key, without a colon",
        InjectionProblem::BadPrefix => "give a prefix such as 'Token ', or none",
    };
    Failure::invalid_value(format!("{problem}; nothing was changed")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(header: Option<&str>, bearer: bool, mcp_secret: bool, by_name: bool) -> RuleArgs {
        RuleArgs { header: header.map(str::to_owned), bearer, mcp_secret, by_name }
    }

    #[test]
    fn rules() {
        let name = SecretName::parse("API_KEY").unwrap();
        let masked = |rule: RuleArgs, prefix| {
            rule.check(&name, prefix).map(|rule| InjectionDocument::from(&rule).masked(name.as_str()))
        };
        assert_eq!(
            masked(rule(Some("Authorization"), false, false, false), None).unwrap(),
            "Authorization: ****"
        );
        assert_eq!(
            masked(rule(Some("X-A"), false, false, false), Some("Token ")).unwrap(),
            "X-A: Token ****"
        );
        assert_eq!(masked(rule(None, true, false, false), None).unwrap(), "Authorization: Bearer ****");
        assert_eq!(masked(rule(None, false, true, false), None).unwrap(), "X-Mcp-Secret-API-KEY: ****");
        assert_eq!(masked(rule(None, false, false, true), None).unwrap(), "API_KEY: ****");
        assert!(masked(rule(Some("Host"), false, false, false), None).is_err());
        assert!(masked(rule(Some(""), false, false, false), None).is_err());
        assert!(rule(None, false, false, true).check(&SecretName::parse("HOST").unwrap(), None).is_err());
    }
}
