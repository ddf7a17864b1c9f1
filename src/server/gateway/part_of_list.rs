//! One server's part of a list: all its pages within the time that a list has, or what came of
//! them, and what that says of the server.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderMap;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{self, Answer, LIST_LIMIT};
use super::backoff::Part;
use super::listing::{Entry, LIST_TIME, ListKind, own_request_id};
use super::message::Envelope;
use super::modern::{ParamHeaders, with_meta};
use super::naming::{NameInMessage, member};
use super::problem::{METHOD_NOT_FOUND, UpstreamProblem};
use super::sessions::{Session, UpstreamSession};
use super::upstream::{SHORT_TIME, Upstream};
use super::{Caller, Gateway};

/// Entries of one server's list: more would hold up the other requests of the core.
const MAX_ENTRIES: usize = 10_000;
/// Pages of one server's list.
pub(super) const MAX_PAGES: usize = 100;
/// How long a list may be silent before the server is asked whether it says anything at all.
const PROBE_AFTER: Duration = Duration::from_secs(2);

impl Gateway {
    /// One server's part of a list, of at most so many pages: what it gave in time, and what went
    /// wrong. Its standing is noted. A session that takes longer goes on being opened, for the next list.
    pub(super) async fn part_of_list(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        upstream: &Upstream,
        pages: usize,
    ) -> (Vec<Entry>, Option<UpstreamProblem>) {
        let (got, part) = (Got::default(), Cell::new(Part::Session));
        let listing = async {
            if !upstream.has_session(session) {
                let opening = self.open_in_background(caller, session, upstream.server.clone());
                opening.await.unwrap_or(Err(UpstreamProblem::TimedOut))?;
            }
            let opened = upstream.session(session).await?;
            part.set(Part::List(kind));
            match list_some(session, &opened, kind, upstream, pages, &got).await {
                // It turned out to be of the other era.
                Err(UpstreamProblem::Outdated) if got.pages.get() == 0 => {
                    let opened = upstream.session(session).await?;
                    list_some(session, &opened, kind, upstream, pages, &got).await
                }
                listed => listed,
            }
        };
        let is_awake = Cell::new(false);
        let listed = tokio::select! {
            listed = tokio::time::timeout(LIST_TIME, listing) => listed.unwrap_or(Err(UpstreamProblem::TimedOut)),
            () = look_whether_awake(upstream, &is_awake) => Err(UpstreamProblem::TimedOut),
        };
        let problem = listed.err();
        let good_pages = got.pages.get();
        match problem {
            // Whether the rest of it is good again is not known.
            None if got.is_shortened.get() => {
                return (got.entries.into_inner(), Some(UpstreamProblem::Resting));
            }
            None => {
                upstream.is_well(Part::Session);
                upstream.is_well(Part::List(kind));
                self.project.analytics.heard(&upstream.server.id, Ok(()));
            }
            Some(problem) => {
                self.project.analytics.heard(&upstream.server.id, Err(problem.reason()));
                let (server, method) = (&upstream.server.slug, kind.method());
                tracing::warn!(%server, %problem, method, "a server's part of a list is missing");
                let is_gone = problem == UpstreamProblem::Unreachable
                    || problem == UpstreamProblem::TimedOut && good_pages == 0 && !is_awake.get();
                let part = if is_gone { Part::Session } else { part.get() };
                // What the opening itself has come to is noted there, and who refuses in words works.
                if (part != Part::Session || is_gone) && !got.is_refused.get() {
                    upstream.rests(part, problem, good_pages);
                }
            }
        }
        (got.entries.into_inner(), problem)
    }
}

impl Upstream {
    /// Whether the server says anything at all in the session that is open: any answer will do.
    async fn is_awake(&self) -> bool {
        let Some(opened) = self.opened() else { return false };
        let method = if opened.modern { "server/discover" } else { "ping" };
        let message = json!({"jsonrpc": "2.0", "id": own_request_id(), "method": method}).to_string();
        let asked = if opened.modern {
            let Some(message) = with_meta(message.as_bytes(), "{}", None) else { return false };
            self.post_modern(message.into(), HeaderMap::new(), SHORT_TIME).await
        } else {
            self.post(Some(&opened), message.into(), SHORT_TIME).await
        };
        let is_awake = asked.is_ok();
        if let Ok(response) = asked {
            answer::drain(response).await;
        }
        is_awake
    }
}

/// What has come of a list; kept outside of what a time-out throws away.
#[derive(Default)]
struct Got {
    entries: RefCell<Vec<Entry>>,
    /// Pages of it.
    pages: Cell<usize>,
    /// There are more pages, which were not asked for.
    is_shortened: Cell<bool>,
    /// It was answered with a JSON-RPC error, maybe because of a header of this client's.
    is_refused: Cell<bool>,
}

/// After a while of a list that does not come, asks the server whether it says anything at all: one that
/// does not would cost each other list its time too. Never returns.
async fn look_whether_awake(upstream: &Upstream, is_awake: &Cell<bool>) {
    tokio::time::sleep(PROBE_AFTER).await;
    is_awake.set(upstream.is_awake().await);
    std::future::pending::<()>().await;
}

