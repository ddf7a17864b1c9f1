//! D-Bus session buses, each with a home of its own: with the real gnome-keyring unlocked,
//! locked, or without a collection, with a Secret Service that never answers, or with none.
//! And a socket that is no bus at all.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::display::Display;
use super::kept::Kept;
use super::parts::{Part, part};
use super::program::{Ended, run_to_end, until};

/// Longest time until a bus is as it was ordered.
const PATIENCE: Duration = Duration::from_secs(20);

const SECRETS: &str = "org.freedesktop.secrets";
/// What gnome-keyring asks for the password of a locked collection.
const PROMPTER: &str = "org.gnome.keyring.SystemPrompter";
/// Where Debian says how the prompter is started.
const SERVICES: &str = "/usr/share/dbus-1/services";

/// The password of the collection.
pub const PASSWORD: &str = "the password of the collection";

/// A real `dbus-daemon` and what answers on it. Dropping it ends all of that.
pub struct SessionBus {
    // Both end before the bus.
    keyring: Option<Kept>,
    part: Option<Part>,
    bus: Kept,
    address: OsString,
    runtime: TempDir,
    folder: TempDir,
}

impl SessionBus {
    /// The real gnome-keyring with an unlocked default collection.
    pub fn unlocked() -> Self {
        let mut bus = Self::open(tempfile::tempdir().unwrap());
        let password = bus.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        bus.start_keyring(&["--unlock"], &password);
        Self::wait("an unlocked collection", || bus.locked() == Some(false));
        bus
    }

    /// The same data after a new login that unlocked nothing. With no display, the question
    /// for the password fails at once.
    pub fn relock(self) -> Self {
        self.relock_with(None, |_| None)
    }

    /// The same, with a display on which the question for the password is shown.
    pub fn relock_at(self, display: &Display) -> Self {
        self.relock_with(Some(display), |_| None)
    }

    /// The same, with a question for the password that is never answered: a screen that
    /// nobody looks at.
    pub fn relock_unanswered(self, parts: &Path) -> Self {
        self.relock_with(None, |bus| Some(bus.silent_owner(parts, PROMPTER)))
    }

    fn relock_with(self, display: Option<&Display>, prompter: impl Fn(&Self) -> Option<Part>) -> Self {
        drop((self.keyring, self.part, self.bus));
        let mut bus = Self::open_at(self.folder, display);
        bus.part = prompter(&bus);
        bus.start_keyring(&[], Path::new("/dev/null"));
        Self::wait("a collection", || bus.default_collection() != "/");
        assert!(bus.is_locked());
        bus
    }

    /// A bus on which nothing is, or can be made, the Secret Service.
    pub fn without_service() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    /// The real gnome-keyring of somebody who never had a collection.
    pub fn without_collection() -> Self {
        let mut bus = Self::open(tempfile::tempdir().unwrap());
        bus.start_keyring(&[], Path::new("/dev/null"));
        assert_eq!(bus.default_collection(), "/");
        bus
    }

    /// A Secret Service that takes every call and answers none.
    pub fn silent_service(parts: &Path) -> Self {
        let mut bus = Self::open(tempfile::tempdir().unwrap());
        bus.part = Some(bus.silent_owner(parts, SECRETS));
        bus
    }

    /// What a program needs to be on this bus, at home in this folder.
    pub fn env(&self) -> Vec<(String, OsString)> {
        variables(&self.folder, self.runtime.path(), &self.address)
    }

    /// The home folder of the session.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Runs the real `secret-tool` on this bus. It writes values to standard output, and the
    /// rest of what `search` finds to either.
    pub fn secret_tool(&self, arguments: &[&str]) -> Ended {
        self.secret_tool_with(arguments, "")
    }

    /// The same with a value on standard input, for `store`.
    pub fn secret_tool_with(&self, arguments: &[&str], stdin: &str) -> Ended {
        run_on(self.env(), "secret-tool", arguments, stdin)
    }

    /// Object path of the default collection; `/` if there is none.
    pub fn default_collection(&self) -> String {
        let method = "org.freedesktop.Secret.Service.ReadAlias";
        self.ask(SECRETS, "/org/freedesktop/secrets", method, &["string:default"])
    }

    /// Whether the default collection is locked, as the Secret Service says.
    pub fn is_locked(&self) -> bool {
        until(PATIENCE, || self.locked()).expect("the service says whether it is locked")
    }

    /// The same; `None` while there is no such collection: the service loses it for a moment when it
    /// reads its files again.
    fn locked(&self) -> Option<bool> {
        let property = ["string:org.freedesktop.Secret.Collection", "string:Locked"];
        let method = "org.freedesktop.DBus.Properties.Get";
        let collection = self.default_collection();
        let asked = self.asked(SECRETS, &collection, method, &property);
        if collection == "/" || asked.code != 0 {
            return None;
        }
        match asked.out.split_whitespace().collect::<Vec<_>>()[..] {
            ["variant", "boolean", "true"] => Some(true),
            ["variant", "boolean", "false"] => Some(false),
            _ => panic!("neither locked nor not: {}", asked.out),
        }
    }

