//! `auth logout`: the entry is gone, and it says so; where it cannot know, it says that.

use serde_json::json;

use crate::harness::keyring_session::{KeyringSession, in_time};
use crate::harness::parts::parts;
use crate::harness::session_bus::SessionBus;

#[test]
fn the_entry_is_gone() {
    if parts("the_entry_is_gone").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let origin = session.origin();
    session.run(&["logout"]).run().prints(&format!("No API key is stored for {origin}.\n"));
    session.login().run().expect(0);
    let removed = format!("Logged out of {origin}. The API key was removed from the system keyring.\n");
    session.run(&["auth", "logout"]).run().prints(&removed);
    assert_eq!(session.stored(), None);
    assert_eq!(session.bus.secret_tool(&["search", "--all", "service", "aerostack"]).both(), "");
    session.list().expect(4);
    session.login().run().expect(0);
    let ended = session.run(&["logout", "--json"]).env("AEROSTACK_API_KEY", "ak_x").run();
    assert!(ended.err.contains("AEROSTACK_API_KEY is set and goes before any stored key"), "{}", ended.err);
    assert_eq!(ended.document(), json!({"origin": origin, "removed": ["keyring"]}));
}

#[test]
fn every_entry_of_the_origin_goes_and_no_other() {
    if parts("every_entry_of_the_origin_goes_and_no_other").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let origin = session.origin();
    for more in ["1", "2"] {
        let attributes = ["service", "aerostack", "username", origin.as_str(), "more", more];
        let store = [&["store", "--label", "x"], &attributes[..]].concat();
        session.bus.secret_tool_with(&store, "ak_x").expect(0);
    }
    let other = ["store", "--label", "x", "service", "aerostack", "username", "https://other.example:443"];
    session.bus.secret_tool_with(&other, "ak_x").expect(0);
    session.run(&["logout"]).run().expect(0);
    let left = session.bus.secret_tool(&["search", "--all", "service", "aerostack"]).both();
    assert!(left.contains("https://other.example:443") && !left.contains(&origin), "{left}");
}

#[test]
fn of_a_locked_keyring_it_does_not_claim_anything() {
    if parts("of_a_locked_keyring_it_does_not_claim_anything").is_none() {
        return;
    }
    let mut session = KeyringSession::on(SessionBus::unlocked());
    session.login().run().expect(0);
    session.bus = session.bus.relock();
    let ended = in_time(|| session.run(&["auth", "logout"]).run()).expect(4);
    assert!(ended.err.contains("may still hold an API key"), "{}", ended.err);
    assert!(ended.err.contains("the keyring is locked"), "{}", ended.err);
    // With a copy in the plain file, a part can be done.
    let plain = session.run(&["auth", "login", "--with-token", "--insecure-storage"]);
    let ended = plain.stdin(session.companion.api_key.clone()).run().expect(0);
    assert!(ended.err.contains("if it holds a key for this address, that one goes first"), "{}", ended.err);
    let ended = session.run(&["auth", "logout"]).run().expect(6);
    assert!(ended.err.contains("removed from the plain-text file only"), "{}", ended.err);
    assert!(!session.plain_file().exists());
}
