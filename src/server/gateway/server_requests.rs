//! Requests that servers made of the client of one session and that it has not answered yet.
//! Two servers both begin to count at 0, so each request gets an id of the gateway's own on
//! its way out, and its old one back with the answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Unanswered requests of one server that are remembered; its oldest goes when another comes.
const MAX_WAITING: usize = 256;
/// How ids of the gateway's own begin.
const PREFIX: &str = "server-request-";

/// A request that waits for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The server that asked.
    pub(super) server_id: String,
    /// Its id for the request, as it was written.
    pub(super) id: String,
    /// Its progress token, as it was written.
    pub(super) progress_token: Option<String>,
}

/// The unanswered requests of one session.
#[derive(Default)]
pub(super) struct ServerRequests(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix(PREFIX)?.parse().ok()
}

impl ServerRequests {
    /// Remembers a request; the answer is its id towards the client. One that is there already
    /// (a server may send it again on a resumed stream) keeps its id.
    pub(super) fn open(&self, request: Waiting) -> String {
        let mut table = self.table();
        let known = table.waiting.iter().find(|(_, one)| **one == request).map(|(number, _)| *number);
        let number = known.unwrap_or_else(|| {
            let own = table.waiting.iter().filter(|(_, one)| one.server_id == request.server_id);
            let (count, oldest) = (own.clone().count(), own.map(|(number, _)| *number).next());
            if count >= MAX_WAITING {
                oldest.and_then(|oldest| table.waiting.remove(&oldest));
            }
            table.next += 1;
            let number = table.next;
            table.waiting.insert(number, request);
            number
        });
        format!("{PREFIX}{number}")
    }

    /// Takes the request out that has this id towards the client.
    pub(super) fn answered(&self, id: &str) -> Option<Waiting> {
        self.table().waiting.remove(&number(id)?)
    }

    /// The request that has this progress token towards the client: its id is its token.
    pub(super) fn with_token(&self, token: &str) -> Option<Waiting> {
        self.table().waiting.get(&number(token)?).filter(|one| one.progress_token.is_some()).cloned()
    }

    /// The id towards the client of a server's request, which it takes back. The client may
    /// still answer it, so it stays.
    pub(super) fn id_towards_client(&self, server_id: &str, id: &str) -> Option<String> {
        let table = self.table();
        let mut waiting = table.waiting.iter().rev();
        let (number, _) = waiting.find(|(_, one)| one.server_id == server_id && one.id == id)?;
        Some(format!("{PREFIX}{number}"))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(server: &str, id: &str) -> Waiting {
        Waiting { server_id: server.to_owned(), id: id.to_owned(), progress_token: None }
    }

    #[test]
    fn each_answer_finds_its_server() {
        let requests = ServerRequests::default();
        let (one, two) = (requests.open(waiting("a", "0")), requests.open(waiting("b", "0")));
        assert_ne!(one, two);
        assert_eq!(requests.open(waiting("a", "0")), one, "sent again");
        assert_eq!(requests.id_towards_client("b", "0"), Some(two.clone()));
        assert_eq!(requests.answered(&two), Some(waiting("b", "0")));
        assert_eq!(requests.answered(&two), None, "once");
        assert_eq!(requests.answered("0"), None);
        let token = Waiting { progress_token: Some("7".to_owned()), ..waiting("b", "1") };
        let three = requests.open(token.clone());
        assert_eq!(requests.with_token(&three), Some(token));
        assert_eq!(requests.with_token(&one), None);
    }

    #[test]
    fn their_number_is_bounded() {
        let requests = ServerRequests::default();
        let other = requests.open(waiting("b", "0"));
        let ids: Vec<String> =
            (0..=MAX_WAITING).map(|id| requests.open(waiting("a", &id.to_string()))).collect();
        assert_eq!(requests.answered(&ids[0]), None);
        assert!(requests.answered(&ids[1]).is_some());
        assert!(requests.answered(&other).is_some(), "another server's");
    }
}
