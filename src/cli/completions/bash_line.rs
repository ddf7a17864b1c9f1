//! A line that is typed in bash, taken apart the way the shell will do it: bash's own words
//! for completions also end at `:` and `=`, and keep their quotes.

use std::ffi::OsString;

/// Characters that a word keeps only if a backslash stands before them.
const SPECIAL: &str = " \t\"'\\$`&;|<>()[]{}*?!#";
/// The same between double quotes.
const SPECIAL_IN_DOUBLE_QUOTES: &str = "\"\\$`";

/// The quote that is open somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// A line up to the cursor.
#[derive(Debug)]
pub(super) struct BashLine {
    /// The words without their quotes; the last one, which may be empty, is being typed.
    pub(super) words: Vec<OsString>,
    /// The front of the last word, which readline keeps.
    kept: String,
    /// The quote that is open where readline begins to replace.
    quote: Quote,
}

impl BashLine {
    /// Takes a line apart. `replaced` is the end of the line that readline will replace.
    pub(super) fn parse(line: &str, replaced: &str) -> Self {
        let (words, start, _) = split(line);
        let last = &line[start..];
        let (kept, quote) = match last.strip_suffix(replaced) {
            Some(front) => {
                let (mut words, _, quote) = split(front);
                (words.pop().unwrap_or_default(), quote)
            }
            None => (String::new(), Quote::None),
        };
        Self { words: words.into_iter().map(OsString::from).collect(), kept, quote }
    }

    /// What readline is to put there for a word; `None` if it does not fit.
    pub(super) fn replacement(&self, word: &str) -> Option<String> {
        let rest = word.strip_prefix(&self.kept)?;
        if rest.chars().any(char::is_control) {
            return None;
        }
        let special = match self.quote {
            Quote::None => SPECIAL,
            Quote::Double => SPECIAL_IN_DOUBLE_QUOTES,
            Quote::Single if rest.contains('\'') => return None,
            Quote::Single => "",
        };
        let mut text = String::new();
        for char in rest.chars() {
            if special.contains(char) {
                text.push('\\');
            }
            text.push(char);
        }
        Some(text)
    }
}

/// The words, where the last one begins, and the quote that is still open at the end.
fn split(line: &str) -> (Vec<String>, usize, Quote) {
    let (mut words, mut word, mut start, mut quote) = (Vec::new(), None::<String>, 0, Quote::None);
    let mut chars = line.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        if quote == Quote::None && char.is_ascii_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| {
            start = at;
            String::new()
        });
        match (quote, char) {
            (Quote::None, '\'') => quote = Quote::Single,
            (Quote::None, '"') => quote = Quote::Double,
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None, '\\') => word.extend(chars.next().map(|(_, char)| char)),
            (Quote::Double, '\\') => {
                let escaped = chars.next_if(|(_, char)| SPECIAL_IN_DOUBLE_QUOTES.contains(*char));
                word.push(escaped.map_or('\\', |(_, char)| char));
            }
            (_, char) => word.push(char),
        }
    }
    if word.is_none() {
        start = line.len();
    }
    words.push(word.unwrap_or_default());
    (words, start, quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_shell() {
        let words = |line: &str| split(line).0;
        assert_eq!(words("a b"), ["a", "b"]);
        assert_eq!(words("a  b "), ["a", "b", ""]);
        assert_eq!(words("a 'b c' \"d 'e\\\"\" f\\ g"), ["a", "b c", "d 'e\"", "f g"]);
        assert_eq!(words("a http://h:1 -w=x"), ["a", "http://h:1", "-w=x"]);
        assert_eq!(words("a \"b\\c"), ["a", "b\\c"]);
        assert_eq!(words("a ''"), ["a", ""]);
        assert_eq!(words(""), [""]);
    }

    #[test]
    fn only_the_end_of_a_word_is_replaced() {
        let replacement =
            |line: &str, replaced: &str, word: &str| BashLine::parse(line, replaced).replacement(word);
        for (line, replaced, word, expected) in [
            ("a GI", "GI", "GITHUB_TOKEN", "GITHUB_TOKEN"),
            ("a --workspace=te", "te", "--workspace=team", "team"),
            ("a --workspace=", "", "--workspace=team", "team"),
            ("a \"git", "git", "github-mcp", "github-mcp"),
            ("a --header=\"X-K", "X-K", "--header=X-Key", "X-Key"),
            ("a my", "my", "my file", "my\\ file"),
            ("a \"my", "my", "my $file", "my \\$file"),
            ("a 'my", "my", "my $file", "my $file"),
            ("a my\\ f", "my\\ f", "my file", "my\\ file"),
        ] {
            assert_eq!(replacement(line, replaced, word).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(replacement("a --workspace=te", "te", "team"), None);
        assert_eq!(replacement("a f", "f", "f\ng"), None);
        assert_eq!(replacement("a 'f", "f", "f'g"), None);
    }
}
