//! Cuts a stream of server-sent events into its events, each with its own bytes, so that one
//! can be looked at before it is passed on. An event that is too long to be held passes in
//! pieces, unseen; but for answers, which need no translation, that is a longer one.

use super::long_message::begins_as_answer;
use super::message::messages_of_batch;

/// Longest answer that is held, in bytes.
const EVENT_LIMIT: usize = 1 << 20;
/// Longest other message that is held, in bytes: a request with an image in it, for instance.
const REQUEST_LIMIT: usize = 8 << 20;

/// May stand at the beginning of a stream, and means nothing there.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A part of the stream. All parts together are the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// An event (or comments), with the empty line that ends it.
    Event(Vec<u8>),
    /// A piece of a long event.
    Piece(Vec<u8>),
}

impl Part {
    /// The first part of a stream without the byte order mark that may stand there.
    pub(super) fn without_mark(self) -> Self {
        let strip = |mut bytes: Vec<u8>| {
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            bytes
        };
        match self {
            Self::Event(event) => Self::Event(strip(event)),
            Self::Piece(piece) => Self::Piece(strip(piece)),
        }
    }
}

/// What an event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// Its data; `None` without such a field.
    pub(super) data: Option<Vec<u8>>,
    /// Its id.
    pub(super) id: Option<Vec<u8>>,
    /// Milliseconds to wait before the stream is asked for again.
    pub(super) retry: Option<u64>,
}

/// Finds the ends of events: an empty line, with any of the line ends there are.
#[derive(Default)]
pub(super) struct EventEnds {
    /// Whether the line so far has anything in it.
    in_line: bool,
    last_was_cr: bool,
    /// Whether an event has begun.
    in_event: bool,
}

impl EventEnds {
    /// Takes note of a piece.
    pub(super) fn pass(&mut self, mut piece: &[u8]) {
        while let Some(length) = self.through_next(piece) {
            piece = &piece[length..];
        }
    }

    /// Whether no event is under way.
    pub(super) fn are_reached(&self) -> bool {
        !self.in_event
    }

    /// How many bytes are there to the end of the event, if it ends here.
    fn through_next(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            let Some(length) = piece[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                (self.in_line, self.last_was_cr, self.in_event) = (true, false, true);
                return None;
            };
            let (byte, after_cr) = (piece[at + length], self.last_was_cr && length == 0);
            at += length + 1;
            self.last_was_cr = byte == b'\r';
            if byte == b'\n' && after_cr {
                continue;
            }
            let had_text = std::mem::replace(&mut self.in_line, false) || length > 0;
            self.in_event = had_text;
            if !had_text {
                // CRLF: both belong to this line, if both are there.
                if byte == b'\r' && piece.get(at) == Some(&b'\n') {
                    (at, self.last_was_cr) = (at + 1, false);
                }
                return Some(at);
            }
        }
        None
    }
}

/// Collects pieces and gives out parts.
#[derive(Default)]
pub(super) struct EventSplitter {
    held: Vec<u8>,
    ends: EventEnds,
    /// Whether the event is passing in pieces.
    passing: bool,
    /// How much of the event is held, once it is too long for an answer.
    limit: Option<usize>,
}

impl EventSplitter {
    /// Takes a piece of the stream; the answer is what can be passed on.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        while let Some(length) = self.ends.through_next(piece) {
            self.held.extend_from_slice(&piece[..length]);
            piece = &piece[length..];
            let held = std::mem::take(&mut self.held);
            let passing = std::mem::replace(&mut self.passing, false);
            self.limit = None;
            if passing {
                parts.push(Part::Piece(held));
            } else {
                parts.extend(single_messages(held).into_iter().map(Part::Event));
            }
        }
        self.held.extend_from_slice(piece);
        if !self.passing && self.held.len() > EVENT_LIMIT {
            let held = &self.held;
            let limit_of = || if is_long_answer(held) { EVENT_LIMIT } else { REQUEST_LIMIT };
            self.passing = held.len() > *self.limit.get_or_insert_with(limit_of);
        }
        if self.passing && !self.held.is_empty() {
            parts.push(Part::Piece(std::mem::take(&mut self.held)));
        }
        parts
    }

    /// Whether a long event is under way: nothing can be put in before its end.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// What is left of an event that was not ended.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Bytes of the event that has not ended.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}

