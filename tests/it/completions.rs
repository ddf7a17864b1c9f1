//! Completions: the checked-in scripts are what the program prints, real shells complete
//! real names with them, and nothing makes a completion wait or ask.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::keyring_session::in_time;
use crate::harness::parts::parts;
use crate::harness::program::Aerostack;
use crate::harness::session_bus::SilentSocket;
use crate::harness::tmux::Tmux;
use crate::harness::{Companion, aerostack};

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", "aerostack.bash"),
    ("zsh", "_aerostack"),
    ("fish", "aerostack.fish"),
    ("powershell", "aerostack.ps1"),
    ("elvish", "aerostack.elv"),
];

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name)
}

#[test]
fn the_scripts_that_are_checked_in() {
    for (shell, file) in SCRIPTS {
        let printed = aerostack(&["completions", shell]).run().expect(0).out;
        let kept = fs::read_to_string(script(file)).unwrap();
        assert!(printed == kept, "run: aerostack completions {shell} > completions/{file}");
    }
    aerostack(&["completions", "csh"]).run().expect(2);
    aerostack(&["completions"]).run().expect(2);
}

/// An admin with two servers, two secrets and a home of their own.
struct Admin {
    companion: Companion,
    home: TempDir,
}

impl Admin {
    fn new() -> Self {
        let admin = Self { companion: Companion::start(), home: tempfile::tempdir().unwrap() };
        for slug in ["github-mcp", "stripe-mcp"] {
            admin.companion.add_server(slug, "https://mcp.example/");
        }
        admin.companion.set("github-mcp", "GITHUB_TOKEN", "value-canary");
        admin.companion.set("github-mcp", "WEBHOOK_SECRET", "value-canary");
        admin
    }

    fn variables(&self) -> Vec<(String, OsString)> {
        let program = Path::new(env!("CARGO_BIN_EXE_aerostack")).parent().unwrap();
        vec![
            ("PATH".to_owned(), format!("{}:/usr/bin:/bin", program.display()).into()),
            ("HOME".to_owned(), self.home.path().into()),
            ("AEROSTACK_API_URL".to_owned(), self.companion.base_url.clone().into()),
            ("AEROSTACK_API_KEY".to_owned(), self.companion.api_key.clone().into()),
        ]
    }

    /// What a script would get for these words, the last of which is being typed.
    fn complete(&self, words: &[&str], more: &[(&str, &str)]) -> Vec<String> {
        let run = aerostack(&["--", "aerostack"]).envs(self.variables()).env("_AEROSTACK_COMPLETE", "bash");
        let run = words.iter().fold(run, Aerostack::arg);
        let run = run.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n");
        let run = more.iter().fold(run, |run, (name, value)| run.env(name, value));
        let ended = run.run().expect(0);
        assert_eq!(ended.err, "", "a message would land in what somebody types");
        ended.out.lines().map(str::to_owned).collect()
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join(".cache/aerostack/names.json")
    }
}

#[test]
fn peer_defect_20_names_and_no_files_are_offered() {
    let admin = Admin::new();
    let offered = |words: &[&str]| admin.complete(words, &[]);
    assert!(offered(&[""]).contains(&"secrets".to_owned()));
    assert_eq!(offered(&["secrets", "del"]), ["delete"]);
    for command in ["set", "inject", "list", "delete"] {
        assert_eq!(offered(&["secrets", command, ""]), ["github-mcp", "stripe-mcp"], "{command}");
    }
    assert_eq!(offered(&["secrets", "set", "github-mcp", ""]), ["GITHUB_TOKEN", "WEBHOOK_SECRET"]);
    assert_eq!(offered(&["secrets", "delete", "github-mcp", "W"]), ["WEBHOOK_SECRET"]);
    assert_eq!(offered(&["secrets", "delete", "stripe-mcp", ""]), [""; 0]);
    assert_eq!(offered(&["mcp", "remove", "s"]), ["stripe-mcp"]);
    assert_eq!(offered(&["mcp", "add", ""]), [""; 0], "a new name is not one that is there");
    assert_eq!(offered(&["-w", "d"]), ["default"]);
    assert_eq!(offered(&["workspace", "token", "create", ""]), ["default"]);
    assert_eq!(offered(&["--color", ""]), ["auto", "always", "never"]);
    // A value is nobody's business, and no name of a file.
    assert_eq!(offered(&["secrets", "set", "github-mcp", "GITHUB_TOKEN", ""]), [""; 0]);
    assert!(offered(&["secrets", "set", "--j"]).contains(&"--json".to_owned()));
}

