//! Results of the legacy era on their way to a client of the modern era: `resultType` and,
//! for lists, how long they may be kept are put in where the result begins. The bytes are
//! looked at as they pass, JSON or events, and nothing is held back.

use hyper::body::Bytes;

/// Longest member name that is compared.
const NAME_LIMIT: usize = 16;
/// Longest id that is compared.
const ID_LIMIT: usize = 64;

/// What is changed in a message.
struct Changes {
    /// JSON members that go in where the result begins.
    members: Vec<u8>,
    /// The id by which the server knows the request, as it is written.
    own_id: Vec<u8>,
    /// The client's id, which takes its place.
    client_id: Vec<u8>,
}

/// Finds the members `id` and `result` of a JSON-RPC message and changes them.
#[derive(Default)]
struct MessageEditor {
    depth: u32,
    in_string: bool,
    escaped: bool,
    name: Vec<u8>,
    place: Place,
    /// An id that is not complete yet.
    id: Vec<u8>,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Place {
    /// Between members of the message, or inside one that does not matter.
    #[default]
    Elsewhere,
    /// In or after a name of the message.
    Name,
    /// After the colon that follows the name `result`.
    Result,
    /// Just behind the brace of the result.
    Inside,
    /// After the colon that follows the name `id`.
    Id,
}

impl MessageEditor {
    /// Takes a byte, and writes what comes out.
    fn push(&mut self, byte: u8, changes: &Changes, out: &mut Vec<u8>) {
        let blank = byte.is_ascii_whitespace();
        if self.place == Place::Inside && !blank {
            out.extend_from_slice(&changes.members);
            if byte != b'}' && !changes.members.is_empty() {
                out.push(b',');
            }
            self.place = Place::Elsewhere;
        }
        if self.place == Place::Result && !blank {
            // Only an object can take members.
            self.place = if byte == b'{' { Place::Inside } else { Place::Elsewhere };
        }
        if self.place == Place::Id && (!blank || self.in_string) {
            return self.push_id(byte, changes, out);
        }
        self.follow(byte);
        out.push(byte);
    }

    /// Holds an id back until it is complete.
    fn push_id(&mut self, byte: u8, changes: &Changes, out: &mut Vec<u8>) {
        if self.id.is_empty() && byte != b'"' {
            // A number: none of ours.
            self.place = Place::Elsewhere;
            self.follow(byte);
            return out.push(byte);
        }
        self.id.push(byte);
        let was_inside = self.in_string;
        self.in_string = !was_inside || self.escaped || byte != b'"';
        self.escaped = was_inside && !self.escaped && byte == b'\\';
        let complete = was_inside && !self.in_string;
        if complete || self.id.len() > ID_LIMIT {
            let is_own = complete && self.id == changes.own_id;
            out.extend_from_slice(if is_own { &changes.client_id } else { &self.id });
            self.id.clear();
            self.place = Place::Elsewhere;
        }
    }

    fn follow(&mut self, byte: u8) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            if self.in_string && self.depth == 1 && self.name.len() < NAME_LIMIT {
                self.name.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.name.clear();
                    self.place = Place::Name;
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 && self.place == Place::Name => {
                self.place = match self.name.as_slice() {
                    b"result" => Place::Result,
                    b"id" => Place::Id,
                    _ => Place::Elsewhere,
                };
            }
            _ => {}
        }
    }
}

/// What the bytes are.
enum Form {
    Json,
    /// Events; what of the line has been seen.
    Events(Line),
}

#[derive(PartialEq, Clone, Copy)]
enum Line {
    /// So many bytes of `data:` were there so far.
    Start(usize),
    Data,
    Other,
}

/// Makes of the answers of the legacy era such of the modern one.
pub(in crate::server::gateway) struct Marker {
    form: Form,
    editor: MessageEditor,
    changes: Changes,
    after_return: bool,
}

impl Marker {
    /// `members` are JSON members without braces, maybe none; both ids are as they are written.
    pub(in crate::server::gateway) fn new(
        events: bool,
        members: &str,
        own_id: &str,
        client_id: &str,
    ) -> Self {
        let form = if events { Form::Events(Line::Start(0)) } else { Form::Json };
        let bytes = |text: &str| text.as_bytes().to_vec();
        let changes = Changes { members: bytes(members), own_id: bytes(own_id), client_id: bytes(client_id) };
        Self { form, editor: MessageEditor::default(), changes, after_return: false }
    }

    /// A piece, changed.
    pub(in crate::server::gateway) fn push(&mut self, piece: &Bytes) -> Bytes {
        let mut out = Vec::with_capacity(piece.len() + self.changes.members.len() + ID_LIMIT);
        for &byte in piece {
            if self.is_data(byte) {
                self.editor.push(byte, &self.changes, &mut out);
            } else {
                out.push(byte);
            }
        }
        out.into()
    }

    /// Whether a byte belongs to a message.
    fn is_data(&mut self, byte: u8) -> bool {
        const FIELD: &[u8] = b"data:";
        let Form::Events(line) = &mut self.form else { return true };
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        if byte == b'\n' && after_return {
            return false;
        }
        if matches!(byte, b'\n' | b'\r') {
            // An empty line ends the event.
            if *line == Line::Start(0) {
                self.editor = MessageEditor::default();
            }
            *line = Line::Start(0);
            return false;
        }
        match *line {
            Line::Data => true,
            Line::Start(seen) if FIELD[seen] == byte => {
                *line = if seen + 1 == FIELD.len() { Line::Data } else { Line::Start(seen + 1) };
                false
            }
            Line::Start(_) | Line::Other => {
                *line = Line::Other;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: &str = r#""resultType":"complete""#;

    fn marked(events: bool, text: &str, piece: usize) -> String {
        let mut marker = Marker::new(events, MEMBERS, r#""own-1""#, "7");
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
    fn nothing_may_go_in() {
        let mut marker = Marker::new(false, "", r#""own-1""#, "7");
        let out = marker.push(&Bytes::from_static(br#"{"result":{"a":1},"id":"own-1"}"#));
        assert_eq!(out, r#"{"result":{"a":1},"id":7}"#);
    }

    #[test]
    fn every_event_is_looked_at() {
        let before = "id: 1\nevent: result\ndata: {\"method\":\"n\"}\n\n: data:{\"result\":{}}\r\ndata:{\"id\":1,\r\ndata: \"result\":\r\ndata: {}}\r\n\r\ndata: {\"result\":{\"a\":1}}\n\n";
        let after = before
            .replace("{\"a\":1}", &format!("{{{MEMBERS},\"a\":1}}"))
            .replace("data: {}}", &format!("data: {{{MEMBERS}}}}}"));
        for piece in 1..before.len() {
            assert_eq!(marked(true, before, piece), after, "pieces of {piece}");
        }
    }
}