/// Whether an event with this beginning is an answer.
pub(super) fn is_long_answer(beginning: &[u8]) -> bool {
    begins_as_answer(&Fields::of(beginning).data.unwrap_or_default())
}

/// Lines of an event, without their ends.
fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    let event = event.strip_prefix("\u{feff}".as_bytes()).unwrap_or(event);
    event
        .split(|byte| *byte == b'\n')
        .flat_map(|line| line.split(|byte| *byte == b'\r'))
        .filter(|line| !line.is_empty())
}

/// The value of a line with this field.
fn value<'a>(line: &'a [u8], field: &str) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(field.as_bytes())?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}

impl Fields {
    /// Reads an event.
    pub(super) fn of(event: &[u8]) -> Self {
        let mut fields = Self::default();
        for line in lines(event) {
            if let Some(text) = value(line, "data") {
                match &mut fields.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(text);
                    }
                    None => fields.data = Some(text.to_vec()),
                }
            } else if let Some(id) = value(line, "id").filter(|id| !id.contains(&0)) {
                fields.id = Some(id.to_vec());
            } else if let Some(text) = value(line, "retry") {
                fields.retry =
                    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).or(fields.retry);
            }
        }
        fields
    }
}

/// The event with other data and with `id_prefix` before its id. All other lines stay.
pub(super) fn rewritten(event: &[u8], data: Option<&[u8]>, id_prefix: &str) -> Vec<u8> {
    let mut new = Vec::with_capacity(event.len() + 64);
    let mut data_to_write = data;
    for line in lines(event) {
        if let (Some(id), false) = (value(line, "id"), id_prefix.is_empty()) {
            new.extend_from_slice(b"id: ");
            // An empty id means that there is none from here on.
            if !id.is_empty() {
                new.extend_from_slice(id_prefix.as_bytes());
            }
            new.extend_from_slice(id);
        } else if let (Some(_), Some(_)) = (value(line, "data"), data) {
            let Some(data) = data_to_write.take() else { continue };
            new.extend_from_slice(&data_lines(data));
        } else {
            new.extend_from_slice(line);
        }
        new.push(b'\n');
    }
    new.push(b'\n');
    new
}

/// An event with several messages in it (a batch of 2025-03-26) as one for each; others as they are. Who
/// has read the last one has read all, so the event's id stands there.
pub(super) fn single_messages(event: Vec<u8>) -> Vec<Vec<u8>> {
    if !begins_as_batch(&event) {
        return vec![event];
    }
    let Fields { data, id, .. } = Fields::of(&event);
    let data = data.unwrap_or_default();
    let messages = messages_of_batch(&data);
    let Some((last, others)) = messages.split_last() else { return vec![event] };
    let id = id.map(|id| [b"id: ", id.as_slice(), b"\n"].concat()).unwrap_or_default();
    let retry = lines(&event).find(|line| value(line, "retry").is_some());
    let retry = retry.map(|line| [line, b"\n"].concat()).unwrap_or_default();
    let mut single: Vec<Vec<u8>> =
        others.iter().map(|message| self::event(message.get().as_bytes())).collect();
    single.push([id, retry, self::event(last.get().as_bytes())].concat());
    single
}

fn begins_as_batch(event: &[u8]) -> bool {
    let mut data = lines(event).filter_map(|line| value(line, "data").map(<[u8]>::trim_ascii_start));
    data.find(|line| !line.is_empty()).is_some_and(|line| line.starts_with(b"["))
}

/// An event of the gateway's own.
pub(super) fn event(data: &[u8]) -> Vec<u8> {
    [b"event: message\n", data_lines(data).as_slice(), b"\n\n"].concat()
}

