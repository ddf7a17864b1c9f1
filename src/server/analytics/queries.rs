//! Questions about recorded calls: groups with their durations, and the log.

use rusqlite::{Connection, Row, ToSql};

use crate::server::clock::Millis;
use crate::server::store::StoreError;

/// Most groups of one answer: names of tools come from members, and there may be many.
pub const MAX_GROUPS: usize = 1000;

/// By what calls are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The tool of a server.
    Tool,
    /// The token.
    Token,
    /// The server.
    Server,
}

impl GroupBy {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tool => &["server", "tool"],
            Self::Token => &["token_id"],
            Self::Server => &["server"],
        }
    }
}

/// Calls that have something in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Slug of their server, if they were put together by it.
    pub server: Option<String>,
    /// Their tool, likewise.
    pub tool: Option<String>,
    /// Id of their token, likewise.
    pub token_id: Option<String>,
    /// How many.
    pub calls: u64,
    /// How many of them without success.
    pub failures: u64,
    /// Mean duration in microseconds.
    pub mean_micros: f64,
    /// The shortest duration that at least 95 of 100 do not exceed (nearest rank), in microseconds.
    pub p95_micros: u64,
}

/// Groups of calls that ended at `since` or later, those with most calls first. All calls
/// are looked at, nothing is estimated.
pub(super) fn groups(
    connection: &Connection,
    workspace_id: &str,
    by: &[GroupBy],
    since: Millis,
) -> Result<Vec<Group>, StoreError> {
    let has = |column: &str| by.iter().any(|one| one.columns().contains(&column));
    let column = |name: &'static str| if has(name) { name } else { "NULL" };
    let key = ["server", "tool", "token_id"].into_iter().filter(|name| has(name)).collect::<Vec<_>>();
    let key = if key.is_empty() { "1".to_owned() } else { key.join(", ") };
    let sql = format!(
        "SELECT {server}, {tool}, {token}, count(*), sum(NOT success), avg(micros),
            max(CASE WHEN place = (total * 95 + 99) / 100 THEN micros END)
        FROM (SELECT server, tool, token_id, success, micros,
                row_number() OVER (PARTITION BY {key} ORDER BY micros) AS place,
                count(*) OVER (PARTITION BY {key}) AS total
            FROM calls WHERE workspace_id = ?1 AND at >= ?2)
        GROUP BY {key} ORDER BY 4 DESC, 1, 2, 3 LIMIT ?3",
        server = column("server"),
        tool = column("tool"),
        token = column("token_id"),
    );
    let mut statement = connection.prepare(&sql)?;
    let read = |row: &Row<'_>| {
        Ok(Group {
            server: row.get(0)?,
            tool: row.get(1)?,
            token_id: row.get(2)?,
            calls: number(row, 3)?,
            failures: number(row, 4)?,
            mean_micros: row.get(5)?,
            p95_micros: number(row, 6)?,
        })
    };
    let limit = i64::try_from(MAX_GROUPS + 1).unwrap_or(i64::MAX);
    Ok(statement.query_map((workspace_id, since, limit), read)?.collect::<Result<_, _>>()?)
}

/// A number that is never below zero.
fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

/// One call of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCall {
    /// Counts up.
    pub id: i64,
    /// When it ended.
    pub at: Millis,
    /// Id of the token.
    pub token_id: String,
    /// Slug of the server.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Duration in microseconds.
    pub micros: u64,
    /// Whether it succeeded.
    pub success: bool,
    /// How it ended, in a word.
    pub outcome: String,
    /// Id of the request.
    pub request_id: String,
}

/// Calls that ended at `since` or later, newest first.
pub(super) fn calls(
    connection: &Connection,
    workspace_id: &str,
    token_id: Option<&str>,
    since: Millis,
    after: Option<i64>,
    count: usize,
) -> Result<Vec<LoggedCall>, StoreError> {
    let (before, count) = (after.unwrap_or(i64::MAX), i64::try_from(count).unwrap_or(i64::MAX));
    let mut values: Vec<&dyn ToSql> = vec![&workspace_id, &before, &count, &since];
    let of_token = if token_id.is_some() { "AND token_id = ?5" } else { "" };
    if let Some(token_id) = &token_id {
        values.push(token_id);
    }
    // +at: nearly all rows are young enough, so an index of times would narrow nothing down and only
    // take the place of the one that leads to a token's calls in the order of their ids.
    let sql = format!(
        "SELECT id, at, token_id, server, tool, micros, success, outcome, request_id FROM calls
            WHERE workspace_id = ?1 AND id < ?2 AND +at >= ?4 {of_token} ORDER BY id DESC LIMIT ?3"
    );
    let mut statement = connection.prepare(&sql)?;
    let read = |row: &Row<'_>| {
        Ok(LoggedCall {
            id: row.get(0)?,
            at: row.get(1)?,
            token_id: row.get(2)?,
            server: row.get(3)?,
            tool: row.get(4)?,
            micros: number(row, 5)?,
            success: row.get(6)?,
            outcome: row.get(7)?,
            request_id: row.get(8)?,
        })
    };
    Ok(statement.query_map(values.as_slice(), read)?.collect::<Result<_, _>>()?)
}
