//! Who is let in: API keys on the admin API, workspace tokens on the gateway, never the
//! other way round; every refusal alike.

use serde_json::{Value, json};

use crate::harness::mcp::{BOTH_TYPES, message};
use crate::harness::{Answer, Companion, request};

const VALIDATE: &str = "/api/v1/cli/validate";
const SERVERS: &str = "/api/v1/admin/mcp-servers";

/// Every route of the admin API, with ids that exist.
const ROUTES: [(&str, &str); 17] = [
    ("POST", VALIDATE),
    ("GET", SERVERS),
    ("POST", SERVERS),
    ("GET", "/api/v1/admin/mcp-servers/github-mcp"),
    ("PATCH", "/api/v1/admin/mcp-servers/github-mcp"),
    ("DELETE", "/api/v1/admin/mcp-servers/github-mcp"),
    ("GET", "/api/v1/admin/mcp-servers/github-mcp/secrets"),
    ("POST", "/api/v1/admin/mcp-servers/github-mcp/secrets"),
    ("DELETE", "/api/v1/admin/mcp-servers/github-mcp/secrets"),
    ("DELETE", "/api/v1/admin/mcp-servers/github-mcp/secrets/TOKEN"),
    ("PUT", "/api/v1/admin/mcp-servers/github-mcp/secrets/TOKEN/injection"),
    ("GET", "/api/v1/admin/workspaces"),
    ("POST", "/api/v1/admin/workspaces"),
    ("DELETE", "/api/v1/admin/workspaces/team-a"),
    ("GET", "/api/v1/admin/workspaces/team-a/tokens"),
    ("POST", "/api/v1/admin/workspaces/team-a/tokens"),
    ("DELETE", "/api/v1/admin/workspaces/team-a/tokens/000000000000"),
];

/// A companion with the servers and the workspace that the routes name.
fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion.set("github-mcp", "TOKEN", "canary");
    let answer = companion.admin("POST", "/api/v1/admin/workspaces", Some(&json!({"name": "Team A"})));
    assert_eq!(answer.status, 201);
    companion
}

/// The same credential with its last character changed.
fn wrong_rest(credential: &str) -> String {
    let last = if credential.ends_with('x') { "y" } else { "x" };
    format!("{}{last}", &credential[..credential.len() - 1])
}

/// Of the right form, and nobody's.
fn stranger(prefix: &str) -> String {
    format!("{prefix}{}_{}", "0".repeat(12), "0".repeat(43))
}

/// Credentials that no admin route accepts: the header to send.
fn refused_credentials(companion: &Companion) -> Vec<Vec<(&'static str, String)>> {
    let key = &companion.api_key;
    let bearer = |text: &str| vec![("Authorization", format!("Bearer {text}"))];
    vec![
        vec![],
        vec![("Authorization", String::new())],
        bearer(""),
        bearer(&wrong_rest(key)),
        bearer(&stranger("ak_")),
        bearer("ak_"),
        bearer("canary"),
        bearer(&key[..key.len() - 1]),
        bearer(&format!("{key}x")),
        bearer(&format!("{key} {key}")),
        bearer(&key.to_uppercase()),
        bearer(&key.replacen("ak_", "", 1)),
        vec![("Authorization", key.clone())],
        vec![("Authorization", format!("Basic {key}"))],
        vec![("X-API-Key", wrong_rest(key))],
        vec![("X-API-Key", format!("Bearer {key}"))],
        vec![("X-API-Key", String::new())],
        // Two in one request, even if both are right.
        vec![("Authorization", format!("Bearer {key}")), ("X-API-Key", key.clone())],
        vec![("Authorization", format!("Bearer {key}")), ("Authorization", format!("Bearer {key}"))],
        vec![("Cookie", format!("key={key}"))],
    ]
}

fn send(companion: &Companion, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(companion.address, method, path, &headers, body)
}

/// Status, headers and body without what differs from request to request.
fn comparable(answer: &Answer) -> (u16, Vec<String>, Value) {
    let mut document = answer.json();
    document["error"]["request_id"] = json!("");
    let header = |(name, value): &(String, String)| {
        let name = name.to_ascii_lowercase();
        (!["date", "x-request-id"].contains(&name.as_str())).then(|| format!("{name}: {value}"))
    };
    (answer.status, answer.headers.iter().filter_map(header).collect(), document)
}