fn data_lines(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + 6);
    for (number, line) in data.split(|byte| matches!(byte, b'\n' | b'\r')).enumerate() {
        if number > 0 {
            text.push(b'\n');
        }
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\ndata: {\"a\":1}\n\ndata: x\ndata:y\r\rretry: 5\n\ndatabase: no\n\n\n\r\nid\n\n";

    fn events(parts: Vec<Part>) -> Vec<Vec<u8>> {
        parts
            .into_iter()
            .map(|part| match part {
                Part::Event(event) => event,
                Part::Piece(piece) => panic!("{piece:?}"),
            })
            .collect()
    }

    #[test]
    fn every_split_gives_the_same_events() {
        let text = |data: &str| Some(data.as_bytes().to_vec());
        let expected = [
            Fields { data: text(""), id: text("1"), retry: None },
            Fields { data: text("{\"a\":1}"), ..Fields::default() },
            Fields { data: text("x\ny"), ..Fields::default() },
            Fields { retry: Some(5), ..Fields::default() },
            Fields::default(),
            Fields { id: text(""), ..Fields::default() },
        ];
        for split in 0..=STREAM.len() {
            let mut splitter = EventSplitter::default();
            let mut all = events(splitter.push(&STREAM.as_bytes()[..split]));
            all.extend(events(splitter.push(&STREAM.as_bytes()[split..])));
            assert_eq!(all.concat(), STREAM.as_bytes(), "split at {split}");
            assert!(splitter.rest().is_empty());
            all.retain(|event| !event.trim_ascii().is_empty());
            let fields: Vec<Fields> = all.iter().map(|event| Fields::of(event)).collect();
            assert_eq!(fields, expected, "split at {split}");
        }
    }

    #[test]
    fn whether_an_event_is_under_way_is_known_after_each_byte() {
        for (line_end, ends) in [("\n", ["\n", "\r"]), ("\r", ["\r", "\r\n"]), ("\r\n", ["\r\n", "\n"])] {
            for end in ends {
                let event = format!("data: x{line_end}id: 1{line_end}{end}");
                let mut found = EventEnds::default();
                assert!(found.are_reached());
                for _ in 0..2 {
                    // The line feed after a carriage return may not come any more.
                    let last = event.len() - usize::from(end == "\r\n");
                    for (at, byte) in event.bytes().enumerate() {
                        found.pass(&[byte]);
                        assert_eq!(found.are_reached(), at + 1 >= last, "{event:?} at {at}");
                    }
                    found.pass(event.as_bytes());
                    assert!(found.are_reached(), "{event:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_event_passes_in_pieces() {
        let mut splitter = EventSplitter::default();
        assert_eq!(splitter.push(b"data: "), []);
        let long = vec![b'x'; EVENT_LIMIT];
        let Some(Part::Piece(first)) = splitter.push(&long).pop() else { panic!() };
        assert_eq!(first.len(), EVENT_LIMIT + 6);
        assert!(splitter.is_passing());
        assert_eq!(splitter.push(b"y\n"), [Part::Piece(b"y\n".to_vec())]);
        let parts = splitter.push(b"\ndata: z\n\n");
        assert_eq!(parts, [Part::Piece(b"\n".to_vec()), Part::Event(b"data: z\n\n".to_vec())]);
        assert!(!splitter.is_passing());
    }

    #[test]
    fn a_batch_is_split() {
        let (one, two) = (r#"{"jsonrpc":"2.0","method":"a"}"#, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let split = |text: &str| events(EventSplitter::default().push(text.as_bytes()));
        let expected = [
            format!("event: message\ndata: {one}\n\n"),
            format!("id: 7\nretry: 9\nevent: message\ndata: {two}\n\n"),
        ];
        for batch in [format!("[{one}, {two}]"), format!("\ndata:  [{one},\ndata: {two}]")] {
            let event = format!("retry: 9\nid: 7\ndata: {batch}\n\n");
            assert_eq!(split(&event), expected.clone().map(String::into_bytes), "{event}");
        }
        for other in [
            format!("data: {two}\n\n"),
            format!("data: [{two},7]\n\n"),
            "data: [redacted]\n\n".to_owned(),
            "data: []\n\n".to_owned(),
            ": [\n\n".to_owned(),
        ] {
            assert_eq!(split(&other), [other.into_bytes()]);
        }
    }

    #[test]
    fn data_and_id_are_replaced() {
        let event = b"id: 7\r\nevent: message\r\ndata: {\ndata: }\nretry: 3\n\n";
        let new = rewritten(event, Some(b"{\"a\":\n1}"), "s+");
        assert_eq!(new, b"id: s+7\nevent: message\ndata: {\"a\":\ndata: 1}\nretry: 3\n\n");
        assert_eq!(rewritten(b"id\ndata\n\n", None, "s+"), b"id: \ndata\n\n");
    }
}
