//! Where a secret's value comes from: the argument, standard input to its end, or a
//! hidden prompt. It is checked here, before anything is sent.

use std::ffi::OsString;

use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::domain::{SecretValue, ValueProblem};

/// Most bytes that are read from standard input: enough to tell how long a value of
/// reasonable length is.
const MAX_INPUT_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A value that may be sent.
#[derive(Debug)]
pub(super) struct GivenValue {
    /// The value.
    pub value: SecretValue,
    /// Whether a line end was taken off.
    pub lost_newline: bool,
}

/// Gets the value; `question` is for the hidden prompt.
pub(super) fn obtain(
    argument: Option<OsString>,
    question: &str,
    context: &mut Context<'_>,
) -> Result<GivenValue, Failure> {
    let from_terminal = context.terminal.reads_from_terminal();
    match argument {
        Some(argument) if argument != "-" => checked(Zeroizing::new(argument.into_encoded_bytes()), false),
        None if from_terminal && !context.can_ask() => {
            Err(Failure::usage("there is no value; nothing was stored")
                .with_hint("give it on standard input, or leave out --no-input to be asked"))
        }
        None if from_terminal => {
            let typed = context.terminal.ask_hidden(question)?;
            checked(typed, false)
        }
        _ => {
            if from_terminal {
                context
                    .terminal
                    .note("Reading the value from the terminal, where it can be seen. Ctrl-D ends it.");
            }
            let input = context.terminal.read_to_end(MAX_INPUT_BYTES)?.ok_or_else(too_much)?;
            from_input(input)
        }
    }
}

/// Takes off what shells and editors add: a byte order mark and one final line end.
fn from_input(mut bytes: Zeroizing<Vec<u8>>) -> Result<GivenValue, Failure> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    let lost_newline = bytes.ends_with(b"\n");
    if lost_newline {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    checked(bytes, lost_newline)
}

fn checked(mut bytes: Zeroizing<Vec<u8>>, lost_newline: bool) -> Result<GivenValue, Failure> {
    let value = SecretValue::parse(std::mem::take(&mut *bytes)).map_err(refused)?;
    Ok(GivenValue { value, lost_newline })
}

fn refused(problem: ValueProblem) -> Failure {
    Failure::invalid_value(format!("{problem}; nothing was stored")).with_hint(problem.way_out())
}

fn too_much() -> Failure {
    Failure::invalid_value(
        "standard input holds more than 1 MiB, and a value at most 16384 bytes; nothing was stored",
    )
    .with_hint(ValueProblem::TooLong(0).way_out())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::global_options::GlobalOptions;
    use crate::cli::settings::Settings;
    use crate::cli::terminal::Terminal;

    fn obtained(
        argument: Option<&str>,
        input: &[u8],
        tty: bool,
        no_input: bool,
    ) -> Result<(String, bool), Failure> {
        let mut terminal = Terminal::captured(tty);
        terminal.feed(input);
        let options = GlobalOptions { no_input, ..GlobalOptions::default() };
        let settings = Settings::default();
        let mut context = Context::new(&mut terminal, &settings, &options);
        let result = obtain(argument.map(OsString::from), "Value:", &mut context);
        assert!(!terminal.err_text().contains("canary") && !terminal.out_text().contains("canary"));
        result.map(|given| (given.value.expose_text().to_owned(), given.lost_newline))
    }

    #[test]
    fn the_argument_wins_and_input_is_left_alone() {
        assert_eq!(obtained(Some("canary"), b"other", false, false).unwrap(), ("canary".to_owned(), false));
        assert_eq!(obtained(Some("--canary"), b"", true, true).unwrap().0, "--canary");
    }

    #[test]
    fn input_is_read_to_its_end_and_loses_one_line_end() {
        for (input, lost) in
            [("canary", false), ("canary\n", true), ("canary\r\n", true), ("\u{feff}canary\r\n", true)]
        {
            for argument in [None, Some("-")] {
                let given = obtained(argument, input.as_bytes(), false, false).unwrap();
                assert_eq!(given, ("canary".to_owned(), lost), "{input:?}");
            }
        }
        assert_eq!(obtained(Some("-"), b"canary\n", true, false).unwrap().0, "canary");
    }

    #[test]
    fn bad_values_are_refused_without_being_shown() {
        let long = vec![b'x'; 16_385];
        let huge = vec![b'x'; MAX_INPUT_BYTES + 1];
        let bad: [&[u8]; 9] = [
            b"",
            b"\n",
            b"canary\n\n",
            b"canary\nmore",
            b" canary",
            b"canary\t",
            b"canary\xff",
            &long,
            &huge,
        ];
        for input in bad {
            let failure = obtained(None, input, false, false).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().ends_with("nothing was stored") && failure.hint().is_some());
            assert!(!format!("{failure:?}").contains("canary"));
        }
    }

    #[test]
    fn the_prompt_is_hidden_and_can_be_forbidden() {
        assert_eq!(obtained(None, b"canary\n", true, false).unwrap(), ("canary".to_owned(), false));
        assert_eq!(obtained(None, b"canary\n", true, true).unwrap_err().exit_code(), 2);
        assert_eq!(obtained(None, b"canary\x03", true, false).unwrap_err().exit_code(), 130);
        assert_eq!(obtained(None, b"can\tary\n", true, false).unwrap_err().exit_code(), 2);
        assert_eq!(obtained(None, b"canary\n", false, true).unwrap().0, "canary");
    }
}
