//! Clients of the legacy era and servers of the modern one: what such a server asks its client
//! with a result, the client gets as requests on the stream of its call, and its answers go
//! into the call made again. A cancellation closes the server's stream.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::harness::companion::gateway_path;
use crate::harness::http::request;
use crate::harness::talker::{EVENTS_HEAD, Listening, PATIENCE, Talker, request_with_id, say, say_result};
use crate::harness::upstream::Received;
use crate::harness::{Companion, McpSession};

/// A state that must come back as it is, escapes and all.
const STATE: &str = "{\"round\":1,\"\u{e9}\":\"\\\\/\"}";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn form(message: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn asked(requests: &Value, state: Option<&str>) -> Value {
    let mut result = json!({"resultType": "input_required"});
    if !requests.is_null() {
        result["inputRequests"] = requests.clone();
    }
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    result
}

fn complete(params: &Value) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": params.to_string()}]})
}

/// What its tools answer, by what they were told so far.
fn tool(params: &Value) -> Value {
    let (answers, state) = (&params["inputResponses"], params["requestState"].as_str());
    match params["name"].as_str().unwrap() {
        "both" | "streamed" if answers.is_null() => {
            let model =
                json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 100}});
            asked(&json!({"who": form("Who?"), "what": model}), Some(STATE))
        }
        "stateless" if answers.is_null() => asked(&json!({"who": form("Who?")}), None),
        "later" if state.is_none() => asked(&Value::Null, Some(STATE)),
        "rounds" => match state {
            None => asked(&json!({"a": form("1")}), Some("1")),
            Some("1") => asked(&json!({"b": {"method": "roots/list"}}), Some("2")),
            _ => complete(params),
        },
        "endless" => asked(&json!({"a": form("again")}), Some("again")),
        "link" => asked(
            &json!({"a": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://a.example/"}}}),
            None,
        ),
        "odd" => asked(&json!({"a": {"method": "tools/list"}}), None),
        "wrong" => asked(&Value::Null, None),
        _ => complete(params),
    }
}

/// A server of the modern era. The receiver is told when the connection of a call to `wait` or
/// `hang` ends.
fn modern_server() -> (Talker, Receiver<()>) {
    let (ended, is_ended) = channel();
    let talker = Talker::start(move |_, request, socket| {
        let message = request.json();
        match request.method().as_str() {
            "server/discover" => say_result(
                socket,
                request,
                &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "resources": {}}, "ttlMs": 0, "cacheScope": "public"}),
            ),
            "tools/list" => say_result(socket, request, &json!({"resultType": "complete", "tools": []})),
            "resources/read" if message["params"]["inputResponses"].is_null() => {
                say_result(socket, request, &asked(&json!({"who": form("Which?")}), None))
            }
            "resources/read" => {
                say_result(socket, request, &json!({"resultType": "complete", "contents": []}))
            }
            "tools/call" => call(request, socket, || ended.send(()).unwrap()),
            _ => {
                let error = json!({"code": -32600, "message": "modern only"});
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string();
                let headers = [("Content-Type", "application/json")];
                let answer = crate::harness::upstream::http_answer("400 Bad Request", &headers, &body);
                socket.write_all(&answer).is_ok()
            }
        }
    });
    (talker, is_ended)
}

fn call(request: &Received, socket: &mut TcpStream, ended: impl Fn()) -> bool {
    let message = request.json();
    let name = message["params"]["name"].as_str().unwrap();
    if name == "wait" || name == "hang" {
        if name == "wait" {
            socket.write_all(EVENTS_HEAD.as_bytes()).unwrap();
            say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}));
        }
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        if matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
            ended();
        }
        return false;
    }
    let result = tool(&message["params"]);
    if name != "streamed" {
        return say_result(socket, request, &result);
    }
    socket.write_all(EVENTS_HEAD.as_bytes()).unwrap();
    say(socket, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}));
    say(socket, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    false
}

struct Stage {
    companion: Companion,
    server: Talker,
    ended: Receiver<()>,
    token: String,
}

impl Stage {
    fn set() -> Self {
        let (companion, (server, ended)) = (Companion::start(), modern_server());
        companion.add_server("new", &server.url());
        let token = companion.token("default");
        Self { companion, server, ended, token }
    }

    fn session(&self, slug: Option<&str>) -> McpSession {
        let all =
            json!({"roots": {"listChanged": true}, "sampling": {}, "elicitation": {"form": {}}, "tasks": {}});
        self.session_with(slug, &all)
    }

    fn session_with(&self, slug: Option<&str>, capabilities: &Value) -> McpSession {
        McpSession::open_with(self.companion.address, &gateway_path(slug), &self.token, capabilities)
    }

    fn calls(&self) -> Vec<Received> {
        self.server.received_of("tools/call")
    }
}

