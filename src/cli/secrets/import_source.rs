//! The bytes of an import: from a file or standard input, whole, as UTF-8 or as UTF-16
//! with a byte order mark (which is what PowerShell writes); and what form they have.

use std::ffi::{OsStr, OsString};
use std::fs::File;

use clap::ValueEnum;
use zeroize::Zeroizing;

use super::entries::{Entries, Entry, Problem};
use super::text_encoding::without_mark;
use super::{env_file, json_file};
use crate::api::secrets_batch::MAX_BATCH_BYTES;
use crate::cli::bounded_input;
use crate::cli::context::Context;
use crate::cli::failure::Failure;

/// How secrets are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// NAME=VALUE lines
    Env,
    /// An object {"NAME": "value"}
    Json,
}

/// Reads the secrets of a file, or of standard input for `-` and where no file is named.
/// Nothing was sent when it fails.
pub(super) fn read(
    file: Option<&OsString>,
    format: Option<Format>,
    context: &mut Context<'_>,
) -> Result<Vec<Entry>, Failure> {
    let path = file.filter(|file| *file != "-");
    let source = if path.is_some() { "the file" } else { "standard input" };
    let bytes = match path {
        Some(path) => from_file(path)?,
        None => from_standard_input(file.is_some(), context)?,
    };
    let bytes = bytes.ok_or_else(|| {
        let limit = MAX_BATCH_BYTES >> 20;
        Failure::invalid_value(format!("{source} has more than {limit} MiB; nothing was sent"))
            .with_hint("import it in several parts")
    })?;
    let mut entries = Entries::default();
    parse(&bytes, format, &mut entries);
    entries.finish(source)
}

fn from_file(path: &OsStr) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    // The name is not repeated: a value may stand in its place.
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("could not read the file: {error}; nothing was sent"))
            .with_hint("give the path of a file that you can read, or '-' for standard input")
    };
    let mut file = File::open(path).map_err(unreadable)?;
    bounded_input::read_bounded(&mut file, MAX_BATCH_BYTES).map_err(unreadable)
}

fn from_standard_input(
    named: bool,
    context: &mut Context<'_>,
) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    if context.terminal.reads_from_terminal() {
        if !named {
            return Err(Failure::usage("there is no file to import; nothing was sent")
                .with_hint("name a file, or give its content on standard input"));
        }
        context.terminal.note("Reading from the terminal, where it can be seen. Ctrl-D ends it.");
    }
    context.terminal.read_to_end(MAX_BATCH_BYTES)
}

fn parse(bytes: &[u8], format: Option<Format>, entries: &mut Entries) {
    let text = match without_mark(bytes) {
        Ok(text) => text,
        Err(line) => return entries.problem(line, Problem::NotUtf16),
    };
    // No line of a .env file can begin with a brace.
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let found = if first == Some(&b'{') { Format::Json } else { Format::Env };
    match format.unwrap_or(found) {
        Format::Env => env_file::read(&text, entries),
        Format::Json => json_file::read(&text, entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bytes: &[u8], format: Option<Format>) -> Result<Vec<(usize, String, String)>, String> {
        let mut entries = Entries::default();
        parse(bytes, format, &mut entries);
        let list = entries.finish("the file").map_err(|failure| failure.whole_message())?;
        let parts = list
            .into_iter()
            .map(|entry| (entry.line, entry.name.to_string(), entry.value.expose_text().to_owned()));
        Ok(parts.collect())
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn marks_are_dropped_and_utf_16_is_decoded() {
        let text = "A=x\r\nB=\u{e4}\u{1f511}\r\n";
        let expected =
            Ok(vec![(1, "A".to_owned(), "x".to_owned()), (2, "B".to_owned(), "\u{e4}\u{1f511}".to_owned())]);
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}").into_bytes(),
            utf16(&format!("\u{feff}{text}"), u16::to_le_bytes),
            utf16(&format!("\u{feff}{text}"), u16::to_be_bytes),
        ] {
            assert_eq!(outcome(&bytes, None), expected);
        }
        let json = utf16("\u{feff}\r\n {\"A\":\"x\"}", u16::to_le_bytes);
        assert_eq!(outcome(&json, None), Ok(vec![(2, "A".to_owned(), "x".to_owned())]));
    }

    #[test]
    fn broken_utf_16_is_refused_and_not_replaced() {
        let told = "the file has a problem; nothing was sent\n  line 2: this is not valid UTF-16 text";
        let mut cut = utf16("\u{feff}A=x\nB=canary", u16::to_le_bytes);
        cut.pop();
        let mut lone = utf16("\u{feff}A=x\nB=", u16::to_le_bytes);
        lone.extend([0x00, 0xd8, b'x', 0]);
        for bytes in [cut, lone] {
            assert_eq!(outcome(&bytes, None), Err(told.to_owned()));
        }
    }

    #[test]
    fn the_form_is_found_or_given() {
        assert!(outcome(b"\n\t {\"A\":\"x\"}", None).is_ok());
        assert!(outcome(b"{\"A\":\"x\"}", Some(Format::Env)).unwrap_err().contains("no '='"));
        assert!(outcome(b"A=x", Some(Format::Json)).unwrap_err().contains("not valid JSON"));
        assert!(outcome(b"", Some(Format::Json)).unwrap_err().contains("not valid JSON"));
    }
}