    /// Starts a bus with an empty runtime folder; all the rest of the folder stays.
    fn open(folder: TempDir) -> Self {
        Self::open_at(folder, None)
    }

    fn open_at(folder: TempDir, display: Option<&Display>) -> Self {
        let runtime = private_folder(folder.path());
        let address = prefixed("unix:path=", &runtime.path().join("bus"));
        make_folders(&folder, &["home/.config", "home/.local/share", "services"]);
        let prompter = format!("{PROMPTER}.service");
        let ours = folder.path().join("services").join(&prompter);
        fs::copy(Path::new(SERVICES).join(&prompter), ours).expect("gcr is installed");
        let settings = runtime.path().join("bus.conf");
        fs::write(&settings, bus_settings(&address, folder.path())).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--print-address=1"]);
        command.arg(prefixed("--config-file=", &settings)).envs(variables(&folder, runtime.path(), &address));
        command.envs(display.map(Display::env));
        let mut bus = Kept::start(&command, Path::new("/dev/null"));
        let printed = bus.line();
        assert!(printed.starts_with("unix:path="), "the bus does not listen: {printed}");
        Self { keyring: None, part: None, bus, address, runtime, folder }
    }

    /// Starts gnome-keyring and waits until it is the Secret Service.
    fn start_keyring(&mut self, more: &[&str], stdin: &Path) {
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).args(more).envs(self.env());
        self.keyring = Some(Kept::start(&command, stdin));
        let (to, method) = ("org.freedesktop.DBus", "org.freedesktop.DBus.NameHasOwner");
        let name = format!("string:{SECRETS}");
        Self::wait("a Secret Service", || self.ask(to, "/", method, &[&name]) == "boolean true");
    }

    fn silent_owner(&self, parts: &Path, name: &str) -> Part {
        let mut command = part(parts, "silent_service.py");
        command.arg(name).envs(self.env());
        let part = Part::start(command);
        assert_eq!(part.listening, name);
        part
    }

    /// Calls a method: the answer without blanks around it.
    fn ask(&self, name: &str, path: &str, method: &str, arguments: &[&str]) -> String {
        self.asked(name, path, method, arguments).expect(0).out.trim().to_owned()
    }

    fn asked(&self, name: &str, path: &str, method: &str, arguments: &[&str]) -> Ended {
        let to = format!("--dest={name}");
        let all = [&["--session", "--print-reply=literal", &to, path, method], arguments].concat();
        run_on(self.env(), "dbus-send", &all, "")
    }

    fn wait(what: &str, condition: impl Fn() -> bool) {
        until(PATIENCE, || condition().then_some(())).unwrap_or_else(|| panic!("no {what} in {PATIENCE:?}"));
    }
}

/// A socket that takes every connection, and never says anything on it.
pub struct SilentSocket {
    listener: UnixListener,
    accepted: Vec<UnixStream>,
    runtime: TempDir,
    folder: TempDir,
}

impl SilentSocket {
    /// Listens in a new folder. The kernel makes the connections, so no thread is needed.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make_folders(&folder, &["home/.config", "home/.local/share"]);
        let runtime = private_folder(folder.path());
        let listener = UnixListener::bind(runtime.path().join("bus")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, accepted: Vec::new(), runtime, folder }
    }

    /// What a program needs to take the socket for its session bus.
    pub fn env(&self) -> Vec<(String, OsString)> {
        let address = prefixed("unix:path=", &self.runtime.path().join("bus"));
        variables(&self.folder, self.runtime.path(), &address)
    }

    /// How many connections there were so far; they stay open. One that was made before the
    /// call is counted, so nobody waits.
    pub fn connections(&mut self) -> usize {
        while let Ok((connection, _)) = self.listener.accept() {
            self.accepted.push(connection);
        }
        self.accepted.len()
    }
}

/// Runs a program with these variables and no others.
pub fn run_on(variables: Vec<(String, OsString)>, program: &str, arguments: &[&str], stdin: &str) -> Ended {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables);
    run_to_end(command, stdin.into())
}

fn variables(folder: &TempDir, runtime: &Path, address: &OsString) -> Vec<(String, OsString)> {
    let home = folder.path().join("home");
    vec![
        ("XDG_CONFIG_HOME".to_owned(), home.join(".config").into()),
        ("XDG_DATA_HOME".to_owned(), home.join(".local/share").into()),
        ("XDG_RUNTIME_DIR".to_owned(), runtime.into()),
        ("HOME".to_owned(), home.into()),
        ("DBUS_SESSION_BUS_ADDRESS".to_owned(), address.clone()),
    ]
}

fn make_folders(folder: &TempDir, names: &[&str]) {
    for name in names {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// A session bus for everybody and everything, which starts what lies in `services` only.
fn bus_settings(address: &OsString, folder: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        address.display(),
        folder.display()
    )
}

/// A folder for sockets: the owner's only, as `XDG_RUNTIME_DIR` must be.
fn private_folder(inside: &Path) -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir_in(inside).unwrap()
}
