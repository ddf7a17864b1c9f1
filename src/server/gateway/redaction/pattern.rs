//! The texts that are looked for: a secret as it is, in hex, and in base64 at each of
//! the three places it can have in a longer base64 text. None of them is written out; a
//! pattern tells from the secret's bytes whether a byte fits at a place in it.

/// In which form the secret is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Byte for byte.
    Plain,
    /// Two hex digits a byte.
    Hex,
    /// Base64 (RFC 4648, sections 4 and 5) after so many bytes, 0 to 2, of something else.
    Base64 {
        /// Bytes of the first group of three that are not the secret's.
        before: usize,
    },
}

impl Form {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Hex,
        Self::Base64 { before: 0 },
        Self::Base64 { before: 1 },
        Self::Base64 { before: 2 },
    ];
}

/// One form of one secret.
#[derive(Clone, Copy)]
pub(super) struct Pattern<'a> {
    /// The secret.
    pub(super) secret: &'a [u8],
    /// Its form.
    pub(super) form: Form,
}

impl Pattern<'_> {
    /// Its length in characters. In base64 this includes a first and a last character that hold only
    /// some bits of the secret.
    pub(super) fn length(self) -> usize {
        match self.form {
            Form::Plain => self.secret.len(),
            Form::Hex => self.secret.len() * 2,
            Form::Base64 { before } => ((before + self.secret.len()) * 8).div_ceil(6) - before,
        }
    }

    /// How many `=` its base64 has at its end, if nothing stands behind the secret.
    pub(super) fn padding(self) -> u8 {
        match self.form {
            Form::Base64 { before } => [0, 2, 1][(before + self.secret.len()) % 3],
            Form::Plain | Form::Hex => 0,
        }
    }

    /// Whether this byte can stand at this place.
    pub(super) fn fits(self, at: usize, byte: u8) -> bool {
        match self.form {
            Form::Plain => self.secret.get(at) == Some(&byte),
            Form::Hex => {
                let half = self
                    .secret
                    .get(at / 2)
                    .map(|byte| if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 });
                half.is_some() && half == hex_digit(byte)
            }
            Form::Base64 { before } => {
                let (value, mask) = sextet_of(self.secret, before, at);
                sextet(byte).is_some_and(|one| one & mask == value)
            }
        }
    }

    /// Whether it is base64, which may be broken into lines.
    pub(super) fn is_base64(self) -> bool {
        matches!(self.form, Form::Base64 { .. })
    }

    /// The byte at this place, if the secret is looked for as it is.
    pub(super) fn plain_byte(self, at: usize) -> Option<u8> {
        if self.form == Form::Plain { self.secret.get(at).copied() } else { None }
    }

    /// All bytes that can stand at this place, into `found`; how many they are.
    pub(super) fn fitting(self, at: usize, found: &mut [u8; 64 + 2]) -> usize {
        let mut count = 0;
        let mut add = |byte| {
            found[count] = byte;
            count += 1;
        };
        match self.form {
            Form::Plain => self.secret.get(at).into_iter().for_each(|byte| add(*byte)),
            Form::Hex => b"0123456789abcdefABCDEF"
                .iter()
                .filter(|byte| self.fits(at, **byte))
                .for_each(|byte| add(*byte)),
            Form::Base64 { before } => {
                let (value, mask) = sextet_of(self.secret, before, at);
                for (number, byte) in (0..).zip(ALPHABET) {
                    if number & mask == value {
                        add(*byte);
                        if let Some(other) = url_safe(*byte) {
                            add(other);
                        }
                    }
                }
            }
        }
        count
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn url_safe(byte: u8) -> Option<u8> {
    match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        _ => None,
    }
}

/// The value of a base64 character of either alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// The value of a hex digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The bits of the secret in a base64 character, and which of the six bits they are. The
/// first character that holds any is number 0; `before` bytes of a group stand before the secret.
fn sextet_of(secret: &[u8], before: usize, at: usize) -> (u8, u8) {
    let first_bit = 6 * (before + at);
    let (byte, shift) = (first_bit / 8, 10 - first_bit % 8);
    let (mut value, mut mask) = (0_u16, 0_u16);
    for (place, index) in [(8, byte), (0, byte + 1)] {
        if let Some(one) = index.checked_sub(before).and_then(|index| secret.get(index)) {
            value |= u16::from(*one) << place;
            mask |= 0xff << place;
        }
    }
    let six_bits = |window: u16| (window >> shift).to_be_bytes()[1] & 63;
    (six_bits(value), six_bits(mask))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;

    fn stands_in(pattern: Pattern<'_>, text: &[u8]) -> Option<usize> {
        let length = pattern.length();
        (0..=text.len().checked_sub(length)?)
            .find(|start| (0..length).all(|at| pattern.fits(at, text[start + at])))
    }

    #[test]
    fn base64_at_every_place() {
        let secret: Vec<u8> = (0..=255_u8).rev().step_by(7).collect();
        for length in 8..secret.len() {
            let secret = &secret[..length];
            for (before, after) in (0..7).flat_map(|before| (0..4).map(move |after| (before, after))) {
                let whole = [&b"prefix:"[..before], secret, &b"tail"[..after]].concat();
                let pattern = Pattern { secret, form: Form::Base64 { before: before % 3 } };
                for text in
                    [STANDARD.encode(&whole), STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]
                {
                    let found = stands_in(pattern, text.as_bytes());
                    assert_eq!(found, Some(before * 8 / 6), "{before} {after} {text}");
                    // No character that is left holds a bit of the secret.
                    let end = before * 8 / 6 + pattern.length();
                    assert_eq!(end, ((before + length) * 8).div_ceil(6));
                }
            }
        }
    }

    #[test]
    fn fitting_bytes_are_those_that_fit() {
        let secret = b"s3cr\xc3\xa4t+/";
        for form in Form::ALL {
            let pattern = Pattern { secret, form };
            for at in 0..pattern.length() {
                let mut found = [0; 66];
                let count = pattern.fitting(at, &mut found);
                for byte in 0..=u8::MAX {
                    assert_eq!(
                        found[..count].contains(&byte),
                        pattern.fits(at, byte),
                        "{form:?} {at} {byte}"
                    );
                }
            }
        }
    }
}
