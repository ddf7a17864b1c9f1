//! Reads a text with all patterns at once. Each reading in progress is a thread: a place
//! in a pattern and, inside an escape, what of it has been read. A character may stand as
//! it is or escaped as in JSON and JavaScript (`\"`, `\/`, `\u00e9`, `\xe9`, at any depth), as in a URL
//! (`%2F`, also `%252F`, `+`), or as UTF-8 that somebody took for Latin-1, each character
//! in its own way. Base64 may be broken into lines.

use super::pattern::{Pattern, hex_digit};
use super::secrets::Secrets;

/// Longest way to write one character, in bytes: five depths of backslashes and `\uXXXX` twice.
const LONGEST_ESCAPE: u8 = 80;

/// Most `=` at the end of a base64 text.
const MOST_PADDING: u8 = 2;

/// A match, or the beginning of one that may yet be one: places in the stream, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// Its first byte.
    pub(super) start: u64,
    /// The byte after its last.
    pub(super) end: u64,
    /// Not only a `=` of the padding behind a match.
    pub(super) is_secret: bool,
}

/// What of a character has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Nothing.
    Nothing,
    /// One or more backslashes.
    Backslash,
    /// `%` or `\x`.
    Percent,
    /// And the first digit.
    PercentDigit(u8),
    /// `\u` and so many digits of a number.
    Unicode { digits: u8, number: u16 },
    /// CR or LF within base64.
    LineBreak(u8),
}

/// A reading in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thread {
    /// Where it began.
    pub(super) start: u64,
    /// The pattern's number; `None` before its first character is known, which then goes to all.
    pattern: Option<u32>,
    /// Characters of the pattern that were read.
    at: usize,
    inside: Inside,
    /// First half of a surrogate pair, 0 for none.
    surrogate: u16,
    /// First byte of a Latin-1 character in UTF-8, 0 for none. Behind a match in base64 it is how
    /// many `=` may follow, 1 or 2: a field of its own would make all readings slower.
    lead: u8,
    /// Bytes since the last whole character.
    waited: u8,
}

impl Thread {
    fn inside(self, inside: Inside) -> Self {
        Self { inside, ..self }
    }
}

/// All readings in progress, and the matches found.
#[derive(Default)]
pub(super) struct Reader {
    threads: Vec<Thread>,
    next: Vec<Thread>,
    /// Matches, in the order of their ends.
    pub(super) found: Vec<Span>,
}

impl Reader {
    /// Whether nothing is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.threads.is_empty()
    }

    /// Gives up what is in progress.
    pub(super) fn stop(&mut self) {
        self.threads.clear();
    }

    /// How many readings are in progress.
    pub(super) fn in_progress(&self) -> usize {
        self.threads.len()
    }

    /// Where the oldest reading in progress began.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.threads.iter().map(|thread| thread.start).min()
    }

    /// Reads the byte at `place`, with those before and after it where they are known.
    pub(super) fn read(
        &mut self,
        secrets: &Secrets,
        (before, byte, after): (Option<u8>, u8, Option<u8>),
        place: u64,
    ) {
        let mut step = Step {
            secrets,
            end: place + 1,
            next: std::mem::take(&mut self.next),
            found: std::mem::take(&mut self.found),
        };
        for thread in self.threads.drain(..) {
            step.read(thread, byte);
        }
        let escapes = secrets.starts().escapes(byte, after);
        step.begin(before, byte, escapes, place);
        (self.found, self.next) = (step.found, step.next);
        std::mem::swap(&mut self.threads, &mut self.next);
    }
}

struct Step<'a> {
    secrets: &'a Secrets,
    end: u64,
    next: Vec<Thread>,
    found: Vec<Span>,
}

