//! A hundred canary values walk through every command and route of a real server at trace
//! level. They reach the upstream, and nothing else: not the database, its WAL, the log,
//! an answer or an output.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::companion::KEY;
use crate::harness::upstream::http_answer;
use crate::harness::{McpSession, Running, Upstream, aerostack, mcp_answer, request};

fn canary(number: usize) -> String {
    format!("CANARY{number:03}xZ9q{:x}", number * 7_919 + 1_000_003)
}

/// Everything that was said, by whom.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn add(&mut self, who: impl Into<String>, what: impl Into<Vec<u8>>) {
        self.0.push((who.into(), what.into()));
    }

    fn add_files(&mut self, folder: &Path, when: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            self.add(format!("{} {when}", path.display()), fs::read(&path).unwrap());
        }
    }

    fn assert_free_of(&self, canary: &str) {
        let forms = [canary.to_owned(), STANDARD.encode(canary), hex::encode(canary), canary.to_lowercase()];
        for (who, bytes) in &self.0 {
            for form in &forms {
                let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                assert!(!found, "{form} stands in {who}");
            }
        }
    }
}

struct Scene {
    server: Running,
    heard: Heard,
}

impl Scene {
    fn program(&mut self, arguments: &[&str], stdin: &str) {
        let program = aerostack(arguments)
            .env("AEROSTACK_API_URL", self.server.variable("AEROSTACK_API_URL"))
            .env("AEROSTACK_API_KEY", self.server.variable("AEROSTACK_API_KEY"))
            .stdin(stdin);
        let ended = program.run();
        let who = format!("output of {} {}", arguments[0], arguments[1]);
        self.heard.add(who, format!("{}{}", ended.out, ended.err));
    }

    fn admin(&mut self, method: &str, path: &str, body: &str) {
        let bearer = format!("Bearer {}", self.server.variable("AEROSTACK_API_KEY"));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let answer = request(self.server.address(), method, path, &headers, body.as_bytes());
        self.heard.add(format!("answer to {method} {path}"), answer.body);
    }

