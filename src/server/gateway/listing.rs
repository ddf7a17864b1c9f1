//! The lists of a workspace: every page of every enabled server, asked side by side, in the
//! order of the slugs and then of the server. A server that fails or is late does not hold up
//! the others, and what it gave until then is kept. The entries are not rebuilt: the slug
//! goes in before their name, and all else stays as it was written.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::HeaderMap;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{self, Answer, LIST_LIMIT};
use super::backoff::{Part, Standing};
use super::capabilities::Capabilities;
use super::message::Envelope;
use super::modern::ParamHeaders;
use super::naming::{NameInMessage, Naming, member};
use super::problem::{METHOD_NOT_FOUND, UpstreamProblem};
use super::sessions::{Session, UpstreamSession};
use super::side_by_side::join_all;
use super::upstream::Upstream;
use super::{Caller, Gateway, scoped_message};
use crate::server::store::{ServerRow, StoreError};

/// How long one server may take for its part of a list.
pub(super) const LIST_TIME: Duration = Duration::from_secs(5);
/// Entries of one server's list: more would hold up the other requests of the core.
const MAX_ENTRIES: usize = 10_000;
/// Pages of one server's list.
const MAX_PAGES: usize = 100;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl ListKind {
    /// The kind that a method lists.
    pub(super) fn of_method(method: &str) -> Option<Self> {
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates]
            .into_iter()
            .find(|kind| kind.method() == method)
    }

    /// Its method.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that holds the entries.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an entry by which it is called.
    fn name(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// How its entries are named.
    pub(super) fn naming(self) -> Naming {
        match self {
            Self::Tools | Self::Prompts => Naming::Name,
            Self::Resources | Self::Templates => Naming::Uri,
        }
    }

    /// Whether a server is asked. Tools are asked for in any case: some have them and do not say so.
    fn is_offered(self, offers: &Capabilities) -> bool {
        match self {
            Self::Tools => true,
            Self::Prompts => offers.prompts,
            Self::Resources | Self::Templates => offers.resources,
        }
    }
}

/// An entry of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its own name or URI, without the slug.
    pub(super) name: String,
    /// The entry as JSON, with the slug.
    pub(super) json: String,
}

/// The part of one server.
#[derive(Debug)]
pub(super) struct ServerList {
    /// The server's id.
    pub(super) server_id: String,
    /// Its entries.
    pub(super) entries: Vec<Entry>,
    /// Whether something is missing because the server failed or was late.
    pub(super) problem: Option<UpstreamProblem>,
}

