//! A line that is not shown while it is typed or pasted, and the answer to a question that is.
//! The terminal is left as it was on every way out, signals included. What follows a pasted
//! line end is taken too, so that it does not land in the shell, and the value is then
//! refused as a whole.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::question_signals::Watch;

/// Most bytes that are kept; the rest is read and thrown away.
const MAX_BYTES: usize = 64 << 10;
/// After a line end outside of a marked paste, how long to wait for the rest of one.
const PASTE_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// The same after the first line of a key: more must come.
const KEY_PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Asks the terminal to mark what is pasted (bracketed paste), and to stop doing so.
pub(super) const MARK_PASTES: &str = "\u{1b}[?2004h";
pub(super) const MARK_NO_PASTES: &str = "\u{1b}[?2004l";
/// The marks.
const PASTE_BEGINS: [u8; 6] = *b"\x1b[200~";
const PASTE_ENDS: [u8; 6] = *b"\x1b[201~";

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// How far a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Going,
    /// Enter, or Ctrl-D.
    Done,
    /// Ctrl-C.
    Interrupted,
}

/// The line so far.
pub(super) struct HiddenLine {
    kept: Zeroizing<Vec<u8>>,
    /// The last bytes, also those that are not kept.
    recent: Zeroizing<[u8; 6]>,
    in_paste: bool,
}

impl HiddenLine {
    /// An empty line; its buffer never moves, so nothing is left behind elsewhere.
    pub(super) fn new() -> Self {
        let kept = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        Self { kept, recent: Zeroizing::default(), in_paste: false }
    }

    /// Takes one byte. Control characters that mean nothing here are kept: the rule for
    /// values then refuses them, instead of a changed value being stored. A paste is kept as
    /// it is; if it has line ends, its end is the end of the line.
    pub(super) fn push(&mut self, byte: u8) -> Progress {
        self.recent.rotate_left(1);
        self.recent[5] = byte;
        match byte {
            CTRL_C => return Progress::Interrupted,
            b'~' if *self.recent == PASTE_BEGINS => {
                self.in_paste = true;
                self.forget_mark();
            }
            b'~' if *self.recent == PASTE_ENDS => return self.end_paste(),
            _ if self.in_paste => self.keep(byte),
            b'\n' | b'\r' | CTRL_D => return Progress::Done,
            CTRL_U => self.kept.clear(),
            BACKSPACE | DELETE => self.pop_character(),
            _ => self.keep(byte),
        }
        Progress::Going
    }

    fn end_paste(&mut self) -> Progress {
        self.in_paste = false;
        self.forget_mark();
        if !self.kept.iter().any(|byte| is_line_end(*byte)) {
            return Progress::Going;
        }
        // What was copied with its line end is one line.
        let end = self.kept.iter().rposition(|byte| !is_line_end(*byte)).map_or(0, |last| last + 1);
        if !self.kept[..end].iter().any(|byte| is_line_end(*byte)) {
            self.kept.truncate(end);
        }
        Progress::Done
    }

    /// All of the mark but its last byte was kept.
    fn forget_mark(&mut self) {
        let length = self.kept.len().saturating_sub(PASTE_ENDS.len() - 1);
        self.kept.truncate(length);
    }

    fn keep(&mut self, byte: u8) {
        if self.kept.len() < MAX_BYTES {
            self.kept.push(byte);
        }
    }

    fn pop_character(&mut self) {
        while self.kept.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
    }

    /// Whether it can only be a part: the first line of a key of several lines.
    pub(super) fn is_begin_of_key(line: &[u8]) -> bool {
        line.starts_with(b"-----BEGIN ") && !line.windows(9).any(|part| part == b"-----END ")
    }

