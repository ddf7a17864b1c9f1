//! `auth login` on a terminal: the key is asked for and never shown, Ctrl-C stores nothing,
//! a locked keyring may ask for its password here and only here, and the key of an older
//! command line is offered once.

use std::fs;
use std::path::PathBuf;

use crate::harness::display::Display;
use crate::harness::keyring_session::KeyringSession;
use crate::harness::parts::parts;
use crate::harness::pseudo_terminal::PseudoTerminal;
use crate::harness::session_bus::{PASSWORD, SessionBus};

const WAITING: &str = "The keyring is locked. Waiting for its password; look for its window. (Up to 60 s.)";

fn question(session: &KeyringSession) -> String {
    format!("API key for {} (not shown): ", session.origin())
}

#[test]
fn the_key_is_asked_for_and_not_shown() {
    if parts("the_key_is_asked_for_and_not_shown").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    for command in [&["auth", "login"][..], &["login", "--with-token"]] {
        let mut terminal = PseudoTerminal::spawn(session.run(command));
        terminal.expect(&question(&session));
        terminal.send_line(&session.companion.api_key);
        let (code, transcript) = terminal.end();
        assert_eq!(code, 0, "{transcript}");
        assert!(transcript.contains("The API key is stored in the system keyring."), "{transcript}");
        assert!(!transcript.contains(&session.companion.api_key[..10]), "{transcript}");
        assert_eq!(session.stored().as_deref(), Some(session.companion.api_key.as_str()));
        session.run(&["logout"]).run().expect(0);
    }
}

#[test]
fn what_is_pasted_as_soon_as_the_question_stands_is_not_shown() {
    if parts("what_is_pasted_as_soon_as_the_question_stands_is_not_shown").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    // A question that came before the echo is off would be caught about every second time.
    for _ in 0..20 {
        let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
        terminal.expect(&question(&session));
        terminal.send("ak_canary\u{3}");
        let (code, transcript) = terminal.end();
        assert_eq!(code, 130, "{transcript}");
        assert!(!transcript.contains("canary"), "{transcript}");
    }
}

#[test]
fn ctrl_c_and_an_empty_line_store_nothing() {
    if parts("ctrl_c_and_an_empty_line_store_nothing").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    for (typed, expected) in [("ak_canary\u{3}", 130), ("\r", 2), ("\u{4}", 2)] {
        let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
        terminal.expect(&question(&session));
        terminal.send(typed);
        let (code, transcript) = terminal.end();
        assert_eq!(code, expected, "{transcript}");
        assert!(transcript.contains("nothing was stored") && !transcript.contains("canary"), "{transcript}");
        assert_eq!(session.stored(), None);
    }
    let terminal = PseudoTerminal::spawn(session.run(&["auth", "login", "--no-input"]));
    let (code, transcript) = terminal.end();
    assert_eq!(code, 2, "{transcript}");
    assert!(transcript.contains("with --no-input, the API key is not asked for"), "{transcript}");
}

#[test]
fn a_keyring_that_is_not_unlocked_gets_no_key() {
    if parts("a_keyring_that_is_not_unlocked_gets_no_key").is_none() {
        return;
    }
    // Its window cannot be shown here, which counts as closed.
    let session = KeyringSession::on(SessionBus::unlocked().relock());
    let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
    terminal.expect(&question(&session));
    terminal.send_line(&session.companion.api_key);
    terminal.expect(WAITING);
    terminal.expect("the keyring is locked, and it was not unlocked when it asked");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 4, "{transcript}");
    // Without input nobody is there to answer a window.
    let run = session.run(&["auth", "login", "--with-token", "--no-input"]);
    let (code, transcript) = PseudoTerminal::spawn(run).end();
    assert_eq!(code, 4, "{transcript}");
    assert!(!transcript.contains("Waiting"), "{transcript}");
}

#[test]
fn a_password_in_the_keyrings_own_window_lets_the_key_in() {
    if parts("a_password_in_the_keyrings_own_window_lets_the_key_in").is_none() {
        return;
    }
    let display = Display::start();
    let session = KeyringSession::on(SessionBus::unlocked().relock_at(&display));
    // Nothing but a login opens the window, and not a login that nobody watches.
    session.list().expect(4);
    session.login().run().expect(4);
    session.run(&["auth", "status"]).run().expect(4);
    session.run(&["auth", "logout"]).run().expect(4);
    assert!(!display.asks_for_a_password());
    let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
    terminal.expect(&question(&session));
    terminal.send_line(&session.companion.api_key);
    terminal.expect(WAITING);
    display.type_until(PASSWORD, || !session.bus.is_locked());
    terminal.expect("The API key is stored in the system keyring.");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 0, "{transcript}");
    assert_eq!(session.stored().as_deref(), Some(session.companion.api_key.as_str()));
    session.list().expect(0);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_password() {
    let Some(folder) = parts("ctrl_c_ends_the_wait_for_a_password") else { return };
    let session = KeyringSession::on(SessionBus::unlocked().relock_unanswered(&folder));
    let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
    terminal.expect(&question(&session));
    terminal.send_line(&session.companion.api_key);
    terminal.expect(WAITING);
    terminal.send("\u{3}");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 130, "{transcript}");
}

