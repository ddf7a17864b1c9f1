//! An MCP server that demands a credential (FastMCP with a static bearer token): refused
//! without the secret, accepted with it, refused with the old one after the provider
//! rotated, accepted again at the very next call after `secrets set`, all in one session.

use std::path::PathBuf;

use aerostack::server::demo_upstream::DemoUpstream;
use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::parts::{ClientSession, PartUpstream, part, parts, run_client};
use crate::harness::{Companion, aerostack};

const SLUG: &str = "keeper";
const FIRST: &str = "provider-token-1";
const SECOND: &str = "provider-token-2";

struct Stage {
    folder: PathBuf,
    companion: Companion,
    _keeper: PartUpstream,
    _demo: DemoUpstream,
    token: String,
}

impl Stage {
    fn set(test: &str) -> Option<Self> {
        let folder = parts(test)?;
        let (companion, demo) = (Companion::start(), DemoUpstream::start().unwrap());
        let expected = companion.folder.path().join("expected-token");
        std::fs::write(&expected, FIRST).unwrap();
        let mut command = part(&folder, "bearer_upstream.py");
        command.env("EXPECTED_TOKEN_FILE", expected);
        let keeper = PartUpstream::start(command);
        companion.add_server(SLUG, &keeper.url());
        companion.add_server("demo-mcp", &demo.url());
        let token = companion.token("default");
        Some(Self { folder, companion, _keeper: keeper, _demo: demo, token })
    }

    /// The provider accepts only this token from now on.
    fn provider_accepts(&self, token: &str) {
        let (file, fresh) = ("expected-token", "expected-token.new");
        let folder = self.companion.folder.path();
        std::fs::write(folder.join(fresh), token).unwrap();
        std::fs::rename(folder.join(fresh), folder.join(file)).unwrap();
    }

    /// Runs the real program: its standard output.
    fn cli(&self, arguments: &[&str]) -> String {
        aerostack(arguments).against(&self.companion).run().expect(0).out
    }

    fn set_secret(&self, value: &str) {
        let out = self.cli(&["secrets", "set", SLUG, "API_TOKEN", value]);
        assert!(out.ends_with("Takes effect on next tool call.\n"), "{out}");
    }

    fn inject_as_bearer(&self) {
        self.cli(&["secrets", "inject", SLUG, "API_TOKEN", "--bearer"]);
    }

    fn delete_secret(&self) {
        self.cli(&["secrets", "delete", SLUG, "API_TOKEN", "--yes"]);
    }

    fn url(&self, slug: Option<&str>) -> String {
        format!("{}{}", self.companion.base_url, gateway_path(slug))
    }

    fn client(&self, program: &str, slug: Option<&str>) -> ClientSession {
        ClientSession::start(part(&self.folder, program), &self.token, &self.url(slug))
    }
}

#[track_caller]
fn accepted(answer: &Value) {
    assert_eq!(answer["result"]["content"][0]["text"], "5", "{answer}");
}

/// A JSON-RPC error that says what is wrong and nothing about the credential.
#[track_caller]
fn refused(answer: &Value) {
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let text = answer.to_string();
    assert!(text.contains("refused its credential"), "{text}");
    for told in ["provider-token", "API_TOKEN", "Authorization", "127.0.0.1", "Bearer"] {
        assert!(!text.contains(told), "{text}");
    }
}

fn whole_life(test: &str, program: &str) {
    let Some(stage) = Stage::set(test) else { return };
    let mut client = stage.client(program, None);
    let mut add = || client.call(&format!("{SLUG}__add"), &json!({"a": 2, "b": 3}));
    refused(&add());
    stage.set_secret(FIRST);
    refused(&add()); // by its own name it is not what the server reads
    stage.inject_as_bearer();
    accepted(&add());
    accepted(&add());
    stage.provider_accepts(SECOND);
    refused(&add());
    stage.set_secret(SECOND);
    accepted(&add());
    stage.delete_secret();
    refused(&add());
    stage.set_secret(SECOND);
    stage.inject_as_bearer();
    accepted(&add());
}

#[test]
fn typescript_sees_each_change_at_the_next_call() {
    whole_life("typescript_sees_each_change_at_the_next_call", "ts_client.mjs");
}

#[test]
fn python_sees_each_change_at_the_next_call() {
    whole_life("python_sees_each_change_at_the_next_call", "py_client.py");
}

/// One session on the server's own route: it cannot be opened without the credential.
fn single_route(test: &str, program: &str) {
    let Some(stage) = Stage::set(test) else { return };
    let url = stage.url(Some(SLUG));
    let (code, answer) = run_client(part(&stage.folder, program), &stage.token, &[&url, "list"]);
    assert_eq!(code, 1, "{answer}");
    refused(&answer);
    stage.set_secret(FIRST);
    stage.inject_as_bearer();
    let mut client = stage.client(program, Some(SLUG));
    let mut add = || client.call("add", &json!({"a": 2, "b": 3}));
    accepted(&add());
    stage.provider_accepts(SECOND);
    refused(&add());
    stage.set_secret(SECOND);
    accepted(&add());
    stage.delete_secret();
    refused(&add());
}

#[test]
fn typescript_on_the_servers_own_route() {
    single_route("typescript_on_the_servers_own_route", "ts2_client.mjs");
}

#[test]
fn python_on_the_servers_own_route() {
    single_route("python_on_the_servers_own_route", "py_client.py");
}

#[test]
fn a_list_without_the_credential_has_the_other_servers_tools() {
    let Some(stage) = Stage::set("a_list_without_the_credential_has_the_other_servers_tools") else { return };
    let session = stage.companion.session(&stage.token, None);
    let (demo, keeper) = (["demo-mcp__echo", "demo-mcp__whoami"], ["keeper__add", "keeper__whoami"]);
    let all = [demo, keeper].concat();
    assert_eq!(session.tools(), demo);
    let answer = session.call("keeper__whoami");
    refused(&answer);
    assert_eq!(answer["error"]["data"], json!({"server": SLUG, "reason": "credential_refused"}));
    stage.set_secret(FIRST);
    stage.inject_as_bearer();
    assert_eq!(session.tools(), all);
    stage.provider_accepts(SECOND);
    assert_eq!(session.tools(), demo);
    stage.set_secret(SECOND);
    assert_eq!(session.tools(), all);
    stage.delete_secret();
    assert_eq!(session.tools(), demo);
    assert_eq!(session.call("keeper__whoami")["error"]["data"]["reason"], "credential_refused");
}
