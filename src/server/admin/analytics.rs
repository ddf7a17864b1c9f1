//! Tool calls: in groups, and one by one. Everything is of one workspace; the names of
//! its tokens are looked up, so that revoked ones keep theirs.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};

use super::{Shared, find_workspace};
use crate::api::analytics::{CallGroup, CallGroups, CallLog, LoggedCall};
use crate::api::error::ErrorCode;
use crate::domain::{Period, beginning_of_day};
use crate::server::analytics::{AnalyticsError, GroupBy, MAX_GROUPS};
use crate::server::clock::{self, Millis};
use crate::server::error::ApiError;
use crate::server::startup::Project;
use crate::server::store::WorkspaceRow;

/// Calls of one page of the log.
const PAGE: usize = 100;
/// How far back groups go when the question does not say: seven days, in seconds.
const DEFAULT_PERIOD: Millis = 7 * 86_400;

impl From<AnalyticsError> for ApiError {
    fn from(error: AnalyticsError) -> Self {
        tracing::warn!(%error, "a question about calls has no answer");
        Self::new(ErrorCode::Internal, "the recorded calls cannot be read; tools are served as before")
            .with_hint("the server's log says what is wrong with its analytics file")
    }
}

pub(super) async fn groups(
    State(project): Shared,
    Path(slug): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<CallGroups>, ApiError> {
    let [by, since] = parameters(query.as_deref(), ["by", "since"])?;
    let by = grouping(by.as_deref().unwrap_or("tool"))?;
    let since = match since {
        Some(text) => beginning(&text)?,
        None => clock::now() - DEFAULT_PERIOD * 1000,
    };
    let workspace = find_workspace(&project, &slug).await?;
    let mut rows = project.analytics.groups(&workspace.id, by, since).await?;
    let truncated = rows.len() > MAX_GROUPS;
    rows.truncate(MAX_GROUPS);
    let names = token_names(&project, &workspace).await?;
    let groups = rows.into_iter().map(|row| CallGroup {
        server: row.server,
        tool: row.tool,
        token_name: row.token_id.as_ref().and_then(|id| names.get(id).cloned()),
        token: row.token_id,
        calls: row.calls,
        failures: row.failures,
        mean_ms: millis(row.mean_micros),
        p95_ms: millis(shown(row.p95_micros)),
    });
    Ok(Json(CallGroups { since: clock::rfc3339(since), groups: groups.collect(), truncated }))
}

pub(super) async fn calls(
    State(project): Shared,
    Path(slug): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<CallLog>, ApiError> {
    let [token, after] = parameters(query.as_deref(), ["token", "after"])?;
    let after = after.map(|text| {
        let cursor = text.parse::<i64>().ok().filter(|id| *id > 0);
        cursor.ok_or_else(|| {
            ApiError::invalid_value("after is not a place in the log")
                .with_hint("give what the page before had as next")
        })
    });
    let after = after.transpose()?;
    let workspace = find_workspace(&project, &slug).await?;
    let names = token_names(&project, &workspace).await?;
    if token.as_ref().is_some_and(|id| !names.contains_key(id)) {
        return Err(ApiError::not_found(format!("no such token in workspace '{}'", workspace.slug))
            .with_hint(format!("list them: aerostack workspace token list {}", workspace.slug)));
    }
    let rows = project.analytics.calls(&workspace.id, token.as_deref(), after, PAGE + 1).await?;
    let next = (rows.len() > PAGE).then(|| rows[PAGE - 1].id.to_string());
    let calls = rows.into_iter().take(PAGE).map(|row| LoggedCall {
        time: clock::rfc3339(row.at),
        token_name: names.get(&row.token_id).cloned(),
        token: row.token_id,
        server: row.server,
        tool: row.tool,
        success: row.success,
        outcome: row.outcome,
        ms: millis(shown(row.micros)),
        request_id: row.request_id,
    });
    Ok(Json(CallLog { calls: calls.collect(), next }))
}

/// The values of these parameters, each given once at most, and no others.
fn parameters<const N: usize>(
    query: Option<&str>,
    names: [&str; N],
) -> Result<[Option<String>; N], ApiError> {
    let mut found = [const { None }; N];
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(at) = names.iter().position(|name| *name == key) else {
            return Err(ApiError::invalid_request("the query has a parameter that is not known here")
                .with_hint(format!("known are: {}", names.join(", "))));
        };
        if found[at].replace(value.into_owned()).is_some() {
            return Err(ApiError::invalid_request(format!("'{}' is given twice in the query", names[at])));
        }
    }
    Ok(found)
}

fn grouping(text: &str) -> Result<Vec<GroupBy>, ApiError> {
    let one = |word: &str| match word {
        "tool" => Ok(GroupBy::Tool),
        "token" => Ok(GroupBy::Token),
        "server" => Ok(GroupBy::Server),
        _ => Err(ApiError::invalid_value("by is one or more of tool, token and server")
            .with_hint("for example by=tool,token")),
    };
    text.split(',').map(one).collect()
}

/// The time that `since` names: so long ago, RFC 3339, or the beginning of a day in UTC.
fn beginning(text: &str) -> Result<Millis, ApiError> {
    if let Ok(period) = text.parse::<Period>() {
        let seconds = Millis::try_from(period.seconds()).unwrap_or(Millis::MAX);
        return Ok(clock::now().saturating_sub(seconds.saturating_mul(1000)).max(0));
    }
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| beginning_of_day(text));
    time.map(jiff::Timestamp::as_millisecond).ok_or_else(|| {
        ApiError::invalid_value("since is neither a length of time nor a day or a time in RFC 3339")
            .with_hint("for example since=7d, since=2026-03-15 or since=2026-03-15T10:00:00Z")
    })
}

