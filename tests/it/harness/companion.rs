//! The companion server inside the test's process, on a free port, with a database file
//! that the test may look into. `bind` returns when it listens, so nobody sleeps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aerostack::domain::AllowedHost;
use aerostack::server::analytics::AnalyticsSettings;
use aerostack::server::settings::{ServerSettings, TlsFiles, UPSTREAM_PATIENCE};
use aerostack::server::vault::SecretsKey;
use aerostack::server::{ConnectionLimits, RunningServer, Server, StartError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, request};
use super::mcp::McpSession;

/// Master key of all tests that do not ask for another one.
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A running companion server.
pub struct Companion {
    running: Option<RunningServer>,
    pub address: SocketAddr,
    pub base_url: String,
    pub api_key: String,
    pub database: PathBuf,
    pub folder: TempDir,
    pub connections: ConnectionLimits,
    /// How long upstreams may be silent, from the next start on.
    pub patience: Duration,
    /// Where to listen, from the next start on.
    pub listen: SocketAddr,
    /// Names to answer to, from the next start on.
    pub allowed_hosts: Vec<AllowedHost>,
    /// How calls are kept, from the next start on.
    pub analytics: AnalyticsSettings,
}

impl Companion {
    /// A new project, upstreams on loopback allowed.
    pub fn start() -> Self {
        Self::start_with(ConnectionLimits::default())
    }

    /// The same with other limits on connections.
    pub fn start_with(connections: ConnectionLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("aerostack.db");
        let mut companion = Self {
            running: None,
            address: ([127, 0, 0, 1], 0).into(),
            base_url: String::new(),
            api_key: String::new(),
            database,
            folder,
            connections,
            patience: UPSTREAM_PATIENCE,
            listen: ([127, 0, 0, 1], 0).into(),
            allowed_hosts: Vec::new(),
            analytics: AnalyticsSettings::default(),
        };
        companion.open(KEY, true, None).unwrap();
        companion
    }

    /// Starts (again) on the same file, with this key and policy.
    pub fn open(
        &mut self,
        key: &str,
        loopback_upstreams: bool,
        tls: Option<TlsFiles>,
    ) -> Result<(), StartError> {
        self.stop();
        let settings = ServerSettings {
            listen: self.listen,
            tls,
            allowed_hosts: self.allowed_hosts.clone(),
            database: self.database.clone(),
            key: SecretsKey::parse(key).unwrap(),
            loopback_upstreams,
            upstream_patience: self.patience,
            connections: self.connections,
            analytics: self.analytics,
        };
        let mut announced = None;
        let server = Server::bind(&settings, &mut |key| announced = Some(key.expose().to_owned()))?;
        self.base_url = server.base_url();
        self.running = Some(server.start()?);
        self.address = self.running.as_ref().unwrap().local_addr();
        if let Some(key) = announced {
            self.api_key = key;
        }
        Ok(())
    }

    /// Stops and starts on the same file.
    pub fn restart(&mut self) {
        self.open(KEY, true, None).unwrap();
    }

    /// Stops; the file can then be opened by others.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// One admin request with the project's API key.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = format!("Bearer {}", self.api_key);
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut headers = vec![("Authorization", authorization.as_str())];
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        request(self.address, method, path, &headers, text.as_bytes())
    }

    /// Registers an MCP server.
    pub fn add_server(&self, slug: &str, url: &str) {
        let body = json!({"slug": slug, "url": url});
        let answer = self.admin("POST", "/api/v1/admin/mcp-servers", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// Sets a secret with the default rule or the one it has.
    pub fn set(&self, slug: &str, name: &str, value: &str) -> Value {
        let path = format!("/api/v1/admin/mcp-servers/{slug}/secrets");
        let answer = self.admin("POST", &path, Some(&json!({"name": name, "value": value})));
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.text());
        answer.json()
    }

    /// Changes a rule.
    pub fn inject(&self, slug: &str, name: &str, rule: &Value) -> Answer {
        let path = format!("/api/v1/admin/mcp-servers/{slug}/secrets/{name}/injection");
        self.admin("PUT", &path, Some(rule))
    }

    /// Issues a token for a workspace, without a rate limit: tests call often.
    pub fn token(&self, workspace: &str) -> String {
        self.token_with(workspace, &json!({"name": "test", "rate_limit": "none"}))
    }

    /// Issues a token with these limits.
    pub fn token_with(&self, workspace: &str, body: &Value) -> String {
        let path = format!("/api/v1/admin/workspaces/{workspace}/tokens");
        let answer = self.admin("POST", &path, Some(body));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["secret"].as_str().unwrap().to_owned()
    }

    /// Revokes a token.
    pub fn revoke(&self, workspace: &str, token: &str) {
        let path = format!("/api/v1/admin/workspaces/{workspace}/tokens/{}", &token[4..16]);
        assert_eq!(self.admin("DELETE", &path, None).status, 204);
    }

    /// Opens a member's session on `/ws/default` or, with a slug, `/ws/default/<slug>`.
    pub fn session(&self, token: &str, slug: Option<&str>) -> McpSession {
        McpSession::open(self.address, &gateway_path(slug), token)
    }

    /// A connection to the (stopped) database file.
    pub fn sqlite(&self) -> rusqlite::Connection {
        assert!(self.running.is_none(), "stop the server before touching its file");
        rusqlite::Connection::open(&self.database).unwrap()
    }
}

/// `/ws/default` or `/ws/default/<slug>`.
pub fn gateway_path(slug: Option<&str>) -> String {
    slug.map_or_else(|| "/ws/default".to_owned(), |slug| format!("/ws/default/{slug}"))
}
