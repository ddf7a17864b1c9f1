//! What an answer to a call says: a result, a result with `isError`, or a JSON-RPC error.
//! Looked at while it passes, with bounded memory: a message over the bound counts as a
//! success, as does a compressed one.

use serde::Deserialize;

use super::event_splitter::BYTE_ORDER_MARK;
use super::long_message::begins_as_answer;
use super::message::{Envelope, Kind};
use super::problem::reason_in;
use crate::server::analytics::Outcome;

/// Longest message that is looked into, in bytes. Errors are short.
const LOOK_LIMIT: usize = 64 * 1024;
/// How a stream that ended without an answer is recorded.
const NO_ANSWER: &str = "no_answer";

/// Reads an answer piece by piece.
pub(super) struct AnswerReader {
    form: Form,
    /// The JSON so far, or the data of the event that is being read.
    message: Vec<u8>,
    line: Vec<u8>,
    /// The message is over the bound; it is not kept.
    too_long: bool,
    last_was_cr: bool,
    found: Option<Outcome>,
    /// What counts if nothing else comes: an answer has passed that is too long to be looked into,
    /// and what follows may say that it broke off.
    presumed: Option<Outcome>,
    /// The client knows an event after which it can ask for the rest.
    can_go_on: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Events,
    Unreadable,
}

impl AnswerReader {
    /// A reader for an answer with these headers.
    pub(super) fn new(content_type: Option<&str>, content_encoding: Option<&str>) -> Self {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let plain = content_encoding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
        let form = match essence.to_ascii_lowercase().as_str() {
            "application/json" if plain => Form::Json,
            "text/event-stream" if plain => Form::Events,
            _ => Form::Unreadable,
        };
        let (message, line) = (Vec::new(), Vec::new());
        Self {
            form,
            message,
            line,
            too_long: false,
            last_was_cr: false,
            found: None,
            presumed: None,
            can_go_on: false,
        }
    }

    /// Looks at a piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.found.is_some() {
            return;
        }
        match self.form {
            Form::Unreadable => {}
            Form::Json => self.too_long |= !keep(&mut self.message, piece),
            Form::Events => self.push_events(piece),
        }
    }

    /// What an event has said so far that is the answer.
    pub(super) fn found(&self) -> Option<Outcome> {
        self.found.or(self.presumed)
    }

    /// What the whole answer says.
    pub(super) fn end(self) -> Outcome {
        match (self.found(), self.form) {
            (Some(outcome), _) => outcome,
            (None, Form::Unreadable) => Outcome::Success,
            (None, Form::Json) if self.too_long => Outcome::Success,
            (None, Form::Json) => outcome_of(&self.message).unwrap_or(Outcome::Upstream(NO_ANSWER)),
            (None, Form::Events) if self.can_go_on => Outcome::GoesOn,
            (None, Form::Events) => Outcome::Upstream(NO_ANSWER),
        }
    }

    /// Server-sent events (WHATWG HTML, section 9.2): lines end with CR, LF or both, and an
    /// empty line ends an event.
    fn push_events(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() && self.found.is_none() {
            if std::mem::take(&mut self.last_was_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.too_long |= !keep(&mut self.line, rest);
                return;
            };
            self.too_long |= !keep(&mut self.line, &rest[..end]);
            self.last_was_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if line.starts_with(BYTE_ORDER_MARK) {
            // At the beginning of a stream it means nothing.
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            let too_long = std::mem::take(&mut self.too_long);
            if !too_long {
                self.found = outcome_of(&message);
            } else if begins_as_answer(&message) {
                self.presumed = Some(Outcome::Success);
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            self.too_long |= !(keep(&mut self.message, data) && keep(&mut self.message, b"\n"));
        } else if let Some(id) = line.strip_prefix(b"id:") {
            self.can_go_on = !id.trim_ascii().is_empty();
        }
        self.line = line;
        self.line.clear();
    }
}

/// Appends as much as stays within the bound; whether that is all.
fn keep(kept: &mut Vec<u8>, piece: &[u8]) -> bool {
    let room = LOOK_LIMIT.saturating_sub(kept.len()).min(piece.len());
    kept.extend_from_slice(&piece[..room]);
    room == piece.len()
}

/// What a message says, if it is an answer.
fn outcome_of(message: &[u8]) -> Option<Outcome> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Result {
        #[serde(default)]
        is_error: bool,
    }
    let envelope = Envelope::parse(message).ok().filter(|envelope| envelope.kind() == Kind::Response)?;
    if let Some(error) = envelope.error() {
        // An error of our own says what went wrong on the way.
        return Some(reason_in(error.get()).map_or(Outcome::RpcError, Outcome::Upstream));
    }
    let result = envelope.result().and_then(|result| serde_json::from_str::<Result>(result.get()).ok());
    Some(if result.is_some_and(|result| result.is_error) { Outcome::ToolError } else { Outcome::Success })
}

