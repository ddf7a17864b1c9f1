//! Everything that comes from the environment, read once; nothing else in the command
//! line reads it. A variable that is set but empty counts as not set.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::env_vars;

/// What the environment says. It has no debug form, because it holds the API key.
#[derive(Default, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that the environment says")]
pub struct Settings {
    /// Base URL of the admin API.
    pub api_url: Option<String>,
    /// The API key, unchecked.
    pub api_key: Option<Zeroizing<String>>,
    /// File with the API key.
    pub api_key_file: Option<PathBuf>,
    /// Workspace slug, unchecked.
    pub workspace: Option<String>,
    /// PEM file with certificate authorities.
    pub ca_cert: Option<PathBuf>,
    /// PEM file with authorities instead of the system's.
    pub ssl_cert_file: Option<PathBuf>,
    /// Folders with such files.
    pub ssl_cert_dirs: Vec<PathBuf>,
    /// URL of the proxy for https, unchecked; it may hold a password.
    pub https_proxy: Option<Zeroizing<String>>,
    /// Hosts that are reached without it.
    pub no_proxy: Option<String>,
    /// The user's configuration directory; `None` when there is no home.
    pub config_dir: Option<PathBuf>,
    /// The user's cache directory; `None` when there is no home.
    pub cache_dir: Option<PathBuf>,
    /// The shell that asks for completions instead of running a command.
    pub completing_for: Option<String>,
    /// Number of the word that is completed, where the shell says so.
    pub completing_at: Option<usize>,
    /// The user's home, where an older command line left its key.
    pub home: Option<PathBuf>,
    /// Whether the system's keyring may be asked: always, but in tests inside this process.
    pub os_keyring: bool,
    /// Looks up the variable that `--from-env` names; not there in tests inside this process.
    pub lookup: Option<fn(&OsStr) -> Option<OsString>>,
    /// `AEROSTACK_NO_ARGV_SECRETS` is set and not `0`.
    pub no_argv_secrets: bool,
    /// `GITHUB_ACTIONS` is `true`.
    pub github_actions: bool,
    /// `NO_COLOR` is set.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set and not `0`.
    pub force_color: bool,
    /// `TERM` is `dumb`.
    pub dumb_terminal: bool,
}

impl Settings {
    /// The variable that brings a key and so goes before what is stored.
    pub fn variable_with_key(&self) -> Option<&'static str> {
        let key = self.api_key.as_ref().map(|_| env_vars::API_KEY);
        key.or(self.api_key_file.as_ref().map(|_| env_vars::API_KEY_FILE))
    }

    /// Reads the environment.
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
    pub fn from_environment() -> Self {
        Self {
            home: dirs::home_dir().filter(|path| path.is_absolute()),
            cache_dir: dirs::cache_dir().filter(|path| path.is_absolute()),
            os_keyring: true,
            lookup: Some(|name| std::env::var_os(name)),
            ..Self::from_variables(|name| std::env::var_os(name), dirs::config_dir())
        }
    }

    /// The variable that `--from-env` names; a set but empty one counts as not set here too.
    pub fn variable(&self, name: &OsStr) -> Option<Zeroizing<Vec<u8>>> {
        let value = self.lookup.and_then(|lookup| lookup(name))?.into_encoded_bytes();
        (!value.is_empty()).then(|| Zeroizing::new(value))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>, config_dir: Option<PathBuf>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        // What is not UTF-8 is kept in a damaged form, so that its own check refuses it.
        let text = |name: &str| given(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            api_url: text(env_vars::API_URL),
            api_key: text(env_vars::API_KEY).map(Zeroizing::new),
            api_key_file: given(env_vars::API_KEY_FILE).map(PathBuf::from),
            workspace: text(env_vars::WORKSPACE),
            ca_cert: given(env_vars::CA_CERT).map(PathBuf::from),
            ssl_cert_file: given(env_vars::SSL_CERT_FILE).map(PathBuf::from),
            ssl_cert_dirs: given(env_vars::SSL_CERT_DIR).map(|list| folders(&list)).unwrap_or_default(),
            https_proxy: text(env_vars::HTTPS_PROXY)
                .or_else(|| text(env_vars::HTTPS_PROXY_LOWER))
                .map(Zeroizing::new),
            no_proxy: text(env_vars::NO_PROXY).or_else(|| text(env_vars::NO_PROXY_LOWER)),
            config_dir: config_dir.filter(|path| path.is_absolute()),
            cache_dir: None,
            completing_for: text(env_vars::COMPLETE),
            completing_at: text(env_vars::COMPLETE_INDEX).and_then(|index| index.parse().ok()),
            home: None,
            os_keyring: false,
            lookup: None,
            no_argv_secrets: given(env_vars::NO_ARGV_SECRETS).is_some_and(|value| value != "0"),
            github_actions: given(env_vars::GITHUB_ACTIONS).is_some_and(|value| value == "true"),
            no_color: given(env_vars::NO_COLOR).is_some(),
            force_color: given(env_vars::CLICOLOR_FORCE).is_some_and(|value| value != "0"),
            dumb_terminal: given(env_vars::TERM).is_some_and(|value| value == "dumb"),
        }
    }
}

