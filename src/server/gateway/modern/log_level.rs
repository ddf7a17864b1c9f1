//! The level of log messages that a request of the modern era asks for. Without one there are
//! none for it.

use serde_json::value::RawValue;

use super::LOG_LEVEL;
use crate::server::gateway::inward::LOG_LEVELS;
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::naming::{NameInMessage, member};

/// Such a level, as its place among all; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::server::gateway) struct LogLevel(Option<usize>);

impl LogLevel {
    /// The level in the parameters of a request.
    pub(super) fn of_request(envelope: &Envelope<'_>) -> Self {
        let meta = envelope.params().and_then(|params| member(params, "_meta"));
        Self(meta.and_then(|meta| place(meta, LOG_LEVEL)))
    }

    /// Whether a message of the server is a log message that the client asked for. One without a
    /// level that is known is none.
    pub(in crate::server::gateway) fn asks_for(self, message: &[u8]) -> bool {
        let (Some(lowest), Ok(envelope)) = (self.0, Envelope::parse(message)) else { return false };
        envelope.kind() == Kind::Notification
            && envelope.method() == "notifications/message"
            && envelope
                .params()
                .and_then(|params| place(params, "level"))
                .is_some_and(|level| level >= lowest)
    }
}

fn place(object: &RawValue, name: &str) -> Option<usize> {
    let level = NameInMessage::find(object, &[name])?;
    LOG_LEVELS.iter().position(|one| *one == level.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_and_those_above_it() {
        let level = |meta: &str| {
            let request =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{{{meta}}}}}}}"#);
            LogLevel::of_request(&Envelope::parse(request.as_bytes()).unwrap())
        };
        let said = |level: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":{level},"data":1}}}}"#
            )
        };
        let warning = level(&format!(r#""{LOG_LEVEL}":"warning""#));
        for (one, wanted) in [
            ("\"info\"", false),
            ("\"warning\"", true),
            ("\"error\"", true),
            ("\"loud\"", false),
            ("5", false),
        ] {
            assert_eq!(warning.asks_for(said(one).as_bytes()), wanted, "{one}");
        }
        let other = said("\"error\"").replace("notifications/message", "notifications/cancelled");
        assert!(!warning.asks_for(other.as_bytes()));
        let with_id = said("\"error\"").replace("\"method\"", "\"id\":1,\"method\"");
        assert!(!warning.asks_for(with_id.as_bytes()));
        for none in [level(""), level(&format!(r#""{LOG_LEVEL}":7"#)), LogLevel::default()] {
            assert!(!none.asks_for(said("\"emergency\"").as_bytes()));
        }
    }
}
