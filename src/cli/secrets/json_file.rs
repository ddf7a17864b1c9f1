//! Secrets as one flat JSON object of texts, `{"NAME": "value"}`. Every member is looked
//! at with the line it begins on, and a name that is given twice is seen.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::entries::{Entries, Problem, line_feeds};

/// Reads a whole file; a byte order mark is taken off already.
pub(super) fn read(bytes: &[u8], entries: &mut Entries) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + line_feeds(&bytes[..error.valid_up_to()]);
            return entries.problem(line, Problem::NotUtf8);
        }
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = Members { text, counted: (0, 1), entries: &mut *entries };
    let read = members.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Err(error) = read {
        let not_json = error.classify() != Category::Data;
        let problem = if not_json { Problem::NotJson } else { Problem::NotAnObject };
        entries.problem(error.line().max(1), problem);
    }
}

/// Hands every member on as soon as it is read, so that what stands before a mistake is
/// looked at too.
struct Members<'a, 'text> {
    text: &'text str,
    /// A place in the text, and the line it is on.
    counted: (usize, usize),
    entries: &'a mut Entries,
}

impl<'text> Members<'_, 'text> {
    /// The line on which a part of the text begins; parts are asked for in their order.
    fn line_of(&mut self, part: &'text str) -> usize {
        let place = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let (from, line) = self.counted;
        let between = self.text.as_bytes().get(from..place).unwrap_or_default();
        self.counted = (place, line + line_feeds(between));
        self.counted.1
    }

    fn member(&mut self, name: &'text RawValue, value: &'text RawValue) {
        let line = self.line_of(name.get());
        let Ok(name) = serde_json::from_str::<String>(name.get()) else {
            return self.entries.problem(line, Problem::NotJson);
        };
        let value = serde_json::from_str::<Zeroizing<String>>(value.get())
            .map(|mut value| Zeroizing::new(std::mem::take(&mut *value).into_bytes()))
            .map_err(|error| if error.is_data() { Problem::NotAString } else { Problem::NotJson });
        self.entries.push(line, name.as_bytes(), value);
    }
}

impl<'text> DeserializeSeed<'text> for Members<'_, 'text> {
    type Value = ();

    fn deserialize<D: Deserializer<'text>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'text> Visitor<'text> for Members<'_, 'text> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'text>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            self.member(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(text: &str) -> Result<Vec<(usize, String, String)>, String> {
        let mut entries = Entries::default();
        read(text.as_bytes(), &mut entries);
        let list = entries.finish("the file").map_err(|failure| failure.whole_message())?;
        let parts = list
            .into_iter()
            .map(|entry| (entry.line, entry.name.to_string(), entry.value.expose_text().to_owned()));
        Ok(parts.collect())
    }

    #[track_caller]
    fn problems(text: &str, expected: &[&str]) {
        let told = outcome(text).unwrap_err();
        assert!(!told.contains("canary"), "{told}");
        let lines: Vec<&str> = told.lines().skip(1).map(str::trim).collect();
        let alike = lines.iter().zip(expected).all(|(line, begin)| line.starts_with(begin));
        assert!(lines.len() == expected.len() && alike, "{text}\n{told}");
    }

    #[test]
    fn members_with_their_lines() {
        let text = "{\n  \"A\": \"1\",\n\n  \"b_2\":\n \"x\\u0041\\ud83d\\udd11\\\"\\\\\" , \"C\":\"3\"}\n";
        let expected = [(2, "A", "1"), (4, "b_2", "xA\u{1f511}\"\\"), (5, "C", "3")];
        let expected = expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned()));
        assert_eq!(outcome(text).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_told_by_line() {
        problems("{\"A\":\"x\",\n\"A\":\"canary\"}", &["line 2: the same name stands on line 1"]);
        problems(
            "{\"A\":\n1,\"B\":null,\n\"C\":{\"canary\":1}}",
            &[
                "line 1: the value is not a text",
                "line 2: the value is not a text",
                "line 3: the value is not a text",
            ],
        );
        problems(
            "{\"A\":\"canary\\n\",\n\"B-canary\":\"\"}",
            &[
                "line 1: the value has more than one line",
                "line 2: a secret's name",
                "line 2: the value is empty",
            ],
        );
        // What stands before a mistake in the JSON itself is looked at too.
        problems(
            "{\"A\":\"\",\n\"B\":canary}",
            &["line 1: the value is empty", "line 2: this is not valid JSON"],
        );
        problems("{\"A\":\"\\ud800\"}", &["line 1: this is not valid JSON"]);
        for text in [
            "{\"A\":\"canary\"",
            "{\"A\":\"canary",
            "{\"A\":\"canary\"}\ncanary",
            "{canary}",
            "{\"A\" \"canary\"}",
        ] {
            let told = outcome(text).unwrap_err();
            assert!(told.contains(": this is not valid JSON") && !told.contains("canary"), "{text}: {told}");
        }
        for text in ["[\"canary\"]", "\"canary\"", "1", "null"] {
            problems(text, &["line 1: the JSON is not an object"]);
        }
    }

    #[test]
    fn what_is_not_utf_8_has_a_line() {
        let mut entries = Entries::default();
        read(b"{\n\"A\": \"canary\xff\"}", &mut entries);
        let told = entries.finish("the file").unwrap_err().whole_message();
        assert_eq!(told, "the file has a problem; nothing was sent\n  line 2: this is not UTF-8 text");
    }

    proptest! {
        #[test]
        fn every_value_comes_through(value in "[!-~\u{a0}-\u{10ffff}]([ -~\u{a0}-\u{10ffff}]{0,60}[!-~])?") {
            for text in [serde_json::json!({"A": &value}).to_string(), format!("{{\n\"A\":{}}}", escaped(&value))] {
                prop_assert_eq!(&outcome(&text).unwrap()[0].2, &value);
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, &mut Entries::default());
        }
    }

    /// Every character as a `\u` escape.
    fn escaped(value: &str) -> String {
        let units: Vec<String> = value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{}\"", units.concat())
    }
}
