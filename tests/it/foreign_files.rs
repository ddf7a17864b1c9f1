//! What `serve` does not touch: another program's database; and what `mock` leaves behind
//! when its terminal is closed: nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::aerostack;
use crate::harness::companion::KEY;

fn serve(database: &str, key: &str) -> crate::harness::program::Aerostack {
    let run = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &format!("sqlite:{database}")]);
    run.env("WORKFLOW_SECRETS_KEY", key)
}

#[test]
fn another_program_s_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let private = || fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for sql in [
        "CREATE TABLE users (name TEXT)",
        "CREATE TABLE schema_migrations (version TEXT); CREATE TABLE t (a)",
        "",
    ] {
        let _ = fs::remove_file(&path);
        if sql.is_empty() {
            fs::write(
                &path,
                "a text of somebody, and long enough to be taken for a header of a database, or not",
            )
            .unwrap();
        } else {
            rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        }
        private();
        let before = fs::read(&path).unwrap();
        let ended = serve(path.to_str().unwrap(), KEY).run().expect(1);
        assert!(ended.err.contains("belongs to another program"), "{sql}: {}", ended.err);
        assert!(ended.out.is_empty());
        assert_eq!(fs::read(&path).unwrap(), before, "{sql}");
    }
    assert!(serve("//somewhere.db", KEY).run().expect(2).err.contains("without '//'"));
}

#[test]
fn a_link_to_a_database_is_that_database() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link.db"));
    fs::create_dir(&real).unwrap();
    let file = real.join("a.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    // A link to nothing is no place for a new database.
    serve(link.to_str().unwrap(), KEY).run().expect(1);
    let mut running = serve(file.to_str().unwrap(), KEY).start("AEROSTACK_API_URL");
    let second = serve(link.to_str().unwrap(), KEY).run().expect(1);
    assert!(second.err.contains("in use by another aerostack server"), "{}", second.err);
    running.kill();
    let before = (fs::read(&file).unwrap(), fs::read(real.join("a.db-wal")).unwrap());
    let other_key = aerostack(&["keygen"]).run().expect(0).out;
    let refused = serve(link.to_str().unwrap(), other_key.trim()).run().expect(1);
    assert!(refused.err.contains("nothing was changed"), "{}", refused.err);
    assert!(before == (fs::read(&file).unwrap(), fs::read(real.join("a.db-wal")).unwrap()));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn names_that_mean_something_to_sqlite_are_plain_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:a.db", "a b?c#d%20e.db"] {
        for _ in 0..2 {
            let running = serve(name, KEY).folder(folder.path()).start("AEROSTACK_API_URL");
            assert_eq!(running.terminate().0, 0, "{name}");
        }
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() > 4096, "{name}");
    }
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
