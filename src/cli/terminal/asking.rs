//! Questions. They are asked where a person sees them: on the terminal itself where a
//! standard stream is something else.

use std::fs::File;
use std::io::{self, BufRead as _, Cursor, Read as _, Write as _};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::{Input, Terminal};
use crate::cli::failure::{Failure, FailureKind};
use crate::cli::hidden_input::{self, Answer, HiddenLine, MARK_NO_PASTES, MARK_PASTES, Progress};
use crate::cli::{printable, question_signals};

impl Terminal {
    /// Whether a question can be asked: input comes from a terminal, and the question is seen.
    pub fn can_ask(&self) -> bool {
        self.input_is_tty && (self.err_is_tty || self.own().is_some())
    }

    /// Whether a hidden question can be asked, wherever standard input comes from.
    pub fn can_hide(&self) -> bool {
        self.can_ask() || self.own().is_some()
    }

    /// Shows what it is about, if that is not empty, and asks for a line that everybody may
    /// see; `None` at the end of input (Ctrl-D).
    ///
    /// # Errors
    /// Exit 130 after Ctrl-C; exit 1 where the question cannot be shown.
    pub fn ask(&mut self, about: &str, question: &str) -> Result<Option<String>, Failure> {
        let own = self.own();
        let about = if about.is_empty() { String::new() } else { format!("{}\n", printable::lines(about)) };
        let text = format!("{about}{} ", printable::one_line(question));
        let text = text.as_bytes();
        let answer = match (&mut self.input, &own) {
            (Input::Captured(input), _) => self.err.write(text).and_then(|()| shown_line_of(input)),
            (Input::Stdin, Some(terminal)) => {
                hidden_input::read_shown(terminal.as_fd(), || (&mut &*terminal).write_all(text))
            }
            (Input::Stdin, None) => hidden_input::read_shown(io::stdin().as_fd(), || self.err.write(text)),
        };
        let answer = answer.context("could not ask, or read the answer")?;
        if !matches!(answer, Answer::Line(_)) {
            let _ = self.write_at(own.as_ref(), "\n");
        }
        let line = line_of(answer, "changed")?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()))
    }

    /// Asks for a line that is not shown, and says how long it is.
    ///
    /// # Errors
    /// Exit 130 after Ctrl-C; exit 1 where the question cannot be shown.
    pub fn ask_hidden(&mut self, question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let own = self.own();
        let marks = matches!(self.input, Input::Stdin) && !self.style.dumb;
        let (begin, end) = if marks { (MARK_PASTES, MARK_NO_PASTES) } else { ("", "") };
        let text = format!("{begin}{} ", printable::one_line(question));
        let text = text.as_bytes();
        let answer = match (&mut self.input, &own) {
            (Input::Captured(input), _) => self.err.write(text).map(|()| hidden_line_of(input)),
            (Input::Stdin, Some(terminal)) => {
                hidden_input::read_hidden(terminal.as_fd(), || (&mut &*terminal).write_all(text))
            }
            (Input::Stdin, None) => hidden_input::read_hidden(io::stdin().as_fd(), || self.err.write(text)),
        };
        let _ = self.write_at(own.as_ref(), &format!("{end}\n"));
        let line = line_of(answer.context("could not ask on the terminal")?, "stored")?.unwrap_or_default();
        let bytes = if line.len() == 1 { "byte" } else { "bytes" };
        let _ = self.write_at(own.as_ref(), &format!("Received {} {bytes}.\n", line.len()));
        Ok(line)
    }

    /// The terminal that the program was started from, where a standard stream is something
    /// else.
    fn own(&self) -> Option<File> {
        let elsewhere = matches!(self.input, Input::Stdin) && !(self.input_is_tty && self.err_is_tty);
        elsewhere.then(hidden_input::own_terminal).and_then(Result::ok)
    }

    fn write_at(&mut self, own: Option<&File>, text: &str) -> io::Result<()> {
        match own {
            Some(mut terminal) => terminal.write_all(text.as_bytes()),
            None => self.err.write(text.as_bytes()),
        }
    }
}

/// The line, or `None` at the end of input. A signal other than Ctrl-C ends the process.
fn line_of(answer: Answer, done: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match answer {
        Answer::Line(line) => return Ok(Some(line)),
        Answer::End => return Ok(None),
        Answer::Signal(signal) => question_signals::obey(signal),
        Answer::Interrupted => {}
    }
    Err(Failure::new(FailureKind::Interrupted, format!("interrupted; nothing was {done}")))
}

fn shown_line_of(input: &mut Cursor<Vec<u8>>) -> io::Result<Answer> {
    let mut line = Zeroizing::new(Vec::new());
    let count = input.read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
    }
    Ok(if count == 0 { Answer::End } else { Answer::Line(line) })
}

fn hidden_line_of(input: &mut Cursor<Vec<u8>>) -> Answer {
    let mut line = HiddenLine::new();
    for byte in input.bytes().map_while(Result::ok) {
        match line.push(byte) {
            Progress::Going => {}
            Progress::Done => break,
            Progress::Interrupted => return Answer::Interrupted,
        }
    }
    Answer::Line(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_at_the_hidden_prompt() {
        let mut terminal = Terminal::captured(true);
        terminal.feed(b"abc\x03");
        assert_eq!(terminal.ask_hidden("Value:").unwrap_err().exit_code(), 130);
        assert!(!terminal.err_text().contains("abc"));
    }

    #[test]
    fn what_it_is_about_stands_before_the_question() {
        let mut terminal = Terminal::captured(true);
        terminal.feed(b"yes\r\n");
        assert_eq!(terminal.ask("a\nb", "sure?").unwrap().as_deref(), Some("yes"));
        assert_eq!(terminal.ask("", "sure?").unwrap(), None);
        assert_eq!(terminal.err_text(), "a\nb\nsure? sure? \n");
    }
}
