//! Changes a JSON-RPC message of the legacy era while its bytes pass: members go in where the
//! result begins, and its own ones of these names come out; the server's id becomes the
//! client's, and codes of errors that the modern era has no more become such as it has. Or who
//! may get a result from a cache is changed.

/// Longest member name that is compared.
const NAME_LIMIT: usize = 16;
/// Longest id that is compared.
const ID_LIMIT: usize = 64;
/// How much is held back in front of a member whose name is not complete.
const HELD_LIMIT: usize = 256;
/// Longest number that may be a code.
const CODE_LIMIT: usize = 12;

/// What is changed in a message.
pub(super) struct Changes {
    /// JSON members that go in where the result begins; maybe none.
    pub(super) members: Vec<u8>,
    /// Their names.
    pub(super) names: Vec<Vec<u8>>,
    /// The id by which the server knows the request, as it is written.
    pub(super) own_id: Vec<u8>,
    /// The client's id, which takes its place.
    pub(super) client_id: Vec<u8>,
    /// Whether the client is of the modern era and the server is not.
    pub(super) for_modern: bool,
    /// Whether nobody else may get the result from a cache.
    pub(super) private: bool,
}

/// Finds the members `id`, `result` and `error` of a JSON-RPC message and changes them.
#[derive(Default)]
pub(super) struct MessageEditor {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The string that may be a name, as it is written.
    name: Vec<u8>,
    place: Place,
    /// What is not complete yet: an id, a code, or the beginning of a member.
    held: Vec<u8>,
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
    Opened,
    /// In the result, up to the colon after a member's name.
    Member,
    /// In the value of a member of the result that stays.
    Kept,
    /// In a value that is left out.
    LeftOut,
    /// After the colon that follows the name `error`.
    Error,
    /// In the error.
    InError,
    /// After the colon that follows the name `code` there.
    Code,
    /// After the colon that follows the name `id`.
    Id,
}

impl MessageEditor {
    /// Takes a byte, and writes what comes out.
    pub(super) fn push(&mut self, byte: u8, changes: &Changes, out: &mut Vec<u8>) {
        let is_blank = !self.in_string && byte.is_ascii_whitespace();
        let place = self.place;
        match place {
            // Only an object can take members.
            Place::Result if !is_blank => {
                let takes = byte == b'{' && (changes.private || !changes.members.is_empty());
                self.place = if takes { Place::Opened } else { Place::Elsewhere };
            }
            Place::Opened if !is_blank => {
                out.extend_from_slice(&changes.members);
                self.place = Place::Member;
            }
            Place::Error if !is_blank => {
                self.place = if byte == b'{' { Place::InError } else { Place::Elsewhere };
            }
            Place::Id if !is_blank => return self.push_id(byte, changes, out),
            Place::Code if (!is_blank || !self.held.is_empty()) && self.takes_digit(byte, out) => return,
            _ => {}
        }
        self.follow(byte, changes);
        match self.place {
            Place::Member => self.push_member(byte, changes, out),
            Place::Kept | Place::LeftOut => self.push_value(byte, out),
            _ => out.push(byte),
        }
    }

    /// Holds the beginning of a member back until its name is known.
    fn push_member(&mut self, byte: u8, changes: &Changes, out: &mut Vec<u8>) {
        self.held.push(byte);
        let is_named = byte == b':' && !self.in_string;
        if self.depth < 2 {
            out.append(&mut self.held);
            self.place = Place::Elsewhere;
        } else if is_named && changes.names.contains(&self.name) {
            self.held.clear();
            self.place = Place::LeftOut;
        } else if is_named && changes.private && self.name == b"cacheScope" {
            out.append(&mut self.held);
            out.extend_from_slice(br#""private""#);
            self.place = Place::LeftOut;
        } else if is_named || self.depth > 2 || self.held.len() > HELD_LIMIT {
            // The members that went in need one; so does what comes after one that was left out.
            if !changes.members.is_empty() && !self.held.starts_with(b",") {
                out.push(b',');
            }
            out.append(&mut self.held);
            self.place = Place::Kept;
        }
    }

    fn push_value(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.depth == 2 && byte == b',' && !self.in_string {
            self.held.push(byte);
            self.place = Place::Member;
            return;
        }
        if self.depth < 2 || self.place == Place::Kept {
            out.push(byte);
        }
        if self.depth < 2 {
            self.place = Place::Elsewhere;
        }
    }

    /// Holds an id back until it is complete.
    fn push_id(&mut self, byte: u8, changes: &Changes, out: &mut Vec<u8>) {
        if self.held.is_empty() && byte != b'"' {
            // A number: none of ours.
            self.place = Place::Elsewhere;
            self.follow(byte, changes);
            return out.push(byte);
        }
        self.held.push(byte);
        let was_inside = self.in_string;
        self.in_string = !was_inside || self.escaped || byte != b'"';
        self.escaped = was_inside && !self.escaped && byte == b'\\';
        let complete = was_inside && !self.in_string;
        if complete || self.held.len() > ID_LIMIT {
            let is_own = complete && self.held == changes.own_id;
            out.extend_from_slice(if is_own { &changes.client_id } else { &self.held });
            self.held.clear();
            self.place = Place::Elsewhere;
        }
    }

    /// Holds a code back until it is complete; whether the byte is a part of it.
    fn takes_digit(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        if (byte.is_ascii_digit() || byte == b'-') && self.held.len() < CODE_LIMIT {
            self.held.push(byte);
            return true;
        }
        out.extend_from_slice(code_for_modern(&self.held));
        self.held.clear();
        self.place = Place::InError;
        false
    }

    fn follow(&mut self, byte: u8, changes: &Changes) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            if self.in_string && self.depth <= 2 && self.name.len() < NAME_LIMIT {
                self.name.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.name.clear();
                if self.depth == 1 {
                    self.place = Place::Name;
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 && self.place == Place::Name => {
                self.place = match self.name.as_slice() {
                    b"result" => Place::Result,
                    b"error" if changes.for_modern => Place::Error,
                    b"id" => Place::Id,
                    _ => Place::Elsewhere,
                };
            }
            b':' if self.depth == 2 && self.place == Place::InError && self.name == b"code" => {
                self.place = Place::Code;
            }
            _ => {}
        }
    }
}

/// A code as servers of the modern era may write it: an unknown resource is a wrong parameter
/// there, and what a client can be asked for it is asked for with a result.
fn code_for_modern(code: &[u8]) -> &[u8] {
    match code {
        b"-32002" => b"-32602",
        b"-32042" => b"-32603",
        other => other,
    }
}
