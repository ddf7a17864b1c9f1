//! Messages that are too long to be read whole: whether one is an answer is told by its beginning.

/// Whether a message with this beginning is an answer. One that does not tell is taken for one:
/// answers are what is long.
pub(super) fn begins_as_answer(message: &[u8]) -> bool {
    let (mut depth, mut at_key, mut escaped) = (0_u32, false, false);
    let mut string: Option<usize> = None;
    for (at, byte) in message.iter().enumerate() {
        if let Some(start) = string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    match &message[start..at] {
                        b"method" | b"params" if at_key => return false,
                        b"result" | b"error" if at_key => return true,
                        _ => {}
                    }
                    string = None;
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = Some(at + 1),
            b'{' | b'[' => {
                depth += 1;
                at_key = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => at_key = false,
            b',' => at_key = depth == 1,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_member_that_tells() {
        for (beginning, is_answer) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{"method":"#, true),
            (r#"{"result":{"content":["xxx"#, true),
            (r#"{"jsonrpc":"2.0","id":"method","error":"#, true),
            (r#" { "id" : "a\"b,{" , "method" : "x""#, false),
            (r#"{"params":{"result":["#, false),
            (r#"{"x":{"method":1},"y":[{"params":2},"error"],"result":"#, true),
            (r#"{"x":["result"],"method":"#, false),
            (r#"{"id":"xxxxx"#, true),
            ("", true),
        ] {
            assert_eq!(begins_as_answer(beginning.as_bytes()), is_answer, "{beginning}");
        }
    }
}
