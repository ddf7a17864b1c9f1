//! The command line: arguments in, a result or a `Failure` out. Nothing here depends on
//! the state of the process, so that one process can run many commands.

pub mod age;
mod analytics;
mod auth;
mod bounded_input;
mod client_failure;
pub mod completions;
pub mod config_file;
pub mod confirmation;
pub mod context;
pub mod credentials;
#[cfg(feature = "server")]
mod demo;
#[cfg(feature = "server")]
mod demo_client;
mod detached;
pub mod env_vars;
pub mod failure;
pub mod global_options;
pub mod hardening;
mod help;
mod hidden_input;
mod interruption;
#[cfg(feature = "server")]
mod keygen;
mod mcp;
#[cfg(feature = "server")]
mod mock;
pub mod network;
mod older_grammar;
mod other_words;
pub mod printable;
pub mod problem;
mod question_signals;
mod secrets;
#[cfg(feature = "server")]
mod serve;
pub mod settings;
pub mod table;
pub mod talker;
pub mod terminal;
pub mod topics;
mod workspace;

use std::ffi::OsString;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum as _};

use context::Context;
use failure::Failure;
use global_options::{ColorChoice, GlobalOptions};
use settings::Settings;
use terminal::Terminal;

/// Keep the secrets of MCP servers: set once, encrypted, never readable again
#[derive(Debug, Parser)]
#[command(
    name = "aerostack",
    version,
    term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = topics::AT_THE_END_OF_HELP
)]
pub struct Cli {
    #[command(flatten)]
    options: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// The commands. Their help is the doc comment here or, for a single command, the one
/// of its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Api(ApiCommand),
    #[cfg(feature = "server")]
    #[command(flatten)]
    Start(StartCommand),
    #[command(flatten)]
    Topic(topics::Topic),
    Completions(completions::CompletionsArgs),
}

/// The commands that speak to the admin API.
#[derive(Debug, Subcommand)]
enum ApiCommand {
    /// Log in, log out, show which API key is used
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Set, rotate, inject, list, delete and import secrets
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Add, list, test, update and remove MCP servers
    #[command(subcommand)]
    Mcp(mcp::McpCommand),
    /// Create, list, choose and delete workspaces
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    Analytics(analytics::AnalyticsArgs),
    #[command(about = "Short for 'auth login'")]
    Login(auth::LoginArgs),
    #[command(about = "Short for 'auth logout'")]
    Logout(auth::LogoutArgs),
    #[command(about = "Short for 'auth status'")]
    Whoami(auth::StatusArgs),
}

/// The commands that start or prepare a server. They bring their own runtimes.
#[cfg(feature = "server")]
#[derive(Debug, Subcommand)]
enum StartCommand {
    Mock(mock::MockArgs),
    Serve(serve::ServeArgs),
    Keygen(keygen::KeygenArgs),
    Demo(demo::DemoArgs),
}

#[cfg(feature = "server")]
impl StartCommand {
    fn run(self, terminal: &mut Terminal) -> Result<(), Failure> {
        match self {
            Self::Mock(arguments) => mock::run(&arguments, terminal),
            Self::Serve(arguments) => serve::run(arguments, terminal),
            Self::Keygen(arguments) => keygen::run(&arguments, terminal),
            Self::Demo(arguments) => demo::run(&arguments, terminal),
        }
    }
}

impl Command {
    /// Fields of the list that the command prints, if it prints one.
    fn list_fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Api(ApiCommand::Secrets(command)) => command.list_fields(),
            Self::Api(ApiCommand::Mcp(command)) => command.list_fields(),
            Self::Api(ApiCommand::Workspace(command)) => command.list_fields(),
            Self::Api(ApiCommand::Analytics(arguments)) => Some(arguments.fields()),
            Self::Api(_) => None,
            #[cfg(feature = "server")]
            Self::Start(_) => None,
            Self::Topic(_) => None,
            Self::Completions(_) => None,
        }
    }
}

