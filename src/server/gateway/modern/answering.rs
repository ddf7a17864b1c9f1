//! Answers clients of the modern era on both routes. A server of the same era gets their
//! requests as they are, but for the slug; for a server of the legacy era they are told in a
//! session that the gateway holds, and its results are marked as the modern era wants it.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::check::check;
use super::client_capabilities::{declared, without_tasks};
use super::legacy_call::request_state;
use super::one_token::for_one_token;
use super::scoped_listen::{heard, of_tools};
use super::{CACHED, MODERN_VERSION, SERVER_INFO};
use crate::server::body::AnswerBody;
use crate::server::gateway::addressing::{has_cursor, is_addressed};
use crate::server::gateway::call_record::CallRecord;
use crate::server::gateway::calling::MAX_STARTS;
use crate::server::gateway::capabilities::Capabilities;
use crate::server::gateway::listing::{ListKind, one_page};
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::problem::{
    INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UpstreamProblem, rpc_error,
};
use crate::server::gateway::relay::Passage;
use crate::server::gateway::sessions::{Answering, Session};
use crate::server::gateway::single::accepted;
use crate::server::gateway::upstream::{Upstream, passing_headers};
use crate::server::gateway::{Caller, Gateway, Route};
use crate::server::response::{RequestId, error_answer, json_answer};
use crate::server::store::{ServerRow, StoreError};

/// Opens the stream of what servers tell unasked.
const LISTEN: &str = "subscriptions/listen";
/// What a client gets that does not say there what it wants to hear.
pub(super) const NO_NOTIFICATIONS: &str = "params.notifications is missing or not as it should be";

/// A request of a client of this era.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Rc<Caller>,
    pub(super) session: Arc<Session>,
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) passing: HeaderMap,
    /// What the client can be asked for.
    pub(super) capabilities: Value,
    body: Bytes,
}

impl Gateway {
    /// Answers a message of a client of the modern era.
    pub(in crate::server::gateway) async fn modern(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        headers: &HeaderMap,
        envelope: &Envelope<'_>,
        body: Bytes,
    ) -> Response<AnswerBody> {
        match envelope.kind() {
            Kind::Request => {}
            // None of them means anything in this era.
            Kind::Notification => return accepted(),
            Kind::Response => {
                let message = "a client sends requests and notifications only";
                return json_answer(StatusCode::BAD_REQUEST, rpc_error("null", INVALID_REQUEST, message));
            }
        }
        if let Err(fault) = check(envelope, headers) {
            if let Route::Server(server) = &caller.route
                && fault.is_of_version()
                && self.is_legacy_only(caller, server).await
            {
                // No version of this era would do.
                return of_legacy_only(envelope.id());
            }
            return fault.answer(envelope.id());
        }
        if is_of_the_other_era(envelope.method()) {
            return unknown_method(envelope.id());
        }
        let capabilities = declared(envelope);
        let Ok(session) = self.bridges.session(self, caller, &capabilities) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        let answering = Answering::begin(&session);
        let asked =
            Asked { caller, session, envelope, passing: passing_headers(headers), capabilities, body };
        let mut response = match &caller.route {
            // On the heap, as it is as large as all that a call can take.
            Route::Server(server) => Box::pin(self.modern_single(&asked, server)).await,
            Route::Workspace => self.modern_workspace(&asked).await,
        };
        response.extensions_mut().insert(answering);
        response
    }

