//! MCP clients that we did not write, through the gateway and straight to the upstream:
//! they must see the same tools and the same results. Two of the three speak the modern era
//! where they can: on the route of a workspace, but not on the route of a server that does not.

use std::path::PathBuf;

use aerostack::server::demo_upstream::DemoUpstream;
use serde_json::{Value, json};

use crate::harness::Companion;
use crate::harness::companion::gateway_path;
use crate::harness::parts::{ClientSession, PartUpstream, part, parts, run_client};

const TYPESCRIPT_1: &str = "ts_client.mjs";
const TYPESCRIPT_2: &str = "ts2_client.mjs";
const PYTHON: &str = "py_client.py";
const LATEST_LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// Two upstreams behind a companion: `everything`, a program from npm, and `demo-mcp`.
struct Stage {
    folder: PathBuf,
    program: &'static str,
    companion: Companion,
    everything: PartUpstream,
    _demo: DemoUpstream,
    token: String,
}

impl Stage {
    fn set(test: &str, program: &'static str) -> Option<Self> {
        let folder = parts(test)?;
        let everything = PartUpstream::start(part(&folder, "everything.mjs"));
        let (companion, demo) = (Companion::start(), DemoUpstream::start().unwrap());
        companion.add_server("everything", &everything.url());
        companion.add_server("demo-mcp", &demo.url());
        let token = companion.token("default");
        Some(Self { folder, program, companion, everything, _demo: demo, token })
    }

    fn gateway(&self, slug: Option<&str>) -> String {
        format!("{}{}", self.companion.base_url, gateway_path(slug))
    }

    fn run(&self, url: &str, token: &str, arguments: &[&str]) -> (i32, Value) {
        let arguments = [&[url], arguments].concat();
        run_client(part(&self.folder, self.program), token, &arguments)
    }

    fn list(&self, url: &str) -> Value {
        let (code, document) = self.run(url, &self.token, &["list"]);
        assert_eq!(code, 0, "{document}");
        document
    }

    fn session(&self, url: &str) -> ClientSession {
        ClientSession::start(part(&self.folder, self.program), &self.token, url)
    }

    fn wrong_token_is_refused(&self, url: &str) {
        let other_end = if self.token.ends_with('x') { 'y' } else { 'x' };
        let wrong = format!("{}{other_end}", &self.token[..self.token.len() - 1]);
        let (code, document) = self.run(url, &wrong, &["list"]);
        assert_eq!(code, 1, "{document}");
        assert!(document["error"]["message"].is_string(), "{document}");
        if self.program != PYTHON {
            assert!(document.to_string().contains("401"), "{document}");
        }
    }
}

/// Tools of `everything` with arguments; what they answer depends on nothing else.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("echo", json!({"message": "Grüße \"\\ \u{1f511} \u{0}\u{2028}"})),
        ("get-sum", json!({"a": 2, "b": 40.5})),
        ("get-structured-content", json!({"location": "New York"})),
        ("get-tiny-image", json!({})),
        ("get-annotated-message", json!({"messageType": "error", "includeImage": true})),
        ("trigger-long-running-operation", json!({"duration": 0.2, "steps": 2})),
        ("get-sum", json!({"a": "not a number"})),
        ("nope", json!({})),
    ]
}

/// The error code, as far as the client tells it.
fn code(answer: &Value) -> Option<i64> {
    answer["error"]["code"].as_i64()
}

fn aggregated(test: &str, program: &'static str) {
    let Some(stage) = Stage::set(test, program) else { return };
    let (url, direct) = (stage.gateway(None), stage.everything.url());
    let (seen, everything) = (stage.list(&url), stage.list(&direct));
    // The gateway speaks both eras here, whatever the servers speak.
    let version = if program == TYPESCRIPT_1 { LATEST_LEGACY } else { MODERN };
    assert_eq!(seen["protocolVersion"], version);
    let server = json!({"name": "aerostack", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(seen["serverInfo"], server);
    let own = everything["tools"].as_array().unwrap();
    assert!(own.len() > 10, "{everything}");
    let prefixed = own.iter().map(|tool| json!(format!("everything__{}", tool.as_str().unwrap())));
    let demo = ["demo-mcp__echo", "demo-mcp__whoami"].map(Value::from);
    assert_eq!(seen["tools"], demo.into_iter().chain(prefixed).collect::<Value>());

    let (mut through, mut straight) = (stage.session(&url), stage.session(&direct));
    for (tool, arguments) in calls() {
        let expected = straight.call(tool, &arguments);
        let mut answer = through.call(&format!("everything__{tool}"), &arguments);
        if program == PYTHON {
            // This client shows it; results of the legacy era do not have it.
            answer["result"].as_object_mut().map(|result| result.remove("resultType"));
        }
        assert_eq!(answer, expected, "{tool}");
    }
    let answer = through.call("demo-mcp__echo", &json!({"text": "hello"}));
    assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
    for unknown in ["nope", "nope__echo", "everything_echo", "demo-mcp__nope", "__echo", ""] {
        assert_eq!(code(&through.call(unknown, &json!({}))), Some(-32602), "{unknown}");
    }
    // The session outlives the errors.
    assert!(through.call("everything__get-sum", &json!({"a": 1, "b": 2}))["result"].is_object());
    stage.wrong_token_is_refused(&url);
}

fn single(test: &str, program: &'static str) {
    let Some(stage) = Stage::set(test, program) else { return };
    let (url, direct) = (stage.gateway(Some("everything")), stage.everything.url());
    // Tools, their order, serverInfo and version are the upstream's own.
    let list = stage.list(&url);
    assert_eq!(list, stage.list(&direct));
    assert_eq!(list["serverInfo"]["name"], "mcp-servers/everything");
    assert_eq!(list["protocolVersion"], LATEST_LEGACY);

    let (mut through, mut straight) = (stage.session(&url), stage.session(&direct));
    for (tool, arguments) in calls() {
        assert_eq!(through.call(tool, &arguments), straight.call(tool, &arguments), "{tool}");
    }
    let mut demo = stage.session(&stage.gateway(Some("demo-mcp")));
    let answer = demo.call("echo", &json!({"text": "hello"}));
    assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
    assert_eq!(code(&demo.call("nope", &json!({}))), Some(-32602));
    stage.wrong_token_is_refused(&url);
}

#[test]
fn typescript_1_on_the_workspace() {
    aggregated("typescript_1_on_the_workspace", TYPESCRIPT_1);
}

#[test]
fn typescript_2_on_the_workspace() {
    aggregated("typescript_2_on_the_workspace", TYPESCRIPT_2);
}

#[test]
fn python_on_the_workspace() {
    aggregated("python_on_the_workspace", PYTHON);
}

#[test]
fn typescript_1_on_one_server() {
    single("typescript_1_on_one_server", TYPESCRIPT_1);
}

#[test]
fn typescript_2_on_one_server() {
    single("typescript_2_on_one_server", TYPESCRIPT_2);
}

#[test]
fn python_on_one_server() {
    single("python_on_one_server", PYTHON);
}