#[test]
fn names_come_from_the_cache_that_other_commands_fill() {
    let admin = Admin::new();
    let run = |arguments: &[&str]| aerostack(arguments).envs(admin.variables()).run().expect(0);
    run(&["secrets", "list", "github-mcp"]);
    run(&["mcp", "list"]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&admin.cache()), mode(admin.cache().parent().unwrap())), (0o600, 0o700));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // The same origin, but nobody can be asked: no key that would be accepted.
    let offline = [("AEROSTACK_API_KEY", "not a key")];
    assert_eq!(admin.complete(&["secrets", "set", ""], &offline), ["github-mcp", "stripe-mcp"]);
    let names = ["GITHUB_TOKEN", "WEBHOOK_SECRET"];
    assert_eq!(admin.complete(&["secrets", "set", "github-mcp", ""], &offline), names);
    // Names are of one API.
    let other = [("AEROSTACK_API_URL", format!("http://{nobody}"))];
    let other = other.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(admin.complete(&["secrets", "set", ""], &other), [""; 0]);
    // A secret that was just set is known; one that was deleted is asked about.
    run(&["secrets", "set", "github-mcp", "NEW_ONE", "value-canary"]);
    assert!(admin.complete(&["secrets", "set", "github-mcp", "N"], &offline).contains(&"NEW_ONE".to_owned()));
    run(&["secrets", "delete", "github-mcp", "NEW_ONE", "--yes"]);
    assert_eq!(admin.complete(&["secrets", "set", "github-mcp", ""], &[]), names);
    let cache = fs::read_to_string(admin.cache()).unwrap();
    assert!(!cache.contains("canary") && !cache.contains(&admin.companion.api_key), "{cache}");
}

#[test]
fn names_of_a_hostile_server_do_not_reach_the_command_line() {
    let admin = Admin::new();
    fs::create_dir_all(admin.cache().parent().unwrap()).unwrap();
    let names = r#"["ok", "$(touch x)", "a b", "-x", "\u001b[2J"]"#;
    let seen = u64::MAX / 4;
    let cache = format!(
        r#"{{"origins":{{"{}":{{"servers":{{"default":{{"seen":{seen},"names":{names}}}}}}}}}}}"#,
        admin.companion.base_url
    );
    fs::write(admin.cache(), cache).unwrap();
    let offline = [("AEROSTACK_API_KEY", "not a key")];
    assert_eq!(admin.complete(&["secrets", "set", ""], &offline), ["ok"]);
    fs::write(admin.cache(), "{").unwrap();
    assert_eq!(admin.complete(&["secrets", "set", ""], &offline), [""; 0]);
}

#[test]
fn peer_defect_20_nobody_is_waited_for_and_nobody_is_asked() {
    let admin = Admin::new();
    // An API that takes the connection and says nothing; a keyring that does the same.
    let silent_api = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent_api.local_addr().unwrap());
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = ["secrets", "set", ""];
    for url in [url, format!("http://{down}")] {
        let nothing = in_time(|| admin.complete(&words, &[("AEROSTACK_API_URL", &url)]));
        assert_eq!(nothing, [""; 0]);
    }
    let socket = SilentSocket::start();
    let session = socket.env();
    let session: Vec<_> =
        session.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let nothing = in_time(|| admin.complete(&words, &[&session[..], &[("AEROSTACK_API_KEY", "")]].concat()));
    assert_eq!(nothing, [""; 0]);
}

/// Types in a shell that has sourced the script.
fn in_a_shell(test: &str, shell: &[&str], set_up: &str) {
    if parts(test).is_none() {
        return;
    }
    let admin = Admin::new();
    let terminal = Tmux::start(shell, &admin.variables());
    terminal.send(&[&format!("{set_up} ; echo sou''rced"), "Enter"]);
    terminal.wait("the sourced script", |screen| screen.contains("\nsourced"));
    terminal.send(&["clear", "Enter"]);
    terminal.wait("an empty screen", |screen| !screen.contains("sourced") && !screen.contains("clear"));
    terminal.send(&["aerostack secrets set git", "Tab"]);
    terminal.wait("the server", |screen| screen.contains("secrets set github-mcp"));
    // Elvish does not put a blank behind what it completed.
    terminal.send(&[if shell[0] == "elvish" { " GIT" } else { "GIT" }, "Tab"]);
    terminal.wait("the secret", |screen| screen.contains("github-mcp GITHUB_TOKEN"));
    terminal.send(&["C-u"]);
    terminal.wait("an empty line", |screen| {
        let last = screen.trim_end().lines().last().unwrap_or_default();
        !last.contains("secrets set")
    });
    terminal.send(&["aerostack secrets delete github-mcp ", "Tab", "Tab"]);
    terminal.wait("both secrets", |screen| {
        let after = screen.split_once("secrets delete").map_or("", |(_, after)| after);
        after.contains("GITHUB_TOKEN") && after.contains("WEBHOOK_SECRET")
    });
}

#[test]
fn in_bash() {
    let set_up = format!("source {}", script("aerostack.bash").display());
    in_a_shell("in_bash", &["bash", "--norc", "--noprofile", "-i"], &set_up);
}

#[test]
fn in_zsh() {
    let set_up =
        format!("autoload -U compinit && compinit -D -u && source {}", script("_aerostack").display());
    in_a_shell("in_zsh", &["zsh", "-f", "-i"], &set_up);
}

#[test]
fn in_fish() {
    let set_up = format!("source {}", script("aerostack.fish").display());
    in_a_shell("in_fish", &["fish", "--no-config"], &set_up);
}

#[test]
fn in_elvish() {
    let set_up = format!("eval (slurp < {})", script("aerostack.elv").display());
    in_a_shell("in_elvish", &["elvish", "-norc"], &set_up);
}
