//! Talk on standard error by somebody who has not got the terminal, such as the API's client
//! while it waits.

use super::printable;
use super::terminal::{Output, Style};

/// Talk only, in the terminal's style of the moment it was made.
pub struct Talker {
    err: Output,
    style: Style,
}

impl Talker {
    /// One that talks there.
    pub(super) fn new(err: Output, style: Style) -> Self {
        Self { err, style }
    }

    /// Says something that only people need.
    pub fn note(&mut self, text: &str) {
        if !self.style.quiet && !self.style.json {
            self.talk(text);
        }
    }

    /// Says something unconditionally.
    pub fn talk(&mut self, text: &str) {
        let line = format!("{}\n", printable::lines(text));
        // Where talk cannot be shown there is nowhere to say so.
        let _ = self.err.write(line.as_bytes());
    }
}
