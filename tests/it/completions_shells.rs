//! Real shells complete real names with the scripts that are checked in, and go on soon where
//! there is no server. They are typed in, in tmux.

use std::fs;
use std::net::TcpListener;

use crate::completions::{Admin, script};
use crate::harness::aerostack;
use crate::harness::keyring_session::in_time;
use crate::harness::parts::parts;
use crate::harness::tmux::Tmux;

/// Waits for the shell after its set-up.
fn ready(terminal: &Tmux, set_up: &str) {
    terminal.send(&[&format!("{set_up} ; echo sou''rced"), "Enter"]);
    terminal.wait("the sourced script", |screen| screen.contains("\nsourced"));
    terminal.send(&["clear", "Enter"]);
    terminal.wait("an empty screen", |screen| !screen.contains("sourced") && !screen.contains("clear"));
}

fn empty_line(terminal: &Tmux) {
    terminal.send(&["C-u"]);
    terminal.wait("an empty line", |screen| {
        let last = screen.trim_end().lines().last().unwrap_or_default();
        !last.contains("secrets ")
    });
}

/// Types in a shell that has the script.
fn in_a_shell(test: &str, shell: &[&str], set_up: &str) {
    if parts(test).is_none() {
        return;
    }
    let admin = Admin::new();
    fs::create_dir(admin.home.path().join(".zfunc")).unwrap();
    fs::copy(script("_aerostack"), admin.home.path().join(".zfunc/_aerostack")).unwrap();
    fs::write(admin.home.path().join("values.env"), "").unwrap();
    let terminal = Tmux::start(shell, &admin.variables());
    ready(&terminal, set_up);
    terminal.send(&["aerostack secrets set git", "Tab"]);
    terminal.wait("the server", |screen| screen.contains("secrets set github-mcp"));
    // Elvish does not put a blank behind what it completed.
    let blank = if shell[0] == "elvish" { " " } else { "" };
    terminal.send(&[&format!("{blank}GIT"), "Tab"]);
    terminal.wait("the secret", |screen| screen.contains("github-mcp GITHUB_TOKEN"));
    empty_line(&terminal);
    // The names of a place that is typed come from the cache.
    aerostack(&["workspace", "list"]).envs(admin.variables()).run().expect(0);
    let url = &admin.companion.base_url;
    // Elvish has words without such breaks, and shows a menu for parts of them.
    if shell[0] != "elvish" {
        terminal.send(&[&format!("aerostack --api-url={url} secrets set github-mcp --workspace=def"), "Tab"]);
        terminal.wait("the workspace", |screen| screen.contains("--workspace=default"));
        terminal.send(&["GIT", "Tab"]);
        terminal.wait("the secret", |screen| screen.contains("=default GITHUB_TOKEN"));
        empty_line(&terminal);
    }
    let file = admin.home.path().join("val");
    terminal.send(&[&format!("aerostack secrets import github-mcp {}", file.display()), "Tab"]);
    terminal.wait("the file", |screen| screen.contains("/values.env"));
    empty_line(&terminal);
    terminal.send(&["aerostack secrets delete github-mcp ", "Tab", "Tab"]);
    terminal.wait("both secrets", |screen| {
        let after = screen.split_once("secrets delete").map_or("", |(_, after)| after);
        after.contains("GITHUB_TOKEN") && after.contains("WEBHOOK_SECRET")
    });
}

/// With an API that says nothing, a completion comes back with nothing, and soon.
fn in_a_shell_without_a_server(test: &str, shell: &[&str], set_up: &str) {
    if parts(test).is_none() {
        return;
    }
    let admin = Admin::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut variables = admin.variables();
    variables.push(("AEROSTACK_API_URL".to_owned(), url.into()));
    let terminal = Tmux::start(shell, &variables);
    ready(&terminal, set_up);
    in_time(|| {
        terminal.send(&["aerostack secrets set ", "Tab", "x-typed-on"]);
        terminal.wait("what was typed after the tab", |screen| screen.contains("secrets set x-typed-on"));
    });
    assert!(!terminal.screen().contains("-mcp"), "{}", terminal.screen());
}

const BASH: [&str; 4] = ["bash", "--norc", "--noprofile", "-i"];
const ZSH: [&str; 3] = ["zsh", "-f", "-i"];
const FISH: [&str; 2] = ["fish", "--no-config"];
/// As `completions --help` says.
const ZSH_SET_UP: &str = "fpath=(~/.zfunc $fpath); autoload -U compinit && compinit -D -u";

fn source(script_name: &str) -> String {
    format!("source {}", script(script_name).display())
}

#[test]
fn in_bash() {
    in_a_shell("in_bash", &BASH, &source("aerostack.bash"));
}

#[test]
fn in_bash_without_a_server() {
    in_a_shell_without_a_server("in_bash_without_a_server", &BASH, &source("aerostack.bash"));
}

#[test]
fn in_zsh() {
    in_a_shell("in_zsh", &ZSH, ZSH_SET_UP);
}

#[test]
fn in_zsh_sourced() {
    let set_up = format!("autoload -U compinit && compinit -D -u && {}", source("_aerostack"));
    in_a_shell("in_zsh_sourced", &ZSH, &set_up);
}

#[test]
fn in_zsh_without_a_server() {
    let set_up = format!("autoload -U compinit && compinit -D -u && {}", source("_aerostack"));
    in_a_shell_without_a_server("in_zsh_without_a_server", &ZSH, &set_up);
}

#[test]
fn in_fish() {
    in_a_shell("in_fish", &FISH, &source("aerostack.fish"));
}

#[test]
fn in_fish_without_a_server() {
    in_a_shell_without_a_server("in_fish_without_a_server", &FISH, &source("aerostack.fish"));
}

#[test]
fn in_elvish() {
    let set_up = format!("eval (slurp < {})", script("aerostack.elv").display());
    in_a_shell("in_elvish", &["elvish", "-norc"], &set_up);
}
