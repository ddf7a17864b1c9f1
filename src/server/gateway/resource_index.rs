//! Which server announced which resource, as far as the lists of one session showed it, and which
//! one gave it when it was read.
//! Links inside results name resources without a slug; by this they find their server.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::listing::{ListKind, ServerList};

/// URIs that are remembered for one server.
const MAX_URIS: usize = 10_000;
/// URIs that were read, of one server.
const MAX_READ: usize = 1000;
/// Templates that are remembered for one server.
const MAX_TEMPLATES: usize = 200;
/// Longest template that is remembered, in bytes.
const TEMPLATE_LIMIT: usize = 1024;

/// What was announced, by server id.
#[derive(Default)]
pub(super) struct ResourceIndex {
    servers: Mutex<HashMap<String, Announced>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Announced {
    /// Hashes: a URI may be long, and a wrong guess costs one question.
    uris: HashSet<u64>,
    templates: Vec<String>,
    /// Hashes of those that were read.
    read: HashSet<u64>,
}

impl ResourceIndex {
    /// Remembers a list of resources or templates in place of the one before.
    pub(super) fn remember(&self, kind: ListKind, lists: &[ServerList]) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = |id: &String| lists.iter().any(|list| list.server_id == *id);
        servers.retain(|id, _| listed(id));
        for list in lists {
            let names = list.entries.iter().map(|entry| entry.name.as_str());
            let announced = servers.entry(list.server_id.clone()).or_default();
            if list.problem.is_some() {
                // Half a list says nothing against what was known before.
                continue;
            }
            match kind {
                ListKind::Resources => {
                    announced.uris = names.take(MAX_URIS).map(|uri| self.hasher.hash_one(uri)).collect();
                }
                ListKind::Templates => {
                    let short = names.filter(|template| template.len() <= TEMPLATE_LIMIT);
                    announced.templates = short.take(MAX_TEMPLATES).map(str::to_owned).collect();
                }
                ListKind::Tools | ListKind::Prompts => {}
            }
        }
    }

    /// Remembers that a server gave a resource by this URI.
    pub(super) fn note_read(&self, server_id: &str, uri: &str) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let read = &mut servers.entry(server_id.to_owned()).or_default().read;
        if read.len() < MAX_READ {
            read.insert(self.hasher.hash_one(uri));
        }
    }

    /// Ids of the servers that announced this URI, or else gave it before, or else announced a
    /// template that it may come from.
    pub(super) fn servers_of(&self, uri: &str) -> Vec<String> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = self.hasher.hash_one(uri);
        let ids = |fits: &dyn Fn(&Announced) -> bool| -> Vec<String> {
            servers.iter().filter(|(_, one)| fits(one)).map(|(id, _)| id.clone()).collect()
        };
        let fits: [&dyn Fn(&Announced) -> bool; 3] =
            [&|one| one.uris.contains(&hash), &|one| one.read.contains(&hash), &|one| {
                one.templates.iter().any(|it| may_come_from(uri, it))
            }];
        fits.into_iter().map(ids).find(|ids| !ids.is_empty()).unwrap_or_default()
    }
}

/// Whether a URI has the fixed parts of a template (RFC 6570), in their order.
fn may_come_from(uri: &str, template: &str) -> bool {
    if uri == template {
        return true;
    }
    let mut parts = template.split('{');
    let Some(mut rest) = parts.next().and_then(|first| uri.strip_prefix(first)) else { return false };
    let mut expressions = 0;
    for part in parts {
        let Some((_, literal)) = part.split_once('}') else { return false };
        let Some(at) = rest.find(literal) else { return false };
        rest = &rest[at + literal.len()..];
        expressions += 1;
    }
    expressions > 0 && (rest.is_empty() || template.ends_with('}'))
}

#[cfg(test)]
mod tests {
    use super::super::listing::Entry;
    use super::*;

    fn list(id: &str, names: &[&str]) -> ServerList {
        let entry = |name: &&str| Entry { name: (*name).to_owned(), json: String::new() };
        ServerList { server_id: id.to_owned(), entries: names.iter().map(entry).collect(), problem: None }
    }

    #[test]
    fn an_announced_uri_goes_before_a_template() {
        let index = ResourceIndex::default();
        index.remember(ListKind::Resources, &[list("a", &["x://1"]), list("b", &["x://2"])]);
        index.remember(ListKind::Templates, &[list("a", &["x://{n}"]), list("b", &[])]);
        assert_eq!(index.servers_of("x://2"), ["b"]);
        assert_eq!(index.servers_of("x://3"), ["a"]);
        assert!(index.servers_of("y://3").is_empty());
        // A server that is gone is forgotten, and a new list replaces the old one.
        index.remember(ListKind::Resources, &[list("a", &[])]);
        assert_eq!(index.servers_of("x://2"), ["a"]);
        assert_eq!(index.servers_of("x://1"), ["a"]);
    }

    #[test]
    fn what_a_server_gave_is_its_own() {
        let index = ResourceIndex::default();
        index.remember(ListKind::Templates, &[list("a", &["x://{n}"]), list("b", &[])]);
        index.note_read("b", "x://1");
        assert_eq!(
            (index.servers_of("x://1"), index.servers_of("x://2")),
            (vec!["b".into()], vec!["a".into()])
        );
        index.remember(ListKind::Resources, &[list("a", &["x://1"]), list("b", &[])]);
        assert_eq!(index.servers_of("x://1"), ["a"]);
    }

    #[test]
    fn templates() {
        for (uri, template) in
            [("x://1", "x://{n}"), ("x://a/b.txt", "x://{d}/{f}.txt"), ("x://a?q=1", "x://a{?q}"), ("x", "x")]
        {
            assert!(may_come_from(uri, template), "{uri} {template}");
        }
        for (uri, template) in
            [("y://1", "x://{n}"), ("x://a/b.png", "x://{d}/{f}.txt"), ("x:", "x:{"), ("x://12", "x://1")]
        {
            assert!(!may_come_from(uri, template), "{uri} {template}");
        }
    }
}