/// Leaves a key as the older command line did.
fn older_key(session: &KeyringSession, key: &str) -> PathBuf {
    let folder = session.bus.home().join(".aerostack");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("credentials.json");
    fs::write(&file, format!("{{\n  \"api_key\": \"{key}\"\n}}")).unwrap();
    file
}

#[test]
fn the_key_of_an_older_version_is_taken_over() {
    if parts("the_key_of_an_older_version_is_taken_over").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let file = older_key(&session, &session.companion.api_key);
    let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
    terminal.expect("An older version left an API key in plain text in ");
    terminal.expect(&format!("Use it for {}, and remove that file? [y/N] ", session.origin()));
    terminal.send_line("y");
    terminal.expect("The API key is stored in the system keyring.");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 0, "{transcript}");
    assert!(!transcript.contains(&session.companion.api_key[..10]), "{transcript}");
    assert_eq!(session.stored().as_deref(), Some(session.companion.api_key.as_str()));
    assert!(!file.exists());
}

#[test]
fn it_is_offered_once_and_a_rejected_one_stays() {
    if parts("it_is_offered_once_and_a_rejected_one_stays").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let file = older_key(&session, "ak_rejected-canary");
    let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
    terminal.expect("[y/N] ");
    terminal.send_line("yes");
    terminal.expect("does not accept this API key; nothing was stored");
    terminal.expect("answer 'n' the next time");
    let (code, transcript) = terminal.end();
    assert_eq!(code, 4, "{transcript}");
    assert!(file.exists() && !transcript.contains("canary"), "{transcript}");
    // No, and then the question is the usual one, now and later.
    for offered in [true, false] {
        let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
        if offered {
            terminal.expect("[y/N] ");
            terminal.send_line("");
            terminal.expect("this is not asked again");
        }
        terminal.expect(&question(&session));
        terminal.send_line(&session.companion.api_key);
        let (code, transcript) = terminal.end();
        assert_eq!(code, 0, "{transcript}");
        assert_eq!(transcript.contains("older version"), offered, "{transcript}");
    }
    assert!(file.exists());
}

#[test]
fn an_offer_that_cannot_be_remembered_does_not_stop_the_login() {
    if parts("an_offer_that_cannot_be_remembered_does_not_stop_the_login").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let file = older_key(&session, "ak_not-wanted");
    let config = session.bus.home().join(".config/aerostack");
    // Ctrl-D is no answer: it is asked again. Then the answer cannot be written down.
    for (answer, blocked) in [("\u{4}", false), ("n\r", true), ("n\r", false)] {
        if blocked {
            fs::create_dir_all(config.join("config.json")).unwrap();
        } else {
            let _ = fs::remove_dir_all(&config);
        }
        let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
        if !blocked {
            terminal.expect("[y/N] ");
            terminal.send(answer);
        }
        terminal.expect(&question(&session));
        terminal.send_line(&session.companion.api_key);
        let (code, transcript) = terminal.end();
        assert_eq!(code, 0, "{transcript}");
    }
    assert!(file.exists() && config.join("config.json").is_file());
}

#[test]
fn what_is_no_key_of_an_older_version_is_not_offered() {
    if parts("what_is_no_key_of_an_older_version_is_not_offered").is_none() {
        return;
    }
    let session = KeyringSession::on(SessionBus::unlocked());
    let file = older_key(&session, "not a key");
    let link = |target: &str| {
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(target, &file).unwrap();
    };
    let changes: [&dyn Fn(); 4] = [
        &|| {},
        &|| fs::write(&file, "{").unwrap(),
        &|| link("/dev/zero"),
        // Not even waited for.
        &|| {
            fs::remove_file(&file).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        },
    ];
    for change in changes {
        change();
        let mut terminal = PseudoTerminal::spawn(session.run(&["auth", "login"]));
        terminal.expect(&question(&session));
        terminal.send("\u{3}");
        assert_eq!(terminal.end().0, 130);
    }
}
