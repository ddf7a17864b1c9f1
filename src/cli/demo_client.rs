//! The team member in the demo: an MCP client that sends exactly what the curl lines it
//! shows would send.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::failure::{Failure, FailureKind};
use super::mock::Mock;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"demo","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const WHOAMI: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"demo-mcp__whoami","arguments":{}}}"#;
const BOTH_TYPES: &str = "application/json, text/event-stream";
const SESSION_HEADER: &str = "mcp-session-id";
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A client of one session.
pub(super) struct DemoClient {
    runtime: Runtime,
    http: reqwest::Client,
    url: String,
    authorization: String,
    session: Option<String>,
}

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Unexpected, format!("the demo's MCP client failed: {what}"))
}

/// A curl command line over several lines.
fn curl(options: &[&str], body: &str) -> String {
    let mut lines = vec![r#"curl -sS "$AEROSTACK_WORKSPACE_URL""#.to_owned()];
    let always = [r#"-H "Authorization: Bearer $AEROSTACK_TOKEN""#, "-H 'Content-Type: application/json'"];
    lines.extend(always.iter().chain(options).map(|option| (*option).to_owned()));
    lines.push(format!("-H 'Accept: {BOTH_TYPES}'"));
    lines.push(format!("-d '{body}'"));
    lines.join(" \\\n    ")
}

impl DemoClient {
    /// A client of the mock's default workspace.
    pub(super) fn new(mock: &Mock) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_certs_only(Vec::new())
            .timeout(TIME_LIMIT)
            .build()
            .map_err(failed)?;
        let authorization = format!("Bearer {}", mock.token.expose());
        Ok(Self { runtime, http, url: mock.gateway_url(), authorization, session: None })
    }

    pub(super) fn initialize_command() -> String {
        curl(&["-D headers.txt"], INITIALIZE)
    }

    /// Opens the session; the answer's body.
    pub(super) fn initialize(&mut self) -> Result<String, Failure> {
        let (body, session) = self.post(INITIALIZE)?;
        self.session = session;
        self.post(INITIALIZED)?;
        Ok(body)
    }

    pub(super) fn whoami_command() -> String {
        curl(&[r#"-H "$(grep -i ^mcp-session-id: headers.txt | tr -d '\r')""#], WHOAMI)
    }

    /// Calls `whoami`: the answer's body, and the hash of the `Authorization` header that
    /// the MCP server saw.
    pub(super) fn whoami(&mut self) -> Result<(String, Option<String>), Failure> {
        let (body, _) = self.post(WHOAMI)?;
        let answer: Value = serde_json::from_str(&body).map_err(failed)?;
        let headers = answer.pointer("/result/structuredContent/headers");
        let headers = headers.ok_or_else(|| failed("the tool call had no result"))?;
        Ok((body, headers.get("authorization").and_then(Value::as_str).map(str::to_owned)))
    }

    fn post(&self, body: &'static str) -> Result<(String, Option<String>), Failure> {
        let mut request = self.http.post(&self.url);
        request = request.header(AUTHORIZATION, &self.authorization).header(CONTENT_TYPE, "application/json");
        request = request.header(ACCEPT, BOTH_TYPES).body(body);
        if let Some(session) = &self.session {
            request = request.header(SESSION_HEADER, session);
        }
        let exchange = async {
            let response = request.send().await?.error_for_status()?;
            let session =
                response.headers().get(SESSION_HEADER).and_then(|id| id.to_str().ok()).map(str::to_owned);
            Ok::<_, reqwest::Error>((response.text().await?, session))
        };
        self.runtime.block_on(exchange).map_err(|error| failed(error.without_url()))
    }
}
