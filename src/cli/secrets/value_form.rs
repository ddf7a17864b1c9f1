//! From the bytes that came in to the value that is sent: what other programs put around a
//! text goes, and what was asked for is done. Nothing is changed without being said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use zeroize::Zeroizing;

use super::compact_json::compact;
use super::text_encoding::{Mark, mark, without_mark};
use crate::cli::failure::Failure;
use crate::domain::ValueProblem;

/// What is to be done with the bytes.
#[derive(Debug, Clone, Copy, Default, Args)]
#[group(skip)]
#[expect(clippy::struct_excessive_bools, reason = "each is one option of the command line")]
pub(super) struct ValueForm {
    /// Keep all that is read, also a final line end
    #[arg(long, conflicts_with = "trim")]
    pub raw: bool,
    /// Remove blanks and line ends around it
    #[arg(long)]
    pub trim: bool,
    /// Encode it as base64, in one line
    #[arg(long, conflicts_with = "compact_json")]
    pub base64: bool,
    /// Write JSON in one line
    #[arg(long)]
    pub compact_json: bool,
}

/// Where the bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Argument,
    Environment,
    File,
    Input,
    Prompt,
}

/// The bytes to send and what was done to them.
pub(super) struct Formed {
    pub bytes: Zeroizing<Vec<u8>>,
    /// In the order in which it was done.
    pub changes: Vec<String>,
}

/// Why there is nothing to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormProblem {
    /// A file that begins with a byte order mark; it is to be taken as it is.
    MarkInFile,
    /// A byte order mark of UTF-16 before what is none.
    NotUtf16,
    /// `--compact-json` with something else.
    NotJson,
}

impl ValueForm {
    /// Does what is to be done.
    pub(super) fn apply(self, bytes: Zeroizing<Vec<u8>>, source: Source) -> Result<Formed, FormProblem> {
        let mut formed = Formed { bytes, changes: Vec::new() };
        // In what is not a text, every byte counts.
        let binary = source == Source::Input && self.base64 && !self.trim && !is_text(&formed.bytes);
        if !self.raw && !binary {
            self.take_off_the_mark(&mut formed, source)?;
            if source == Source::Input && !self.trim && !self.compact_json {
                take_off_the_line_end(&mut formed);
            }
        }
        if self.trim {
            trim(&mut formed);
        }
        if self.compact_json {
            let before = formed.bytes.len();
            formed.bytes = compact(&formed.bytes).ok_or(FormProblem::NotJson)?;
            formed.say(before - formed.bytes.len(), "of blanks out of the JSON");
        }
        if self.base64 && !formed.bytes.is_empty() {
            formed.bytes = Zeroizing::new(STANDARD.encode(&*formed.bytes).into_bytes());
            formed.changes.push("encoded as base64".to_owned());
        }
        Ok(formed)
    }

    fn take_off_the_mark(self, formed: &mut Formed, source: Source) -> Result<(), FormProblem> {
        let mark = mark(&formed.bytes);
        if mark == Mark::None || matches!(source, Source::Argument | Source::Environment | Source::Prompt) {
            return Ok(());
        }
        if source == Source::File && !self.trim && !self.compact_json {
            return if self.base64 { Ok(()) } else { Err(FormProblem::MarkInFile) };
        }
        formed.bytes = without_mark(&formed.bytes).map_err(|_| FormProblem::NotUtf16)?;
        let said = if mark == Mark::Utf16 { "decoded UTF-16" } else { "removed the byte order mark" };
        formed.changes.push(said.to_owned());
        Ok(())
    }
}

/// What a person can do about a value that is not legal.
pub(super) fn way_out(problem: ValueProblem, source: Source, only_line_end: bool) -> &'static str {
    match problem {
        ValueProblem::Empty if source == Source::Input => {
            "if another program should have given it, that one failed; --prompt asks for it, and to remove a secret use 'aerostack secrets delete'"
        }
        ValueProblem::Empty => "to remove a secret use 'aerostack secrets delete'",
        ValueProblem::TooLong(_) => problem.way_out(),
        ValueProblem::LineBreak if only_line_end => "--trim removes line ends around it",
        ValueProblem::LineBreak => {
            "send it in one line, if the MCP server takes that: --base64 encodes it, --compact-json is for JSON"
        }
        ValueProblem::ControlByte(_) => {
            "check what was copied; if it is binary and the MCP server takes that, --base64 encodes it"
        }
        ValueProblem::OuterBlank => "--trim removes the blanks around it",
        ValueProblem::NotUtf8(_) => "if the MCP server takes that, --base64 encodes it",
    }
}

impl Formed {
    fn say(&mut self, count: usize, what: &str) {
        if count > 0 {
            let bytes = if count == 1 { "byte" } else { "bytes" };
            self.changes.push(format!("took {count} {bytes} {what}"));
        }
    }
}

impl From<FormProblem> for Failure {
    fn from(problem: FormProblem) -> Self {
        let (message, hint) = match problem {
            FormProblem::MarkInFile => (
                "the file begins with a byte order mark",
                "--trim drops it (and reads UTF-16), --raw keeps it as a part of the value",
            ),
            FormProblem::NotUtf16 => (
                "the value begins with the byte order mark of UTF-16, and it is not UTF-16 text",
                "if it is binary and the MCP server takes that, --base64 encodes it",
            ),
            FormProblem::NotJson => ("the value is not a JSON document", "leave out --compact-json"),
        };
        Self::invalid_value(format!("{message}; nothing was stored")).with_hint(hint)
    }
}

/// Whether it is a text as it would be typed, with a byte order mark or without one.
fn is_text(bytes: &[u8]) -> bool {
    let text = without_mark(bytes).ok();
    let text = text.as_ref().and_then(|text| std::str::from_utf8(text).ok());
    text.is_some_and(|text| !text.chars().any(|one| one.is_control() && !matches!(one, '\t' | '\r' | '\n')))
}

/// One line feed or CRLF at the end of a single line.
fn take_off_the_line_end(formed: &mut Formed) {
    if let Some(line) = single_line(&formed.bytes) {
        let length = line.len();
        formed.bytes.truncate(length);
        formed.changes.push("removed the trailing newline".to_owned());
    }
}

/// Whether it is one line but for line ends around it: on which side they are.
pub(super) fn only_outer_line_ends(bytes: &[u8]) -> Option<&'static str> {
    let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let inner = bytes.trim_ascii();
    let place = if bytes.last().is_some_and(line_end) { "ends" } else { "begins" };
    (!inner.is_empty() && !inner.iter().any(line_end)).then_some(place)
}

/// What stands before the final line end, if that is the only one.
fn single_line(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.iter().any(|byte| matches!(byte, b'\r' | b'\n'))).then_some(line)
}

fn trim(formed: &mut Formed) {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let before = formed.bytes.iter().take_while(blank).count();
    let after = formed.bytes[before..].iter().rev().take_while(blank).count();
    let length = formed.bytes.len();
    formed.bytes.truncate(length - after);
    formed.bytes.drain(..before);
    formed.say(before + after, "off its ends");
}
