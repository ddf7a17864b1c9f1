//! A line that is not shown while it is typed or pasted. The terminal is left as it
//! was on every way out, Ctrl-C included, unless a signal such as SIGTERM ends the process; what follows a pasted line end is taken too,
//! so that it does not land in the shell, and the value is then refused as a whole.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Most bytes that are kept; the rest is read and thrown away.
const MAX_BYTES: usize = 64 << 10;
/// After a line end, how long to wait for the rest of a paste.
const PASTE_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

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
pub(super) struct HiddenLine(Zeroizing<Vec<u8>>);

impl HiddenLine {
    /// An empty line; its buffer never moves, so nothing is left behind elsewhere.
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(MAX_BYTES)))
    }

    /// Takes one byte. Control characters that mean nothing here are kept: the rule for
    /// values then refuses them, instead of a changed value being stored.
    pub(super) fn push(&mut self, byte: u8) -> Progress {
        match byte {
            b'\n' | b'\r' | CTRL_D => return Progress::Done,
            CTRL_C => return Progress::Interrupted,
            CTRL_U => self.0.clear(),
            BACKSPACE | DELETE => self.pop_character(),
            _ => self.keep(byte),
        }
        Progress::Going
    }

    fn keep(&mut self, byte: u8) {
        if self.0.len() < MAX_BYTES {
            self.0.push(byte);
        }
    }

    fn pop_character(&mut self) {
        while self.0.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
    }

    /// The bytes.
    pub(super) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
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

/// Reads one hidden line; `None` after Ctrl-C. The question is asked once nothing typed is
/// shown any more: a paste may follow it at once.
pub(super) fn read_line(
    terminal: BorrowedFd<'_>,
    ask: impl FnOnce(),
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let quiet = Quiet::new(terminal)?;
    ask();
    let mut line = HiddenLine::new();
    while let Some(byte) = read_byte(quiet.terminal)? {
        match line.push(byte) {
            Progress::Interrupted => return Ok(None),
            Progress::Done if !more_is_waiting(quiet.terminal) => break,
            Progress::Done => line.keep(b'\n'),
            Progress::Going => {}
        }
    }
    Ok(Some(line.into_bytes()))
}

fn read_byte(terminal: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut byte = Zeroizing::new([0_u8; 1]);
    loop {
        match rustix::io::read(terminal, byte.as_mut_slice()) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn more_is_waiting(terminal: BorrowedFd<'_>) -> bool {
    let mut wait = [PollFd::from_borrowed_fd(terminal, PollFlags::IN)];
    matches!(poll(&mut wait, Some(&PASTE_PAUSE)), Ok(ready) if ready > 0)
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
    fn the_buffer_is_bounded() {
        assert_eq!(typed(&vec![b'x'; MAX_BYTES + 10]).0.len(), MAX_BYTES);
    }
}