fn folders(list: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(list).filter(|folder| !folder.as_os_str().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_variables_are_not_set() {
        let settings = Settings::from_variables(|_| Some(OsString::new()), Some(PathBuf::from("relative")));
        assert!(settings.api_url.is_none() && settings.api_key.is_none() && settings.workspace.is_none());
        assert!(
            settings.api_key_file.is_none() && settings.ca_cert.is_none() && settings.config_dir.is_none()
        );
        assert!(settings.ssl_cert_file.is_none() && settings.ssl_cert_dirs.is_empty());
        assert!(settings.https_proxy.is_none() && settings.no_proxy.is_none());
        assert!(!settings.no_color && !settings.force_color && !settings.dumb_terminal);
        assert!(!settings.no_argv_secrets && !settings.github_actions);
    }

    #[test]
    fn every_variable_that_is_read_is_explained() {
        let read = std::cell::RefCell::new(Vec::new());
        Settings::from_variables(
            |name| {
                read.borrow_mut().push(name.to_owned());
                None
            },
            None,
        );
        let texts: Vec<_> = env_vars::COMMAND_LINE.iter().flat_map(|var| [var.name, var.meaning]).collect();
        // What the completion scripts set is nobody's setting.
        let own = [env_vars::COMPLETE, env_vars::COMPLETE_INDEX];
        for name in read.into_inner().into_iter().filter(|name| !own.contains(&name.as_str())) {
            assert!(texts.iter().any(|text| text.contains(&name)), "{name}");
        }
    }

    #[test]
    fn both_spellings_of_the_proxy_variables() {
        let proxy = |set: &[&str]| {
            let variable = |name: &str| set.contains(&name).then(|| OsString::from(name));
            let settings = Settings::from_variables(variable, None);
            settings.https_proxy.map(|proxy| proxy.to_string()).zip(settings.no_proxy)
        };
        let pair = |one: &str, two: &str| Some((one.to_owned(), two.to_owned()));
        assert_eq!(proxy(&["HTTPS_PROXY", "NO_PROXY"]), pair("HTTPS_PROXY", "NO_PROXY"));
        assert_eq!(proxy(&["https_proxy", "no_proxy"]), pair("https_proxy", "no_proxy"));
        assert_eq!(proxy(&["https_proxy", "HTTPS_PROXY", "NO_PROXY"]), pair("HTTPS_PROXY", "NO_PROXY"));
        assert_eq!(proxy(&["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY"]), None);
    }

    #[test]
    fn each_variable_has_its_field() {
        let settings = Settings::from_variables(
            |name| Some(OsString::from(name.to_lowercase())),
            Some(PathBuf::from("/c")),
        );
        assert_eq!(settings.api_url.as_deref(), Some("aerostack_api_url"));
        assert_eq!(settings.api_key.as_ref().map(|key| key.as_str()), Some("aerostack_api_key"));
        assert_eq!(settings.api_key_file, Some(PathBuf::from("aerostack_api_key_file")));
        assert_eq!(settings.workspace.as_deref(), Some("aerostack_workspace"));
        assert_eq!(settings.ca_cert, Some(PathBuf::from("aerostack_ca_cert")));
        assert_eq!(settings.ssl_cert_file, Some(PathBuf::from("ssl_cert_file")));
        assert_eq!(settings.ssl_cert_dirs, [PathBuf::from("ssl_cert_dir")]);
        assert_eq!(settings.https_proxy.as_ref().map(|proxy| proxy.as_str()), Some("https_proxy"));
        assert_eq!(settings.no_proxy.as_deref(), Some("no_proxy"));
        assert_eq!(settings.config_dir, Some(PathBuf::from("/c")));
        assert!(settings.no_color && settings.force_color && !settings.dumb_terminal);
        assert!(settings.no_argv_secrets && !settings.github_actions);
        let settings = Settings::from_variables(|_| Some(OsString::from("0")), None);
        assert!(!settings.no_argv_secrets && !settings.force_color);
        let settings = Settings::from_variables(|_| Some(OsString::from("true")), None);
        assert!(settings.no_argv_secrets && settings.github_actions);
    }

    #[test]
    fn an_empty_variable_is_no_value() {
        let lookup: fn(&OsStr) -> Option<OsString> = |name| match name.to_str() {
            Some("FULL") => Some(OsString::from(" as it is\n")),
            Some("EMPTY") => Some(OsString::new()),
            _ => None,
        };
        let settings = Settings { lookup: Some(lookup), ..Settings::default() };
        let value = |name: &str| settings.variable(OsStr::new(name)).map(|value| value.to_vec());
        assert_eq!(value("FULL"), Some(b" as it is\n".to_vec()));
        assert_eq!((value("EMPTY"), value("MISSING")), (None, None));
        assert_eq!(Settings::default().variable(OsStr::new("FULL")), None);
    }
}