/// So many pages of one server.
async fn list_some(
    session: &Session,
    opened: &UpstreamSession,
    kind: ListKind,
    upstream: &Upstream,
    pages: usize,
    got: &Got,
) -> Result<(), UpstreamProblem> {
    let slug = &upstream.server.slug;
    if !kind.is_offered(&opened.offers) {
        return Ok(());
    }
    let entries = &got.entries;
    let mut cursors: Vec<String> = Vec::new();
    let mut room = LIST_LIMIT;
    for number in 1..=pages {
        let Some(message) = page(upstream, session, kind, cursors.last(), room).await? else {
            return Ok(());
        };
        room = room.saturating_sub(message.len());
        let answer = Envelope::parse(&message).map_err(|_| UpstreamProblem::NotMcp)?;
        got.is_refused.set(answer.error().is_some());
        let result = answer.result().ok_or(UpstreamProblem::NotMcp)?;
        let next = read_page(kind, slug.as_str(), result, &mut entries.borrow_mut())?;
        got.pages.set(number);
        if opened.modern {
            // Clients of the modern era must leave out tools with marks against the rules.
            entries.borrow_mut().retain(|entry| ParamHeaders::allow(slug.as_str(), &entry.json));
        }
        match next {
            Some(cursor) if !cursors.contains(&cursor) => cursors.push(cursor),
            Some(_) => {
                tracing::warn!(server = %slug, "a list repeats one of its cursors; it ends there");
                return Ok(());
            }
            None => return Ok(()),
        }
    }
    got.is_shortened.set(pages < MAX_PAGES);
    if pages == MAX_PAGES {
        tracing::warn!(server = %slug, "a list has more than {MAX_PAGES} pages; the rest is left out");
    }
    Ok(())
}

/// Asks for a page; `None` if the server has no such list.
async fn page(
    upstream: &Upstream,
    session: &Session,
    kind: ListKind,
    cursor: Option<&String>,
    room: usize,
) -> Result<Option<Bytes>, UpstreamProblem> {
    let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
    let request =
        json!({"jsonrpc": "2.0", "id": own_request_id(), "method": kind.method(), "params": params});
    let message = match upstream.request(session, request.to_string().into()).await? {
        Answer::Stream(response) => {
            upstream.read_answer(session, *response, &request["id"].to_string(), room).await?
        }
        Answer::Whole(_, message) => message,
    };
    let is_missing = answer::error_code(&message) == Some(METHOD_NOT_FOUND);
    Ok((!is_missing).then_some(message))
}

/// Adds the entries of a page; the answer is where the next one begins. Entries without a
/// name are left out.
fn read_page(
    kind: ListKind,
    slug: &str,
    result: &RawValue,
    entries: &mut Vec<Entry>,
) -> Result<Option<String>, UpstreamProblem> {
    let list = member(result, kind.member()).ok_or(UpstreamProblem::NotMcp)?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|_| UpstreamProblem::NotMcp)?;
    let room = MAX_ENTRIES.saturating_sub(entries.len());
    if list.len() > room {
        tracing::warn!(server = slug, "a list has more than {MAX_ENTRIES} entries; the rest is left out");
    }
    entries.extend(list.into_iter().take(room).filter_map(|entry| prefixed_entry(kind, slug, entry)));
    let cursor = member(result, "nextCursor").and_then(|cursor| serde_json::from_str(cursor.get()).ok());
    // An empty cursor is what some servers write for none.
    Ok(cursor.filter(|cursor: &String| !cursor.is_empty()))
}

fn prefixed_entry(kind: ListKind, slug: &str, entry: &RawValue) -> Option<Entry> {
    let name = NameInMessage::find(entry, &[kind.name()])?;
    let json = name.prefixed(entry.get().as_bytes(), kind.naming(), slug)?;
    Some(Entry { json: String::from_utf8(json).ok()?, name: name.text.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ListKind, raw: &str) -> (Vec<Entry>, Option<String>) {
        let mut entries = Vec::new();
        let cursor = read_page(kind, "s", serde_json::from_str(raw).unwrap(), &mut entries).unwrap();
        (entries, cursor)
    }

    #[test]
    fn entries_keep_their_bytes() {
        let raw = r#"{"tools":[{"unknown":{"b":1,"a":2.50},"name":"t\"1","description":"x"},{"name":"_p"},{"name":7},8],"nextCursor":"c"}"#;
        let (tools, cursor) = read(ListKind::Tools, raw);
        let first = r#"{"unknown":{"b":1,"a":2.50},"name":"s__t\"1","description":"x"}"#;
        let entry = |name: &str, json: &str| Entry { name: name.to_owned(), json: json.to_owned() };
        assert_eq!(tools, [entry("t\"1", first), entry("_p", r#"{"name":"s___p"}"#)]);
        assert_eq!(cursor.as_deref(), Some("c"));

        let raw = r#"{"resourceTemplates":[{"name":"n","uriTemplate":"x:\/\/{a}"}],"nextCursor":""}"#;
        let (templates, cursor) = read(ListKind::Templates, raw);
        assert_eq!(templates, [entry("x://{a}", r#"{"name":"n","uriTemplate":"s+x:\/\/{a}"}"#)]);
        assert_eq!(cursor, None);
    }

    #[test]
    fn what_is_no_list() {
        for raw in ["{}", "[]", r#"{"tools":{}}"#, r#"{"tools":null}"#, r#"{"tools":[],"tools":[]}"#] {
            let result = serde_json::from_str(raw).unwrap();
            let read = read_page(ListKind::Tools, "s", result, &mut Vec::new());
            assert_eq!(read, Err(UpstreamProblem::NotMcp), "{raw}");
        }
    }
}
