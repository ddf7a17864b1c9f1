//! What a server of the legacy era says on its way to a client of the modern era: `resultType`
//! and, for resources, how long they may be kept are put in where the result begins, and
//! events lose their ids, after which nobody can go on in this era. The bytes are looked at as
//! they pass, JSON or events, and no more than the beginning of a line or member is held back.

use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::message_editor::{Changes, MessageEditor};

/// The fields of an event stream that are told apart, and how long the longest is with its colon.
const FIELD_LIMIT: usize = 6;

/// What the bytes are.
#[derive(PartialEq, Clone, Copy)]
enum Form {
    Json,
    Events,
}

/// Where in an event stream.
#[derive(PartialEq, Clone, Copy)]
enum Line {
    /// At the beginning of a line, which is held back.
    Start,
    /// In the value of `data`.
    Data,
    /// In a line that is left out.
    LeftOut,
    Other,
}

/// Changes what is in the messages, as [`Changes`] says.
pub(in crate::server::gateway) struct Marker {
    form: Form,
    editor: MessageEditor,
    changes: Changes,
    line: Line,
    /// The beginning of a line.
    start: Vec<u8>,
    after_return: bool,
    /// Whether the line end before was left out.
    left_out: bool,
}

impl Marker {
    /// Puts the client's id in the place of the server's; both are as they are written.
    pub(in crate::server::gateway) fn new(events: bool, own_id: &str, client_id: &str) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let changes = Changes {
            members: Vec::new(),
            names: Vec::new(),
            own_id: bytes(own_id),
            client_id: bytes(client_id),
            for_modern: false,
            private: false,
        };
        let form = if events { Form::Events } else { Form::Json };
        let (editor, line, start) = (MessageEditor::default(), Line::Start, Vec::new());
        Self { form, editor, changes, line, start, after_return: false, left_out: false }
    }

    /// Besides makes of the answers of the legacy era such of the modern one. `members` are JSON
    /// members without braces.
    pub(super) fn for_modern(events: bool, members: &str, own_id: &str, client_id: &str) -> Self {
        let mut marker = Self::new(events, own_id, client_id);
        let named: Map<String, Value> = serde_json::from_str(&format!("{{{members}}}")).unwrap_or_default();
        marker.changes.names = named.into_iter().map(|(name, _)| name.into_bytes()).collect();
        marker.changes.members = members.as_bytes().to_vec();
        marker.changes.for_modern = true;
        marker
    }

    /// Says of results that they are for one token alone, where they say of whom.
    pub(super) fn private(events: bool) -> Self {
        let mut marker = Self::new(events, "", "");
        marker.changes.private = true;
        marker
    }

    /// A piece, changed.
    pub(in crate::server::gateway) fn push(&mut self, piece: &Bytes) -> Bytes {
        let mut out = Vec::with_capacity(piece.len() + self.changes.members.len() + 64);
        for &byte in piece {
            if self.form == Form::Json || (self.line == Line::Data && !matches!(byte, b'\n' | b'\r')) {
                self.after_return = false;
                self.editor.push(byte, &self.changes, &mut out);
            } else {
                self.push_outside(byte, &mut out);
            }
        }
        out.into()
    }

    /// Takes a byte that belongs to no message.
    fn push_outside(&mut self, byte: u8, out: &mut Vec<u8>) {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        if byte == b'\n' && after_return {
            if !self.left_out {
                out.push(byte);
            }
            return;
        }
        if matches!(byte, b'\n' | b'\r') {
            return self.end_line(byte, out);
        }
        if self.line != Line::Start {
            if self.line != Line::LeftOut {
                out.push(byte);
            }
            return;
        }
        self.start.push(byte);
        self.line = match self.start.strip_suffix(b":") {
            Some(b"data") => Line::Data,
            Some(field) if self.is_left_out(field) => Line::LeftOut,
            None if self.start.len() < FIELD_LIMIT => return,
            _ => Line::Other,
        };
        if self.line != Line::LeftOut {
            out.extend_from_slice(&self.start);
        }
        self.start.clear();
    }

    fn end_line(&mut self, byte: u8, out: &mut Vec<u8>) {
        let is_start = self.line == Line::Start;
        if is_start && self.start.is_empty() {
            // An empty line ends the event.
            self.editor = MessageEditor::default();
        }
        self.left_out = self.line == Line::LeftOut || (is_start && self.is_left_out(&self.start));
        if !self.left_out {
            out.extend_from_slice(&self.start);
            out.push(byte);
        }
        self.start.clear();
        self.line = Line::Start;
    }

    /// Whether a field says where a client could go on, and when.
    fn is_left_out(&self, field: &[u8]) -> bool {
        self.changes.for_modern && matches!(field, b"id" | b"retry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: &str = r#""resultType":"complete""#;

    fn marked(events: bool, text: &str, piece: usize) -> String {
        let mut marker = Marker::for_modern(events, MEMBERS, r#""own-1""#, "7");
        let pieces = text.as_bytes().chunks(piece);
        let out: Vec<u8> = pieces.flat_map(|piece| marker.push(&Bytes::copy_from_slice(piece))).collect();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_result_is_marked_wherever_it_stands() {
        for (before, after) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
                r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#,
            ),
            (
                r#"{"result" : { "a":"}\"{"},"id":1}"#,
                r#"{"result" : { "resultType":"complete","a":"}\"{"},"id":1}"#,
            ),
            (r#"{"id":"result","error":{"result":{}}}"#, r#"{"id":"result","error":{"result":{}}}"#),
            (r#"{"id":"\"result","result":7,"x":{}}"#, r#"{"id":"\"result","result":7,"x":{}}"#),
            (r#"{"params":{"result":{}},"method":"m"}"#, r#"{"params":{"result":{}},"method":"m"}"#),
            (r#"{"params":{"id":"own-1"},"id" : "own-1" }"#, r#"{"params":{"id":"own-1"},"id" : 7 }"#),
            (r#"{"id":"own-1\"","x":"own-1"}"#, r#"{"id":"own-1\"","x":"own-1"}"#),
            (r#"{"id":"own-2","result":7}"#, r#"{"id":"own-2","result":7}"#),
            (
                r#"{"result":{},"id":"own-1","a":{"id":1}}"#,
                r#"{"result":{"resultType":"complete"},"id":7,"a":{"id":1}}"#,
            ),
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(marked(false, before, piece), after, "pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_client_of_the_older_era_gets_its_id_and_nothing_else() {
        let mut marker = Marker::new(false, r#""own-1""#, "7");
        let message = r#"{"result":{"resultType":"x","a":1},"error":{"code":-32002},"id":OWN}"#;
        let out = marker.push(&message.replace("OWN", "\"own-1\"").into());
        assert_eq!(out, message.replace("OWN", "7"));
        let mut marker = Marker::new(true, r#""own-1""#, "7");
        let event = Bytes::from_static(b"id: 1\nretry: 5\ndata: {}\n\n");
        assert_eq!(marker.push(&event), event);
    }

    #[test]
    fn what_is_there_already_is_not_there_twice() {
        for (before, after) in [
            (r#"{"result":{"resultType":"x"}}"#, r#"{"result":{MARK}}"#),
            (r#"{"result":{ "resultType" : {"a":[1,"}"]} }}"#, r#"{"result":{ MARK}}"#),
            (r#"{"result":{"resultType":"x","a":1.50}}"#, r#"{"result":{MARK,"a":1.50}}"#),
            (
                r#"{"result":{"a":{"resultType":1}, "resultType":",\"}", "b":[]}}"#,
                r#"{"result":{MARK,"a":{"resultType":1}, "b":[]}}"#,
            ),
            (
                r#"{"result":{"a":"resultType","resultType":2},"id":1}"#,
                r#"{"result":{MARK,"a":"resultType"},"id":1}"#,
            ),
            (
                r#"{"result":{"resultTypes":1, "resultTyp":2,"ttlMs":3}}"#,
                r#"{"result":{MARK,"resultTypes":1, "resultTyp":2,"ttlMs":3}}"#,
            ),
            (
                r#"{"x":{"resultType":1},"result":[{"resultType":1}]}"#,
                r#"{"x":{"resultType":1},"result":[{"resultType":1}]}"#,
            ),
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(marked(false, before, piece), after.replace("MARK", MEMBERS), "pieces of {piece}");
            }
        }
        let long = format!(r#"{{"result":{{"{}":1,"resultType":2}}}}"#, "x".repeat(5000));
        let expected =
            long.replace(r#","resultType":2"#, "").replace(r#"{"x"#, &format!(r#"{{{MEMBERS},"x"#));
        assert_eq!(marked(false, &long, 100), expected);
    }

    #[test]
    fn messages_of_any_shape_stay_messages() {
        let values = [
            r#""a\\\"}""#,
            "1.50",
            "{}",
            "[ ]",
            r#"{"resultType":[{"id":1}],"b" : "{"}"#,
            "null",
            r#"[",",{"a":{}}]"#,
        ];
        let names = ["resultType", "id", "a", "result", "code", "b:c", "\\u0061"];
        let gaps = ["", " ", "\n\t"];
        let mut number = 0_usize;
        let mut next = |count: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % count
        };
        for _ in 0..2000 {
            let mut members = Vec::new();
            for _ in 0..next(5) {
                let (name, value) = (names[next(names.len())], values[next(values.len())]);
                let [one, two, three] = [(); 3].map(|()| gaps[next(gaps.len())]);
                members.push(format!("{one}\"{name}\"{two}:{three}{value}{one}"));
            }
            let of = |members: &[String], gap: &str| {
                format!(
                    r#"{{"jsonrpc":"2.0","result"{gap}:{gap}{{{}{gap}}},"id":"own-1"}}"#,
                    members.join(",")
                )
            };
            let gap = gaps[next(gaps.len())];
            let (before, piece) = (of(&members, gap), 1 + next(40));
            members.retain(|member| !member.trim_start().starts_with("\"resultType\""));
            members.push(MEMBERS.to_owned());
            let expected = of(&members, gap).replace("\"own-1\"", "7");
            let marked = marked(false, &before, piece);
            let value = |text: &str| {
                serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text} of {before}"))
            };
            assert_eq!(value(&marked), value(&expected), "{marked} of {before}");
            assert_eq!(marked.matches("\"complete\"").count(), 1);
        }
    }

    #[test]
    fn who_may_keep_it() {
        let private = |text: &str, piece: usize| {
            let mut marker = Marker::private(false);
            let pieces = text.as_bytes().chunks(piece);
            let out: Vec<u8> = pieces.flat_map(|piece| marker.push(&Bytes::copy_from_slice(piece))).collect();
            String::from_utf8(out).unwrap()
        };
        let message = r#"{"id":"", "result":{ "a":{"cacheScope":"public"},"cacheScope":SCOPE ,"b":1.50} }"#;
        let expected = message.replace("SCOPE ", "\"private\"");
        let first = r#"{"result":{"cacheScope":SCOPE}}"#;
        for piece in [1, 2, 7, 1000] {
            assert_eq!(private(&message.replace("SCOPE", "\"public\""), piece), expected);
            assert_eq!(
                private(&first.replace("SCOPE", "[{}]"), piece),
                first.replace("SCOPE", "\"private\"")
            );
            for same in [
                r#"{"result":{}}"#,
                r#"{"result":{ "resultType":"input_required"}}"#,
                r#"{"error":{"code":-32002,"cacheScope":"public"}}"#,
            ] {
                assert_eq!(private(same, piece), same);
            }
        }
    }

    #[test]
    fn codes_that_the_modern_era_does_not_have() {
        for (before, after) in [
            ("-32002", "-32602"),
            (" -32042 ", " -32603 "),
            ("-32601", "-32601"),
            ("-320021", "-320021"),
            ("7e1", "7e1"),
            ("null", "null"),
        ] {
            let error = |code: &str| {
                format!(
                    r#"{{"error":{{"data":{{"code":-32002}},"message":"code","code":{code},"x":-32002}},"code":-32002,"id":1}}"#
                )
            };
            for piece in [1, 3, 1000] {
                assert_eq!(marked(false, &error(before), piece), error(after), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn nobody_can_go_on_after_an_event() {
        let before =
            "id: 1\r\nretry:5\ndata: {\"id\":5}\nid\n\nretry\r\r\nidx: 1\nids\n: id: 1\ndata\ndat\n\n";
        let after = "data: {\"id\":5}\n\n\r\nidx: 1\nids\n: id: 1\ndata\ndat\n\n";
        for piece in 1..before.len() {
            assert_eq!(marked(true, before, piece), after, "pieces of {piece}");
        }
    }

    #[test]
    fn every_event_is_looked_at() {
        let before = "id: 1\nevent: result\ndata: {\"method\":\"n\"}\n\n: data:{\"result\":{}}\r\ndata:{\"id\":1,\r\ndata: \"result\":\r\ndata: {}}\r\n\r\ndata: {\"result\":{\"a\":1}}\n\n";
        let after = before
            .replace("id: 1\n", "")
            .replace("{\"a\":1}", &format!("{{{MEMBERS},\"a\":1}}"))
            .replace("data: {}}", &format!("data: {{{MEMBERS}}}}}"));
        for piece in 1..before.len() {
            assert_eq!(marked(true, before, piece), after, "pieces of {piece}");
        }
    }
}
