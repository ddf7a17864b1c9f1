//! `aerostack workspace token revoke`: ends a token.

use clap::Args;

use crate::api::secrets::DeletedList;
use crate::cli::confirmation::Confirmation;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::printable;
use crate::cli::problem::Rule;
use crate::domain::workspace_token::TOKEN_ID_CHARS;
use crate::domain::{WorkspaceSlug, WorkspaceToken};

/// Revoke a workspace token
///
/// Every request with it is refused from now on.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TokenRevokeArgs {
    /// Workspace that the token opens
    #[arg(id = "named_workspace", value_name = "workspace")]
    workspace: WorkspaceSlug,
    /// The 12 characters after 'mwt_', as 'token list' shows them
    #[arg(value_name = "TOKEN-ID", value_parser = token_id)]
    token: TokenId,
    #[command(flatten)]
    confirmation: Confirmation,
}

const EXAMPLES: &str = "\
EXAMPLES
  # Find the id, then revoke
  $ aerostack workspace token list default
  $ aerostack workspace token revoke default a1B2c3D4e5F6";

/// The public id of a token.
#[derive(Debug, Clone)]
struct TokenId(String);

/// Takes an id, or the id out of a whole token that was pasted.
fn token_id(text: &str) -> Result<TokenId, Rule> {
    if let Ok(token) = WorkspaceToken::parse(text) {
        return Ok(TokenId(token.id().to_owned()));
    }
    if text.len() == TOKEN_ID_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(TokenId(text.to_owned()));
    }
    Err(Rule("a token's id is the 12 letters and digits after 'mwt_'"))
}

pub(super) async fn run(arguments: TokenRevokeArgs, context: &mut Context<'_>) -> Result<(), Failure> {
    let TokenRevokeArgs { workspace, token: TokenId(id), confirmation } = arguments;
    let workspace = context.named_workspace(workspace)?;
    confirmation.check_possible(context)?;
    if !confirmation.yes {
        let tokens = context.api()?.tokens(&workspace).await?.tokens;
        let Some(token) = tokens.iter().find(|token| token.id == id) else {
            return Err(Failure::not_found(format!("the workspace {workspace} has no token {id}"))
                .with_hint(format!("'aerostack workspace token list {workspace}' shows them")));
        };
        let question = format!("Revoke the token {id} ({})?", printable::one_line(&token.name));
        confirmation.ask(context, "", &question)?;
    }
    context.api()?.revoke_token(&workspace, &id).await?;
    if context.json() {
        return context.terminal.json(&DeletedList { deleted: vec![id] });
    }
    context.terminal.data(&format!("Token revoked: {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_token_gives_its_id() {
        let whole = format!("mwt_a1B2c3D4e5F6_{}", "x".repeat(43));
        assert_eq!(token_id(&whole).unwrap().0, "a1B2c3D4e5F6");
        assert_eq!(token_id("a1B2c3D4e5F6").unwrap().0, "a1B2c3D4e5F6");
        for bad in ["", "a1B2c3D4e5F", "a1B2c3D4e5/6", "mwt_a1B2c3D4e5F6", &whole[..30]] {
            assert!(token_id(bad).is_err(), "{bad}");
        }
    }
}
