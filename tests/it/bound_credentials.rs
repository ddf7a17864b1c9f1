//! Real servers that demand a credential in headers of their own. mcp-proxy wants an API
//! key in each request; mcp-gitlab reads two headers when a session begins, keeps what they
//! said, and checks it at GitLab, which is a small stand-in here that keeps what it is sent.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::parts::{ClientSession, PartUpstream, part, parts};
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Upstream, request};

/// A JSON-RPC error that says what is wrong and nothing about the credential.
#[track_caller]
fn refused(answer: &Value, hidden: &[&str]) {
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let text = answer.to_string();
    assert!(text.contains("refused its credential"), "{text}");
    for told in hidden.iter().chain(&["127.0.0.1", "localhost"]) {
        assert!(!text.contains(told), "{told}: {text}");
    }
}

fn inject(companion: &Companion, slug: &str, name: &str, header: &str) {
    let answer = companion.inject(slug, name, &json!({"type": "header", "header": header}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn delete(companion: &Companion, slug: &str, name: &str) {
    let path = format!("/api/v1/admin/mcp-servers/{slug}/secrets/{name}");
    let answer = companion.admin("DELETE", &path, None);
    assert!(matches!(answer.status, 200 | 204), "{} {}", answer.status, answer.text());
}

#[test]
fn an_api_key_that_the_provider_changes() {
    let Some(folder) = parts("an_api_key_that_the_provider_changes") else { return };
    let provider = |key: &str, port: u16| {
        let mut command = part(&folder, "api_key_upstream.mjs");
        command.env("EXPECTED_KEY", key).env("PORT", port.to_string());
        PartUpstream::start(command)
    };
    let first = provider("provider-key-1", 0);
    let companion = Companion::start();
    companion.add_server("keyed", &first.url());
    let url = format!("{}{}", companion.base_url, gateway_path(None));
    let mut client = ClientSession::start(part(&folder, "ts_client.mjs"), &companion.token("default"), &url);
    let mut sum = || client.call("keyed__get-sum", &json!({"a": 2, "b": 3}));
    let hidden = ["provider-key", "API_KEY", "X-API-Key", "x-api-key"];
    let accepted = |answer: &Value| {
        assert_eq!(answer["result"]["content"][0]["text"], "The sum of 2 and 3 is 5.", "{answer}");
    };

    refused(&sum(), &hidden);
    companion.set("keyed", "API_KEY", "provider-key-1");
    inject(&companion, "keyed", "API_KEY", "X-API-Key");
    accepted(&sum());
    accepted(&sum());

    // The provider comes back at the same place with another key, and knows no session.
    let port = first.port;
    drop(first);
    let _second = provider("provider-key-2", port);
    refused(&sum(), &hidden);
    companion.set("keyed", "API_KEY", "provider-key-2");
    accepted(&sum());
    companion.set("keyed", "API_KEY", "provider-key-3");
    refused(&sum(), &hidden);
    companion.set("keyed", "API_KEY", "provider-key-2");
    accepted(&sum());
    delete(&companion, "keyed", "API_KEY");
    refused(&sum(), &hidden);
}

const FIRST: &str = "glpat-first-0123456789";
const SECOND: &str = "glpat-second-0123456789";

/// The user in the form of GitLab's API, with nothing told that may be left out.
fn user() -> Value {
    let mut user = json!({"id": 1, "username": "somebody", "name": "Some Body", "state": "active"});
    user["web_url"] = json!("https://gitlab.example/somebody");
    user["created_at"] = json!("2020-01-01T00:00:00Z");
    let untold = "avatar_url bio location public_email website_url organization job_title email \
                  last_sign_in_at confirmed_at last_activity_on";
    for field in untold.split_whitespace() {
        user[field] = Value::Null;
    }
    user
}

/// A GitLab that knows these tokens' user, and keeps which token asked for what.
struct GitLab {
    server: Upstream,
    known: Arc<Mutex<Vec<&'static str>>>,
}

impl GitLab {
    fn start() -> Self {
        let known = Arc::new(Mutex::new(vec![FIRST, SECOND]));
        let asked = Arc::clone(&known);
        let server = Upstream::start(move |request: &Received| {
            let tokens = request.values("Private-Token");
            let is_known = asked.lock().unwrap().iter().any(|known| tokens == [*known]);
            if is_known && request.head_text().starts_with("GET /api/v4/user ") {
                return json_answer(&user());
            }
            http_answer("401 Unauthorized", &[("Content-Type", "application/json")], "{}")
        });
        Self { server, known }
    }

    fn base(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn last_token(&self) -> String {
        self.server.received().last().unwrap().values("Private-Token").concat()
    }
}

struct Stage {
    companion: Companion,
    gitlab: GitLab,
    server: PartUpstream,
    client: ClientSession,
}

impl Stage {
    fn set(test: &str, program: &str) -> Option<Self> {
        let folder = parts(test)?;
        let gitlab = GitLab::start();
        let mut command = part(&folder, "gitlab_upstream.mjs");
        command.env("GITLAB_HOST", gitlab.base());
        let server = PartUpstream::start(command);
        let companion = Companion::start();
        companion.add_server("gitlab", &server.url());
        let url = format!("{}{}", companion.base_url, gateway_path(None));
        let client = ClientSession::start(part(&folder, program), &companion.token("default"), &url);
        Some(Self { companion, gitlab, server, client })
    }

    fn set_token(&self, value: &str) {
        self.companion.set("gitlab", "GITLAB_TOKEN", value);
        inject(&self.companion, "gitlab", "GITLAB_TOKEN", "Private-Token");
    }

    fn set_address(&self) {
        self.companion.set("gitlab", "GITLAB_URL", &format!("{}/api/v4", self.gitlab.base()));
        inject(&self.companion, "gitlab", "GITLAB_URL", "X-GitLab-API-URL");
    }

    fn whoami(&mut self) -> Value {
        self.client.call("gitlab__whoami", &json!({}))
    }

    #[track_caller]
    fn accepted_with(&mut self, token: &str) {
        let answer = self.whoami();
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(text.contains("somebody"), "{text}");
        assert_eq!(self.gitlab.last_token(), token);
    }

    #[track_caller]
    fn refused(&mut self) {
        let answer = self.whoami();
        refused(&answer, &["glpat", "GITLAB", "Private-Token", "X-GitLab"]);
    }

    /// Sessions that the server has, and how many it ever had.
    fn sessions(&self) -> (u64, u64) {
        let address = ([127, 0, 0, 1], self.server.port).into();
        let answer = request(address, "GET", "/metrics.json", &[], b"").json();
        (answer["activeSessions"].as_u64().unwrap(), answer["totalSessions"].as_u64().unwrap())
    }
}

fn whole_life(test: &str, program: &str) {
    let Some(mut stage) = Stage::set(test, program) else { return };
    stage.refused();
    stage.set_token(FIRST);
    stage.refused(); // without the other header it asks a GitLab that is not there
    stage.set_address();
    stage.accepted_with(FIRST);
    let (active, total) = stage.sessions();
    assert_eq!(active, 1);
    stage.accepted_with(FIRST);
    assert_eq!(stage.sessions(), (1, total));

    // The session of the older value is ended: the server would go on with what it kept.
    stage.set_token(SECOND);
    stage.accepted_with(SECOND);
    assert_eq!(stage.sessions(), (1, total + 1));

    // GitLab knows it no more, the server's session still would.
    stage.gitlab.known.lock().unwrap().retain(|known| *known != FIRST);
    stage.set_token(FIRST);
    stage.refused();
    stage.set_token(SECOND);
    stage.accepted_with(SECOND);

    delete(&stage.companion, "gitlab", "GITLAB_TOKEN");
    stage.refused();
    assert_eq!(stage.sessions().0, 0);
    stage.set_token(SECOND);
    stage.accepted_with(SECOND);
    delete(&stage.companion, "gitlab", "GITLAB_URL");
    stage.refused();
    assert_eq!(stage.sessions().0, 0);
}

#[test]
fn two_headers_that_a_session_keeps_with_typescript() {
    whole_life("two_headers_that_a_session_keeps_with_typescript", "ts_client.mjs");
}

#[test]
fn two_headers_that_a_session_keeps_with_python() {
    whole_life("two_headers_that_a_session_keeps_with_python", "py_client.py");
}
