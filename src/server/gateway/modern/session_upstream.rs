//! A server of the modern era behind a session of the legacy era: the session's requests are
//! told in the modern era, and what that era does not have is answered here.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::MODERN_VERSION;
use super::check::HEADER_MISMATCH;
use super::param_headers::ParamHeaders;
use super::speak::with_meta;
use crate::server::gateway::LEGACY_VERSIONS;
use crate::server::gateway::answer::{self, Answer, LIST_LIMIT, Whole};
use crate::server::gateway::capabilities::Capabilities;
use crate::server::gateway::inward::LOG_LEVELS;
use crate::server::gateway::listing::{LIST_TIME, own_request_id};
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::{NameInMessage, member};
use crate::server::gateway::problem::{INVALID_PARAMS, METHOD_NOT_FOUND, UpstreamProblem, rpc_error};
use crate::server::gateway::sessions::{Session, UpstreamSession};
use crate::server::gateway::upstream::Upstream;

/// Pages of a server's tools that are read for their schemas.
const MAX_PAGES: usize = 100;

impl Upstream {
    /// What stands for a session with a server that has none. `discovered` is its answer to
    /// `server/discover`.
    pub(in crate::server::gateway) fn modern_session(&self, discovered: &Bytes) -> UpstreamSession {
        UpstreamSession {
            id: None,
            protocol: HeaderValue::from_static(MODERN_VERSION),
            fingerprint: self.fingerprint(),
            origin: self.server.origin().clone(),
            target: self.target(),
            offers: Arc::new(Capabilities::of_initialize(discovered)),
            announced: true,
            modern: true,
        }
    }

    /// The answer to `initialize` for a server of the modern era, made from what it says of
    /// itself; `None` if it is not one.
    pub(in crate::server::gateway) async fn initialize_modern(
        &self,
        message: &[u8],
    ) -> Result<Option<(Whole, Option<UpstreamSession>)>, UpstreamProblem> {
        let discovered = self.discovered().await?;
        Ok(discovered.and_then(|discovered| self.made_modern(message, &discovered)))
    }

    /// The same out of a message in which the server says what it is.
    pub(in crate::server::gateway) fn made_modern(
        &self,
        message: &[u8],
        discovered: &Bytes,
    ) -> Option<(Whole, Option<UpstreamSession>)> {
        let raw = initialize_result(message, discovered)?;
        let whole = Whole {
            status: StatusCode::OK,
            content_type: Some(HeaderValue::from_static("application/json")),
            session_id: None,
            raw: raw.clone(),
            message: raw,
        };
        Some((whole, Some(self.modern_session(discovered))))
    }

    /// Sends a request of a session.
    pub(in crate::server::gateway) async fn request_modern(
        &self,
        session: &Session,
        message: Bytes,
    ) -> Result<Answer, UpstreamProblem> {
        let envelope = Envelope::parse(&message).map_err(|_| UpstreamProblem::NotMcp)?;
        if matches!(
            envelope.method(),
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
        ) {
            return Ok(own_answer(&envelope));
        }
        if envelope.is_modern() {
            let response = self.post_modern(message.clone(), HeaderMap::new(), self.patience()).await?;
            return self.sorted(session, envelope.id(), answer::of_request(response).await?).await;
        }
        tokio::select! {
            answered = Box::pin(self.tell(session, &envelope, &message)) => answered,
            () = session.workspace.calls.cancelled(&self.server.id, envelope.id()) => Err(UpstreamProblem::Cancelled),
        }
    }

