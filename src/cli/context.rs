//! What a command works with: the terminal, the settings, the global options and the
//! API's client, which is made when it is first needed.

use std::time::Duration;

use serde::Serialize;

use super::completions::name_cache::NameCache;
use super::config_file::ConfigFile;
use super::failure::Failure;
use super::global_options::{DEFAULT_API_URL, GlobalOptions};
use super::settings::Settings;
use super::talker::Talker;
use super::terminal::Terminal;
use super::{credentials, env_vars, interruption, network, printable};
use crate::client::{ApiBase, ApiClient, Event};
use crate::domain::{ApiKey, WorkspaceSlug};

/// The workspace that every project starts with.
const DEFAULT_WORKSPACE: &str = "default";
/// A pause between two tries that is longer than this is announced.
const LONG_PAUSE: Duration = Duration::from_secs(2);

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
        self.terminal.can_ask() && !self.options.no_input
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
        let client = if let Some(client) = self.client.take() {
            client
        } else {
            let key = credentials::find(self.settings, self.base()?.origin(), self.terminal)?;
            self.connect(&key)?
        };
        Ok(self.client.insert(client))
    }

    /// The client of the admin API, and the terminal for what is to be said while it works.
    pub fn api_and_terminal(&mut self) -> Result<(&mut ApiClient, &mut Terminal), Failure> {
        self.api()?;
        let client = self.client.as_mut().ok_or_else(|| Failure::not_logged_in("there is no API key"))?;
        Ok((client, self.terminal))
    }

    /// The client of the admin API with this key, whatever is stored.
    pub fn api_with(&mut self, key: &ApiKey) -> Result<&mut ApiClient, Failure> {
        let client = self.connect(key)?;
        Ok(self.client.insert(client))
    }

    fn connect(&self, key: &ApiKey) -> Result<ApiClient, Failure> {
        let base = self.base()?;
        let limit = Duration::from_secs(self.options.timeout);
        let network = network::around(&base, self.options.ca_cert.as_deref(), self.settings, limit)?;
        let mut client = ApiClient::new(base, key, network, limit)?;
        client.observe(narrator(self.terminal.talker(), self.options.verbose));
        client.show_requests_in(interruption::outside_requests());
        Ok(client)
    }

    /// What to say when Ctrl-C ended the command.
    pub(super) fn interrupted(&self) -> Failure {
        interruption::failure(self.client.as_ref())
    }

    /// Where the result could not be printed, says that there is one.
    pub(super) fn with_changes(&self, failure: Failure) -> Failure {
        let changed = self.client.as_ref().is_some_and(|client| client.changes().made);
        if !(changed && self.terminal.lost_data()) {
            return failure;
        }
        failure
            .with_context("the change was made and could not be reported")
            .with_hint("do not repeat it; look what is there")
    }

    /// A hint whose commands name the workspace of `-w`: without it they would act on another one.
    /// That of the environment or of `workspace use` is also the next command's.
    pub(super) fn in_workspace(&self, hint: &str) -> String {
        let Some(slug) = &self.options.workspace else { return hint.to_owned() };
        let with_it = |hint: String, command: &str| {
            hint.replace(&format!("aerostack {command} "), &format!("aerostack -w {slug} {command} "))
        };
        ["secrets", "mcp"].into_iter().fold(hint.to_owned(), with_it)
    }

    /// The same of a failure's hint.
    pub(super) fn with_workspace(&self, failure: Failure) -> Failure {
        match failure.hint().map(|hint| self.in_workspace(hint)) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }

    /// Keeps the names that were seen for completions.
    pub fn remember_names(&mut self) {
        let seen = self.client.as_mut().map(ApiClient::take_names_seen).unwrap_or_default();
        if let (Some(cache_dir), Ok(base)) = (&self.settings.cache_dir, self.base()) {
            NameCache::record(cache_dir, base.origin(), seen);
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

    /// The workspace that a command names itself.
    ///
    /// # Errors
    /// [`Failure`] when `-w` names another one.
    pub fn named_workspace(&self, slug: WorkspaceSlug) -> Result<WorkspaceSlug, Failure> {
        match &self.options.workspace {
            Some(other) if *other != slug => Err(Failure::usage(format!(
                "two workspaces are named, {slug} and, with --workspace, {other}; leave one out"
            ))),
            _ => Ok(slug),
        }
    }

    /// The user's configuration file; `None` where there is no home.
    pub fn config_file(&self) -> Option<ConfigFile> {
        self.settings.config_dir.as_deref().map(ConfigFile::in_directory)
    }

    /// Prints a list's document, with `--fields` the chosen fields of its entries only.
    pub fn print_list(&mut self, member: &str, document: &impl Serialize) -> Result<(), Failure> {
        let Some(fields) = &self.options.fields else { return self.terminal.json(document) };
        let mut document = serde_json::to_value(document).map_err(anyhow::Error::new)?;
        keep_fields(&mut document[member], fields);
        self.terminal.json(&document)
    }

    /// Prints a document of groups, each with a list of entries under `inner`. `--fields` may
    /// name fields of groups or of entries; with the latter, groups keep all but that.
    pub fn print_groups(
        &mut self,
        member: &str,
        inner: &str,
        document: &impl Serialize,
    ) -> Result<(), Failure> {
        let Some(fields) = &self.options.fields else { return self.terminal.json(document) };
        let mut document = serde_json::to_value(document).map_err(anyhow::Error::new)?;
        for group in document[member].as_array_mut().into_iter().flatten() {
            let of_group = |field: &String| group.get(field).is_some();
            if fields.iter().all(of_group) {
                group
                    .as_object_mut()
                    .into_iter()
                    .for_each(|group| group.retain(|key, _| fields.contains(key)));
            } else if !fields.iter().any(|field| field == inner) {
                keep_fields(&mut group[inner], fields);
            }
        }
        self.terminal.json(&document)
    }
}

fn keep_fields(list: &mut serde_json::Value, fields: &[String]) {
    let entries = list.as_array_mut().into_iter().flatten();
    for entry in entries.filter_map(serde_json::Value::as_object_mut) {
        entry.retain(|key, _| fields.contains(key));
    }
}

/// Says what goes on: with `--verbose` each try and each pause, else pauses that somebody
/// who watches would wonder about.
fn narrator(mut talker: Talker, verbose: bool) -> impl FnMut(Event) {
    move |event| match event {
        Event::Tried(exchange) if verbose => {
            let status = exchange.status.map_or_else(|| "failed".to_owned(), |status| status.to_string());
            let id = exchange.request_id.as_deref().map_or_else(|| "-".into(), printable::one_line);
            let time = exchange.elapsed.as_millis();
            talker.talk(&format!("{} {} {status} {id} {time} ms", exchange.method, exchange.path));
        }
        Event::Waiting { cause, pause } if verbose => {
            talker.talk(&format!("{cause}; trying again in {} ms", pause.as_millis()));
        }
        Event::Waiting { cause, pause } if pause > LONG_PAUSE => {
            talker.note(&format!("{cause}; trying again in {} s", pause.as_secs_f64().ceil()));
        }
        Event::Tried(_) | Event::Waiting { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Style;
    use crate::client::Cause;

    #[test]
    fn hints_name_the_workspace_that_was_given() {
        let hint = "list them: aerostack mcp list; 'aerostack secrets list x' shows more (aerostack secrets set x <NAME>), \
                    aerostack workspace list";
        let told = |workspace: Option<&str>, own: Option<&str>| {
            let workspace = workspace.map(|slug| WorkspaceSlug::parse(slug).unwrap());
            let options = GlobalOptions { workspace, ..GlobalOptions::default() };
            let settings = Settings { workspace: own.map(str::to_owned), ..Settings::default() };
            let mut terminal = Terminal::captured(false);
            let context = Context::new(&mut terminal, &settings, &options);
            assert_eq!(context.with_workspace(Failure::usage("x")).hint(), None);
            context.with_workspace(Failure::usage("x").with_hint(hint)).hint().unwrap().to_owned()
        };
        assert_eq!(told(None, None), hint);
        assert_eq!(told(None, Some("team")), hint, "the next command has it, too");
        assert_eq!(
            told(Some("team"), None),
            "list them: aerostack -w team mcp list; 'aerostack -w team secrets list x' shows more \
             (aerostack -w team secrets set x <NAME>), aerostack workspace list"
        );
    }

    #[test]
    fn only_long_pauses_are_announced() {
        let said = |style: Style, verbose: bool, millis: u64| {
            let mut terminal = Terminal::captured(false);
            terminal.set_style(style);
            let cause = Cause::Status { status: 429, asked: true };
            let pause = Duration::from_millis(millis);
            narrator(terminal.talker(), verbose)(Event::Waiting { cause, pause });
            terminal.err_text()
        };
        let line = "the server answered HTTP 429 (too many requests) and asks to wait; trying again in";
        let plain = Style::default();
        assert_eq!(said(plain, false, 2_000), "");
        assert_eq!(said(plain, false, 2_001), format!("{line} 3 s\n"));
        assert_eq!(said(plain, true, 300), format!("{line} 300 ms\n"));
        assert_eq!(said(plain, true, 5_000), format!("{line} 5000 ms\n"), "once, not twice");
        for style in [Style { quiet: true, ..plain }, Style { json: true, ..plain }] {
            assert_eq!(said(style, false, 5_000), "");
        }
    }
}
