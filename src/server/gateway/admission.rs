//! What stands between a message that was read and the route that answers it: the token's
//! rate limit, and its scope. Both eras and both routes pass here.

use hyper::{Response, StatusCode};

use super::answer::{Answer, LIST_LIMIT};
use super::listing::LIST_TIME;
use super::message::{Envelope, Kind};
use super::problem::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UpstreamProblem, rpc_error};
use super::rate_limit::Quota;
use super::sessions::Session;
use super::upstream::Upstream;
use super::{Caller, Gateway, Route, scoped_message};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;

/// What a call of a tool gets that is not there, or not for this token.
pub(super) const UNKNOWN_TOOL: &str = "unknown tool; see tools/list";
/// The methods of a token that is limited to tools. Others read or change what no pattern
/// of tools speaks of.
const TOOL_METHODS: [&str; 6] =
    ["initialize", "server/discover", "ping", "logging/setLevel", "tools/list", "tools/call"];
/// How such a token hears in the modern era that its tools have changed.
const LISTEN: &str = "subscriptions/listen";

impl Gateway {
    /// Counts the message, then checks whether it is one of MCP and within the token's scope; the
    /// refusal, if any.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        envelope: &Envelope<'_>,
        body: &[u8],
    ) -> Option<Response<AnswerBody>> {
        let quota = if envelope.method() == "tools/call" { Quota::Calls } else { Quota::Others };
        self.rate_limits
            .take(&caller.member, quota, envelope.id())
            .or_else(|| refuse_by_scope(caller, envelope, body))
            .or_else(|| refuse_hidden_request(envelope))
    }

    /// The answer to a `tools/list` of one server with the tools that the token may see.
    pub(super) async fn visible_tools(
        caller: &Caller,
        upstream: &Upstream,
        session: &Session,
        id: &str,
        answer: Answer,
    ) -> Response<AnswerBody> {
        let slug = upstream.server.slug.as_str();
        Self::limited(caller, upstream, session, id, answer, |message| {
            let list = scoped_message::visible_list(&caller.member.scope, slug, message)?;
            Some(list.into_bytes())
        })
        .await
    }

    /// The answer to a `server/discover` of one server with what is there for the token.
    pub(super) async fn visible_offers(
        caller: &Caller,
        upstream: &Upstream,
        session: &Session,
        id: &str,
        answer: Answer,
    ) -> Response<AnswerBody> {
        let only = |message: &str| scoped_message::tools_only(message.as_bytes());
        Self::limited(caller, upstream, session, id, answer, only).await
    }

    async fn limited(
        caller: &Caller,
        upstream: &Upstream,
        session: &Session,
        id: &str,
        answer: Answer,
        limit: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Response<AnswerBody> {
        let response = match answer {
            Answer::Whole(status, body) => return json_answer(status, body),
            Answer::Stream(response) => *response,
        };
        let (status, server) = (response.status(), &upstream.server);
        let reading = upstream.read_answer(session, response, id, LIST_LIMIT);
        let reading = tokio::time::timeout(LIST_TIME, reading).await;
        let limited = reading.unwrap_or(Err(UpstreamProblem::TimedOut)).and_then(|message| {
            let message = std::str::from_utf8(&message).map_err(|_| UpstreamProblem::NotMcp)?;
            limit(message).ok_or(UpstreamProblem::NotMcp)
        });
        match limited {
            Ok(limited) => json_answer(status, limited),
            Err(problem) => Self::failed(caller, server, id, problem),
        }
    }
}

/// A request without an id only looks like a notification: an upstream might do what it says, and
/// nobody would have counted, recorded or checked it as the call that it is.
fn refuse_hidden_request(envelope: &Envelope<'_>) -> Option<Response<AnswerBody>> {
    if envelope.kind() != Kind::Notification || envelope.method().starts_with("notifications/") {
        return None;
    }
    let message = "not a notification of MCP: a request has an id";
    Some(json_answer(StatusCode::BAD_REQUEST, rpc_error(envelope.id(), INVALID_REQUEST, message)))
}

fn refuse_by_scope(caller: &Caller, envelope: &Envelope<'_>, body: &[u8]) -> Option<Response<AnswerBody>> {
    let scope = &caller.member.scope;
    if !scope.limits_tools() {
        return None;
    }
    let refuse = |status: StatusCode, code: i32, message: &str| {
        Some(json_answer(status, rpc_error(envelope.id(), code, message)))
    };
    if !scoped_message::is_certain(body, envelope.kind()) {
        let message = "this token is limited to tools, and the message has members that JSON-RPC has not";
        return refuse(StatusCode::BAD_REQUEST, INVALID_REQUEST, message);
    }
    if envelope.kind() != Kind::Request {
        return None;
    }
    let is_listening = envelope.method() == LISTEN && envelope.is_modern();
    if !TOOL_METHODS.contains(&envelope.method()) && !is_listening {
        // In the modern era an unknown method has a status of its own.
        let status = if envelope.is_modern() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        return refuse(status, METHOD_NOT_FOUND, "no such method for this token: it is limited to tools");
    }
    if envelope.method() != "tools/call" {
        return None;
    }
    let name = scoped_message::certain_tool_name(envelope.params());
    let allowed = name.is_some_and(|name| match &caller.route {
        Route::Workspace => scoped_message::may_use(scope, &name),
        Route::Server(server) => scope.allows_tool(server.slug.as_str(), &name),
    });
    if allowed { None } else { refuse(StatusCode::OK, INVALID_PARAMS, UNKNOWN_TOOL) }
}
