//! rmcp, the Rust SDK, as a client of both routes: with `initialize` at once, and in the
//! mode that asks `server/discover` first.

use aerostack::server::demo_upstream::{DemoUpstream, hash_prefix};
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::harness::Companion;
use crate::harness::companion::gateway_path;

pub type Client = RunningService<RoleClient, ()>;

/// With `initialize` at once, and in the mode that asks `server/discover` first.
pub fn both_modes() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    let auto = ClientLifecycleMode::Auto { preferred_versions, legacy_version: None };
    [ClientLifecycleMode::Initialize, auto]
}

/// A connected client; `None` if it was refused.
pub async fn connect(
    companion: &Companion,
    slug: Option<&str>,
    token: &str,
    mode: ClientLifecycleMode,
) -> Option<Client> {
    let url = format!("{}{}", companion.base_url, gateway_path(slug));
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    ().serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), mode).await.ok()
}

/// The names of all tools.
pub async fn tools(client: &Client) -> Vec<String> {
    client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into_owned()).collect()
}

/// The result, or the JSON-RPC error's code.
pub async fn call(client: &Client, tool: &str, arguments: &Value) -> Result<Value, i32> {
    let arguments = arguments.as_object().unwrap().clone();
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    match client.call_tool(params).await {
        Ok(result) => Ok(serde_json::to_value(result).unwrap()),
        Err(ServiceError::McpError(error)) => Err(error.code.0),
        Err(error) => panic!("{error}"),
    }
}

/// Starts a companion with the demo upstream, and runs what a client does with it. (The
/// companion has runtimes of its own and is not started inside one.)
fn with_project(clients: impl AsyncFnOnce(&Companion)) {
    let (companion, demo) = (Companion::start(), DemoUpstream::start().unwrap());
    companion.add_server("demo-mcp", &demo.url());
    companion.set("demo-mcp", "API_TOKEN", "value-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(clients(&companion));
}

async fn lists_and_calls(companion: &Companion, slug: Option<&str>, server: &str, prefix: &str) {
    let token = companion.token("default");
    for mode in both_modes() {
        // The route of one server speaks that server's era; the demo server's is the older one.
        let is_modern = slug.is_none() && matches!(mode, ClientLifecycleMode::Auto { .. });
        let version = if is_modern { "2026-07-28" } else { "2025-11-25" };
        let client = connect(companion, slug, &token, mode).await.unwrap();
        let info = serde_json::to_value(client.peer_info().unwrap().as_ref()).unwrap();
        assert_eq!(info["protocolVersion"], version, "{info}");
        assert_eq!(info["serverInfo"]["name"], server, "{info}");
        assert_eq!(tools(&client).await, [format!("{prefix}echo"), format!("{prefix}whoami")]);

        let echo = call(&client, &format!("{prefix}echo"), &json!({"text": "héllo"})).await.unwrap();
        assert_eq!(echo["content"], json!([{"type": "text", "text": "héllo"}]));
        assert_eq!(call(&client, &format!("{prefix}nope"), &json!({})).await, Err(-32602));

        // A rotation between two calls of one session.
        for value in ["value-1", "value-2"] {
            companion.set("demo-mcp", "API_TOKEN", value);
            let seen = call(&client, &format!("{prefix}whoami"), &json!({})).await.unwrap();
            let arrived = &seen["structuredContent"]["headers"]["api_token"];
            assert_eq!(*arrived, hash_prefix(value.as_bytes()), "{seen}");
        }
        client.cancel().await.unwrap();
    }
}

#[test]
fn the_workspace() {
    with_project(async |companion| lists_and_calls(companion, None, "aerostack", "demo-mcp__").await);
}

#[test]
fn one_server() {
    with_project(async |companion| lists_and_calls(companion, Some("demo-mcp"), "demo-mcp", "").await);
}

#[test]
fn a_wrong_token_does_not_connect() {
    with_project(async |companion| {
        let token = companion.token("default");
        let other_end = if token.ends_with('x') { 'y' } else { 'x' };
        let wrong = format!("{}{other_end}", &token[..token.len() - 1]);
        for slug in [None, Some("demo-mcp")] {
            for mode in both_modes() {
                assert!(connect(companion, slug, &wrong, mode).await.is_none());
            }
        }
    });
}