    /// The bytes.
    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.kept
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// A terminal without echo, until it is dropped.
struct Quiet<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Byte by byte: by line, the kernel cuts at 4,095 bytes.
        quiet.local_modes -= LocalModes::ECHO
            | LocalModes::ECHONL
            | LocalModes::ICANON
            | LocalModes::ISIG
            | LocalModes::IEXTEN;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing better can be done if this fails; what is unread is thrown away.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// The terminal that the program was started from, whatever its standard streams are.
pub(super) fn own_terminal() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// What came of a question.
pub(super) enum Answer {
    /// A line, without its end.
    Line(Zeroizing<Vec<u8>>),
    /// Nothing: the end of input.
    End,
    /// Ctrl-C, as a byte.
    Interrupted,
    /// A signal; the terminal is as it was.
    Signal(i32),
}

/// Reads one hidden line. The question is asked once nothing typed is shown any more: a
/// paste may follow it at once.
pub(super) fn read_hidden(
    terminal: BorrowedFd<'_>,
    ask: impl FnOnce() -> io::Result<()>,
) -> io::Result<Answer> {
    watched(|watch| {
        let quiet = Quiet::new(terminal)?;
        ask()?;
        let mut line = HiddenLine::new();
        while let Some(byte) = read_byte(quiet.terminal, watch)? {
            match line.push(byte) {
                Progress::Interrupted => return Ok(Answer::Interrupted),
                Progress::Done if !more_is_waiting(quiet.terminal, &line) => break,
                Progress::Done => line.keep(b'\n'),
                Progress::Going => {}
            }
        }
        Ok(Answer::Line(line.into_bytes()))
    })
}

/// Reads the line that answers a question, as the terminal gives it. Signals are watched for
/// before the question is asked.
pub(super) fn read_shown(
    terminal: BorrowedFd<'_>,
    ask: impl FnOnce() -> io::Result<()>,
) -> io::Result<Answer> {
    watched(|watch| {
        ask()?;
        let mut line = Zeroizing::new(Vec::new());
        while let Some(byte) = read_byte(terminal, watch)? {
            match byte {
                b'\n' => return Ok(Answer::Line(line)),
                _ if line.len() < MAX_BYTES => line.push(byte),
                _ => {}
            }
        }
        Ok(if line.is_empty() { Answer::End } else { Answer::Line(line) })
    })
}

fn watched(read: impl FnOnce(&Watch) -> io::Result<Answer>) -> io::Result<Answer> {
    let watch = Watch::begin()?;
    let answer = read(&watch);
    watch.end().map_or(answer, |signal| Ok(Answer::Signal(signal)))
}

/// `None` at the end of input, and when a signal has arrived.
fn read_byte(terminal: BorrowedFd<'_>, watch: &Watch) -> io::Result<Option<u8>> {
    let mut byte = Zeroizing::new([0_u8; 1]);
    loop {
        let mut ready =
            [PollFd::new(&terminal, PollFlags::IN), PollFd::from_borrowed_fd(watch.bell(), PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) if !ready[1].revents().is_empty() => return Ok(None),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::read(terminal, byte.as_mut_slice()) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn more_is_waiting(terminal: BorrowedFd<'_>, line: &HiddenLine) -> bool {
    let pause = if HiddenLine::is_begin_of_key(&line.kept) { KEY_PAUSE } else { PASTE_PAUSE };
    let mut wait = [PollFd::from_borrowed_fd(terminal, PollFlags::IN)];
    matches!(poll(&mut wait, Some(&pause)), Ok(ready) if ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (Vec<u8>, Progress) {
        let mut line = HiddenLine::new();
        let mut progress = Progress::Going;
        for &byte in bytes {
            progress = line.push(byte);
        }
        (line.into_bytes().to_vec(), progress)
    }

    #[test]
    fn editing() {
        assert_eq!(typed(b"abc\n"), (b"abc".to_vec(), Progress::Done));
        assert_eq!(typed(b"abc\x7f\x08d\r"), (b"ad".to_vec(), Progress::Done));
        assert_eq!(typed("aü\x7f\x7f\x7fb".as_bytes()), (b"b".to_vec(), Progress::Going));
        assert_eq!(typed(b"abc\x15x"), (b"x".to_vec(), Progress::Going));
        assert_eq!(typed(b"a\tb"), (b"a\tb".to_vec(), Progress::Going));
        assert_eq!(typed(b"a\x03").1, Progress::Interrupted);
        assert_eq!(typed(b"\x04"), (Vec::new(), Progress::Done));
    }

    #[test]
    fn a_marked_paste_is_taken_whole() {
        let pasted = |text: &str| typed(format!("\u{1b}[200~{text}\u{1b}[201~").as_bytes());
        assert_eq!(pasted("abc"), (b"abc".to_vec(), Progress::Going));
        assert_eq!(pasted("abc\r"), (b"abc".to_vec(), Progress::Done));
        assert_eq!(pasted("abc\rdef\r"), (b"abc\rdef\r".to_vec(), Progress::Done));
        assert_eq!(pasted("a\u{15}\u{7f}\u{4}b"), (b"a\x15\x7f\x04b".to_vec(), Progress::Going));
        assert_eq!(pasted("\r\r"), (Vec::new(), Progress::Done));
        assert_eq!(pasted("a\u{3}").1, Progress::Going, "what follows Ctrl-C is not looked at");
        assert_eq!(typed(b"ab\x1b[200~cd\x1b[201~e\x7f\r"), (b"abcd".to_vec(), Progress::Done));
        let long = typed(format!("\u{1b}[200~{}\r\u{1b}[201~", "x".repeat(MAX_BYTES)).as_bytes());
        assert_eq!(long.1, Progress::Going, "its line end was thrown away, its end was seen");
    }

    #[test]
    fn the_first_line_of_a_key() {
        for (line, expected) in [
            ("-----BEGIN KEY-----", true),
            ("-----BEGIN KEY-----\\nx\\n-----END KEY-----", false),
            ("x", false),
        ] {
            assert_eq!(HiddenLine::is_begin_of_key(line.as_bytes()), expected);
        }
    }

    #[test]
    fn the_buffer_is_bounded() {
        assert_eq!(typed(&vec![b'x'; MAX_BYTES + 10]).0.len(), MAX_BYTES);
    }
}