    fn token(&mut self) -> String {
        let bearer = format!("Bearer {}", self.server.variable("AEROSTACK_API_KEY"));
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let path = "/api/v1/admin/workspaces/default/tokens";
        let answer =
            request(self.server.address(), "POST", path, &headers, br#"{"name":"t","rate_limit":"none"}"#);
        answer.json()["secret"].as_str().unwrap().to_owned()
    }
}

const SECRETS: &str = "/api/v1/admin/mcp-servers/github-mcp/secrets";

/// Sets canaries by every way there is, and makes calls good and bad between them.
fn walk(scene: &mut Scene, token: &str) {
    let session = McpSession::open(scene.server.address(), "/ws/default", token);
    let single = McpSession::open(scene.server.address(), "/ws/default/github-mcp", token);
    for number in 0..100 {
        let value = canary(number);
        match number % 10 {
            0 => scene.program(&["secrets", "set", "github-mcp", "TOKEN", &value], ""),
            1 => scene.program(&["secrets", "set", "github-mcp", "TOKEN"], &format!("{value}\n")),
            2 => scene.program(&["secrets", "set", "github-mcp", "TOKEN", "-", "--json", "-v"], &value),
            3 => scene.program(&["secrets", "set", "github-mcp", "TOKEN", &value, "extra"], ""),
            4 => scene.program(&["secrets", "set", "github-mcp", "TOKEN", &format!("{value}\ttab")], ""),
            5 => scene.admin("POST", SECRETS, &json!({"name": "TOKEN", "value": value, "x": 1}).to_string()),
            6 => scene.admin("POST", SECRETS, &format!(r#"{{"name":"TOKEN","value":"{value}"#)),
            7 => scene.admin(
                "POST",
                SECRETS,
                &json!({"name": value, "value": format!("{value}\n")}).to_string(),
            ),
            8 => scene.program(&["secrets", "set", "refusing-mcp", "TOKEN", &value], ""),
            _ => scene.admin("POST", SECRETS, &json!({"name": "TOKEN", "value": value}).to_string()),
        }
        for answer in [session.call("github-mcp__echo"), single.call("echo"), session.call("refusing-mcp__x")]
        {
            scene.heard.add(format!("answer to a call after {number}"), answer.to_string());
        }
    }
    import(scene);
    let answer = session.call("github-mcp__echo");
    scene.heard.add("answer to a call after the imports", answer.to_string());
    let list = session.rpc("tools/list", &json!({}));
    scene.heard.add("tool list", list.to_string());
    for arguments in [
        &["secrets", "list", "github-mcp", "--json"][..],
        &["secrets", "list"],
        &["mcp", "list", "--json"],
        &["secrets", "inject", "github-mcp", "TOKEN", "--bearer"],
        &["secrets", "delete", "github-mcp", "TOKEN", "--yes"],
        &["secrets", "delete", "refusing-mcp", "--all", "--yes"],
    ] {
        scene.program(arguments, "");
    }
}

/// Canaries of the imports that are done; those after them are of imports that are not.
const IMPORTED: std::ops::Range<usize> = 100..104;
const CANARIES: usize = 108;

/// Many at once, by each way: what is done and what is refused.
fn import(scene: &mut Scene) {
    let good: Vec<String> = IMPORTED.map(canary).collect();
    let bad: Vec<String> = (IMPORTED.end..CANARIES).map(canary).collect();
    let command = ["secrets", "import", "github-mcp"];
    scene.program(&command, &format!("# {}\nI_1='{}'\n", bad[0], good[0]));
    scene.program(&[&command[..], &["-v", "--json"]].concat(), &json!({"I_2": good[1]}).to_string());
    let batch = format!("{SECRETS}/batch");
    let list = json!({"secrets": [{"name": "I_3", "value": good[2]}, {"name": "I_4", "value": good[3]}]});
    scene.admin("POST", &batch, &list.to_string());
    scene.program(&[&command[..], &["--dry-run"]].concat(), &format!("I_1={}\n", bad[1]));
    scene.program(&command, &format!("I_1={0}\n{0}\nI_2=\"{0}\n{0}=\n", bad[2]));
    let name = format!("{}-", bad[3]);
    let list = json!({"secrets": [{"name": "I_1", "value": bad[3]}, {"name": name, "value": ""}]});
    scene.admin("POST", &batch, &list.to_string());
    scene.admin("POST", &batch, &list.to_string()[..60]);
}

#[test]
fn a_hundred_canaries_reach_the_upstream_only() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("aerostack.db").display());
    let good = Upstream::mcp();
    let refusing = Upstream::start(|request| match request.method().as_str() {
        "tools/call" => http_answer("401 Unauthorized", &[("WWW-Authenticate", "Bearer error=\"no\"")], "no"),
        _ => mcp_answer(request),
    });
    let serve = aerostack(&["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    let server =
        serve.env("WORKFLOW_SECRETS_KEY", KEY).env("AEROSTACK_LOG", "trace").start("AEROSTACK_API_URL");
    let mut scene = Scene { server, heard: Heard::default() };
    for (slug, upstream) in [("github-mcp", &good), ("refusing-mcp", &refusing)] {
        let url = upstream.url();
        scene.program(&["mcp", "add", slug, "--url", &url, "--allow-private-network"], "");
    }
    let token = scene.token();
    walk(&mut scene, &token);
    let Scene { server, mut heard } = scene;
    heard.add_files(folder.path(), "while it runs");
    let api_key = server.variable("AEROSTACK_API_KEY").to_owned();
    let (code, log) = server.terminate();
    assert_eq!(code, 0);
    assert!(log.contains("TRACE"), "the log is not at trace level:\n{log}");
    heard.add("the log", log);
    heard.add_files(folder.path(), "after its end");
    for number in 0..CANARIES {
        heard.assert_free_of(&canary(number));
    }
    heard.assert_free_of(&token);
    heard.assert_free_of(&api_key);
    let received: Vec<Value> = good.received().iter().map(|one| json!(one.head_text())).collect();
    let arrived = (0..CANARIES)
        .filter(|number| received.iter().any(|head| head.as_str().unwrap().contains(&canary(*number))));
    assert_eq!(
        arrived.count(),
        44,
        "the canaries that were set (by argument, two kinds of stdin, API, imports) must have arrived"
    );
}
