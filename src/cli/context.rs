//! What a command works with: the terminal, the settings, the global options and the
//! API's client, which is made when it is first needed.

use std::path::Path;
use std::time::Duration;

use reqwest::Certificate;
use serde::Serialize;

use super::config_file::ConfigFile;
use super::failure::{Failure, FailureKind};
use super::global_options::{DEFAULT_API_URL, GlobalOptions};
use super::settings::Settings;
use super::terminal::Terminal;
use super::{credentials, env_vars, printable};
use crate::client::{ApiBase, ApiClient};
use crate::domain::{ApiKey, WorkspaceSlug};

/// The workspace that every project starts with.
const DEFAULT_WORKSPACE: &str = "default";

/// What a command works with.
pub struct Context<'a> {
    /// Where to print and ask.
    pub terminal: &'a mut Terminal,
    settings: &'a Settings,
    options: &'a GlobalOptions,
    client: Option<ApiClient>,
}

impl<'a> Context<'a> {
    /// Nothing is read or connected yet.
    pub fn new(terminal: &'a mut Terminal, settings: &'a Settings, options: &'a GlobalOptions) -> Self {
        Self { terminal, settings, options, client: None }
    }

    /// Whether documents are to be printed instead of lines and tables.
    pub fn json(&self) -> bool {
        self.options.json
    }

    /// Whether somebody can be asked.
    pub fn can_ask(&self) -> bool {
        self.terminal.reads_from_terminal() && !self.options.no_input
    }

    /// Whether somebody can be asked without what is typed being shown, wherever standard
    /// input comes from.
    pub fn can_ask_hidden(&self) -> bool {
        self.terminal.can_hide() && !self.options.no_input
    }

    /// Whether a window of the system may ask for something: somebody sees the line that
    /// says so.
    pub fn can_wait_for_window(&self) -> bool {
        self.terminal.talks_to_terminal() && !self.options.no_input
    }

    /// The environment's settings.
    pub fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The API's address: checked, so that nothing is read or sent for a bad one.
    pub fn base(&self) -> Result<ApiBase, Failure> {
        let text = self.options.api_url.as_deref().or(self.settings.api_url.as_deref());
        Ok(ApiBase::parse(text.unwrap_or(DEFAULT_API_URL))?)
    }

    /// The client of the admin API.
    pub fn api(&mut self) -> Result<&mut ApiClient, Failure> {
        self.show_requests();
        let client = if let Some(client) = self.client.take() {
            client
        } else {
            let key = credentials::find(self.settings, self.base()?.origin(), self.terminal)?;
            self.connect(&key)?
        };
        Ok(self.client.insert(client))
    }

    /// The client of the admin API with this key, whatever is stored.
    pub fn api_with(&mut self, key: &ApiKey) -> Result<&mut ApiClient, Failure> {
        self.show_requests();
        let client = self.connect(key)?;
        Ok(self.client.insert(client))
    }

    fn connect(&self, key: &ApiKey) -> Result<ApiClient, Failure> {
        let base = self.base()?;
        let authorities = match self.options.ca_cert.as_deref().or(self.settings.ca_cert.as_deref()) {
            Some(path) if base.is_https() => Some(read_authorities(path)?),
            _ => None,
        };
        let own_authorities = authorities.is_some();
        let client = ApiClient::new(base, key, authorities, Duration::from_secs(self.options.timeout));
        client.map_err(|error| if own_authorities { unusable_authorities() } else { error.into() })
    }

    /// With `--verbose`, one line for each request since the last time.
    pub fn show_requests(&mut self) {
        let exchanges = self.client.as_mut().map(ApiClient::take_exchanges).unwrap_or_default();
        if !self.options.verbose {
            return;
        }
        for exchange in exchanges {
            let status = exchange.status.map_or_else(|| "failed".to_owned(), |status| status.to_string());
            let id = exchange.request_id.as_deref().map_or_else(|| "-".into(), printable::one_line);
            let time = exchange.elapsed.as_millis();
            self.terminal.talk(&format!("{} {} {status} {id} {time} ms", exchange.method, exchange.path));
        }
    }

    /// The workspace: `-w`, `AEROSTACK_WORKSPACE`, `workspace use`, `default`.
    pub fn workspace(&self) -> Result<WorkspaceSlug, Failure> {
        if let Some(slug) = &self.options.workspace {
            return Ok(slug.clone());
        }
        if let Some(text) = &self.settings.workspace {
            return WorkspaceSlug::parse(text).map_err(|problem| {
                Failure::usage(format!("{} does not hold a workspace's slug: {problem}", env_vars::WORKSPACE))
            });
        }
        if let Some(file) = self.config_file()
            && let Some(slug) = file.workspace(self.base()?.origin())?
        {
            return Ok(slug);
        }
        WorkspaceSlug::parse(DEFAULT_WORKSPACE).map_err(|problem| Failure::usage(problem.to_string()))
    }

    /// The user's configuration file; `None` where there is no home.
    pub fn config_file(&self) -> Option<ConfigFile> {
        self.settings.config_dir.as_deref().map(ConfigFile::in_directory)
    }

    /// Prints a list's document, with `--fields` the chosen fields of its entries only.
    pub fn print_list(&mut self, member: &str, document: &impl Serialize) -> Result<(), Failure> {
        let Some(fields) = &self.options.fields else { return self.terminal.json(document) };
        let mut document = serde_json::to_value(document).map_err(anyhow::Error::new)?;
        let entries = document.get_mut(member).and_then(serde_json::Value::as_array_mut);
        for entry in entries.into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
            entry.retain(|key, _| fields.iter().any(|field| field == key));
        }
        self.terminal.json(&document)
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("could not read the file of --ca-cert: {error}")))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() { Err(unusable_authorities()) } else { Ok(found) }
}

fn unusable_authorities() -> Failure {
    Failure::new(FailureKind::Usage, "the file of --ca-cert holds no usable certificate")
        .with_hint(format!("give a PEM file with --ca-cert or {}", env_vars::CA_CERT))
}