    /// Sends a request of a client of the legacy era, with what that client can do.
    async fn tell(
        &self,
        session: &Session,
        envelope: &Envelope<'_>,
        message: &[u8],
    ) -> Result<Answer, UpstreamProblem> {
        let capabilities = session.workspace.client_capabilities(&session.initialize).to_string();
        // In this era the level goes with each request, and without one there is no log.
        let level = session.workspace.log_level();
        let told: Bytes =
            with_meta(message, &capabilities, level.as_deref()).ok_or(UpstreamProblem::NotMcp)?.into();
        if envelope.method() != "tools/call" {
            let response = self.post_modern(told, HeaderMap::new(), self.patience()).await?;
            return self.sorted(session, envelope.id(), answer::of_request(response).await?).await;
        }
        let answer = self.call_modern(envelope, told.clone()).await?;
        let mismatch =
            matches!(&answer, Answer::Whole(_, body) if answer::error_code(body) == Some(HEADER_MISMATCH));
        if !mismatch {
            return self.sorted(session, envelope.id(), answer).await;
        }
        // Refused before it ran, because the tool's schema is another one by now.
        self.schemas().forget(&self.server.id);
        self.call_modern(envelope, told).await
    }

    /// Calls a tool, with the headers that its schema asks for.
    async fn call_modern(&self, envelope: &Envelope<'_>, message: Bytes) -> Result<Answer, UpstreamProblem> {
        #[derive(Deserialize)]
        struct Call {
            name: String,
            arguments: Option<Value>,
        }
        let call = envelope.params().and_then(|params| serde_json::from_str::<Call>(params.get()).ok());
        let mut headers = HeaderMap::new();
        if let Some(call) = call {
            let schemas = self.known_tool_schemas().await;
            match schemas.get(&call.name).map(ParamHeaders::of_schema) {
                Some(Ok(marks)) => headers = marks.headers(call.arguments.as_ref()),
                Some(Err(_)) => {
                    let message = "unknown tool; see tools/list";
                    let body = rpc_error(envelope.id(), INVALID_PARAMS, message);
                    return Ok(Answer::Whole(StatusCode::OK, body.into()));
                }
                None => {}
            }
        }
        let response = self.post_modern(message, headers, self.patience()).await?;
        answer::of_request(response).await
    }

    /// The input schemas of the server's tools, by name; only those with a mark in them. A list that
    /// cannot be had in time is no reason not to make a call: without its headers, a call that
    /// needs them is refused before it runs.
    async fn known_tool_schemas(&self) -> Arc<Map<String, Value>> {
        let fingerprint = self.fingerprint();
        if let Some(known) = self.schemas().find(&self.server.id, &fingerprint) {
            return known;
        }
        let listed = tokio::time::timeout(LIST_TIME, self.tool_schemas());
        match listed.await.unwrap_or(Err(UpstreamProblem::TimedOut)) {
            Ok(tools) => {
                self.schemas().keep(&self.server.id, fingerprint, Arc::clone(&tools));
                tools
            }
            Err(problem) => {
                tracing::debug!(server = %self.server.slug, %problem, "a list of tools could not be read");
                self.schemas().keep_none(&self.server.id, fingerprint);
                Arc::default()
            }
        }
    }

    async fn tool_schemas(&self) -> Result<Arc<Map<String, Value>>, UpstreamProblem> {
        let mut tools = Map::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            let request =
                json!({"jsonrpc": "2.0", "id": own_request_id(), "method": "tools/list", "params": params});
            let message =
                with_meta(request.to_string().as_bytes(), "{}", None).ok_or(UpstreamProblem::NotMcp)?;
            let response = self.post_modern(message.into(), HeaderMap::new(), self.patience()).await?;
            let Answer::Stream(response) = answer::of_request(response).await? else { break };
            let (_, message) = answer::read_answer(*response, LIST_LIMIT).await?;
            let Some(result) = Envelope::parse(&message).ok().and_then(|answer| answer.result()) else {
                break;
            };
            add_schemas(&mut tools, result);
            let next =
                member(result, "nextCursor").and_then(|cursor| serde_json::from_str(cursor.get()).ok());
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
        Ok(Arc::new(tools))
    }

