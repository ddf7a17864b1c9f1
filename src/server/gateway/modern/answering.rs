//! Answers clients of the modern era on both routes. A server of the same era gets their
//! requests as they are, but for the slug; for a server of the legacy era they are told in a
//! session that the gateway holds, and its results are marked as the modern era wants it.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::cancellation::CancelOnDrop;
use super::check::check;
use super::result_type::{MarkedBody, Marker};
use super::{MODERN_VERSION, SERVER_INFO};
use crate::server::body::AnswerBody;
use crate::server::gateway::addressing::{has_cursor, is_addressed};
use crate::server::gateway::answer::{self, Answer};
use crate::server::gateway::capabilities::Capabilities;
use crate::server::gateway::listing::{ListKind, one_page};
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::problem::{
    INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UpstreamProblem, rpc_error,
};
use crate::server::gateway::sessions::Session;
use crate::server::gateway::single::{accepted, pass_on};
use crate::server::gateway::upstream::{Upstream, passing_headers};
use crate::server::gateway::{Caller, Gateway, Route};
use crate::server::response::{RequestId, error_answer, json_answer};
use crate::server::store::{ServerRow, StoreError};

/// What every result of this era has.
const COMPLETE: &str = r#""resultType":"complete""#;
/// What lists and resources have besides: the servers' own lists may differ for each token,
/// and a rotation may change them at any time.
const CACHED: &str = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;

/// A request of a client of this era.
struct Asked<'a> {
    caller: &'a Rc<Caller>,
    session: Arc<Session>,
    envelope: &'a Envelope<'a>,
    passing: HeaderMap,
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
            return fault.answer(envelope.id());
        }
        if is_of_the_other_era(envelope.method()) {
            return unknown_method(envelope.id());
        }
        let Ok(session) = self.bridges.session(&self.sessions, &caller.member) else {
            return json_answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        };
        let asked = Asked { caller, session, envelope, passing: passing_headers(headers), body };
        match &caller.route {
            Route::Server(server) => self.modern_single(&asked, server).await,
            Route::Workspace => self.modern_workspace(&asked).await,
        }
    }

    async fn modern_single(self: &Arc<Self>, asked: &Asked<'_>, server: &ServerRow) -> Response<AnswerBody> {
        let answering = async {
            let upstream = Upstream::open(self, asked.caller, server.clone(), asked.passing.clone())?;
            let opened = upstream.session(&asked.session).await?;
            if opened.modern {
                return Ok(pass_on(upstream.request(&asked.session, asked.body.clone()).await?));
            }
            let Some(members) = members_for(asked.envelope.method()) else {
                return Ok(self.other_single(asked, &opened.offers));
            };
            self.bridged(asked, upstream, asked.body.clone(), members).await
        };
        match answering.await {
            Ok(response) => response,
            Err(problem) => Self::failed(asked.caller, server, asked.envelope.id(), problem),
        }
    }

    /// What is neither a list nor about one thing, for a server of the legacy era.
    fn other_single(self: &Arc<Self>, asked: &Asked<'_>, offers: &Capabilities) -> Response<AnswerBody> {
        match asked.envelope.method() {
            "server/discover" => discovered(asked.envelope.id(), offers, offers.instructions.as_deref()),
            _ => unknown_method(asked.envelope.id()),
        }
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
            "server/discover" => discovered(id, &Capabilities::everything(), None),
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
                asked.session.resources.remember(kind, &lists);
                let page = one_page(kind, &lists);
                let result = format!("{{{CACHED},{}", &page[1..]);
                json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
            }
            Err(error) => store_failed(asked.caller, error),
        }
    }

    async fn modern_addressed(self: &Arc<Self>, asked: &Asked<'_>) -> Response<AnswerBody> {
        let found = self.address(asked.caller, asked.envelope, &asked.body, &asked.session.resources).await;
        let addressed = match found {
            Ok(addressed) => addressed,
            Err(error) => return store_failed(asked.caller, error),
        };
        let mut last = None;
        for to in addressed {
            let server = to.server.clone();
            let calling = async {
                let upstream = Upstream::open(self, asked.caller, to.server, asked.passing.clone())?;
                let members = members_for(asked.envelope.method()).unwrap_or(COMPLETE);
                self.bridged(asked, upstream, to.message, members).await
            };
            match calling.await {
                Ok(response) => return response,
                Err(problem) => {
                    last = Some(Self::failed(asked.caller, &server, asked.envelope.id(), problem))
                }
            }
        }
        last.unwrap_or_else(|| {
            failure(asked.envelope.id(), INVALID_PARAMS, "nothing here has that name; see the list")
        })
    }

    /// Sends a request to a server of either era; the results of the legacy era get `members`.
    async fn bridged(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        upstream: Upstream,
        message: Bytes,
        members: &str,
    ) -> Result<Response<AnswerBody>, UpstreamProblem> {
        let opened = upstream.session(&asked.session).await?;
        if opened.modern {
            return Ok(pass_on(upstream.request(&asked.session, message).await?));
        }
        let upstream = Rc::new(upstream);
        let running = CancelOnDrop::new(&upstream, &asked.session, asked.envelope.id());
        match upstream.request(&asked.session, message).await? {
            Answer::Whole(status, body) => {
                running.ended();
                Ok(json_answer(status, Marker::new(false, members).push(&body)))
            }
            Answer::Stream(response) => {
                let marker = Marker::new(answer::is_event_stream(&response), members);
                Ok(pass_on(Answer::Stream(response))
                    .map(|body| AnswerBody::Streamed(Box::pin(MarkedBody::new(body, marker, running)))))
            }
        }
    }
}

/// What goes into the results of a method that servers of the legacy era have too.
fn members_for(method: &str) -> Option<&'static str> {
    match method {
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "resources/read" => {
            Some(CACHED)
        }
        "tools/call" | "prompts/get" | "completion/complete" => Some(COMPLETE),
        _ => None,
    }
}

/// Methods that this era has no more.
fn is_of_the_other_era(method: &str) -> bool {
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
        .contains(&method)
}

/// The answer to `server/discover`.
fn discovered(id: &str, offers: &Capabilities, instructions: Option<&str>) -> Response<AnswerBody> {
    let own = json!({"name": "aerostack", "version": env!("CARGO_PKG_VERSION")});
    let mut result = json!({
        "resultType": "complete", "supportedVersions": [MODERN_VERSION], "capabilities": offers.announced(),
        "serverInfo": own, "ttlMs": 0, "cacheScope": "private", "_meta": {SERVER_INFO: own},
    });
    if let Some(text) = instructions {
        result["instructions"] = text.into();
    }
    json_answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn unknown_method(id: &str) -> Response<AnswerBody> {
    let body = rpc_error(id, METHOD_NOT_FOUND, "this endpoint has no such method");
    json_answer(StatusCode::NOT_FOUND, body)
}

fn failure(id: &str, code: i32, message: &str) -> Response<AnswerBody> {
    json_answer(StatusCode::OK, rpc_error(id, code, message))
}

fn store_failed(caller: &Caller, error: StoreError) -> Response<AnswerBody> {
    error_answer(&error.into(), &RequestId(caller.request_id.clone()))
}
