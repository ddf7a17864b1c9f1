//! `secrets inject`: each form of the rule, what it leaves alone, and what is refused.

use serde_json::{Value, json};

use crate::harness::{Companion, Upstream, aerostack, cli};

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";

/// A companion with one secret on `github-mcp`.
fn companion() -> Companion {
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/mcp");
    companion.set("github-mcp", "GITHUB_TOKEN", "ghp_canary");
    companion
}

fn inject(companion: &Companion, name: &str, options: &[&str]) -> crate::harness::Ended {
    let arguments = [&["secrets", "inject", "github-mcp", name], options].concat();
    cli(companion, &arguments)
}

fn secret(companion: &Companion, name: &str) -> Value {
    let list = companion.admin("GET", SECRETS, None).json();
    list["secrets"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap()
}

#[test]
fn each_form_says_and_stores_what_it_is() {
    let companion = companion();
    let forms: [(&[&str], &str, Value); 6] = [
        (&["--header", "X-API-Key"], "X-API-Key: ****", json!({"type": "header", "header": "X-API-Key"})),
        (
            &["--header", "Authorization", "--prefix", "Token "],
            "Authorization: Token ****",
            json!({"type": "header", "header": "Authorization", "prefix": "Token "}),
        ),
        (&["--header", "x-low"], "x-low: ****", json!({"type": "header", "header": "x-low"})),
        (&["--bearer"], "Authorization: Bearer ****", json!({"type": "bearer"})),
        (
            &["--mcp-secret"],
            "X-Mcp-Secret-GITHUB-TOKEN: ****",
            json!({"type": "header", "header": "X-Mcp-Secret-GITHUB-TOKEN"}),
        ),
        (&["--by-name"], "GITHUB_TOKEN: ****", json!({"type": "name"})),
    ];
    for (options, told, rule) in forms {
        let ended = inject(&companion, "GITHUB_TOKEN", options).prints(&format!("Injected as: {told}\n"));
        assert_eq!(ended.err, "");
        assert_eq!(secret(&companion, "GITHUB_TOKEN")["injection"], rule);
    }
}

#[test]
fn what_is_said_is_what_the_mcp_server_gets() {
    let (companion, upstream) = (Companion::start(), Upstream::mcp());
    companion.add_server("github-mcp", &upstream.url());
    companion.set("github-mcp", "GITHUB_TOKEN", "ghp_xxx");
    let session = companion.session(&companion.token("default"), None);
    let forms: [(&[&str], &str, &str); 5] = [
        (&["--header", "Authorization"], "authorization", "ghp_xxx"),
        (&["--header", "X-API-Key", "--prefix", "Key="], "x-api-key", "Key=ghp_xxx"),
        (&["--bearer"], "authorization", "Bearer ghp_xxx"),
        (&["--mcp-secret"], "x-mcp-secret-github-token", "ghp_xxx"),
        (&["--by-name"], "github_token", "ghp_xxx"),
    ];
    for (options, header, value) in forms {
        inject(&companion, "GITHUB_TOKEN", options).expect(0);
        session.call("github-mcp__echo");
        let received = upstream.received_of("tools/call").pop().unwrap();
        assert_eq!(received.values(header), [value], "{options:?}");
        assert_eq!(received.head_text().matches("ghp_xxx").count(), 1, "{}", received.head_text());
    }
}

#[test]
fn value_version_and_date_stay() {
    let mut companion = companion();
    let before = secret(&companion, "GITHUB_TOKEN");
    companion.stop();
    let columns = "SELECT version, created_at, updated_at, sealed FROM mcp_workspace_secrets";
    let read = |companion: &Companion| -> (i64, i64, i64, Vec<u8>) {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        companion.sqlite().query_row(columns, [], read).unwrap()
    };
    let stored = read(&companion);
    companion.restart();
    inject(&companion, "GITHUB_TOKEN", &["--bearer"]).expect(0);
    let after = secret(&companion, "GITHUB_TOKEN");
    for field in ["version", "created_at", "updated_at", "name"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    companion.stop();
    assert_eq!(read(&companion), stored, "not a byte of the value, not a millisecond of the date");
}

#[test]
fn json_is_the_document_of_the_api() {
    let companion = companion();
    let by_cli = inject(&companion, "GITHUB_TOKEN", &["--bearer", "--json"]).document();
    let by_api = companion.inject("github-mcp", "GITHUB_TOKEN", &json!({"type": "bearer"}));
    assert_eq!((by_api.status, by_api.json()), (200, by_cli.clone()));
    assert_eq!(by_cli, json!({"secret": secret(&companion, "GITHUB_TOKEN")}));
    assert_eq!(by_cli["secret"]["injection"], json!({"type": "bearer"}));
    assert!(!by_cli.to_string().contains("canary"));
}

#[test]
fn two_secrets_never_share_a_header() {
    let companion = companion();
    companion.set("github-mcp", "OTHER", "x");
    // GITHUB_TOKEN is sent by its name; folded, all of these are the same header.
    for header in ["GITHUB_TOKEN", "github_token", "GitHub-Token", "GITHUB-token"] {
        let ended = inject(&companion, "OTHER", &["--header", header]).expect(6);
        assert!(ended.err.contains("already sent in that header"), "{}", ended.err);
        assert!(ended.err.contains("hint: choose another header"), "{}", ended.err);
        let answer = companion.inject("github-mcp", "OTHER", &json!({"type": "header", "header": header}));
        assert_eq!((answer.status, answer.error_code().as_str()), (409, "conflict"), "{header}");
    }
    assert_eq!(secret(&companion, "OTHER")["injection"], json!({"type": "name"}));
    // Bearer auth is the header Authorization.
    inject(&companion, "GITHUB_TOKEN", &["--bearer"]).expect(0);
    inject(&companion, "OTHER", &["--header", "authorization"]).expect(6);
    inject(&companion, "OTHER", &["--bearer"]).expect(6);
    // By then the name is free, and another server is no neighbour.
    inject(&companion, "OTHER", &["--header", "github-token"]).expect(0);
    companion.add_server("slack-mcp", "https://slack-mcp.example/");
    companion.set("slack-mcp", "SLACK_TOKEN", "x");
    assert_eq!(companion.inject("slack-mcp", "SLACK_TOKEN", &json!({"type": "bearer"})).status, 200);
    // Back to the name is refused while another secret is sent in it.
    inject(&companion, "GITHUB_TOKEN", &["--by-name"]).expect(6);
    let ended = inject(&companion, "GITHUB_TOKEN", &["--by-name", "--json"]).expect(6);
    assert_eq!(ended.error_document()["code"], "conflict");
}

/// Names that HTTP or MCP uses itself, in the spellings that servers cannot tell apart.
const RESERVED: [&str; 24] = [
    "Host",
    "Content-Type",
    "content_type",
    "CONTENT-LENGTH",
    "Connection",
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Accept",
    "Accept-Language",
    "Mcp-Session-Id",
    "MCP_PROTOCOL_VERSION",
    "Mcp-Param-X",
    "Last-Event-ID",
    "Origin",
    "Cookie",
    "User-Agent",
    "X-Forwarded-For",
    "Proxy-Authorization",
    "Sec-Fetch-Site",
    "traceparent",
    "If-None-Match",
];

#[test]
fn reserved_headers_are_refused() {
    let companion = companion();
    for header in RESERVED {
        let ended = inject(&companion, "GITHUB_TOKEN", &["--header", header]).expect(2);
        assert!(ended.err.contains("is reserved") && ended.err.contains("hint: "), "{}", ended.err);
        let rule = json!({"type": "header", "header": header});
        let answer = companion.inject("github-mcp", "GITHUB_TOKEN", &rule);
        assert_eq!((answer.status, answer.error_code().as_str()), (422, "invalid_value"), "{header}");
        assert!(answer.text().contains("is reserved"), "{}", answer.text());
    }
    assert_eq!(secret(&companion, "GITHUB_TOKEN")["injection"], json!({"type": "name"}));
}

#[test]
fn a_reserved_name_cannot_become_the_header() {
    let companion = companion();
    let rule = json!({"type": "header", "header": "X-Type"});
    let body = json!({"name": "CONTENT_TYPE", "value": "x", "injection": rule});
    assert_eq!(companion.admin("POST", SECRETS, Some(&body)).status, 201);
    inject(&companion, "CONTENT_TYPE", &["--by-name"]).expect(2);
    let answer = companion.inject("github-mcp", "CONTENT_TYPE", &json!({"type": "name"}));
    assert_eq!((answer.status, answer.error_code().as_str()), (422, "invalid_value"));
    assert_eq!(secret(&companion, "CONTENT_TYPE")["injection"], rule);
}

#[test]
fn headers_and_prefixes_that_are_none() {
    let companion = companion();
    let (long, long_prefix) = ("X".repeat(129), "p".repeat(129));
    for header in ["", "X Y", "X:", "X\r\nY", "Ä", "X/Y", "X\0", &long] {
        let rule = json!({"type": "header", "header": header});
        assert_eq!(companion.inject("github-mcp", "GITHUB_TOKEN", &rule).status, 422, "{header:?}");
        if !header.contains('\0') {
            inject(&companion, "GITHUB_TOKEN", &["--header", header]).expect(2);
        }
    }
    for prefix in [" Token", "a\tb", "a\r\nX-Injected: 1", "ä", "\u{7f}", &long_prefix] {
        let rule = json!({"type": "header", "header": "X-A", "prefix": prefix});
        assert_eq!(companion.inject("github-mcp", "GITHUB_TOKEN", &rule).status, 422, "{prefix:?}");
        let ended = inject(&companion, "GITHUB_TOKEN", &["--header", "X-A", "--prefix", prefix]).expect(2);
        assert!(ended.err.contains("hint: "), "{}", ended.err);
    }
    let longest = "X".repeat(128);
    inject(&companion, "GITHUB_TOKEN", &["--header", &longest]).expect(0);
    inject(&companion, "GITHUB_TOKEN", &["--header", "X-A", "--prefix", "--Token "]).expect(0);
    // An empty prefix is none.
    inject(&companion, "GITHUB_TOKEN", &["--header", "X-A", "--prefix", ""]).expect(0);
    let rule = json!({"type": "header", "header": "X-A"});
    assert_eq!(secret(&companion, "GITHUB_TOKEN")["injection"], rule);
}

#[test]
fn exactly_one_rule() {
    let companion = companion();
    let wrong: [&[&str]; 6] = [
        &[],
        &["--bearer", "--by-name"],
        &["--header", "X-A", "--bearer"],
        &["--mcp-secret", "--header", "X-A"],
        &["--prefix", "Token "],
        &["--bearer", "--prefix", "Token "],
    ];
    for options in wrong {
        let ended = inject(&companion, "GITHUB_TOKEN", options).expect(2);
        assert!(ended.err.contains("usage: aerostack secrets inject <mcp-slug> <NAME>"), "{}", ended.err);
    }
    assert_eq!(secret(&companion, "GITHUB_TOKEN")["injection"], json!({"type": "name"}));
}

#[test]
fn unknown_servers_and_names_get_suggestions() {
    let companion = companion();
    let cases = [
        (["githb-mcp", "GITHUB_TOKEN"], "did you mean 'github-mcp'?"),
        (["github-mcp", "GITHUB_TOKN"], "did you mean 'GITHUB_TOKEN'?"),
        (["github-mcp", "github_token"], "did you mean 'GITHUB_TOKEN'?"),
        (["github-mcp", "QQQ"], "list them: aerostack secrets list github-mcp"),
        (
            ["zzz", "GITHUB_TOKEN"],
            "list them: aerostack mcp list; add one: aerostack mcp add <slug> --url <URL>",
        ),
    ];
    for ([slug, name], hint) in cases {
        let arguments = ["secrets", "inject", slug, name, "--bearer"];
        let ended = cli(&companion, &arguments).expect(3);
        assert!(ended.err.contains(&format!("hint: {hint}\n")), "{}", ended.err);
        let ended = aerostack(&arguments).arg("--json").against(&companion).run().expect(3);
        assert_eq!(ended.error_document()["hint"], hint);
        let answer = companion.inject(slug, name, &json!({"type": "bearer"}));
        assert_eq!((answer.status, answer.json()["error"]["hint"].as_str()), (404, Some(hint)));
    }
}
