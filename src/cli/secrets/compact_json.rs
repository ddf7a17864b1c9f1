//! JSON in one line: the blanks between its parts go, and nothing else changes. Numbers,
//! escapes and the order of members stay as they are written (RFC 8259, section 2).

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

/// The document without insignificant blanks; `None` if it is not one JSON document.
pub(super) fn compact(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    std::str::from_utf8(text).ok()?;
    serde_json::from_slice::<IgnoredAny>(text).ok()?;
    // It never gets longer, so no unwiped copy is left behind.
    let mut kept = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        kept.push(byte);
        if escaped {
            escaped = false;
        } else if in_string && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            in_string = !in_string;
        }
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn text(input: &str) -> Option<String> {
        compact(input.as_bytes()).map(|kept| String::from_utf8(kept.to_vec()).unwrap())
    }

    #[test]
    fn only_blanks_between_parts_go() {
        let pretty = "\r\n{\n  \"b\" : 1.0e+02,\n\t\"a b\\\" \": [ 1 , 00.5 ] }\n".replace("00.5", "0.50");
        assert_eq!(text(&pretty).unwrap(), r#"{"b":1.0e+02,"a b\" ":[1,0.50]}"#);
        // Neither rounded, nor sorted, nor merged, nor written in another way.
        for kept in
            [r#"{"a":1,"a":2}"#, "123456789012345678901234567890.10", r#""\u00e4 \/ ä \\""#, "[]", "null"]
        {
            assert_eq!(text(kept).as_deref(), Some(kept));
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", " ", "{", "{'a':1}", "[1,]", "1 2", "canary", "\"a\nb\"", "// a\n1", "01"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        assert!(compact(b"\"\xff\"").is_none());
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn the_content_stays(document in document()) {
            let pretty = serde_json::to_string_pretty(&document).unwrap();
            prop_assert_eq!(text(&pretty).unwrap(), document.to_string());
        }
    }
}