#[test]
fn no_admin_route_without_a_key() {
    let companion = companion();
    for (method, path) in ROUTES {
        for headers in refused_credentials(&companion) {
            // A body that would be refused: it is not looked at.
            let answer = send(&companion, method, path, &headers, b"[canary");
            answer.expect_error(401, "unauthorized");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"), "{headers:?}");
            assert!(!answer.whole().contains("canary"));
        }
    }
    let list = companion.admin("GET", SERVERS, None).json();
    assert_eq!(
        (list["servers"].as_array().unwrap().len(), &list["servers"][0]["secret_count"]),
        (1, &json!(1))
    );
}

#[test]
fn no_admin_route_for_a_workspace_token() {
    let companion = companion();
    let token = companion.token("default");
    for (method, path) in ROUTES {
        for credential in [token.clone(), wrong_rest(&token), stranger("mwt_"), "mwt_".to_owned()] {
            for headers in
                [("Authorization", format!("Bearer {credential}")), ("X-API-Key", credential.clone())]
            {
                let error = send(&companion, method, path, &[headers], b"").expect_error(403, "forbidden");
                assert!(!error.to_string().contains(&token[4..]));
            }
        }
    }
}

#[test]
fn unknown_wrong_and_malformed_keys_answer_alike() {
    let companion = companion();
    let key = &companion.api_key;
    for (method, path) in ROUTES {
        let answer = |credential: &str| {
            let headers = [("Authorization", format!("Bearer {credential}"))];
            comparable(&send(&companion, method, path, &headers, b""))
        };
        let unknown = answer(&stranger("ak_"));
        for other in [wrong_rest(key), format!("{key}x"), "ak_x".to_owned(), "anything".to_owned()] {
            assert_eq!(answer(&other), unknown, "{method} {path}");
        }
    }
}

#[test]
fn what_exists_is_told_to_key_holders_only() {
    let companion = companion();
    for path in ["/api/v1/admin/nothing", "/api/v1/admin/", "/api/v1/admin/mcp-servers/zzz", ROUTES[3].1] {
        let without = request(companion.address, "GET", path, &[], b"");
        without.expect_error(401, "unauthorized");
        let known = request(companion.address, "GET", SERVERS, &[], b"");
        assert_eq!(comparable(&without), comparable(&known), "{path}");
    }
    for path in ["/api/v1/admin/nothing", "/api/v1/admin/", "/api/v1/admin/mcp-servers/zzz"] {
        companion.admin("GET", path, None).expect_error(404, "not_found");
    }
    // Nor is there anything beside the routes.
    for path in ["/", "/api", "/api/v1/nothing", "/ws", "/admin", "//api/v1/admin/mcp-servers"] {
        request(companion.address, "GET", path, &[], b"").expect_error(404, "not_found");
    }
    for (method, path) in [("PUT", SERVERS), ("GET", VALIDATE), ("PATCH", "/api/v1/admin/workspaces")] {
        companion.admin(method, path, None).expect_error(404, "not_found");
    }
}

