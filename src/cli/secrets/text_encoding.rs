//! What other programs put around a text: a byte order mark, and with it UTF-16, which
//! PowerShell and Notepad write.

use zeroize::Zeroizing;

const UTF_8: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LITTLE: &[u8] = b"\xff\xfe";
const UTF_16_BIG: &[u8] = b"\xfe\xff";

/// How a text says that it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// No byte order mark.
    None,
    /// The one of UTF-8.
    Utf8,
    /// The one of UTF-16, little or big endian.
    Utf16,
}

/// The byte order mark that stands at the beginning.
pub(super) fn mark(bytes: &[u8]) -> Mark {
    if bytes.starts_with(UTF_8) {
        Mark::Utf8
    } else if bytes.starts_with(UTF_16_LITTLE) || bytes.starts_with(UTF_16_BIG) {
        Mark::Utf16
    } else {
        Mark::None
    }
}

/// The text without its mark, as UTF-8.
///
/// # Errors
/// The line, from 1, on which it stops being the UTF-16 that its mark says.
pub(super) fn without_mark(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, usize> {
    if let Some(rest) = bytes.strip_prefix(UTF_16_LITTLE) {
        return from_utf16(rest, u16::from_le_bytes);
    }
    if let Some(rest) = bytes.strip_prefix(UTF_16_BIG) {
        return from_utf16(rest, u16::from_be_bytes);
    }
    Ok(Zeroizing::new(bytes.strip_prefix(UTF_8).unwrap_or(bytes).to_vec()))
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Zeroizing<Vec<u8>>, usize> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    // Room for the longest text, so that no unwiped copy is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(pairs.len() * 3));
    let mut line = 1;
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        let character = character.map_err(|_| line)?;
        line += usize::from(character == '\n');
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if odd.is_empty() { Ok(text) } else { Err(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Option<String> {
        without_mark(bytes).ok().map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn marks_are_taken_off_once() {
        assert_eq!((mark(b"abc"), text(b"abc").as_deref()), (Mark::None, Some("abc")));
        assert_eq!(
            (mark(b"\xef\xbb\xbfabc"), text(b"\xef\xbb\xbfabc").as_deref()),
            (Mark::Utf8, Some("abc"))
        );
        assert_eq!(text("\u{feff}\u{feff}a".as_bytes()).as_deref(), Some("\u{feff}a"));
        assert_eq!((mark(b""), text(b"").as_deref()), (Mark::None, Some("")));
    }

    #[test]
    fn utf_16_of_both_ends() {
        let all = "ghp_ä日\u{1f511}\r\n";
        let units: Vec<u16> = all.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [[UTF_16_LITTLE, &little].concat(), [UTF_16_BIG, &big].concat()] {
            assert_eq!((mark(&bytes), text(&bytes).as_deref()), (Mark::Utf16, Some(all)));
        }
        // Half a character, half a pair.
        assert_eq!(text(b"\xff\xfea"), None);
        assert_eq!(text(b"\xff\xfe\x3d\xd8"), None);
        // The line is told: of the half pair, and of what is left over.
        assert_eq!(without_mark(b"\xff\xfea\0\n\0\x3d\xd8").err(), Some(2));
        assert_eq!(without_mark(b"\xff\xfe\n\0\n\0a").err(), Some(3));
    }
}
