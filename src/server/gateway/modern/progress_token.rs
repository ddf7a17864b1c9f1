//! A call that waits for its client is made again under another progress token, maybe under
//! none; the server goes on with that of the first request.

use hyper::body::Bytes;
use serde_json::value::RawValue;

use crate::server::gateway::event_splitter::{Fields, rewritten};
use crate::server::gateway::message::Envelope;
use crate::server::gateway::naming::member;
use crate::server::gateway::outward::{is_same_id, spliced};

/// The tokens of a request's first and present form, as they are written.
pub(super) struct ProgressTokens {
    first: String,
    now: Option<String>,
}

impl ProgressTokens {
    /// `None` if there is nothing to be changed.
    pub(super) fn new(first: Option<&String>, now: Option<String>) -> Option<Self> {
        let first = first?.clone();
        (now.as_ref() != Some(&first)).then_some(Self { first, now })
    }

    /// An event as it is for the present request: progress has its token, or is for nobody.
    pub(super) fn translated(&self, event: Bytes) -> Bytes {
        let Some(data) = Fields::of(&event).data else { return event };
        let Ok(envelope) = Envelope::parse(&data) else { return event };
        if envelope.method() != "notifications/progress" {
            return event;
        }
        let token = envelope.params().and_then(|params| member(params, "progressToken")).map(RawValue::get);
        match (token.filter(|token| is_same_id(token, &self.first)), &self.now) {
            (None, _) => event,
            (Some(_), None) => Bytes::new(),
            (Some(token), Some(now)) => {
                let data = spliced(&data, &[(token, now.clone())]);
                data.map_or(event.clone(), |data| rewritten(&event, Some(&data), "").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRESS: &str = "event: message\nid: s+1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1.50,\"progressToken\":TOKEN}}\n\n";

    fn event(token: &str) -> Bytes {
        PROGRESS.replace("TOKEN", token).into()
    }

    #[test]
    fn progress_is_that_of_the_present_request() {
        let first = "\"a\"".to_owned();
        let tokens = ProgressTokens::new(Some(&first), Some("7".to_owned())).unwrap();
        assert_eq!(tokens.translated(event("\"a\"")), event("7"));
        assert_eq!(tokens.translated(event("\"b\"")), event("\"b\""));
        let other = Bytes::from_static(
            b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"progressToken\":\"a\"}}\n\n",
        );
        assert_eq!(tokens.translated(other.clone()), other);
        let none = ProgressTokens::new(Some(&first), None).unwrap();
        assert_eq!(none.translated(event("\"a\"")), Bytes::new());
        assert!(ProgressTokens::new(Some(&first), Some(first.clone())).is_none());
        assert!(ProgressTokens::new(None, Some(first)).is_none());
    }
}