    /// Passes an answer on. One that no server of the modern era gives means that the server
    /// has changed: the next request asks again.
    async fn sorted(&self, session: &Session, id: &str, answer: Answer) -> Result<Answer, UpstreamProblem> {
        if let Answer::Whole(status, body) = &answer
            && *status == StatusCode::BAD_REQUEST
            && !matches!(answer::error_code(body), Some(-32022..=-32020 | -32602))
        {
            self.forget_era();
            let slot = session.slot(&self.server.id);
            slot.lock().await.take_if(|opened| opened.modern);
            // It refused what it does not know any more, and is asked anew in its own era. What else is
            // refused with this status may have run.
            let is_unread =
                answer::error_code(body) == Some(METHOD_NOT_FOUND) || answer::speaks_of_a_lost_session(body);
            let may_change_era = || self.caller().may_change_era(&self.server.id, id);
            if is_unread && self.is_surely_legacy().await && may_change_era() {
                return Err(UpstreamProblem::Outdated);
            }
        }
        Ok(answer)
    }
}

/// The answer to a request that the modern era does not have. The level goes with each request, and
/// subscriptions with the stream.
fn own_answer(envelope: &Envelope<'_>) -> Answer {
    let id = envelope.id();
    let level = envelope.params().and_then(|params| NameInMessage::find(params, &["level"]));
    let is_level = level.is_some_and(|level| LOG_LEVELS.contains(&level.text.as_ref()));
    let body = if envelope.method() == "logging/setLevel" && !is_level {
        rpc_error(id, INVALID_PARAMS, "params.level is none of the log levels")
    } else {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes()
    };
    Answer::Whole(StatusCode::OK, body.into())
}

/// The answer to an `initialize` out of an answer to `server/discover`.
fn initialize_result(initialize: &[u8], discovered: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        protocol_version: Option<String>,
    }
    let envelope = Envelope::parse(initialize).ok()?;
    let wanted = envelope.params().and_then(|params| serde_json::from_str::<Wanted>(params.get()).ok());
    let wanted = wanted.and_then(|wanted| wanted.protocol_version);
    let known = LEGACY_VERSIONS.into_iter().find(|version| Some(*version) == wanted.as_deref());
    let version = known.unwrap_or(LEGACY_VERSIONS[0]);
    let found: Value = serde_json::from_str(Envelope::parse(discovered).ok()?.result()?.get()).ok()?;
    let server_info = found.get("serverInfo").or_else(|| found.get("_meta")?.get(super::SERVER_INFO));
    let own = json!({"name": "aerostack", "version": env!("CARGO_PKG_VERSION")});
    let mut result = json!({
        "protocolVersion": version,
        "capabilities": found.get("capabilities").filter(|value| value.is_object()).unwrap_or(&json!({})),
        "serverInfo": server_info.unwrap_or(&own),
    });
    if let Some(instructions) = found.get("instructions").filter(|value| value.is_string()) {
        result["instructions"] = instructions.clone();
    }
    Some(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, envelope.id()).into())
}

fn add_schemas(tools: &mut Map<String, Value>, result: &RawValue) {
    #[derive(Deserialize)]
    struct Tools {
        #[serde(default)]
        tools: Vec<Value>,
    }
    let Ok(Tools { tools: listed }) = serde_json::from_str(result.get()) else { return };
    for mut tool in listed {
        let schema = tool.get_mut("inputSchema").map(Value::take);
        let name = tool.get("name").and_then(Value::as_str);
        if let (Some(name), Some(schema)) = (name, schema)
            && ParamHeaders::of_schema(&schema) != Ok(ParamHeaders::default())
        {
            tools.insert(name.to_owned(), schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovered_server_can_be_initialized() {
        let initialize =
            br#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#;
        let discovered = br#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"Use it.","ttlMs":1}}"#;
        let made: Value =
            serde_json::from_slice(&initialize_result(initialize, discovered).unwrap()).unwrap();
        let result = json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "s", "version": "1"}, "instructions": "Use it.",
        });
        assert_eq!(made, json!({"jsonrpc": "2.0", "id": "i", "result": result}));
    }
}
