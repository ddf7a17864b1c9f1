//! Completions: the checked-in scripts are what the program prints, names are those of the
//! place on the line, and nothing makes a completion wait or ask. (Real shells:
//! `completions_shells.rs`.)

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::keyring_session::in_time;
use crate::harness::program::Aerostack;
use crate::harness::session_bus::SilentSocket;
use crate::harness::{Companion, Upstream, aerostack};

const SCRIPTS: [(&str, &str); 5] = [
    ("bash", "aerostack.bash"),
    ("zsh", "_aerostack"),
    ("fish", "aerostack.fish"),
    ("powershell", "aerostack.ps1"),
    ("elvish", "aerostack.elv"),
];

pub fn script(name: &str) -> PathBuf {
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

fn answer(run: Aerostack) -> String {
    let ended = run.run().expect(0);
    assert_eq!(ended.err, "", "a message would land in what somebody types");
    ended.out
}

/// An admin with two servers, two secrets and a home of their own.
pub struct Admin {
    pub companion: Companion,
    pub home: TempDir,
}

impl Admin {
    pub fn new() -> Self {
        let admin = Self { companion: Companion::start(), home: tempfile::tempdir().unwrap() };
        for slug in ["github-mcp", "stripe-mcp"] {
            admin.companion.add_server(slug, "https://mcp.example/");
        }
        admin.companion.set("github-mcp", "GITHUB_TOKEN", "value-canary");
        admin.companion.set("github-mcp", "WEBHOOK_SECRET", "value-canary");
        admin
    }

    pub fn variables(&self) -> Vec<(String, OsString)> {
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
        let run = aerostack(&["--", "aerostack"]).envs(self.variables()).env("_AEROSTACK_COMPLETE", "fish");
        let run = words.iter().fold(run, Aerostack::arg);
        let run = more.iter().fold(run, |run, (name, value)| run.env(name, value));
        let out = answer(run);
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    /// What bash would get for this line, of which it will replace the end.
    fn complete_line(&self, line: &str, replaced: &str) -> Vec<String> {
        let run = aerostack(&["--", line, replaced]).envs(self.variables());
        let run = run.env("_AEROSTACK_COMPLETE", "bash").folder(self.home.path());
        answer(run).lines().map(str::to_owned).collect()
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

/// Whatever lies in the cache's place: no answer, no wait, and the next command makes it anew
/// where it can.
#[test]
fn odd_things_in_place_of_the_cache() {
    let admin = Admin::new();
    let cache = admin.cache();
    fs::create_dir_all(cache.parent().unwrap()).unwrap();
    let elsewhere = admin.home.path().join("elsewhere");
    let mkfifo = || {
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &cache, fifo, mode, 0).unwrap();
    };
    let oversized = || fs::File::create(&cache).unwrap().set_len((8 << 20) + 1).unwrap();
    let symlink = || {
        fs::write(&elsewhere, "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &cache).unwrap();
    };
    let odd: [(&str, &dyn Fn()); 3] = [("fifo", &mkfifo), ("oversized", &oversized), ("symlink", &symlink)];
    let offline = [("AEROSTACK_API_KEY", "not a key")];
    let list = || aerostack(&["mcp", "list"]).envs(admin.variables()).run().expect(0);
    for (what, make) in odd {
        make();
        let nothing = in_time(|| admin.complete(&["secrets", "set", ""], &offline));
        assert_eq!(nothing, [""; 0], "{what}");
        list();
        let found = admin.complete(&["secrets", "set", ""], &offline);
        assert_eq!(found, ["github-mcp", "stripe-mcp"], "{what}");
        assert!(cache.symlink_metadata().unwrap().is_file(), "{what}");
        fs::remove_file(&cache).unwrap();
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    // A folder cannot be replaced; commands do their work all the same.
    fs::create_dir(&cache).unwrap();
    assert_eq!(list().err, "");
    assert_eq!(admin.complete(&["secrets", "set", ""], &offline), [""; 0]);
    let left: Vec<_> = fs::read_dir(cache.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
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

/// A command is run even where the variable of the scripts is in the environment.
#[test]
fn a_variable_that_was_left_behind_stops_no_command() {
    let admin = Admin::new();
    for shell in ["bash", "zsh", "nothing", ""] {
        let set = aerostack(&["secrets", "set", "github-mcp", "LEFT", "value-canary"]);
        let ended = set.envs(admin.variables()).env("_AEROSTACK_COMPLETE", shell).run().expect(0);
        assert!(ended.out.starts_with("Secret "), "{}", ended.out);
    }
    let ended = aerostack(&["nothing"]).env("_AEROSTACK_COMPLETE", "bash").run().expect(2);
    assert!(ended.err.contains("error: "), "{}", ended.err);
}

/// PowerShell's script takes the words as data, and no word that is empty.
#[test]
fn for_powershell() {
    let kept = fs::read_to_string(script("aerostack.ps1")).unwrap();
    assert!(!kept.contains("Invoke-Expression") && kept.contains("finally"), "{kept}");
    let admin = Admin::new();
    let ask = |words: &[&str], at: &str| {
        let run = aerostack(&["--", "aerostack"]).envs(admin.variables());
        let run = words.iter().fold(run, Aerostack::arg);
        answer(run.env("_AEROSTACK_COMPLETE", "powershell").env("_CLAP_COMPLETE_INDEX", at))
    };
    assert_eq!(ask(&["secrets", "set"], "3").lines().collect::<Vec<_>>(), ["github-mcp", "stripe-mcp"]);
    assert_eq!(ask(&["secrets", "set", "g"], "3").lines().collect::<Vec<_>>(), ["github-mcp"]);
}

#[test]
fn files_are_offered_where_a_file_belongs() {
    let admin = Admin::new();
    fs::write(admin.home.path().join("my values.env"), "").unwrap();
    fs::create_dir(admin.home.path().join("my-folder")).unwrap();
    for line in [
        "aerostack secrets import github-mcp my",
        "aerostack secrets set github-mcp NEW --value-file my",
        "aerostack --ca-cert my",
        "aerostack serve --tls-cert my",
    ] {
        let mut found = admin.complete_line(line, "my");
        found.sort();
        assert_eq!(found, ["my-folder/", "my\\ values.env"], "{line}");
    }
    let found = admin.complete_line("aerostack secrets import github-mcp --format=env 'my ", "my ");
    assert_eq!(found, ["my values.env"]);
    for line in ["secrets set github-mcp my", "secrets delete github-mcp my", "serve --listen my", "-w my"] {
        assert_eq!(admin.complete_line(&format!("aerostack {line}"), "my"), [""; 0], "{line}");
    }
}

#[test]
fn bash_gets_the_end_that_it_replaces() {
    let admin = Admin::new();
    let url = &admin.companion.base_url;
    // The names of a place that is typed come from the cache.
    aerostack(&["secrets", "list", "github-mcp"]).envs(admin.variables()).run().expect(0);
    for (line, replaced, expected) in [
        (format!("aerostack --api-url {url} secrets set github-mcp G"), "G", "GITHUB_TOKEN"),
        (format!("aerostack --api-url={url} secrets set github-mcp G"), "G", "GITHUB_TOKEN"),
        ("aerostack --workspace=def".to_owned(), "def", "default"),
        ("aerostack --workspace=".to_owned(), "", "default"),
        ("aerostack secrets set \"git".to_owned(), "git", "github-mcp"),
        ("aerostack secrets set 'github-mcp' \"W".to_owned(), "W", "WEBHOOK_SECRET"),
        ("aerostack secrets set --header=X:Y github-mcp W".to_owned(), "W", "WEBHOOK_SECRET"),
        ("aerostack secrets ro".to_owned(), "ro", "rotate"),
        ("aerostack secrets set --head".to_owned(), "--head", "--header"),
    ] {
        assert_eq!(admin.complete_line(&line, replaced), [expected], "{line}");
    }
    let ended = aerostack(&["--", "aerostack secrets "]).env("_AEROSTACK_COMPLETE", "bash").run().expect(0);
    assert_eq!(ended.both(), "");
}

#[test]
fn options_anywhere_on_the_line_say_where_the_names_are() {
    let admin = Admin::new();
    let create = ["workspace", "create", "Team"];
    aerostack(&create).envs(admin.variables()).run().expect(0);
    let url = "https://mcp.example/";
    let add = ["mcp", "add", "team-mcp", "--url", url, "-w", "team"];
    aerostack(&add).envs(admin.variables()).run().expect(0);
    let set = ["secrets", "set", "team-mcp", "TEAM_TOKEN", "value-canary", "-w", "team"];
    aerostack(&set).envs(admin.variables()).run().expect(0);
    for words in [
        &["-w", "team", "secrets", "set", "team-mcp", ""][..],
        &["secrets", "-w", "team", "set", "team-mcp", ""],
        &["secrets", "set", "--workspace=team", "team-mcp", ""],
        &["secrets", "set", "-wteam", "--header", "X-Key", "team-mcp", ""],
        &["secrets", "set", "--value-file", "github-mcp", "team-mcp", "-qw", "team", ""],
    ] {
        assert_eq!(admin.complete(words, &[]), ["TEAM_TOKEN"], "{words:?}");
    }
    assert_eq!(admin.complete(&["secrets", "set", "team-mcp", ""], &[]), [""; 0]);
}

/// A key for one API is not sent to another because its address stands on the line.
#[test]
fn an_api_that_is_being_typed_gets_no_key() {
    let admin = Admin::new();
    let api = Upstream::start(|_| Vec::new());
    let url = format!("http://{}", api.address);
    assert_eq!(admin.complete(&["secrets", "set", "--api-url", &url, ""], &[]), [""; 0]);
    assert_eq!(admin.complete_line(&format!("aerostack --api-url={url} mcp remove "), ""), [""; 0]);
    assert_eq!(api.connections(), 0);
    admin.complete(&["secrets", "set", ""], &[("AEROSTACK_API_URL", &url)]);
    assert_eq!(api.connections(), 1, "the one of the environment is asked");
}

#[test]
fn a_new_workspace_is_offered_at_once() {
    let admin = Admin::new();
    let words = ["workspace", "use", ""];
    assert_eq!(admin.complete(&words, &[]), ["default"]);
    let run = |arguments: &[&str]| aerostack(arguments).envs(admin.variables()).run().expect(0);
    run(&["workspace", "create", "Team"]);
    assert_eq!(admin.complete(&words, &[]), ["default", "team"]);
    run(&["workspace", "delete", "team", "--yes"]);
    assert_eq!(admin.complete(&words, &[]), ["default"]);
}
