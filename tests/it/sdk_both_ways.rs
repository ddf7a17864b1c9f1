//! Clients on the TypeScript SDK, behind the gateway with two real servers at once: prompts,
//! resources, templates, completion, subscriptions and cancellation, and sampling, elicitation
//! and roots in the other direction.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::Companion;
use crate::harness::companion::gateway_path;
use crate::harness::parts::{PartUpstream, part, parts, run_client};

/// A program of `tests/parts` with the packages that are installed for all of them.
fn program(folder: &Path, name: &str, place: &Path) -> Command {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts").join(name);
    std::fs::copy(source, place.join(name)).unwrap();
    std::os::unix::fs::symlink(folder.join("node_modules"), place.join("node_modules")).unwrap();
    let mut command = Command::new("node");
    command.arg(place.join(name));
    command
}

/// What a client saw of two real servers behind one gateway.
#[track_caller]
fn seen_by(folder: &Path, client: &str) -> Value {
    let servers = ["one", "two"].map(|slug| (slug, PartUpstream::start(part(folder, "everything.mjs"))));
    let companion = Companion::start();
    for (slug, server) in &servers {
        companion.add_server(slug, &server.url());
    }
    let place = tempfile::tempdir().unwrap();
    let url = format!("{}{}", companion.base_url, gateway_path(None));
    let client = program(folder, client, place.path());
    let (code, seen) = run_client(client, &companion.token("default"), &[&url]);
    assert_eq!(code, 0, "{seen}");
    seen
}

/// Both servers got what they asked for.
#[track_caller]
fn both_were_answered(seen: &Value) {
    for (number, slug) in ["one", "two"].iter().enumerate() {
        let of =
            |what: &str| seen[what][number].as_str().unwrap_or_else(|| panic!("{what}: {seen}")).to_owned();
        assert!(of("samples").contains(&format!("context: of {slug}")), "{seen}");
        assert!(of("elicited").contains("declined"), "{seen}");
        assert!(of("roots").contains("file:///home/visitor"), "{seen}");
    }
}

#[test]
fn typescript_in_both_directions() {
    let Some(folder) = parts("typescript_in_both_directions") else { return };
    let seen = seen_by(&folder, "ts_both_ways.mjs");
    assert_eq!(seen["capabilities"], json!(["completions", "logging", "prompts", "resources", "tools"]));
    assert_eq!(seen["instructions"], json!(["# one", "# two"]));
    for yes in ["asks", "updated", "cancelled"] {
        assert_eq!(seen[yes], true, "{yes}: {seen}");
    }
    assert_eq!(seen["sampled"].as_array().map(Vec::len), Some(2), "{seen}");
    both_were_answered(&seen);
    assert_eq!(seen["prompts"], json!(["one__simple-prompt", "two__simple-prompt"]));
    assert_eq!(seen["prompt"], 1);
    assert!(
        seen["templates"]
            .as_array()
            .unwrap()
            .contains(&json!("two+demo://resource/dynamic/text/{resourceId}"))
    );
    assert_eq!(seen["completion"], json!(["Sales", "Support"]));
    assert_eq!((&seen["read"], &seen["bare"]), (&json!(1), &json!(1)));
}

#[test]
fn typescript_of_the_modern_era_and_servers_of_the_older_one() {
    let name = "typescript_of_the_modern_era_and_servers_of_the_older_one";
    let Some(folder) = parts(name) else { return };
    let seen = seen_by(&folder, "ts2_both_ways.mjs");
    assert_eq!((&seen["version"], &seen["asks"]), (&json!("2026-07-28"), &json!(true)), "{seen}");
    both_were_answered(&seen);
}
