//! One line in the log for each request, with what operators need and without paths,
//! queries or values; as text or as JSON.

use serde_json::{Value, json};

use crate::analytics::answer_by_tool;
use crate::harness::companion::KEY;
use crate::harness::{McpSession, Upstream, aerostack, request};

/// What a server logged while somebody used it, and the token that was used.
fn log(format: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("aerostack.db").display());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--database", &url, "--log-format", format];
    let server = aerostack(&arguments)
        .env("WORKFLOW_SECRETS_KEY", KEY)
        .env("AEROSTACK_LOG", "trace")
        .start("AEROSTACK_API_URL");
    let upstream = Upstream::start(answer_by_tool);
    let admin = |arguments: &[&str]| {
        let run = aerostack(arguments).env("AEROSTACK_API_URL", server.variable("AEROSTACK_API_URL"));
        run.env("AEROSTACK_API_KEY", server.variable("AEROSTACK_API_KEY")).run().expect(0).out
    };
    admin(&["mcp", "add", "up", "--url", &upstream.url(), "--allow-private-network"]);
    admin(&["secrets", "set", "up", "API_TOKEN", "canary-secret"]);
    let token = admin(&["workspace", "token", "create", "default", "--name", "a"]).trim().to_owned();
    for (path, tool) in [("/ws/default", "up__canary-tool"), ("/ws/default/up", "events")] {
        let session = McpSession::open(server.address(), path, &token);
        session.rpc("tools/call", &json!({"name": tool, "arguments": {"a": "canary-argument"}}));
    }
    let secretive = "/canary-path?key=canary-query";
    let headers = [("Authorization", "Bearer canary-credential"), ("X-Canary", "canary-header")];
    assert_eq!(request(server.address(), "GET", secretive, &headers, b"").status, 404);
    assert_eq!(request(server.address(), "GET", "/ws/canary-path", &headers, b"").status, 401);
    assert_eq!(request(server.address(), "GET", "/healthz", &[], b"").status, 200);
    assert_eq!(request(server.address(), "GET", "/metrics", &[], b"").status, 200);
    let (code, log) = server.terminate();
    assert_eq!(code, 0);
    assert!(!log.contains("canary"), "{log}");
    assert!(!log.contains(&token[17..]), "{log}");
    (log, token[4..16].to_owned())
}

#[test]
fn as_json() {
    let (log, token) = log("json");
    // Beside the log, people are told of the new key.
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| !line.starts_with("A new project."))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request").collect();
    for line in &requests {
        assert_eq!(line["request_id"].as_str().unwrap().len(), 32, "{line}");
        assert_eq!(line["ended"], "whole", "{line}");
        for number in ["status", "us", "bytes"] {
            assert!(line[number].is_u64(), "{line}");
        }
        assert!(line["timestamp"].is_string() && line["method"].is_string(), "{line}");
    }
    let of = |kind: &str| requests.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!((of("health").len(), of("metrics").len(), of("other").len()), (1, 1, 1));
    assert!(of("admin").len() >= 3);
    let known: Vec<_> = of("gateway").into_iter().filter(|line| line["token"] == *token).collect();
    assert_eq!(known.len(), 6, "two sessions with three messages each");
    assert!(known.iter().all(|line| line["workspace"] == "default"));
    // On the workspace's route the call alone is for one server.
    assert_eq!(known.iter().filter(|line| line["server"] == "up").count(), 4);
    assert_eq!(of("gateway").len(), 7, "and one that was refused");
    let refused = of("gateway").into_iter().find(|line| line["status"] == 401).unwrap();
    assert_eq!((refused.get("workspace"), refused.get("token")), (None, None));
    assert!(of("metrics")[0]["bytes"].as_u64().unwrap() > 500);
}

#[test]
fn as_text() {
    let (log, token) = log("text");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("kind=\"gateway\"")).collect();
    let call = lines.iter().find(|line| line.contains("server=\"up\"")).unwrap_or_else(|| panic!("{log}"));
    for part in [
        "request_id=",
        "method=\"POST\"",
        "workspace=\"default\"",
        &format!("token=\"{token}\""),
        "status=200",
        " us=",
        " bytes=",
        "ended=\"whole\"",
    ] {
        assert!(call.contains(part), "{part} in {call}");
    }
}
