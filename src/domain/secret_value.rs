//! The value of a secret: 1 to 16,384 bytes that are a legal HTTP field value
//! (RFC 9110, section 5.5, without tab), because it becomes a header. Wiped on drop,
//! redacted in debug output, readable only through `expose()`.

use std::fmt;

use zeroize::Zeroizing;

/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16_384;
/// Shortest value that the gateway takes out of an MCP server's answers, in bytes: shorter
/// ones stand in ordinary texts by chance.
pub const SHORTEST_REDACTED_VALUE: usize = 8;

/// A secret's value.
///
/// It cannot be serialised, so no answer can carry it:
/// ```compile_fail
/// fn answer<T: serde::Serialize>(_: T) {}
/// let value = aerostack::domain::SecretValue::parse(b"ghp_x".to_vec()).unwrap();
/// answer(value);
/// ```
/// Nor printed, nor copied:
/// ```compile_fail
/// let value = aerostack::domain::SecretValue::parse(b"ghp_x".to_vec()).unwrap();
/// println!("{value}");
/// ```
/// ```compile_fail
/// let value = aerostack::domain::SecretValue::parse(b"ghp_x".to_vec()).unwrap();
/// let copy = value.clone();
/// ```
/// Its bytes are read in one way only:
/// ```
/// let value = aerostack::domain::SecretValue::parse(b"ghp_x".to_vec()).unwrap();
/// assert_eq!(value.expose(), b"ghp_x");
/// assert_eq!(format!("{value:?}"), "SecretValue(redacted)");
/// ```
pub struct SecretValue(Zeroizing<Vec<u8>>);

/// Why bytes are not a legal value. No variant holds any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// Nothing at all.
    #[error("the value is empty")]
    Empty,
    /// Over [`MAX_VALUE_BYTES`].
    #[error("the value has {0} bytes; at most 16384 are allowed")]
    TooLong(usize),
    /// A carriage return or line feed.
    #[error("the value has more than one line; an HTTP header has one")]
    LineBreak,
    /// Another control byte; its number is not told, its place is.
    #[error("the value has a control character (tab, NUL, escape ...) at byte {0}")]
    ControlByte(usize),
    /// A blank at the beginning or the end, which HTTP would drop.
    #[error("the value begins or ends with a blank, which HTTP would drop")]
    OuterBlank,
    /// Not UTF-8.
    #[error("the value is not UTF-8 text (first bad byte at {0})")]
    NotUtf8(usize),
}

impl ValueProblem {
    /// What a person can do about it.
    pub fn way_out(self) -> &'static str {
        match self {
            Self::Empty => {
                "pass the value as an argument or on standard input; to remove a secret use delete"
            }
            Self::TooLong(_) => "store a token or a reference instead of a whole document",
            Self::LineBreak => {
                "store it in one line, for example encoded with base64, if the MCP server accepts that form"
            }
            Self::ControlByte(_) => "check what was copied; encode binary values with base64 first",
            Self::OuterBlank => "remove the blanks around the value",
            Self::NotUtf8(_) => "encode binary values with base64 first",
        }
    }
}

impl SecretValue {
    /// Takes the bytes if they are legal; they are wiped either way.
    ///
    /// # Errors
    /// The first [`ValueProblem`] found.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ValueProblem> {
        let bytes = Zeroizing::new(bytes);
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes, for sealing, for building a header and for nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The same bytes as text; [`SecretValue::parse`] made sure they are UTF-8.
    pub fn expose_text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether it is long enough to be taken out of an MCP server's answers.
    pub fn is_redactable(&self) -> bool {
        self.0.len() >= SHORTEST_REDACTED_VALUE
    }

    /// Length in bytes.
    pub fn byte_length(&self) -> usize {
        self.0.len()
    }
}

fn check(bytes: &[u8]) -> Result<(), ValueProblem> {
    if bytes.is_empty() {
        return Err(ValueProblem::Empty);
    }
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(ValueProblem::TooLong(bytes.len()));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(ValueProblem::NotUtf8(error.valid_up_to()));
    }
    if bytes.iter().any(|&byte| byte == b'\r' || byte == b'\n') {
        return Err(ValueProblem::LineBreak);
    }
    if let Some(place) = bytes.iter().position(|&byte| byte < b' ' || byte == 0x7f) {
        return Err(ValueProblem::ControlByte(place));
    }
    if bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ') {
        return Err(ValueProblem::OuterBlank);
    }
    Ok(())
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> Option<ValueProblem> {
        SecretValue::parse(bytes.to_vec()).err()
    }

    #[test]
    fn every_byte_alone_and_inside() {
        for byte in 0..=u8::MAX {
            let inside = problem(&[b'a', byte, b'b']);
            match byte {
                b'\r' | b'\n' => assert_eq!(inside, Some(ValueProblem::LineBreak)),
                0..=31 | 127 => assert_eq!(inside, Some(ValueProblem::ControlByte(1))),
                128.. => assert_eq!(inside, Some(ValueProblem::NotUtf8(1))),
                _ => assert_eq!(inside, None, "byte {byte}"),
            }
        }
    }

    #[test]
    fn limits_and_blanks() {
        assert_eq!(problem(b""), Some(ValueProblem::Empty));
        assert_eq!(problem(b" "), Some(ValueProblem::OuterBlank));
        assert_eq!(problem(b" a"), Some(ValueProblem::OuterBlank));
        assert_eq!(problem(b"a "), Some(ValueProblem::OuterBlank));
        assert_eq!(problem(&[b'x'; MAX_VALUE_BYTES]), None);
        assert_eq!(problem(&vec![b'x'; MAX_VALUE_BYTES + 1]), Some(ValueProblem::TooLong(16_385)));
        assert_eq!(problem("pässwörd \u{1F511} key".as_bytes()), None);
    }

    #[test]
    fn what_a_value_must_not_implement() {
        use static_assertions::assert_not_impl_any;
        assert_not_impl_any!(SecretValue: Clone, Copy, fmt::Display, serde::Serialize, std::ops::Deref, AsRef<[u8]>);
    }
}
