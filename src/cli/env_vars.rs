//! Names of the environment variables that are read, and what each of them means: the table
//! behind `aerostack help environment`.

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
/// PEM file with authorities to trust instead of the system's.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Folders with such files.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";
/// Proxy for https.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// The same, in the spelling of curl.
pub const HTTPS_PROXY_LOWER: &str = "https_proxy";
/// Hosts that are reached without the proxy.
pub const NO_PROXY: &str = "NO_PROXY";
/// The same, in the spelling of curl.
pub const NO_PROXY_LOWER: &str = "no_proxy";
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
/// Set by the completion scripts: number of the word that is completed.
pub const COMPLETE_INDEX: &str = "_CLAP_COMPLETE_INDEX";
/// Set by the completion scripts: the shell to answer for. The rest of what they pass on
/// is between them and the library that made them.
pub const COMPLETE: &str = "_AEROSTACK_COMPLETE";

/// One variable, as the help and the documentation show it.
#[derive(Debug, Clone, Copy)]
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// The option that goes before it.
    pub option: Option<&'static str>,
    /// What it is for.
    pub meaning: &'static str,
    /// What counts if it is not set.
    pub default: Option<&'static str>,
}

const fn var(
    name: &'static str,
    option: Option<&'static str>,
    meaning: &'static str,
    default: Option<&'static str>,
) -> EnvVar {
    EnvVar { name, option, meaning, default }
}

/// What the command line reads.
pub const COMMAND_LINE: &[EnvVar] = &[
    var(
        API_URL,
        Some("--api-url"),
        "the API: https, or http to this machine",
        Some(super::global_options::DEFAULT_API_URL),
    ),
    var(API_KEY, None, "the API key, ak_...", None),
    var(
        API_KEY_FILE,
        None,
        "a file that holds it; read if the variable above is not set",
        Some("what 'auth login' stored"),
    ),
    var(
        WORKSPACE,
        Some("-w, --workspace"),
        "the workspace",
        Some("the choice of 'workspace use', then 'default'"),
    ),
    var(CA_CERT, Some("--ca-cert"), "PEM file with the only authorities to trust", None),
    var(
        SSL_CERT_FILE,
        None,
        "PEM file with authorities to trust instead of the system's, if the one above is not set",
        Some("the system's"),
    ),
    var(SSL_CERT_DIR, None, "folders with such files, with ':' in between", None),
    var(
        HTTPS_PROXY,
        None,
        "proxy for an https API: http://[USER:PASSWORD@]HOST:PORT or https://...; 'https_proxy' is the same",
        Some("no proxy"),
    ),
    var(
        NO_PROXY,
        None,
        "hosts reached without it: domains (with their subdomains), addresses, networks (10.0.0.0/8), or '*'; \
         each but a network may have a port (host:8443); 'no_proxy' is the same; this machine is always reached without it",
        None,
    ),
    var(NO_ARGV_SECRETS, None, "not empty and not 0: a secret's value is not taken from an argument", None),
    var(
        GITHUB_ACTIONS,
        None,
        "'true': the log is told to hide a value that came from an argument or '--from-env'",
        None,
    ),
    var(NO_COLOR, Some("--color"), "not empty: no colour", None),
    var(
        CLICOLOR_FORCE,
        Some("--color"),
        "not empty and not 0: colour also where there is no terminal",
        Some("colour on a terminal"),
    ),
    var(TERM, Some("--color"), "'dumb': no colour and no control sequences", None),
    var(
        "XDG_CONFIG_HOME",
        None,
        "folder of aerostack/config.json (not on macOS and Windows)",
        Some("~/.config"),
    ),
    var(
        "XDG_CACHE_HOME",
        None,
        "folder of aerostack/names.json, the names that completions offer (not on macOS and Windows); it may be removed",
        Some("~/.cache"),
    ),
    var(
        "DBUS_SESSION_BUS_ADDRESS",
        None,
        "the bus on which the keyring is asked",
        Some("$XDG_RUNTIME_DIR/bus"),
    ),
];

/// What `serve`, `mock` and `demo` read beside that.
#[cfg(feature = "server")]
pub const SERVER: &[EnvVar] = &[
    var("WORKFLOW_SECRETS_KEY", None, "the master key of 'serve': 32 bytes as base64 or hex", None),
    var("WORKFLOW_SECRETS_KEY_FILE", None, "a file that holds it; set one of the two, not both", None),
    var(
        "AEROSTACK_LOG",
        None,
        "the log: error, warn, info, debug or trace",
        Some("RUST_LOG, then info ('demo': error)"),
    ),
    var(SSL_CERT_FILE, None, "PEM file with authorities for https to MCP servers", Some("the system's")),
    var(SSL_CERT_DIR, None, "folders with such files", None),
];
