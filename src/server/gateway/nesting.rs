//! How deep a message is nested. Readers that follow each level with a call of their own run
//! out of stack on a message of brackets; such a message goes to nobody.

use super::message::MessageProblem;

/// Levels of a message.
pub(super) const MAX_DEPTH: usize = 128;

/// Checks the depth of brackets outside of strings; anything else is for the parser.
///
/// # Errors
/// [`MessageProblem::TooDeep`].
pub(super) fn check(bytes: &[u8]) -> Result<(), MessageProblem> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(MessageProblem::TooDeep);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(MessageProblem::TooDeep));
        assert_eq!(check(format!("[{}]", vec!["{}"; 500].join(",")).as_bytes()), Ok(()));
        assert_eq!(check(format!(r#"["\\\"{}"]"#, "[".repeat(500)).as_bytes()), Ok(()));
        assert_eq!(check(format!(r#"["\\",{}"#, "[".repeat(500)).as_bytes()), Err(MessageProblem::TooDeep));
    }
}