    /// On the route of one server what the client says passes as it is; a server of the legacy
    /// era is better spoken to in that era, with all that it has, so the client is told to.
    async fn modern_single(self: &Arc<Self>, asked: &Asked<'_>, server: &ServerRow) -> Response<AnswerBody> {
        let (id, method) = (asked.envelope.id(), asked.envelope.method());
        let is_limited = asked.caller.member.scope.limits_tools();
        let body = if is_limited && method == LISTEN {
            of_tools(asked.envelope, &asked.body)
        } else {
            // Tasks are asked for with methods that a limited token has not.
            Some(if is_limited { without_tasks(&asked.body) } else { asked.body.clone() })
        };
        let Some(body) = body else { return failure(id, INVALID_PARAMS, NO_NOTIFICATIONS) };
        let mut server = server.clone();
        for _ in 1..MAX_STARTS {
            let opening = async {
                let passing = asked.passing.clone();
                let upstream = Upstream::open(self, asked.caller, server.clone(), passing)?.hurried(method);
                Ok((upstream.discovered().await?.is_some(), upstream))
            };
            let upstream = match opening.await {
                Ok((true, upstream)) => upstream,
                Ok((false, _)) => return of_legacy_only(id),
                Err(problem) => return Self::failed(asked.caller, &server, id, problem),
            };
            let record = CallRecord::begin(self, asked.caller, &server, asked.envelope);
            let answered = upstream.request(&asked.session, body.clone()).await;
            if matches!(answered, Err(UpstreamProblem::Outdated))
                && let Ok(now) = self.as_it_is_now(asked.caller, &server).await
            {
                // Nothing was sent.
                record.discard();
                server = now;
                continue;
            }
            return record.watch(match answered {
                Ok(answer) if is_limited && method == "tools/list" => {
                    Self::visible_tools(asked.caller, &upstream, &asked.session, id, answer).await
                }
                Ok(answer) if is_limited && method == "server/discover" => {
                    Self::visible_offers(asked.caller, &upstream, &asked.session, id, answer).await
                }
                answered if is_limited && method == LISTEN => {
                    heard(self.passage(asked, upstream).answer(answered).await, id)
                }
                answered => self.passage(asked, upstream).answer(answered).await,
            });
        }
        Self::failed(asked.caller, &server, id, UpstreamProblem::Outdated)
    }

    async fn is_legacy_only(self: &Arc<Self>, caller: &Rc<Caller>, server: &ServerRow) -> bool {
        let asking =
            async { Upstream::open(self, caller, server.clone(), HeaderMap::new())?.discovered().await };
        matches!(asking.await, Ok(None))
    }

    fn passage(self: &Arc<Self>, asked: &Asked<'_>, upstream: Upstream) -> Passage {
        let (gateway, caller, id) =
            (Arc::clone(self), Rc::clone(asked.caller), asked.envelope.id().to_owned());
        Passage { gateway, caller, upstream, id, workspace: None, modern: None, call: None }
    }

    async fn modern_workspace(self: &Arc<Self>, asked: &Asked<'_>) -> Response<AnswerBody> {
        let (id, method) = (asked.envelope.id(), asked.envelope.method());
        if let Some(kind) = ListKind::of_method(method) {
            return self.modern_list(asked, kind).await;
        }
        if is_addressed(method) {
            return self.modern_addressed(asked).await;
        }
        match method {
            "server/discover" => match self.offers(asked.caller, &asked.session).await {
                Ok(offers) => discovered(id, &offers),
                Err(error) => store_failed(asked.caller, error),
            },
            LISTEN => self.modern_listen(asked).await,
            _ => unknown_method(id),
        }
    }

    async fn modern_list(self: &Arc<Self>, asked: &Asked<'_>, kind: ListKind) -> Response<AnswerBody> {
        let id = asked.envelope.id();
        if has_cursor(asked.envelope) {
            return failure(id, INVALID_PARAMS, "unknown cursor; this list has one page");
        }
        match self.list(asked.caller, &asked.session, kind, &HeaderMap::new()).await {
            Ok(lists) => {
                asked.session.workspace.resources.remember(kind, &lists);
                let page = one_page(kind, &lists);
                let result = format!("{{{CACHED},{}", &page[1..]);
                json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
            }
            Err(error) => store_failed(asked.caller, error),
        }
    }

