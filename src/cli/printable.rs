//! Text from elsewhere, made safe for a terminal: control characters and those that
//! reorder a line are shown as escapes instead of being obeyed.

use std::borrow::Cow;

/// Whether a terminal might obey the character instead of showing it.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    let bad = |character: char| is_obeyed(character) && !keep(character);
    if !text.chars().any(bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if bad(character) { safe.push_str(&escape(character)) } else { safe.push(character) }
    }
    Cow::Owned(safe)
}

/// One line: line ends are escaped too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, |character| character.escape_unicode().to_string())
}

/// Several lines: line feeds stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n', |character| character.escape_unicode().to_string())
}

/// JSON text: outside its strings there is nothing to escape but line feeds, inside
/// them `\u` escapes mean the same character.
pub fn json(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n', |character| format!("\\u{:04x}", u32::from(character)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(one_line("Grüße ✓"), "Grüße ✓");
        assert_eq!(one_line("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(one_line("a\nb\u{9b}c\u{202e}"), "a\\u{a}b\\u{9b}c\\u{202e}");
        assert_eq!(lines("a\nb\rc"), "a\nb\\u{d}c");
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({"name": "a\u{7f}\u{9b}\u{202e}\u{1b}"});
        let text = value.to_string();
        let safe = json(&text);
        assert!(!safe.chars().any(is_obeyed), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
