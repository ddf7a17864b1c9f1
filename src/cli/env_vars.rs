//! Names of the environment variables that the command line reads.

/// Base URL of the admin API.
pub const API_URL: &str = "AEROSTACK_API_URL";
/// The API key itself.
pub const API_KEY: &str = "AEROSTACK_API_KEY";
/// File that holds the API key.
pub const API_KEY_FILE: &str = "AEROSTACK_API_KEY_FILE";
/// Slug of the workspace to use.
pub const WORKSPACE: &str = "AEROSTACK_WORKSPACE";
/// PEM file with the only certificate authorities to trust.
pub const CA_CERT: &str = "AEROSTACK_CA_CERT";
/// Not empty and not `0`: a secret's value is not taken from an argument.
pub const NO_ARGV_SECRETS: &str = "AEROSTACK_NO_ARGV_SECRETS";
/// `true` in GitHub Actions, whose log hides what it is told to hide.
pub const GITHUB_ACTIONS: &str = "GITHUB_ACTIONS";
/// Not empty: no colour (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";
/// Not empty and not `0`: colour even when the output is not a terminal.
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// `dumb`: a terminal without colours.
pub const TERM: &str = "TERM";