#[test]
fn the_key_in_either_header() {
    let companion = companion();
    let key = &companion.api_key;
    for header in [
        ("Authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("Authorization", format!("BEARER {key}")),
        ("X-API-Key", key.clone()),
        ("x-api-key", key.clone()),
    ] {
        assert_eq!(send(&companion, "GET", SERVERS, &[header], b"").status, 200);
    }
}

#[test]
fn validate_tells_whose_key_it_is() {
    let companion = companion();
    let answer = companion.admin("POST", VALIDATE, None);
    assert_eq!(answer.status, 200);
    let document = answer.json();
    let members: Vec<_> = document.as_object().unwrap().keys().collect();
    assert_eq!(members, ["keyType", "projectId", "projectName", "slug", "url"]);
    assert_eq!(document["url"], companion.base_url);
    assert!(!answer.whole().contains(&companion.api_key));
}

fn gateway(companion: &Companion, path: &str, headers: &[(&str, String)]) -> Answer {
    let mut all = vec![("Content-Type", "application/json".to_owned()), ("Accept", BOTH_TYPES.to_owned())];
    all.extend(headers.iter().cloned());
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    send(companion, "POST", path, &all, message("initialize", &params).to_string().as_bytes())
}

#[test]
fn the_gateway_takes_workspace_tokens_only() {
    let companion = companion();
    let (token, key) = (companion.token("default"), &companion.api_key);
    let bearer = |text: &str| vec![("Authorization", format!("Bearer {text}"))];
    assert_eq!(gateway(&companion, "/ws/default", &bearer(&token)).status, 200);
    let refused = [
        vec![],
        bearer(key),
        bearer(""),
        bearer(&wrong_rest(&token)),
        bearer(&stranger("mwt_")),
        bearer(&token[..token.len() - 1]),
        bearer("mwt_"),
        vec![("X-API-Key", token.clone())],
        vec![("Authorization", token.clone())],
        vec![("Authorization", format!("Basic {token}"))],
        [bearer(&token), bearer(&token)].concat(),
    ];
    let paths =
        ["/ws/default", "/ws/default/github-mcp", "/ws/default/zzz", "/ws/zzz", "/ws/", "/ws/Bad_Slug"];
    let first = comparable(&gateway(&companion, "/ws/default", &refused[0]));
    for path in paths {
        for headers in &refused {
            let answer = gateway(&companion, path, headers);
            answer.expect_error(401, "unauthorized");
            assert!(answer.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Bearer")));
            assert_eq!(comparable(&answer), first, "{path} {headers:?}");
            assert!(!answer.whole().contains("github-mcp") && !answer.whole().contains("TOKEN"));
        }
        for method in ["GET", "DELETE", "PUT"] {
            send(&companion, method, path, &[], b"").expect_error(401, "unauthorized");
        }
    }
}

#[test]
fn a_token_in_the_query_is_no_token() {
    let companion = companion();
    let (token, key) = (companion.token("default"), &companion.api_key);
    for query in [format!("token={token}"), format!("access_token={token}")] {
        gateway(&companion, &format!("/ws/default?{query}"), &[]).expect_error(401, "unauthorized");
    }
    let path = format!("{SERVERS}?api_key={key}&key={key}");
    request(companion.address, "GET", &path, &[], b"").expect_error(401, "unauthorized");
}

#[test]
fn a_token_opens_its_own_workspace_only() {
    let companion = companion();
    let bearer = |token: String| vec![("Authorization", format!("Bearer {token}"))];
    let (own, other) = (bearer(companion.token("team-a")), bearer(companion.token("default")));
    assert_eq!(gateway(&companion, "/ws/team-a", &own).status, 200);
    assert_eq!(gateway(&companion, "/ws/default", &other).status, 200);
    let wrong = comparable(&gateway(&companion, "/ws/zzz", &own));
    for (path, headers) in [("/ws/default", &own), ("/ws/default/github-mcp", &own), ("/ws/team-a", &other)] {
        let answer = gateway(&companion, path, headers);
        answer.expect_error(401, "unauthorized");
        assert_eq!(comparable(&answer), wrong, "{path}");
    }
}

#[test]
fn neither_keys_nor_tokens_are_in_the_database() {
    let mut companion = companion();
    let credentials = [companion.api_key.clone(), companion.token("default")];
    companion.stop();
    for file in std::fs::read_dir(companion.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for credential in &credentials {
            let random = credential.rsplit_once('_').unwrap().1.as_bytes();
            let found = bytes.windows(random.len()).any(|window| window == random);
            assert!(!found, "{}", path.display());
        }
    }
    // What is there is enough to accept them after a restart.
    companion.restart();
    assert_eq!(companion.admin("GET", SERVERS, None).status, 200);
}

#[test]
fn health_needs_no_key_and_tells_nothing() {
    let companion = companion();
    for path in ["/healthz", "/readyz"] {
        let answer = request(companion.address, "GET", path, &[], b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"status":"ok"}"#), "{path}");
    }
}

#[test]
fn a_path_that_is_not_text_is_nowhere() {
    let companion = companion();
    for (method, path) in
        ROUTES.iter().filter(|(_, path)| path.contains("github-mcp") || path.contains("team-a"))
    {
        for bad in ["%FF", "%C3%28", "..%2f..", "%00"] {
            let path = path.replace("github-mcp", bad).replace("team-a", bad);
            let body = (!matches!(*method, "GET" | "DELETE")).then(|| json!({}));
            let answer = companion.admin(method, &path, body.as_ref());
            assert!(matches!(answer.status, 400 | 404), "{method} {path}: {}", answer.status);
            assert!(
                matches!(answer.error_code().as_str(), "not_found" | "invalid_request"),
                "{}",
                answer.text()
            );
            assert!(!answer.text().contains("UTF-8"), "a library's text: {}", answer.text());
        }
    }
}
