//! The plain-text key file of `auth login --insecure-storage` (T39): its modes under each
//! umask, and what happens when something else lies in its place. No keyring here.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::program::{Aerostack, NOBODY};
use crate::harness::{Companion, Ended, aerostack};

/// A user with a home and an API, and no session bus.
struct User {
    home: TempDir,
    companion: Companion,
}

impl User {
    fn new() -> Self {
        let user = Self { home: tempfile::tempdir().unwrap(), companion: Companion::start() };
        user.companion.add_server("github-mcp", "https://github-mcp.example/");
        user
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(".config/aerostack")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("credentials.json")
    }

    fn run(&self, arguments: &[&str]) -> Aerostack {
        aerostack(arguments).env("HOME", self.home.path()).env("AEROSTACK_API_URL", &self.companion.base_url)
    }

    fn login(&self) -> Aerostack {
        let run = self.run(&["auth", "login", "--with-token", "--insecure-storage"]);
        run.stdin(format!("{}\n", self.companion.api_key))
    }

    fn list(&self) -> Ended {
        self.run(&["secrets", "list", "github-mcp"]).run()
    }

    /// A valid content of the file for this user's API.
    fn content(&self) -> String {
        format!(r#"{{"api_keys":{{"{}":"{}"}}}}"#, self.companion.base_url, self.companion.api_key)
    }

    /// An empty folder for the file, as the program makes it.
    fn make_folder(&self) {
        fs::create_dir_all(self.folder()).unwrap();
        fs::set_permissions(self.folder(), Permissions::from_mode(0o700)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn private_under_every_umask() {
    // The last ones take rights from the owner too.
    for umask in ["000", "022", "077", "0177", "0277", "0477", "0777"] {
        let user = User::new();
        let ended = user.login().umask(umask).run().expect(0);
        assert_eq!((mode(&user.file()), mode(&user.folder())), (0o600, 0o700), "umask {umask}");
        assert_eq!(mode(user.folder().parent().unwrap()), 0o700, "umask {umask}");
        assert_eq!(user.names(), ["credentials.json"]);
        assert_eq!(fs::read_to_string(user.file()).unwrap(), user.content());
        let path = user.file().display().to_string();
        assert!(ended.err.starts_with("warning: the API key is now written in plain text to "));
        assert!(ended.err.contains(&path) && ended.out.contains(&path), "{ended:?}");
        assert!(!ended.both().contains(&user.companion.api_key));
        user.list().expect(0);
    }
}

#[test]
fn a_folder_that_was_there_is_closed_to_others() {
    let user = User::new();
    user.make_folder();
    fs::set_permissions(user.folder(), Permissions::from_mode(0o777)).unwrap();
    user.login().run().expect(0);
    assert_eq!((mode(&user.file()), mode(&user.folder())), (0o600, 0o700));
    user.list().expect(0);
    // Opened again behind our back: somebody else may have put a key there.
    fs::set_permissions(user.folder(), Permissions::from_mode(0o720)).unwrap();
    let ended = user.list().expect(4);
    assert!(ended.err.contains("other users can read or write it"), "{}", ended.err);
}

/// Puts something into the place of the file.
type Place = fn(&User);

const PLACES: [(&str, Place); 6] = [
    ("it is a symbolic link", |user| {
        let target = user.home.path().join("target.json");
        fs::write(&target, user.content()).unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        symlink(target, user.file()).unwrap();
    }),
    ("it is a symbolic link", |user| symlink(user.home.path().join("nowhere"), user.file()).unwrap()),
    ("it is not a regular file", |user| {
        assert!(Command::new("mkfifo").arg(user.file()).status().unwrap().success());
    }),
    ("it is not a regular file", |user| fs::create_dir(user.file()).unwrap()),
    ("it is not a regular file", |user| drop(UnixListener::bind(user.file()).unwrap())),
    ("it is longer than 64 KiB", |user| {
        let file = fs::File::create(user.file()).unwrap();
        file.set_len(1 << 30).unwrap();
    }),
];

#[test]
fn what_is_no_file_of_ours_is_neither_read_nor_replaced() {
    for (number, (reason, place)) in PLACES.iter().enumerate() {
        let user = User::new();
        user.make_folder();
        place(&user);
        refused(&user, reason, number);
        assert_eq!(user.names(), ["credentials.json"]);
        assert!(!user.home.path().join("nowhere").exists());
        if let Ok(text) = fs::read_to_string(user.home.path().join("target.json")) {
            assert_eq!(text, user.content(), "the target of the link was changed");
        }
    }
}

/// Neither a login nor a command uses it, and the API hears nothing of the key.
#[track_caller]
fn refused(user: &User, reason: &str, number: usize) {
    let before = fs::symlink_metadata(user.file()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let login = user.login().env("AEROSTACK_API_URL", &url).run();
    let list = user.run(&["secrets", "list", "github-mcp"]).env("AEROSTACK_API_URL", &url).run();
    let status = user.run(&["auth", "status"]).env("AEROSTACK_API_URL", &url).run();
    for ended in [login, list, status, user.list(), user.run(&["auth", "logout"]).run()] {
        let ended = ended.expect(4);
        assert!(ended.err.contains("the plain-text key file is not used"), "{number}: {}", ended.err);
        assert!(ended.err.contains(reason), "{number}: {}", ended.err);
        assert!(ended.err.contains("hint: "), "{number}: {}", ended.err);
        assert!(!ended.both().contains(&user.companion.api_key), "{number}");
    }
    assert!(listener.accept().is_err(), "{number}: the API was contacted");
    let after = fs::symlink_metadata(user.file()).unwrap();
    assert_eq!(before.permissions(), after.permissions(), "{number}");
    assert_eq!(before.file_type(), after.file_type(), "{number}");
}

#[test]
fn files_and_folders_of_others_are_not_used() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "only root can make a file of another user");
        eprintln!(
            "SKIPPED files_and_folders_of_others_are_not_used: only root can make a file of another user"
        );
        return;
    }
    let user = User::new();
    user.login().run().expect(0);
    let foreign = Some(NOBODY);
    chown(user.file(), foreign, foreign).unwrap();
    refused(&user, "it belongs to another user", 0);
    chown(user.file(), Some(0), Some(0)).unwrap();
    user.list().expect(0);
    chown(user.folder(), foreign, foreign).unwrap();
    refused(&user, "it belongs to another user", 1);
}

/// As an ordinary user: root may look everywhere.
#[test]
fn where_it_may_not_look_it_does_not_claim_anything() {
    let user = User::new();
    let program = copy_for_everybody(user.home.path());
    let run = |arguments: &[&str]| {
        let run = user.run(arguments).program(&program).stdin(user.companion.api_key.clone());
        run.by_ordinary_user()
    };
    let login = ["auth", "login", "--with-token", "--insecure-storage"];
    run(&login).run().expect(0);
    run(&["secrets", "list", "github-mcp"]).run().expect(0);
    for closed in [0o000, 0o600] {
        fs::set_permissions(user.folder(), Permissions::from_mode(closed)).unwrap();
        for arguments in [&["auth", "logout"][..], &["auth", "status"], &login] {
            let ended = run(arguments).run().expect(4);
            assert!(ended.err.contains("Permission denied"), "{arguments:?}: {}", ended.err);
        }
    }
    fs::set_permissions(user.folder(), Permissions::from_mode(0o700)).unwrap();
    run(&["auth", "logout"]).run().expect(0);
    // Where nothing can be written, the key is not sent and nothing is announced.
    let parent = user.folder().parent().unwrap().to_owned();
    fs::remove_dir(user.folder()).unwrap();
    fs::set_permissions(&parent, Permissions::from_mode(0o500)).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let ended = run(&login).env("AEROSTACK_API_URL", &url).run().expect(1);
    assert!(
        ended.err.contains("could not write") && ended.err.contains("hint: look at the rights"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("is now written"), "{}", ended.err);
    assert!(nobody.accept().is_err(), "the API was contacted");
}

/// The program where an ordinary user may run it, and a home that is theirs.
fn copy_for_everybody(home: &Path) -> PathBuf {
    let program = home.join("aerostack");
    fs::copy(env!("CARGO_BIN_EXE_aerostack"), &program).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    program
}

#[test]
fn a_folder_that_is_a_link_is_not_used() {
    let user = User::new();
    user.login().run().expect(0);
    let elsewhere = user.home.path().join("dotfiles");
    fs::rename(user.folder(), &elsewhere).unwrap();
    symlink(&elsewhere, user.folder()).unwrap();
    for ended in [user.login().run(), user.list(), user.run(&["logout"]).run()] {
        let ended = ended.expect(4);
        assert!(ended.err.contains("aerostack: it is a symbolic link"), "{}", ended.err);
    }
    // Without the file in it, the folder is nobody's business.
    fs::remove_file(elsewhere.join("credentials.json")).unwrap();
    for ended in [user.list(), user.run(&["logout"]).run()] {
        let ended = ended.expect(4);
        assert!(!ended.err.contains("symbolic link"), "{}", ended.err);
    }
}

#[test]
fn a_file_that_others_could_read_is_not_read_and_a_login_closes_it() {
    let user = User::new();
    user.login().run().expect(0);
    for open in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(user.file(), Permissions::from_mode(open)).unwrap();
        let ended = user.list().expect(4);
        assert!(ended.err.contains("other users can read or write it"), "{open:o}: {}", ended.err);
    }
    let ended = user.login().run().expect(0);
    assert!(
        ended.err.contains("until now; take the keys that were in it for known to them"),
        "{}",
        ended.err
    );
    assert_eq!(mode(&user.file()), 0o600);
    user.list().expect(0);
}

#[test]
fn what_is_not_understood_is_kept() {
    for content in ["", "{", "[]", r#"{"api_keys":{},"later":1}"#, r#"{"api_keys":{"a":1}}"#] {
        let user = User::new();
        user.make_folder();
        fs::write(user.file(), content).unwrap();
        fs::set_permissions(user.file(), Permissions::from_mode(0o600)).unwrap();
        refused(&user, "its content is not understood", 0);
        assert_eq!(fs::read_to_string(user.file()).unwrap(), content);
    }
}

#[test]
fn what_a_killed_login_left_is_cleared_away_and_not_followed() {
    let user = User::new();
    user.make_folder();
    let target = user.home.path().join("target");
    fs::write(&target, "precious").unwrap();
    symlink(&target, user.folder().join(".credentials.json.new")).unwrap();
    user.login().run().expect(0);
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert_eq!(user.names(), ["credentials.json"]);
    user.list().expect(0);
}

#[test]
fn logins_at_the_same_time_keep_each_other_s_keys() {
    let user = User::new();
    let other = user.companion.base_url.replace("127.0.0.1", "localhost");
    for round in 0..5 {
        std::thread::scope(|scope| {
            let one = scope.spawn(|| user.login().run());
            let two = scope.spawn(|| user.login().env("AEROSTACK_API_URL", &other).run());
            one.join().unwrap().expect(0);
            two.join().unwrap().expect(0);
        });
        let content: Value = serde_json::from_slice(&fs::read(user.file()).unwrap()).unwrap();
        let keys = content["api_keys"].as_object().unwrap();
        let mut expected = [user.companion.base_url.as_str(), other.as_str()];
        expected.sort_unstable();
        assert_eq!(keys.keys().map(String::as_str).collect::<Vec<_>>(), expected, "round {round}");
        fs::remove_file(user.file()).unwrap();
    }
}

#[test]
fn the_last_logout_removes_the_file() {
    let user = User::new();
    let other = user.companion.base_url.replace("127.0.0.1", "localhost");
    user.login().run().expect(0);
    user.login().env("AEROSTACK_API_URL", &other).run().expect(0);
    let out = user.run(&["auth", "logout"]).run().expect(0).out;
    let expected = format!(
        "Logged out of {}. The API key was removed from the plain-text file.\n",
        user.companion.base_url
    );
    assert_eq!(out, expected);
    user.list().expect(4);
    user.run(&["secrets", "list", "github-mcp", "--api-url", &other]).run().expect(0);
    let json = user.run(&["logout", "--json", "--api-url", &other]).run().document();
    assert_eq!(json, serde_json::json!({"origin": other, "removed": ["plain_file"]}));
    assert!(user.names().is_empty());
    // Now nobody can say whether a keyring somewhere has one.
    let ended = user.run(&["auth", "logout"]).run().expect(4);
    assert!(ended.err.contains("may still hold an API key"), "{}", ended.err);
}

#[test]
fn status_keeps_saying_plain_text() {
    let user = User::new();
    user.login().run().expect(0);
    for _ in 0..2 {
        let ended = user.run(&["auth", "status"]).run().expect(0);
        assert!(
            ended.out.contains(&format!("from {} (plain text)\n", user.file().display())),
            "{}",
            ended.out
        );
        assert!(ended.err.contains("warning: the API key lies in plain text"), "{}", ended.err);
    }
    let json = user.run(&["auth", "status", "--json"]).run().document();
    assert_eq!(json["source"], "plain_file");
    assert_eq!(json["plain_text"], true);
    // Of a file that must not be used, it says at least that.
    fs::set_permissions(user.file(), Permissions::from_mode(0o644)).unwrap();
    let ended = user.run(&["auth", "status", "--json"]).run().expect(4);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&json["status"], &json["source"]), (&"unusable".into(), &"plain_file".into()));
    assert_eq!(json["key_last_four"], Value::Null);
    let ended = user.run(&["auth", "status"]).run().expect(4);
    assert!(ended.out.contains("API key  unusable, from "), "{}", ended.out);
}