    async fn modern_addressed(self: &Arc<Self>, asked: &Asked<'_>) -> Response<AnswerBody> {
        let found =
            self.address(asked.caller, asked.envelope, &asked.body, &asked.session.workspace.resources).await;
        let mut addressed = match found {
            Ok(addressed) => addressed,
            Err(error) => return store_failed(asked.caller, error),
        };
        if let Some(state) = request_state(asked.envelope)
            && let Some(server_id) = self.parked.server_of(&state, &asked.caller.member)
        {
            addressed.retain(|to| to.server.id == server_id);
        }
        if addressed.len() > 1 {
            return Box::pin(self.modern_try_each(asked, addressed)).await;
        }
        let Some(to) = addressed.pop() else { return unknown_name(asked.envelope.id()) };
        let server = to.server.clone();
        let record = CallRecord::begin(self, asked.caller, &server, asked.envelope);
        let calling = async {
            let mut server = to.server;
            for _ in 1..MAX_STARTS {
                let upstream = Upstream::open(self, asked.caller, server.clone(), asked.passing.clone())?;
                match self.bridged(asked, upstream, to.message.clone()).await {
                    // Nothing was sent.
                    Err(UpstreamProblem::Outdated) => {
                        server = self.as_it_is_now(asked.caller, &server).await?;
                    }
                    called => return called,
                }
            }
            Err(UpstreamProblem::Outdated)
        };
        let called = self.while_served(asked.caller, &server, Box::pin(calling)).await;
        let response = called.unwrap_or(Err(UpstreamProblem::Removed));
        record.watch(
            response
                .unwrap_or_else(|problem| Self::failed(asked.caller, &server, asked.envelope.id(), problem)),
        )
    }

    /// Sends a request to a server of either era; the results of the legacy era get what they
    /// lack.
    pub(super) async fn bridged(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        upstream: Upstream,
        message: Bytes,
    ) -> Result<Response<AnswerBody>, UpstreamProblem> {
        let opened = upstream.session(&asked.session).await?;
        if opened.modern {
            let answered = upstream.request(&asked.session, without_tasks(&message)).await;
            if matches!(answered, Err(UpstreamProblem::Outdated)) {
                return Err(UpstreamProblem::Outdated);
            }
            let answered = answered.map(|answer| answer.of_one_server(asked.envelope.id()));
            let response = self.passage(asked, upstream).answer(answered).await;
            let is_read = asked.envelope.method() == "resources/read";
            return Ok(if is_read { for_one_token(response) } else { response });
        }
        self.call_legacy(asked, upstream, opened, &message).await
    }
}

/// Methods that this era has no more.
fn is_of_the_other_era(method: &str) -> bool {
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
        .contains(&method)
}

/// The answer to `server/discover`.
fn discovered(id: &str, offers: &Capabilities) -> Response<AnswerBody> {
    let own = json!({"name": "aerostack", "version": env!("CARGO_PKG_VERSION")});
    let mut result = json!({
        "resultType": "complete", "supportedVersions": [MODERN_VERSION], "capabilities": offers.announced(),
        "serverInfo": own, "ttlMs": 0, "cacheScope": "private", "_meta": {SERVER_INFO: own},
    });
    if let Some(text) = &offers.instructions {
        result["instructions"] = text.as_str().into();
    }
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

/// Status 400 with a plain -32600: by this answer clients of both eras go on with `initialize`.
fn of_legacy_only(id: &str) -> Response<AnswerBody> {
    let message = "this server speaks MCP up to 2025-11-25 only; send initialize";
    json_answer(StatusCode::BAD_REQUEST, rpc_error(id, INVALID_REQUEST, message))
}

/// The answer for what no server of the workspace has.
pub(super) fn unknown_name(id: &str) -> Response<AnswerBody> {
    failure(id, INVALID_PARAMS, "nothing here has that name; see the list")
}

fn unknown_method(id: &str) -> Response<AnswerBody> {
    let body = rpc_error(id, METHOD_NOT_FOUND, "this endpoint has no such method");
    json_answer(StatusCode::NOT_FOUND, body)
}

pub(super) fn failure(id: &str, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, rpc_error(id, code, message))
}

fn store_failed(caller: &Caller, error: StoreError) -> Response<AnswerBody> {
    error_answer(&error.into(), &RequestId(caller.request_id.clone()))
}
