//! The options that choose the header in which a secret is sent, for `set` and `inject`.

use clap::Args;

use crate::api::secrets::InjectionDocument;
use crate::cli::failure::Failure;
use crate::domain::{Injection, InjectionHeader, InjectionProblem, SecretName};

/// A rule, or none.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct RuleArgs {
    #[command(flatten)]
    form: RuleForm,
    /// Text before the value, with --header
    #[arg(long, value_name = "TEXT", requires = "header", conflicts_with_all = ["bearer", "mcp_secret", "by_name"])]
    #[arg(allow_hyphen_values = true)]
    prefix: Option<String>,
}

/// At most one of the rules; `inject` makes it exactly one.
#[derive(Debug, Args)]
#[group(id = "rule", multiple = false)]
struct RuleForm {
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

impl RuleArgs {
    /// The rule that was chosen, checked for a secret of this name.
    pub(super) fn document(&self, name: &SecretName) -> Result<Option<InjectionDocument>, Failure> {
        let rule = self.form.check(name, self.prefix.as_deref().unwrap_or_default());
        let rule = rule.map_err(|problem| refused(&problem))?;
        Ok(rule.as_ref().map(InjectionDocument::from))
    }
}

impl RuleForm {
    fn check(&self, name: &SecretName, prefix: &str) -> Result<Option<Injection>, InjectionProblem> {
        let rule = if let Some(header) = &self.header {
            Injection::header(header, prefix)?
        } else if self.bearer {
            Injection::Bearer
        } else if self.mcp_secret {
            Injection::Header { header: InjectionHeader::mcp_secret(name)?, prefix: String::new() }
        } else if self.by_name {
            Injection::Name
        } else {
            return Ok(None);
        };
        rule.check_for(name)?;
        Ok(Some(rule))
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

    fn form(header: Option<&str>, bearer: bool, mcp_secret: bool, by_name: bool) -> RuleForm {
        RuleForm { header: header.map(str::to_owned), bearer, mcp_secret, by_name }
    }

    #[test]
    fn rules() {
        let name = SecretName::parse("API_KEY").unwrap();
        let masked = |form: RuleForm, prefix: Option<&str>| {
            let prefix = prefix.map(str::to_owned);
            let document = RuleArgs { form, prefix }.document(&name)?;
            Ok::<_, Failure>(document.map(|document| document.masked(name.as_str())))
        };
        let told = |form, prefix| masked(form, prefix).unwrap().unwrap();
        assert_eq!(told(form(Some("Authorization"), false, false, false), None), "Authorization: ****");
        assert_eq!(told(form(Some("X-A"), false, false, false), Some("Token ")), "X-A: Token ****");
        assert_eq!(told(form(None, true, false, false), None), "Authorization: Bearer ****");
        assert_eq!(told(form(None, false, true, false), None), "X-Mcp-Secret-API-KEY: ****");
        assert_eq!(told(form(None, false, false, true), None), "API_KEY: ****");
        assert_eq!(masked(form(None, false, false, false), None).unwrap(), None);
        for bad in ["Host", "", "X Y"] {
            let failure = masked(form(Some(bad), false, false, false), None).unwrap_err();
            assert!(failure.exit_code() == 2 && failure.hint().is_some());
        }
        let host = SecretName::parse("HOST").unwrap();
        assert!(form(None, false, false, true).check(&host, "").is_err());
        assert!(form(None, true, false, false).check(&host, "").is_ok());
    }
}
