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
/// Not empty: no colour (no-color.org).
pub const NO_COLOR: &str = "NO_COLOR";
/// Not empty and not `0`: colour even when the output is not a terminal.
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// `dumb`: a terminal without colours.
pub const TERM: &str = "TERM";
/// Set by the completion scripts: number of the word that is completed.
pub const COMPLETE_INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// Set by the completion scripts: the shell to answer for. The rest of what they pass on
/// is between them and the library that made them.
pub const COMPLETE: &str = "_AEROSTACK_COMPLETE";
