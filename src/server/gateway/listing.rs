//! The lists of a workspace: every page of every enabled server, asked side by side, in the
//! order of the slugs and then of the server. A server that fails or is late does not hold up
//! the others, and what it gave until then is kept. The entries are not rebuilt: the slug
//! goes in before their name, and all else stays as it was written.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::HeaderMap;

use super::backoff::{Part, Standing};
use super::capabilities::Capabilities;
use super::naming::Naming;
use super::part_of_list::MAX_PAGES;
use super::problem::UpstreamProblem;
use super::sessions::Session;
use super::side_by_side::join_all;
use super::upstream::Upstream;
use super::{Caller, Gateway, scoped_message};
use crate::server::store::{ServerRow, StoreError};

/// How long one server may take for its part of a list.
pub(super) const LIST_TIME: Duration = Duration::from_secs(5);

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
    pub(super) fn name(self) -> &'static str {
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
    pub(super) fn is_offered(self, offers: &Capabilities) -> bool {
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
            let pages = self.pages_to_ask(caller, session, kind, &upstream);
            if pages == 0 {
                let problem = Some(UpstreamProblem::Resting);
                return ServerList { server_id, entries: Vec::new(), problem };
            }
            let (mut entries, problem) = self.part_of_list(caller, session, kind, &upstream, pages).await;
            if scope.limits_tools() {
                entries.retain(|entry| scoped_message::may_see(scope, &entry.json));
            }
            ServerList { server_id, entries, problem }
        });
        Ok(join_all(lists).await)
    }

    /// How many pages of a list a server is asked for: none if it failed lately, or the whole server
    /// did, and only those before the one that failed. When its rest is over, all are asked for, and
    /// nobody waits for them.
    pub(super) fn pages_to_ask(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        session: &Arc<Session>,
        kind: ListKind,
        upstream: &Upstream,
    ) -> usize {
        // Tools tell best whether a server is there.
        for (part, kind) in [(Part::Session, ListKind::Tools), (Part::List(kind), kind)] {
            let (standing, pages) = upstream.standing(part);
            if standing == Standing::Due {
                self.ask_beside(caller, session, kind, upstream.server.clone());
            }
            if standing != Standing::Well {
                return pages;
            }
        }
        MAX_PAGES
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
            gateway.part_of_list(&caller, &session, kind, &upstream, MAX_PAGES).await;
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
        let token_id = &caller.member.token_id;
        if !parts.into_iter().any(|part| self.backoff.is_failing(&server.id, part, token_id)) {
            return false;
        }
        let upstream = Upstream::open(self, caller, server.clone(), HeaderMap::new());
        upstream.is_ok_and(|upstream| self.pages_to_ask(caller, session, ListKind::Tools, &upstream) == 0)
    }
}