fn begin(session: &McpSession, id: &Value, tool: &str) -> Listening {
    let name = if session.path == gateway_path(None) { format!("new__{tool}") } else { tool.to_owned() };
    let params = json!({"name": name, "arguments": {"n": 1}, "_meta": {"progressToken": "t"}});
    Listening::post(session, &request_with_id(id, "tools/call", &params))
}

fn answer(session: &McpSession, question: &Value, result: &Value) {
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(session.send(&answer, &[]).status, 202);
}

fn reason(answer: &Value) -> &str {
    answer["error"]["data"]["reason"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// What the last call's parameters were, as the tool gives them back.
fn told(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str(text).unwrap()
}

#[test]
fn two_questions_at_once_on_both_routes() {
    let stage = Stage::set();
    for (tool, slug) in [("both", None), ("both", Some("new")), ("streamed", None), ("streamed", Some("new"))]
    {
        let session = stage.session(slug);
        let before = stage.calls().len();
        // Each request has a connection of its own, on any core.
        for id in [json!(7), json!("seven")] {
            let mut stream = begin(&session, &id, tool);
            let mut questions = [stream.until("sampling/createMessage"), stream.until("elicitation/create")];
            assert_eq!(questions[0]["params"]["maxTokens"], 100);
            assert_eq!(questions[1]["params"]["message"], "Who?");
            assert_ne!(questions[0]["id"], questions[1]["id"]);
            // Another session knows nothing of them, of the same token or not.
            let foreign =
                McpSession::open(stage.companion.address, &session.path, &stage.companion.token("default"));
            answer(&foreign, &questions[0], &json!({"stolen": 1}));
            answer(&stage.session(slug), &questions[1], &json!({"stolen": 1}));
            questions.reverse();
            for question in &questions {
                answer(&session, question, &json!({"of": question["method"], "content": {"name": "n"}}));
                answer(&session, question, &json!({"twice": 1}));
            }
            let end = stream.answer();
            assert_eq!(end["id"], id);
            let told = told(&end);
            assert_eq!(told["requestState"], STATE);
            assert_eq!(
                told["inputResponses"],
                json!({
                    "who": {"of": "elicitation/create", "content": {"name": "n"}},
                    "what": {"of": "sampling/createMessage", "content": {"name": "n"}},
                })
            );
            assert_eq!((&told["name"], &told["arguments"]), (&json!(tool), &json!({"n": 1})));
            assert_eq!(told["_meta"]["progressToken"], "t");
            // What the client can do, as the modern era knows it.
            assert_eq!(
                told["_meta"][META_CAPABILITIES],
                json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}}})
            );
        }
        let calls = stage.calls();
        assert_eq!(calls.len() - before, 4, "{tool}");
        let ids: Vec<_> = calls[before..].iter().map(|call| call.json()["id"].clone()).collect();
        assert!(ids[0] != ids[1] && ids[2] != ids[3] && ids[1] != ids[3], "{ids:?}");
    }
}

#[test]
fn several_rounds_with_and_without_a_state() {
    let stage = Stage::set();
    let session = stage.session(None);
    let mut stream = begin(&session, &json!(1), "rounds");
    answer(&session, &stream.until("elicitation/create"), &json!({"action": "decline"}));
    answer(&session, &stream.until("roots/list"), &json!({"roots": []}));
    let end = told(&stream.answer());
    // Only the last round's.
    assert_eq!(end["inputResponses"], json!({"b": {"roots": []}}));
    assert_eq!(end["requestState"], "2");
    assert_eq!(stage.calls()[1].json()["params"]["inputResponses"], json!({"a": {"action": "decline"}}));

    let mut stream = begin(&session, &json!(2), "stateless");
    answer(&session, &stream.until("elicitation/create"), &json!({"action": "cancel"}));
    let end = told(&stream.answer());
    assert_eq!(
        (&end["inputResponses"]["who"], end.get("requestState")),
        (&json!({"action": "cancel"}), None)
    );

    let end = told(&begin(&session, &json!(3), "later").answer());
    assert_eq!((&end["requestState"], end.get("inputResponses")), (&json!(STATE), None));
    // What asks nothing is as before.
    let end = session.rpc("tools/call", &json!({"name": "new__plain", "arguments": {}}));
    assert!(told(&end).get("inputResponses").is_none());

    for uri in ["new+a:b", "a:b"] {
        let read = request_with_id(&json!(4), "resources/read", &json!({"uri": uri}));
        let mut stream = Listening::post(&session, &read);
        answer(&session, &stream.until("elicitation/create"), &json!({"action": "decline"}));
        let end = stream.answer();
        assert_eq!((&end["id"], &end["result"]["contents"]), (&json!(4), &json!([])), "{uri}");
    }
}