/// The result of a list method, all on one page.
pub(super) fn one_page(kind: ListKind, lists: &[ServerList]) -> String {
    let entries = lists.iter().flat_map(|list| &list.entries);
    let entries: Vec<&str> = entries.map(|entry| entry.json.as_str()).collect();
    format!(r#"{{"{}":[{}]}}"#, kind.member(), entries.join(","))
}

/// An id for a request of the gateway's own, not used before in this process. It is a string,
/// so that it is none of the numbers that clients count with.
pub(super) fn own_request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("aerostack-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Gateway {
    /// Lists one kind on all enabled servers of the caller's workspace, in the sessions that
    /// `session` holds. `passing` are the client's headers that may go upstream.
    pub(super) async fn list(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        passing: &HeaderMap,
    ) -> Result<Vec<ServerList>, StoreError> {
        let (servers, scope) = (self.enabled_servers(&caller.member).await?, &caller.member.scope);
        let visible = servers
            .into_iter()
            .filter(|server| kind == ListKind::Tools || scope.allows_beyond_tools(server.slug.as_str()));
        let lists = visible.map(|server| async move {
            let server_id = server.id.clone();
            let upstream = match Upstream::open(self, caller, server, passing.clone()) {
                Ok(upstream) => upstream,
                Err(problem) => {
                    return ServerList { server_id, entries: Vec::new(), problem: Some(problem) };
                }
            };
            if self.is_resting(caller, session, kind, &upstream) {
                let problem = Some(UpstreamProblem::Resting);
                return ServerList { server_id, entries: Vec::new(), problem };
            }
            let (mut entries, problem) = self.part_of_list(caller, session, kind, &upstream).await;
            if scope.limits_tools() {
                entries.retain(|entry| scoped_message::may_see(scope, &entry.json));
            }
            ServerList { server_id, entries, problem }
        });
        Ok(join_all(lists).await)
    }

    /// Whether a list of a server is left out because it failed lately, or the whole server did.
    /// When its rest is over, it is asked for, and nobody waits for it.
    pub(super) fn is_resting(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        upstream: &Upstream,
    ) -> bool {
        // Tools tell best whether a server is there.
        for (part, kind) in [(Part::Session, ListKind::Tools), (Part::List(kind), kind)] {
            let standing = self.backoff.standing(&upstream.server.id, part, &upstream.fingerprint());
            if standing == Standing::Due {
                self.ask_beside(caller, session, kind, upstream.server.clone());
            }
            if standing != Standing::Well {
                return true;
            }
        }
        false
    }

    /// Asks a server that failed whether it is back, and nobody waits for it.
    pub(super) fn ask_beside(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        server: ServerRow,
    ) {
        let Ok(upstream) = Upstream::open(self, caller, server, HeaderMap::new()) else { return };
        let (gateway, caller, session) = (Arc::clone(self), Rc::clone(caller), Arc::clone(session));
        tokio::task::spawn_local(async move {
            gateway.part_of_list(&caller, &session, kind, &upstream).await;
        });
    }

    /// Whether a server is left out of lists because it failed. One whose rest is over is asked.
    pub(super) fn is_left_out(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        server: &ServerRow,
    ) -> bool {
        let parts = [Part::Session, Part::List(ListKind::Tools)];
        if !parts.into_iter().any(|part| self.backoff.is_failing(&server.id, part)) {
            return false;
        }
        let upstream = Upstream::open(self, caller, server.clone(), HeaderMap::new());
        upstream.is_ok_and(|upstream| self.is_resting(caller, session, ListKind::Tools, &upstream))
    }

    /// One server's part of a list: what it gave in time, and what went wrong. Its standing is noted.
    /// A session that takes longer goes on being opened, for the next list.
    pub(super) async fn part_of_list(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        upstream: &Upstream,
    ) -> (Vec<Entry>, Option<UpstreamProblem>) {
        // Kept outside of what a time-out throws away.
        let (entries, part) = (RefCell::new(Vec::new()), Cell::new(Part::Session));
        let listing = async {
            if !upstream.has_session(session) {
                let opening = self.open_in_background(caller, session, upstream.server.clone());
                opening.await.unwrap_or(Err(UpstreamProblem::TimedOut))?;
            }
            let opened = upstream.session(session).await?;
            part.set(Part::List(kind));
            list_one(session, &opened, kind, upstream, &entries).await
        };
        let listed = tokio::time::timeout(LIST_TIME, listing).await;
        let problem = listed.unwrap_or(Err(UpstreamProblem::TimedOut)).err();
        let (entries, server) = (entries.into_inner(), &upstream.server);
        match problem {
            None => {
                self.backoff.answered(&server.id, Part::Session);
                self.backoff.answered(&server.id, Part::List(kind));
                self.project.analytics.heard(&server.id, Ok(()));
            }
            Some(problem) => {
                self.project.analytics.heard(&server.id, Err(problem.reason()));
                let method = kind.method();
                tracing::warn!(server = %server.slug, %problem, method, "a server's part of a list is missing");
                if entries.is_empty() && problem.is_of_a_dead_server() {
                    let is_gone = problem == UpstreamProblem::Unreachable;
                    let part = if is_gone { Part::Session } else { part.get() };
                    self.backoff.failed(&server.id, part, upstream.fingerprint());
                }
            }
        }
        (entries, problem)
    }
}

/// All pages of one server.
async fn list_one(
    session: &Session,
    opened: &UpstreamSession,
    kind: ListKind,
    upstream: &Upstream,
    entries: &RefCell<Vec<Entry>>,
) -> Result<(), UpstreamProblem> {
    let slug = &upstream.server.slug;
    if !kind.is_offered(&opened.offers) {
        return Ok(());
    }
    let mut cursors: Vec<String> = Vec::new();
    let mut room = LIST_LIMIT;
    for _ in 0..MAX_PAGES {
        let Some(message) = page(upstream, session, kind, cursors.last(), room).await? else {
            return Ok(());
        };
        room = room.saturating_sub(message.len());
        let result = Envelope::parse(&message).ok().and_then(|answer| answer.result());
        let result = result.ok_or(UpstreamProblem::NotMcp)?;
        let next = read_page(kind, slug.as_str(), result, &mut entries.borrow_mut())?;
        if opened.modern {
            // Clients of the modern era must leave out tools with marks against the rules.
            entries.borrow_mut().retain(|entry| ParamHeaders::allow(slug.as_str(), &entry.json));
        }
        match next {
            Some(cursor) if !cursors.contains(&cursor) => cursors.push(cursor),
            _ => return Ok(()),
        }
    }
    tracing::warn!(server = %slug, "a list has more than {MAX_PAGES} pages; the rest is left out");
    Ok(())
}

/// Asks for a page; `None` if the server has no such list.
async fn page(
    upstream: &Upstream,
    session: &Session,
    kind: ListKind,
    cursor: Option<&String>,
    room: usize,
) -> Result<Option<hyper::body::Bytes>, UpstreamProblem> {
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
