//! The terminal as a value: the only place that prints, prompts and reads standard
//! input. Data goes to `out`, talk to `err`. Control characters never get through,
//! wherever a text came from.

mod asking;

use std::cell::RefCell;
use std::io::{self, Cursor, IsTerminal as _, Write as _};
use std::rc::Rc;

use anyhow::Context as _;
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use zeroize::Zeroizing;

use super::bounded_input::read_bounded;
use super::failure::Failure;
use super::printable;
use super::talker::Talker;

/// How to talk.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one choice of the user")]
pub struct Style {
    /// `error:` and `hint:` in colour.
    pub color: bool,
    /// No notes.
    pub quiet: bool,
    /// Errors as JSON, no notes.
    pub json: bool,
    /// The terminal understands no control sequences.
    pub dumb: bool,
}

/// Where text goes.
#[derive(Clone)]
pub(super) enum Output {
    Stdout,
    Stderr,
    Captured(Rc<RefCell<Vec<u8>>>),
}

enum Input {
    Stdin,
    Captured(Cursor<Vec<u8>>),
}

/// Where a command reads and prints.
#[expect(
    clippy::struct_excessive_bools,
    reason = "three streams, each a terminal or not, and one thing to remember"
)]
pub struct Terminal {
    out: Output,
    err: Output,
    input: Input,
    input_is_tty: bool,
    out_is_tty: bool,
    err_is_tty: bool,
    style: Style,
    lost_data: bool,
}

impl Terminal {
    /// The real one.
    pub fn stdio() -> Self {
        Self {
            out: Output::Stdout,
            err: Output::Stderr,
            input: Input::Stdin,
            input_is_tty: io::stdin().is_terminal(),
            out_is_tty: io::stdout().is_terminal(),
            err_is_tty: io::stderr().is_terminal(),
            style: Style::default(),
            lost_data: false,
        }
    }

    /// One that collects what is printed; `tty` says whether it passes for a terminal.
    pub fn captured(tty: bool) -> Self {
        Self {
            out: Output::Captured(Rc::default()),
            err: Output::Captured(Rc::default()),
            input: Input::Captured(Cursor::new(Vec::new())),
            input_is_tty: tty,
            out_is_tty: tty,
            err_is_tty: tty,
            style: Style::default(),
            lost_data: false,
        }
    }