impl Step<'_> {
    /// Begins what can begin here, or at the byte before with this one as its second.
    fn begin(&mut self, before: Option<u8>, byte: u8, escapes: bool, place: u64) {
        let starts = self.secrets.starts();
        let thread = Thread {
            start: place,
            pattern: None,
            at: 0,
            inside: Inside::Nothing,
            surrogate: 0,
            lead: 0,
            waited: 1,
        };
        let before = before.filter(|before| starts.begins(*before));
        let started =
            |number: u32, at| Thread { start: place.saturating_sub(1), pattern: Some(number), at, ..thread };
        if !escapes {
            let begun = before.into_iter().flat_map(|before| starts.beginning_with(before, byte));
            self.next.extend(begun.map(|number| started(number, 2)));
            return;
        }
        if let Some(before) = before {
            for number in starts.beginning(before) {
                self.read(started(number, 1), byte);
            }
        }
        let first = match byte {
            b'\\' => thread.inside(Inside::Backslash),
            b'%' => thread.inside(Inside::Percent),
            b'\r' | b'\n' => return,
            lead => Thread { lead, ..thread },
        };
        // A run of backslashes is read from its first one.
        let alike =
            |one: &Thread| one.pattern.is_none() && one.inside == first.inside && one.lead == first.lead;
        if !self.next.iter().any(alike) {
            self.next.push(first);
        }
    }

    fn read(&mut self, thread: Thread, byte: u8) {
        let thread = Thread { waited: thread.waited.saturating_add(1), ..thread };
        if thread.waited > LONGEST_ESCAPE {
            return;
        }
        let whole = thread.inside(Inside::Nothing);
        match thread.inside {
            Inside::Nothing => self.value(whole, byte),
            Inside::Backslash => self.after_backslash(whole, byte),
            Inside::Percent => {
                if let Some(digit) = hex_digit(byte) {
                    self.keep(thread.inside(Inside::PercentDigit(digit)));
                }
            }
            Inside::PercentDigit(high) => {
                if let Some(low) = hex_digit(byte) {
                    self.value(whole, high << 4 | low);
                }
            }
            Inside::Unicode { digits, number } => {
                let Some(digit) = hex_digit(byte) else { return };
                let number = number << 4 | u16::from(digit);
                if digits == 3 {
                    self.unit(whole, number);
                } else {
                    self.keep(thread.inside(Inside::Unicode { digits: digits + 1, number }));
                }
            }
            Inside::LineBreak(first) => match byte {
                b'\n' if first == b'\r' => self.keep(thread.inside(Inside::LineBreak(byte))),
                b'\r' | b'\n' => {}
                _ => self.value(whole, byte),
            },
        }
    }

    fn after_backslash(&mut self, thread: Thread, byte: u8) {
        match byte {
            b'u' => self.keep(thread.inside(Inside::Unicode { digits: 0, number: 0 })),
            b'x' => self.keep(thread.inside(Inside::Percent)),
            // A line break within base64, escaped.
            b'n' | b'r' if self.in_base64(thread) => self.keep(thread),
            // Other letters and digits stand for something else than themselves.
            _ if byte.is_ascii_alphanumeric() => {}
            _ => self.value(thread, byte),
        }
    }

    /// Takes a byte of text, as it stood or out of an escape.
    fn value(&mut self, thread: Thread, value: u8) {
        match value {
            b'\\' => self.keep(thread.inside(Inside::Backslash)),
            b'%' => self.keep(thread.inside(Inside::Percent)),
            _ => {}
        }
        if thread.surrogate != 0 {
            return;
        }
        if thread.lead != 0 {
            if thread.lead <= MOST_PADDING {
                self.padding(thread, value);
            } else if value & 0xc0 == 0x80 {
                let byte = thread.lead << 6 | value & 0x3f;
                self.advance_if(Thread { lead: 0, ..thread }, &[byte], |pattern, at| {
                    pattern.plain_byte(at) == Some(byte)
                });
            }
            return;
        }
        if matches!(value, b'\r' | b'\n') && self.in_base64(thread) {
            self.keep(thread.inside(Inside::LineBreak(value)));
        }
        if matches!(value, 0xc2 | 0xc3) && self.secrets.has_non_ascii() {
            self.keep(Thread { lead: value, ..thread });
        }
        self.advance_if(thread, &[value], |pattern, at| {
            pattern.fits(at, value) || value == b'+' && pattern.plain_byte(at) == Some(b' ')
        });
    }

    /// Takes a UTF-16 code unit out of `\uXXXX`.
    fn unit(&mut self, thread: Thread, unit: u16) {
        let character = match (thread.surrogate, unit) {
            (0, 0xd800..=0xdbff) => {
                self.keep(Thread { surrogate: unit, ..thread });
                return;
            }
            (0, _) => char::from_u32(u32::from(unit)),
            (high, low) => char::decode_utf16([high, low]).next().and_then(Result::ok),
        };
        let Some(character) = character else { return };
        let thread = Thread { surrogate: 0, ..thread };
        if let Ok(byte) = u8::try_from(u32::from(character)) {
            // ASCII, or a byte that was taken for Latin-1.
            self.value(thread, byte);
        }
        if !character.is_ascii() && thread.lead == 0 {
            let mut room = [0; 4];
            let text = character.encode_utf8(&mut room).as_bytes();
            let stands = |pattern: Pattern<'_>, at: usize| {
                (at..).zip(text).all(|(at, byte)| pattern.plain_byte(at) == Some(*byte))
            };
            self.advance_if(thread, text, stands);
        }
    }

    fn in_base64(&self, thread: Thread) -> bool {
        let pattern = thread.pattern.and_then(|number| self.secrets.pattern(number));
        thread.at > 0 && thread.lead == 0 && pattern.is_some_and(Pattern::is_base64)
    }

    /// A match ends here; what follows may be its padding.
    #[cold]
    fn finish(&mut self, thread: Thread, pattern: Pattern<'_>) {
        self.found.push(Span { start: thread.start, end: self.end, is_secret: true });
        self.await_padding(thread, pattern.padding());
    }

    /// Takes what follows a match, if it is padding.
    fn padding(&mut self, thread: Thread, value: u8) {
        if value == b'=' {
            self.found.push(Span { start: thread.start, end: self.end, is_secret: false });
            self.await_padding(thread, thread.lead - 1);
        }
    }

    fn await_padding(&mut self, thread: Thread, count: u8) {
        if count > 0 {
            self.keep(Thread { start: self.end, lead: count, waited: 0, ..thread });
        }
    }

    /// Goes on by `text` where it stands in the pattern: the thread's own, or all that begin
    /// with it if it has none yet.
    fn advance_if(&mut self, thread: Thread, text: &[u8], stands: impl Fn(Pattern<'_>, usize) -> bool) {
        let secrets = self.secrets;
        let mut advance = |number| {
            let Some(pattern) = secrets.pattern(number).filter(|pattern| stands(*pattern, thread.at)) else {
                return;
            };
            let at = thread.at + text.len();
            if at >= pattern.length() {
                self.finish(Thread { pattern: Some(number), at, ..thread }, pattern);
            } else {
                self.keep(Thread { pattern: Some(number), at, waited: 0, ..thread });
            }
        };
        match (thread.pattern, text) {
            (Some(number), _) => advance(number),
            (None, [first, ..]) => secrets.starts().beginning(*first).for_each(advance),
            (None, []) => {}
        }
    }

    /// Keeps a thread, unless the same was reached in another way.
    fn keep(&mut self, thread: Thread) {
        let alike = |one: &&Thread| one.start == thread.start && one.pattern == thread.pattern;
        if !self
            .next
            .iter()
            .rev()
            .take_while(alike)
            .any(|one| Thread { waited: thread.waited, ..*one } == thread)
        {
            self.next.push(thread);
        }
    }
}
