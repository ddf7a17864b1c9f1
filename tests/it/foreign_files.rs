//! What `serve` does not touch: another program's database; and what `mock` leaves behind
//! when its terminal is closed: nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::aerostack;
use crate::harness::companion::KEY;

#[test]
fn another_program_s_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE users (name TEXT)").unwrap();
    drop(connection);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&path).unwrap();
    let database = format!("sqlite:{}", path.display());
    let serve = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    let ended = serve.env("WORKFLOW_SECRETS_KEY", KEY).run().expect(1);
    assert!(ended.err.contains("is a database of another program"), "{}", ended.err);
    assert!(ended.out.is_empty());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_mock_whose_terminal_is_closed_cleans_up() {
    for signal in [rustix::process::Signal::HUP, rustix::process::Signal::INT, rustix::process::Signal::TERM]
    {
        let mut running = aerostack(&["mock", "--listen", "127.0.0.1:0", "--tls"]).start("AEROSTACK_CA_CERT");
        let temporary = std::mem::replace(&mut running.temporary, tempfile::tempdir().unwrap());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
        assert_eq!(running.end_by(signal).0, 0, "{signal:?}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal:?}");
    }
}