async fn token_names(
    project: &Project,
    workspace: &WorkspaceRow,
) -> Result<HashMap<String, String>, ApiError> {
    let tokens = project.store.tokens(&workspace.id).await?;
    Ok(tokens.into_iter().map(|token| (token.id, token.name)).collect())
}

/// Microseconds as a number that is only shown.
fn shown(micros: u64) -> f64 {
    (Duration::from_micros(micros).as_secs_f64() * 1e6).round()
}

/// Milliseconds with three places.
fn millis(micros: f64) -> f64 {
    micros.round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        assert_eq!(grouping("token,tool").unwrap(), [GroupBy::Token, GroupBy::Tool]);
        for bad in ["", "tools", "tool,", "tool token"] {
            assert!(grouping(bad).is_err(), "{bad}");
        }
        assert_eq!(beginning("2026-03-15T10:00:00.5Z").unwrap(), 1_773_568_800_500);
        assert_eq!(beginning("2026-03-15T12:00:00+02:00").unwrap(), 1_773_568_800_000);
        let (day, now) = (beginning("1d").unwrap(), clock::now());
        assert!((0..60_000).contains(&(now - 86_400_000 - day)), "{day}");
        assert_eq!(beginning("4294967295w").unwrap(), 0);
        assert_eq!(beginning("2026-03-15").unwrap(), 1_773_532_800_000);
        for bad in ["yesterday", "", "2026-03-15T10:00", "2026-02-30"] {
            assert!(beginning(bad).is_err(), "{bad}");
        }
        let [a, b] = parameters(Some("b=1"), ["a", "b"]).unwrap();
        assert_eq!((a, b.as_deref()), (None, Some("1")));
        for refused in ["a=1&a=2", "a=1&c=2", "A=1", "c"] {
            assert!(parameters(Some(refused), ["a"]).is_err(), "{refused}");
        }
    }

    #[test]
    fn numbers_keep_their_value() {
        for micros in [0, 1, 999, 1_234_567, 300_000_001] {
            assert_eq!(format!("{}", shown(micros)), micros.to_string());
        }
        assert!((millis(1234.4) - 1.234).abs() < f64::EPSILON);
    }
}
