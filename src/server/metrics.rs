//! `/metrics`: counters in Prometheus' text form (version 0.0.4), for requests from this
//! machine or with an API key. Labels are slugs of workspaces and servers only, so there
//! are never more lines than servers; a server that is deleted takes its lines with it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::analytics::{BUCKETS, Snapshot};
use super::auth::API_KEY_HEADER;
use super::body::AnswerBody;
use super::error::ApiError;
use super::response::json_answer;
use super::router::Shared;

/// The form's media type.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// Headers by which a proxy says that somebody else asks.
const FORWARDERS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// The other end of a request's connection; a request's extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// One server's counters with its labels.
struct Line {
    labels: String,
    snapshot: Snapshot,
    sessions: usize,
}

/// Answers GET.
pub(super) async fn answer<B>(
    shared: &Shared,
    request: &Request<B>,
) -> Result<Response<AnswerBody>, ApiError> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(ApiError::not_found("this address does not take that method"));
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    if !is_from_here(peer, request.headers()) {
        shared.project.authenticator.admin(request.headers()).await?;
    }
    let mut response = json_answer(StatusCode::OK, text(shared).await?);
    response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    Ok(response)
}

/// Whether a process of this machine asks, for itself and without a credential: one that is
/// sent is checked.
fn is_from_here(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let has_credential = headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY_HEADER);
    let is_forwarded = FORWARDERS.iter().any(|name| headers.contains_key(*name));
    let is_loopback = peer.is_some_and(|address| address.to_canonical().is_loopback());
    is_loopback && !is_forwarded && !has_credential
}

async fn text(shared: &Shared) -> Result<String, ApiError> {
    let (sessions, mut held) = shared.gateway.session_counts();
    let mut lines = Vec::new();
    let mut present = HashSet::new();
    for workspace in shared.project.store.workspaces().await? {
        for server in shared.project.store.servers(&workspace.id).await? {
            // Slugs have no character that would have to be escaped.
            let labels = format!(r#"workspace="{}",server="{}""#, workspace.slug, server.slug);
            let snapshot = shared.project.analytics.server(&server.id).map(|stats| stats.snapshot());
            let snapshot = snapshot.unwrap_or_default();
            lines.push(Line { labels, snapshot, sessions: held.remove(&server.id).unwrap_or(0) });
            present.insert(server.id);
        }
    }
    shared.project.analytics.keep_servers(|id| present.contains(id));
    Ok(render(&lines, sessions, shared.project.analytics.lost()))
}

fn render(servers: &[Line], sessions: usize, lost: u64) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &dyn Fn(&mut String)| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        samples(&mut text);
    };
    family("aerostack_build_info", "gauge", "The version that runs.", &|text| {
        let _ = writeln!(text, "aerostack_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    });
    family("aerostack_sessions", "gauge", "Sessions of MCP clients.", &|text| {
        let _ = writeln!(text, "aerostack_sessions {sessions}");
    });
    let lost_help = "Calls that were counted but not kept for analytics.";
    family("aerostack_analytics_lost_calls_total", "counter", lost_help, &|text| {
        let _ = writeln!(text, "aerostack_analytics_lost_calls_total {lost}");
    });
    family("aerostack_upstream_sessions", "gauge", "Sessions held with each MCP server.", &|text| {
        for Line { labels, sessions, .. } in servers {
            let _ = writeln!(text, "aerostack_upstream_sessions{{{labels}}} {sessions}");
        }
    });
    family("aerostack_tool_calls_total", "counter", "Tool calls that ended.", &|text| {
        for Line { labels, snapshot, .. } in servers {
            let _ = writeln!(text, "aerostack_tool_calls_total{{{labels}}} {}", snapshot.calls());
        }
    });
    family("aerostack_tool_call_errors_total", "counter", "Tool calls without success.", &|text| {
        for Line { labels, snapshot, .. } in servers {
            let _ = writeln!(text, "aerostack_tool_call_errors_total{{{labels}}} {}", snapshot.errors);
        }
    });
    let help = "Time until the answer to a tool call has ended.";
    family("aerostack_tool_call_duration_seconds", "histogram", help, &|text| {
        for line in servers {
            histogram(text, line);
        }
    });
    text
}

fn histogram(text: &mut String, Line { labels, snapshot, .. }: &Line) {
    let name = "aerostack_tool_call_duration_seconds";
    let bounds = BUCKETS.iter().map(|micros| seconds(*micros)).chain(["+Inf".to_owned()]);
    let mut below = 0;
    for (bound, calls) in bounds.zip(snapshot.buckets) {
        below += calls;
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
    }
    let micros = u64::try_from(snapshot.total.as_micros()).unwrap_or(u64::MAX);
    let _ = writeln!(text, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {below}", seconds(micros));
}

/// Microseconds in seconds, without zeros at the end.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask_without_a_key() {
        let from = |address: &str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            is_from_here(Some(address.parse().unwrap()), &headers)
        };
        for address in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(from(address, None), "{address}");
            for header in ["forwarded", "x-forwarded-for", "x-real-ip", "authorization", "x-api-key"] {
                assert!(!from(address, Some(header)), "{header}");
            }
        }
        for address in ["10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1", "fe80::1"] {
            assert!(!from(address, None), "{address}");
        }
        assert!(!is_from_here(None, &HeaderMap::new()));
    }

    #[test]
    fn seconds_are_exact() {
        assert_eq!(
            [5_000, 1_000_000, 300_000_000, 1, 0].map(seconds),
            ["0.005", "1", "300", "0.000001", "0"]
        );
    }
}
