//! Where escapes stand in a text, in the way of JSON: what is taken out must not begin or end
//! within one, or the rest of it says something else (`\n` and `abc` are not `\` and `nabc`).

/// Longest escape, in bytes: `\u` and four digits.
const LONGEST: usize = 6;

/// Tells where escapes stand in a text. Asked from the front to the back, it looks at few bytes
/// more than once, however long the runs of backslashes are.
pub(super) struct Escapes<'a> {
    text: &'a [u8],
    /// Beginning of a run of backslashes, and how far it was followed.
    run: (usize, usize),
}

impl<'a> Escapes<'a> {
    /// Of a text that does not begin within one.
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { text, run: (0, 0) }
    }

    /// Whether an odd number of backslashes stands right before this place: the last one begins
    /// an escape.
    pub(super) fn is_odd(&mut self, at: usize) -> bool {
        let (start, end) = self.run;
        if at < start || end < at {
            let from = if end < at { end } else { 0 };
            let before = self.text.get(from..at).unwrap_or_default();
            let other = before.iter().rposition(|byte| *byte != b'\\');
            let same = if end < at { start } else { 0 };
            self.run = (other.map_or(same, |other| from + other + 1), at);
        }
        !(at - self.run.0).is_multiple_of(2)
    }

    /// Where a match ends that ends here, so that it does not end within an escape of a quotation mark
    /// or a backslash. `shorter` is the end of another one that begins at the same place.
    pub(super) fn end_of(&mut self, at: usize, shorter: Option<usize>) -> usize {
        if !matches!(self.text.get(at), Some(b'"' | b'\\')) || !self.is_odd(at) {
            return at;
        }
        // Are both there, the last backslash is none of the secret's.
        match shorter.and_then(|shorter| self.text.get(shorter..at)) {
            Some(more) if more.iter().all(|byte| *byte == b'\\') => at - 1,
            _ => at + 1,
        }
    }

    /// Where the escape begins that this place is within; the place itself if it is in none.
    /// At the end of the text that is an escape that may go on.
    pub(super) fn begin_of(&mut self, at: usize) -> usize {
        let earliest = (at + 1).saturating_sub(LONGEST);
        let Some(start) = (earliest..at).rev().find(|start| self.text.get(*start) == Some(&b'\\')) else {
            return at;
        };
        let rest = &self.text[start + 1..];
        let length = match rest.first() {
            None | Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => LONGEST,
            Some(b'x') => 4,
            Some(_) => return at,
        };
        let is_whole = rest.iter().take(length - 1).skip(1).all(u8::is_ascii_hexdigit);
        // A letter right behind the backslash goes with it, whatever follows.
        let is_within = at < start + length && (is_whole || at == start + 1);
        if is_within && self.is_odd(start + 1) { start } else { at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_within_escapes() {
        for (text, at, begin) in [
            ("ab", 1, 1),
            ("a\\nb", 1, 1),
            ("a\\nb", 2, 1),
            ("a\\nb", 3, 3),
            ("a\\\\nb", 3, 3),
            ("a\\\\\\nb", 4, 3),
            ("\\gb", 1, 1),
            ("\\", 1, 0),
            ("\\\\", 2, 2),
            ("\\u0041b", 1, 0),
            ("\\u0041b", 5, 0),
            ("\\u0041b", 6, 6),
            ("\\\\u0041b", 5, 5),
            ("\\u00", 4, 0),
            ("\\u00g1", 4, 4),
            ("\\ughij", 1, 0),
            ("\\ughij", 2, 2),
            ("\\x41b", 3, 0),
            ("\\x41b", 4, 4),
        ] {
            assert_eq!(Escapes::of(text.as_bytes()).begin_of(at), begin, "{text} at {at}");
        }
    }

    #[test]
    fn runs_are_counted_in_any_order() {
        let text = b"\\\\a\\\\\\b\\";
        let odd = [false, true, false, false, true, false, true, false, true];
        for (first, second) in (0..9).flat_map(|first| (0..9).map(move |second| (first, second))) {
            let mut escapes = Escapes::of(text);
            let counted = (escapes.is_odd(first), escapes.is_odd(second));
            assert_eq!(counted, (odd[first], odd[second]), "{first} {second}");
        }
    }
}