impl ApiCommand {
    async fn run(self, context: &mut Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Auth(command) => command.run(context).await,
            Self::Login(arguments) => auth::AuthCommand::Login(arguments).run(context).await,
            Self::Logout(arguments) => auth::AuthCommand::Logout(arguments).run(context).await,
            Self::Whoami(arguments) => auth::AuthCommand::Status(arguments).run(context).await,
            Self::Secrets(command) => command.run(context).await,
            Self::Mcp(command) => command.run(context).await,
            Self::Workspace(command) => command.run(context).await,
            Self::Analytics(arguments) => analytics::run(arguments, context).await,
        }
    }
}

/// Understands the arguments (the program's name first) and runs the command. Must not
/// be called from inside an async runtime.
pub fn run_arguments(
    arguments: impl IntoIterator<Item = OsString>,
    settings: &Settings,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(shell) = settings.completing_for.as_ref().filter(|_| completions::is_question(&arguments)) {
        return completions::answer(shell, &arguments, settings, terminal);
    }
    // Until the arguments are understood, and if they never are.
    let json = problem::has_flag(&arguments, "--json");
    let color = problem::option_value(&arguments, "--color");
    let color = color.and_then(|word| ColorChoice::from_str(word, false).ok()).unwrap_or(ColorChoice::Auto);
    terminal.set_style(global_options::style(color, false, json, settings, terminal));
    let matches = match Cli::command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return not_understood(&error, &arguments, json, terminal),
    };
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| problem::failure(&error, &Cli::command(), &arguments))?;
    run(cli, settings, terminal)
}

fn not_understood(
    error: &clap::Error,
    arguments: &[OsString],
    json: bool,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let rendered = error.render().to_string();
    let help = rendered.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    match error.kind() {
        ErrorKind::DisplayHelp => {
            let own = help::of_command(&Cli::command(), arguments);
            terminal.data(own.as_deref().unwrap_or(help.trim_end()))
        }
        ErrorKind::DisplayVersion => terminal.data(help.trim_end()),
        // 'secrets help set': below the top there is no command 'help'.
        ErrorKind::InvalidSubcommand if problem::unknown_command(error) == Some("help") => {
            terminal.data(&help::of_command(&Cli::command(), arguments).unwrap_or_default())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !json => {
            terminal.talk(help.trim_end());
            Err(Failure::already_shown())
        }
        _ => Err(problem::failure(error, &Cli::command(), arguments)),
    }
}

/// Runs an understood command. Must not be called from inside an async runtime.
pub fn run(cli: Cli, settings: &Settings, terminal: &mut Terminal) -> Result<(), Failure> {
    let Cli { options, command } = cli;
    terminal.set_style(global_options::style(options.color, options.quiet, options.json, settings, terminal));
    check_fields(&options, &command)?;
    match command {
        Command::Api(command) => run_with_api(command, &options, settings, terminal),
        #[cfg(feature = "server")]
        Command::Start(command) => command.run(terminal),
        Command::Topic(topic) => terminal.data(topic.page().trim_end()),
        Command::Completions(arguments) => completions::run(&arguments, terminal),
    }
}

fn run_with_api(
    command: ApiCommand,
    options: &GlobalOptions,
    settings: &Settings,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let mut context = Context::new(terminal, settings, options);
    let ended = runtime.block_on(interruption::unless_interrupted(command.run(&mut context)));
    let result = ended.and_then(|done| done.unwrap_or_else(|| Err(context.interrupted())));
    let result = result.map_err(|failure| context.with_workspace(context.with_changes(failure)));
    context.remember_names();
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

fn check_fields(options: &GlobalOptions, command: &Command) -> Result<(), Failure> {
    let Some(fields) = &options.fields else { return Ok(()) };
    if !options.json {
        return Err(Failure::usage("--fields works with --json only").with_hint("add --json"));
    }
    let Some(known) = command.list_fields() else {
        return Err(
            Failure::usage("--fields is for commands that print a list").with_hint("leave out --fields")
        );
    };
    if fields.iter().all(|field| known.contains(&field.as_str())) {
        return Ok(());
    }
    Err(Failure::usage("--fields names a field that is not there")
        .with_hint(format!("the fields are: {}", known.join(", "))))
}

#[cfg(test)]
mod tests;
