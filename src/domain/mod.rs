//! The words of the product: names, values, rules and credentials, with the
//! checks that make them legal. No I/O, no async, no HTTP library, no database.

pub mod allowed_host;
pub mod api_key;
pub mod day;
pub mod injection;
pub mod origin;
pub mod period;
pub mod reserved_header;
pub mod sealed_value;
pub mod secret_name;
pub mod secret_value;
pub mod server_slug;
pub mod suggestion;
pub mod token_scope;
pub mod workspace_token;

pub use allowed_host::{AllowedHost, AllowedHostProblem};
pub use api_key::ApiKey;
pub use day::beginning_of_day;
pub use injection::{Injection, InjectionHeader, InjectionProblem};
pub use origin::{Origin, UpstreamUrl, UrlProblem};
pub use period::{Period, PeriodProblem};
pub use sealed_value::{KeyId, SealedValue};
pub use secret_name::SecretName;
pub use secret_value::{SecretValue, ValueProblem};
pub use server_slug::{ServerSlug, WorkspaceSlug};
pub use token_scope::{ScopeProblem, TokenScope};
pub use workspace_token::WorkspaceToken;