    /// Gives a captured terminal its input.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Input::Captured(input) = &mut self.input {
            input.get_mut().extend_from_slice(bytes);
        }
    }

    /// What a captured terminal got on `out`.
    pub fn out_text(&self) -> String {
        self.out.text()
    }

    /// What a captured terminal got on `err`.
    pub fn err_text(&self) -> String {
        self.err.text()
    }

    /// Says how to talk from here on.
    pub fn set_style(&mut self, style: Style) {
        self.style = style;
    }

    /// Whether data goes to a terminal, where a person reads it.
    pub fn shows_data(&self) -> bool {
        self.out_is_tty
    }

    /// How many characters fit in a line of the terminal that data goes to, if that is known.
    pub fn data_width(&self) -> Option<usize> {
        if !self.out_is_tty || !matches!(self.out, Output::Stdout) {
            return None;
        }
        let size = tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|width| *width > 0)
    }

    /// Whether talk goes to a terminal.
    pub fn talks_to_terminal(&self) -> bool {
        self.err_is_tty
    }

    /// Whether input comes from a terminal.
    pub fn reads_from_terminal(&self) -> bool {
        self.input_is_tty
    }

    /// Whether data could not be printed, and nobody was told yet what that means.
    pub fn lost_data(&self) -> bool {
        self.lost_data
    }

    /// Prints data, with a line end. A reader that went away is no failure.
    pub fn data(&mut self, text: &str) -> Result<(), Failure> {
        self.print(text, true)
    }

    /// Prints data that cannot be had a second time: a reader that went away is a failure.
    pub fn data_once(&mut self, text: &str) -> Result<(), Failure> {
        self.print(text, false)
    }

    fn print(&mut self, text: &str, may_be_lost: bool) -> Result<(), Failure> {
        let line = Zeroizing::new(format!("{}\n", printable::lines(text)));
        match self.out.write(line.as_bytes()) {
            Err(error) if !(may_be_lost && error.kind() == io::ErrorKind::BrokenPipe) => {
                self.lost_data = may_be_lost;
                Err(anyhow::Error::new(error).context("could not write to standard output").into())
            }
            _ => Ok(()),
        }
    }

    /// Prints bytes as they are: an answer to a completion script, made of our own words and
    /// of checked names. A reader that went away is no failure.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.out.write(bytes) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(anyhow::Error::new(error).context("could not write to standard output").into())
            }
            _ => Ok(()),
        }
    }

    /// Prints one JSON document as data.
    pub fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = json_text(document)?;
        self.data(&text)
    }

    /// Prints one JSON document as data that cannot be had a second time.
    pub fn json_once(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = json_text(document)?;
        self.data_once(&text)
    }

    /// Says something that only people need.
    pub fn note(&mut self, text: &str) {
        self.talker().note(text);
    }

    /// The same for what a program should know too: among JSON it is a warning's document.
    pub fn caution(&mut self, text: &str) {
        if self.style.json && !self.style.quiet {
            return self.warning(text);
        }
        self.note(text);
    }

    /// A way to talk while the terminal is lent to somebody else.
    pub fn talker(&self) -> Talker {
        Talker::new(self.err.clone(), self.style)
    }

    /// Says something that must not be missed. Among JSON errors it is a JSON document on
    /// a line of its own: `{"warning":{"message":...}}`.
    pub fn warning(&mut self, text: &str) {
        if self.style.json {
            let document = serde_json::json!({"warning": {"message": text}});
            self.talk(&printable::json(&document.to_string()));
            return;
        }
        let label = self.colored("33", "warning:");
        self.talk_labelled(&label, &printable::one_line(text));
    }

    /// Says something unconditionally: a help text, a line of `--verbose`, a question's
    /// preamble.
    pub fn talk(&mut self, text: &str) {
        self.talker().talk(text);
    }

    /// Shows a failure: `error:`, `hint:`, `request id:`, or one JSON document.
    pub fn failure(&mut self, failure: &Failure) {
        if failure.message().is_empty() {
            return;
        }
        if self.style.json {
            let text = serde_json::to_string(&failure.document()).unwrap_or_default();
            self.talk(&printable::json(&text));
            return;
        }
        let label = self.colored("1;31", "error:");
        self.talk_labelled(&label, &printable::one_line(failure.message()));
        for detail in failure.details() {
            self.talk(&format!("  {}", printable::one_line(detail)));
        }
        if let Some(hint) = failure.hint() {
            let label = self.colored("36", "hint:");
            self.talk_labelled(&label, &printable::one_line(hint));
        }
        if let Some(id) = failure.request_id() {
            self.talk(&format!("request id: {}", printable::one_line(id)));
        }
    }

    /// The text must have been made safe.
    fn talk_labelled(&mut self, label: &str, text: &str) {
        // The label may hold colour codes, so it goes past the escaping.
        let line = format!("{label} {text}\n");
        let _ = self.err.write(line.as_bytes());
    }

    fn colored(&self, code: &str, word: &str) -> String {
        if self.style.color { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
    }

    /// Tells GitHub Actions to hide this in its log. Its runner reads both outputs; this is
    /// talk, and the one line that is neither escaped nor left out, or the value would show.
    pub fn mask_in_workflow_log(&mut self, value: &[u8]) {
        let mut line = Zeroizing::new(Vec::with_capacity(3 * value.len() + 16));
        line.extend_from_slice(b"::add-mask::");
        for &byte in value {
            if byte == b'%' { line.extend_from_slice(b"%25") } else { line.push(byte) }
        }
        line.push(b'\n');
        let _ = self.err.write(&line);
    }

    /// Reads standard input to its end, however long that takes; `None` when there is
    /// more than `limit` bytes of it.
    pub fn read_to_end(&mut self, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let read = match &mut self.input {
            Input::Stdin => read_bounded(&mut io::stdin().lock(), limit),
            Input::Captured(input) => read_bounded(input, limit),
        };
        Ok(read.context("could not read standard input")?)
    }
}

fn json_text(document: &impl Serialize) -> Result<Zeroizing<String>, Failure> {
    let text = Zeroizing::new(serde_json::to_string(document).context("could not write JSON")?);
    Ok(Zeroizing::new(printable::json(&text).into_owned()))
}

impl Output {
    /// Writes all of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::Captured(text) => text.borrow_mut().write_all(bytes),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Captured(text) => String::from_utf8_lossy(&text.borrow()).into_owned(),
            Self::Stdout | Self::Stderr => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_for_people_and_for_programs() {
        let mut terminal = Terminal::captured(false);
        terminal.failure(&Failure::usage("no\u{1b}[2J").with_hint("do"));
        assert_eq!(terminal.err_text(), "error: no\\u{1b}[2J\nhint: do\n");
        let mut terminal = Terminal::captured(false);
        terminal.set_style(Style { json: true, ..Style::default() });
        terminal.failure(&Failure::usage("no"));
        terminal.note("not shown");
        assert_eq!(terminal.err_text().lines().count(), 1);
        assert!(terminal.err_text().starts_with(r#"{"error":{"#));
    }

    #[test]
    fn colour_is_for_labels_only() {
        let mut terminal = Terminal::captured(true);
        terminal.set_style(Style { color: true, ..Style::default() });
        terminal.failure(&Failure::usage("no"));
        assert_eq!(terminal.err_text(), "\u{1b}[1;31merror:\u{1b}[0m no\n");
    }

    #[test]
    fn input_is_read_whole_and_bounded() {
        let mut terminal = Terminal::captured(false);
        terminal.feed(&vec![b'x'; 100_000]);
        assert_eq!(terminal.read_to_end(100_000).unwrap().unwrap().len(), 100_000);
        let mut terminal = Terminal::captured(false);
        terminal.feed(&vec![b'x'; 100_001]);
        assert!(terminal.read_to_end(100_000).unwrap().is_none());
    }
}