#[test]
fn what_cannot_be_answered_ends_the_call() {
    let stage = Stage::set();
    let session = stage.session(None);
    let mut stream = begin(&session, &json!(1), "both");
    let (open, question) = (stream.until("sampling/createMessage"), stream.until("elicitation/create"));
    let refusal = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "no"}});
    assert_eq!(session.send(&refusal, &[]).status, 202);
    // The other question is taken back.
    assert_eq!(stream.until("notifications/cancelled")["params"]["requestId"], open["id"]);
    let end = stream.answer();
    assert_eq!((&end["id"], reason(&end)), (&json!(1), "input_refused"));
    assert_eq!(stage.calls().len(), 1, "not made again");

    let end = begin(&session, &json!(2), "wrong").answer();
    assert_eq!((&end["id"], reason(&end)), (&json!(2), "not_mcp"));
    // What the client did not offer it is not asked for, and nothing else in place of it.
    let bare = stage.session_with(None, &json!({"roots": {}}));
    for (session, tool) in [(&bare, "both"), (&session, "odd"), (&session, "link")] {
        let mut stream = begin(session, &json!(3), tool);
        let end = stream.next().unwrap();
        assert_eq!((&end["id"], reason(&end)), (&json!(3), "input_excessive"), "{tool}");
    }
    let visiting = stage.session_with(None, &json!({"elicitation": {"url": {}}}));
    let mut stream = begin(&visiting, &json!(4), "link");
    let question = stream.until("elicitation/create");
    assert_eq!(question["params"]["elicitationId"], question["id"], "the older era wants one");

    let before = stage.calls().len();
    let mut stream = begin(&session, &json!(5), "endless");
    let mut rounds = 0;
    let end = loop {
        let message = stream.next().unwrap();
        if message["method"].is_null() {
            break message;
        }
        rounds += 1;
        answer(&session, &message, &json!({"action": "accept"}));
    };
    assert_eq!((rounds, reason(&end)), (20, "input_excessive"));
    assert_eq!(stage.calls().len() - before, 21);
}

#[test]
fn a_cancellation_closes_the_servers_stream() {
    let stage = Stage::set();
    for slug in [None, Some("new")] {
        let session = stage.session(slug);
        let cancel = |id: &Value| {
            let params = json!({"requestId": id, "reason": "enough"});
            let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            assert_eq!(session.send(&message, &[]).status, 202);
        };
        let mut stream = begin(&session, &json!(1), "wait");
        stream.until("notifications/progress");
        cancel(&json!("1"));
        cancel(&json!(2));
        let mut other = begin(&session, &json!(2), "wait");
        other.until("notifications/progress");
        cancel(&json!(1));
        stage.ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(stream.next(), None, "no answer to what was cancelled");
        assert!(stage.ended.try_recv().is_err(), "the other goes on");
        cancel(&json!(2));
        stage.ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(other.next(), None);

        // Before its answer begins.
        let id = json!(session.path);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| begin(&session, &id, "hang").next());
            stage.server.wait_for("the call", |one| one.json()["id"] == id);
            cancel(&id);
            stage.ended.recv_timeout(PATIENCE).unwrap();
            assert_eq!(waiting.join().unwrap(), None);
        });
        // While the client is asked.
        let calls = stage.calls().len();
        let mut stream = begin(&session, &json!(3), "stateless");
        let question = stream.until("elicitation/create");
        cancel(&json!(3));
        assert_eq!(stream.next(), None);
        answer(&session, &question, &json!({"action": "accept"}));
        assert_eq!(session.rpc("ping", &json!({}))["result"], json!({}));
        assert_eq!(stage.calls().len(), calls + 1);
    }
    assert!(stage.server.received_of("notifications/cancelled").is_empty(), "not in this era");
}

#[test]
fn a_client_that_leaves_takes_its_questions_with_it() {
    let stage = Stage::set();
    let session = stage.session(None);
    let mut stream = begin(&session, &json!(1), "wait");
    stream.until("notifications/progress");
    drop(stream);
    stage.ended.recv_timeout(PATIENCE).unwrap();
    let mut stream = begin(&session, &json!(2), "stateless");
    let question = stream.until("elicitation/create");
    drop(stream);
    let mut stream = begin(&session, &json!(3), "stateless");
    let next = stream.until("elicitation/create");
    assert_ne!(question["id"], next["id"]);
    answer(&session, &question, &json!({"action": "accept"}));
    answer(&session, &next, &json!({"action": "decline"}));
    assert_eq!(told(&stream.answer())["inputResponses"]["who"]["action"], "decline");
}

#[test]
fn a_session_that_ends_ends_its_questions() {
    let stage = Stage::set();
    let session = stage.session(None);
    let mut stream = begin(&session, &json!(1), "stateless");
    stream.until("elicitation/create");
    let authorization = format!("Bearer {}", stage.token);
    let headers = [("Authorization", authorization.as_str()), ("Mcp-Session-Id", session.id.as_str())];
    let answer = request(session.address, "DELETE", &session.path, &headers, b"");
    assert_eq!(answer.status, 204);
    let end = stream.answer();
    assert_eq!((&end["id"], reason(&end)), (&json!(1), "input_missing"));
}
