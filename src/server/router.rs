//! Where a request goes. Gateway paths branch off first; admin routes are authenticated
//! here, before their body is read. Every answer gets its `X-Request-Id`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tower_service::Service;

use super::access_log::AccessLine;
use super::admin;
use super::body::{AnswerBody, BodyProblem, read_limited};
use super::error::ApiError;
use super::gateway::address_policy::AddressPolicy;
use super::gateway::{Gateway, UpstreamPool};
use super::health;
use super::host_check::{ArrivedAt, BaseUrl, HostCheck, LastHost};
use super::metrics;
use super::randomness::RequestIds;
use super::response::{RequestId, error_answer, json_answer};
use super::startup::Project;
use crate::api::error::ErrorCode;
use crate::api::routes;
use crate::api::secrets_batch::MAX_BATCH_BYTES;

/// Longest body of an admin request but a batch, in bytes.
const ADMIN_BODY_LIMIT: usize = 1 << 20;

/// What all cores share.
pub(super) struct Shared {
    pub(super) tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
    pub(super) gateway: Arc<Gateway>,
    admin: Router,
    pub(super) project: Arc<Project>,
    hosts: HostCheck,
}

impl Shared {
    pub(super) fn new(
        project: Project,
        policy: AddressPolicy,
        patience: Duration,
        tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
        hosts: HostCheck,
    ) -> Self {
        let project = Arc::new(project);
        Self {
            gateway: Arc::new(Gateway::new(Arc::clone(&project), policy, patience)),
            admin: admin::router(Arc::clone(&project)),
            project,
            hosts,
            tls,
        }
    }
}

/// What one core has of its own.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Rc<UpstreamPool>,
    last_host: LastHost,
    request_ids: RequestIds,
}

impl Core {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            pool: Rc::new(UpstreamPool::default()),
            last_host: LastHost::default(),
            request_ids: RequestIds::default(),
        }
    }
}

/// Answers one request. `head` is what the look at its raw head gave.
pub(super) async fn answer(
    core: &Rc<Core>,
    head: Result<bool, ApiError>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let request_id = RequestId(core.request_ids.next().simple().to_string());
    let (method, kind) = (method_name(request.method()), kind_of(request.uri().path()));
    let line = AccessLine::begin(&request_id, method, kind);
    let stays_open = matches!(head, Ok(true));
    let routed = match head {
        Ok(_) => route(core, request, &request_id).await,
        Err(error) => Err(error),
    };
    let mut response = routed.unwrap_or_else(|error| error_answer(&error, &request_id));
    if !stays_open {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.0) {
        response.headers_mut().insert("x-request-id", value);
    }
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    line.follow(response)
}

/// The method in a word of ours: a client may send any text as one.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn kind_of(path: &str) -> &'static str {
    match path {
        routes::HEALTHZ | routes::READYZ => "health",
        routes::METRICS => "metrics",
        routes::VALIDATE => "admin",
        path if path.starts_with(routes::ADMIN_PREFIX) => "admin",
        path if path.starts_with(routes::GATEWAY_PREFIX) => "gateway",
        _ => "other",
    }
}

async fn route(
    core: &Rc<Core>,
    request: Request<Incoming>,
    request_id: &RequestId,
) -> Result<Response<AnswerBody>, ApiError> {
    let arrived = request.extensions().get::<ArrivedAt>().copied();
    let (hosts, headers) = (&core.shared.hosts, request.headers());
    let base_url = core.last_host.check(hosts, headers, request.uri(), arrived)?;
    match kind_of(request.uri().path()) {
        // On the heap: it is as large as all that a call can take.
        "gateway" => Ok(Box::pin(core.shared.gateway.answer(&core.pool, request, request_id)).await),
        "admin" => admin_answer(core, request, request_id, base_url).await,
        "health" if request.uri().path() == routes::READYZ => {
            Ok(health::ready(core.shared.project.store.as_ref()).await)
        }
        "health" => Ok(health::alive()),
        "metrics" => metrics::answer(&core.shared, &request).await,
        _ => Err(ApiError::not_found("there is nothing at this address")),
    }
}

async fn admin_answer(
    core: &Core,
    request: Request<Incoming>,
    request_id: &RequestId,
    base_url: BaseUrl,
) -> Result<Response<AnswerBody>, ApiError> {
    core.shared.project.authenticator.admin(request.headers()).await?;
    refuse_other_content(&request)?;
    let (mut parts, body) = request.into_parts();
    let declared = body.size_hint().lower();
    tracing::trace!(request_id = %request_id.0, declared, "reading an admin request");
    let is_batch = parts.method == Method::POST && routes::is_secrets_batch(parts.uri.path());
    let limit = if is_batch { MAX_BATCH_BYTES } else { ADMIN_BODY_LIMIT };
    let body = read_limited(body, limit).await.map_err(|problem| match problem {
        BodyProblem::TooLarge => {
            ApiError::new(ErrorCode::TooLarge, format!("the body is over {} MiB", limit >> 20))
        }
        BodyProblem::Broken => ApiError::invalid_request("the body was cut off or took too long"),
    })?;
    if let Some(slug) = routes::tested_server(parts.uri.path()).filter(|_| parts.method == Method::POST) {
        return test_server(core, slug, parts.uri.query(), request_id).await;
    }
    parts.extensions.insert(base_url);
    let request = Request::from_parts(parts, axum::body::Body::from(body));
    let response = match core.shared.admin.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if let Some(error) = response.extensions().get::<ApiError>() {
        return Err(error.clone());
    }
    if response.status().is_client_error() {
        // The library's own refusal, of a path that is not UTF-8 for example: its text stays here.
        return Err(ApiError::not_found("there is nothing at this address"));
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::from_parts(parts, AnswerBody::of(bytes)))
}

/// A test of an MCP server goes through the gateway, with this core's connections.
async fn test_server(
    core: &Core,
    slug: &str,
    query: Option<&str>,
    request_id: &RequestId,
) -> Result<Response<AnswerBody>, ApiError> {
    let (workspace, server) = admin::addressed_server(&core.shared.project, query, slug).await?;
    let report = core.shared.gateway.test_server(&core.pool, &request_id.0, &workspace, server).await;
    Ok(json_answer(StatusCode::OK, serde_json::to_vec(&report).unwrap_or_default()))
}

/// A body must say that it is JSON, or say nothing: a form of a web page is refused.
fn refuse_other_content(request: &Request<Incoming>) -> Result<(), ApiError> {
    let Some(content_type) = request.headers().get(CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::invalid_request("the body is not declared as JSON")
        .with_hint("send Content-Type: application/json"))
}