#[cfg(test)]
mod tests {
    use super::super::problem::{UpstreamProblem, upstream_error};
    use super::*;

    const GOOD: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"isError":true}]}}"#;
    const TOOL: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#;
    const ERROR: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#;
    const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;

    fn read(content_type: &str, coding: Option<&str>, text: &str, size: usize) -> Outcome {
        let mut reader = AnswerReader::new(Some(content_type), coding);
        text.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
        assert!(reader.message.capacity() <= 2 * LOOK_LIMIT && reader.line.capacity() <= 2 * LOOK_LIMIT);
        reader.end()
    }

    #[test]
    fn json() {
        for (text, outcome) in [
            (GOOD, Outcome::Success),
            (TOOL, Outcome::ToolError),
            (ERROR, Outcome::RpcError),
            ("garbage", Outcome::Upstream("no_answer")),
            ("", Outcome::Upstream("no_answer")),
        ] {
            for size in [1, 7, 1000] {
                assert_eq!(read("Application/JSON; charset=utf-8", None, text, size), outcome, "{text}");
            }
        }
        assert_eq!(read("application/json", Some("gzip"), "garbage", 7), Outcome::Success);
        let long = TOOL.replace("[]", &format!("[\"{}\"]", "x".repeat(LOOK_LIMIT)));
        assert_eq!(read("application/json", None, &long, 1000), Outcome::Success);
    }

    /// Also where the head of the answer was on its way already.
    #[test]
    fn problems_on_the_way_are_told_apart() {
        for problem in [UpstreamProblem::Cut, UpstreamProblem::Status(503), UpstreamProblem::NotMcp] {
            let error = String::from_utf8(upstream_error("1", "up", problem)).unwrap();
            let outcome = Outcome::Upstream(problem.reason());
            assert_eq!(read("application/json", None, &error, 9), outcome);
            assert_eq!(read("text/event-stream", None, &format!("data: {error}\n\n"), 9), outcome);
        }
        let other = ERROR.replace("\"code\"", "\"data\":{\"reason\":\"any\"},\"code\"");
        assert_eq!(read("application/json", None, &other, 9), Outcome::RpcError);
    }

    #[test]
    fn events_at_every_split() {
        let split_data = TOOL.replacen(",\"id\"", ",\ndata:\"id\"", 1);
        for end in ["\n", "\r\n", "\r"] {
            for (answer, outcome) in
                [(GOOD, Outcome::Success), (&split_data, Outcome::ToolError), (ERROR, Outcome::RpcError)]
            {
                let text = format!(
                    ": hi\n\nid: 1\ndata: {NOTE}\n\nevent: message\ndata: {answer}\n\ndata: {ERROR}\n\n"
                )
                .replace('\n', end);
                for size in [1, 2, 3, 50, text.len()] {
                    assert_eq!(read("text/event-stream", None, &text, size), outcome, "{size} {text:?}");
                }
            }
        }
        let unfinished = format!("data: {NOTE}\n\ndata: {GOOD}\n");
        assert_eq!(read("text/event-stream", None, &unfinished, 9), Outcome::Upstream("no_answer"));
        let long = format!("data: {}\n\n", TOOL.replace("[]", &format!("[\"{}\"]", "x".repeat(LOOK_LIMIT))));
        assert_eq!(read("text/event-stream", None, &long, 1000), Outcome::Success);
        let cut = String::from_utf8(upstream_error("1", "up", UpstreamProblem::Cut)).unwrap();
        let half = format!("{}\n\ndata: {cut}\n\n", &long[..long.len() - 9]);
        assert_eq!(read("text/event-stream", None, &half, 1000), Outcome::Upstream("cut"));
        let note = long.replace("\"result\"", "\"method\":\"x\",\"params\"");
        let unanswered = Outcome::Upstream("no_answer");
        assert_eq!(read("text/event-stream", None, &note, 1000), unanswered);
        assert_eq!(read("text/event-stream", None, &note, note.len()), unanswered);
        for (id, outcome) in [("id: 7\ndata:\n\n", Outcome::GoesOn), ("id: 7\n\nid:\n\n", unanswered)] {
            assert_eq!(read("text/event-stream", None, id, 3), outcome, "{id:?}");
            assert_eq!(
                read("text/event-stream", None, &format!("{id}data: {TOOL}\n\n"), 3),
                Outcome::ToolError
            );
        }
    }
}
