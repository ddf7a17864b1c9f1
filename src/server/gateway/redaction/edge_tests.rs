//! The edges of what is taken out: never within an escape, so that JSON stays JSON, and with the
//! padding of base64. At every split, against a plain search.

use proptest::prelude::*;

use super::filter::MARKER;
use super::tests::{filtered, secrets};
use super::*;

/// What comes out, which must be the same however the text is cut.
fn at_every_split(secrets: &Rc<Secrets>, text: &[u8]) -> String {
    let out = filtered(secrets, [text]);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for split in 0..=text.len() {
        let (one, two) = text.split_at(split);
        assert_eq!(shown(&filtered(secrets, [one, two])), shown(&out), "{} at {split}", shown(text));
    }
    for size in 1..4 {
        let pieces = filtered(secrets, text.chunks(size));
        assert_eq!(shown(&pieces), shown(&out), "{} by {size}", shown(text));
    }
    shown(&out)
}

#[test]
fn what_begins_or_ends_within_an_escape_takes_it_along() {
    for (secret, text, expected) in [
        ("nabcdefgh", r#""x\nabcdefgh""#, r#""x[redacted]""#),
        ("nabcdefgh", r#""x\\nabcdefgh""#, r#""x\\[redacted]""#),
        ("nabcdefgh", r#""x\\\nabcdefgh""#, r#""x\\[redacted]""#),
        ("nabcdefgh", r"C:\nabcdefgh", "C:[redacted]"),
        ("nabcdefgh", r"\nnabcdefgh", r"\n[redacted]"),
        ("ghp_abcd", r"C:\ghp_abcd", r"C:\[redacted]"),
        ("0041abcd", r#""\u0041abcd""#, r#""[redacted]""#),
        ("u0041abcd", r#""\u0041abcd""#, r#""[redacted]""#),
        ("41abcdef", r#""x\u0041abcdef""#, r#""x[redacted]""#),
        ("1abcdefg", r#""x\u0041abcdefg""#, r#""x[redacted]""#),
        ("abcdefgh", r#""x\u0041abcdefgh""#, r#""x\u0041[redacted]""#),
        ("41abcdef", r#""x\\u0041abcdef""#, r#""x\\u00[redacted]""#),
        ("user1234", r"C:\user1234", "C:[redacted]"),
        ("ser12345", r"C:\user12345", r"C:\u[redacted]"),
        ("41abcdef", r"'\x41abcdef'", "'[redacted]'"),
        ("x41abcde", r"'\x41abcde'", "'[redacted]'"),
        // In hex and in base64.
        ("\u{b}\u{c}abcdefg", r#""\u000b0c61626364656667""#, r#""[redacted]""#),
        ("\u{9f}\u{1}abcdef", r#""\nwp8BYWJjZGVm""#, r#""\n[redacted]""#),
        ("\u{9f}abcdefgh", r#""\nwp9hYmNkZWZnaA==""#, r#""\n[redacted]""#),
        ("\n\n\n\n\n\n\n\n", r#""\nCgoKCgoKCgo=""#, r#""\n[redacted]""#),
        // The escape is that of a quotation mark.
        (r"abcdefg\", r#""abcdefg\\""#, r#""[redacted]""#),
        (r"abcdefg\", r#""abcdefg\" x""#, r#""[redacted] x""#),
        (r"abcdefg\", r#""{\"a\":\"abcdefg\\\\\"}""#, r#""{\"a\":\"[redacted]\"}""#),
        (r"abcdefg\", r#""{\"a\":\"abcdefg\\\\\\\\\\\" x\"}""#, r#""{\"a\":\"[redacted]\" x\"}""#),
        (r#"abcdefg""#, r#""abcdefg\"""#, r#""[redacted]""#),
    ] {
        assert_eq!(
            at_every_split(&secrets(&[secret.as_bytes()]), text.as_bytes()),
            expected,
            "{secret} {text}"
        );
    }
}

#[test]
fn long_runs_of_backslashes() {
    // A run is read in parts of 80, so that its beginning may have gone out.
    let parts = |length: usize| length.saturating_sub(1) / 80 * 80;
    let even = |length: usize| length / 2 * 2;
    for (secret, rest, kept) in
        [("nabcdefgh", "nabcdefgh", &even as &dyn Fn(usize) -> usize), ("\\nabcdefgh", "nabcdefgh", &parts)]
    {
        let secrets = secrets(&[secret.as_bytes()]);
        for length in (1..12).chain(74..90).chain(156..168).chain([4095, 4096]) {
            let text = format!("{}{rest}", "\\".repeat(length));
            let expected = format!("{}[redacted]", "\\".repeat(kept(length)));
            for size in [1, 7, 80, 1000, 5000] {
                let out = filtered(&secrets, text.as_bytes().chunks(size));
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{length} by {size}");
            }
        }
    }
}

#[test]
fn a_run_of_which_an_odd_part_has_gone_out() {
    // 75 bytes that may be backslashes, so that the part of 80 ends after 5 of the run.
    let before = "%255c".repeat(15);
    let secrets = secrets(&[b"nabcdefgh"]);
    for length in 1..10 {
        let text = format!("{before}{}nabcdefgh", "\\".repeat(length));
        let expected = format!("{before}{}[redacted]", "\\".repeat(length / 2 * 2));
        assert_eq!(at_every_split(&secrets, text.as_bytes()), expected, "{length}");
    }
}

#[test]
fn padding_goes_with_what_it_pads() {
    // 9, 10 and 11 bytes: no padding, two and one.
    for (secret, text, expected) in [
        ("abcdefghi", "YWJjZGVmZ2hp==", "[redacted]=="),
        ("abcdefghij", "YWJjZGVmZ2hpag==", "[redacted]"),
        ("abcdefghij", "YWJjZGVmZ2hpag===", "[redacted]="),
        ("abcdefghij", "YWJjZGVmZ2hpag=x=", "[redacted]x="),
        ("abcdefghij", "YWJjZGVmZ2hpag%3D%3d", "[redacted]"),
        ("abcdefghij", "YWJjZGVmZ2hpag\\u003d\\u003D", "[redacted]"),
        ("abcdefghij", "YWJjZGVmZ2hpag\\\\u003d%253D", "[redacted]"),
        ("abcdefghij", "YWJjZGVmZ2hpag%3C%3D", "[redacted]%3C%3D"),
        ("abcdefghij", "YWJjZGVmZ2hpag\\n==", "[redacted]\\n=="),
        ("abcdefghij", "YWJjZGVmZ2hpag==YWJjZGVmZ2hpag==", "[redacted][redacted]"),
        ("abcdefghij", "YWJjZGVmZ2hpagAA", "[redacted]AA"),
        ("abcdefghijk", "YWJjZGVmZ2hpams==", "[redacted]="),
        ("abcdefghijk", "abcdefghijk==", "[redacted]=="),
        ("abcdefghijk", "6162636465666768696a6b==", "[redacted]=="),
        // After one and after two other bytes.
        ("abcdefghij", "eGFiY2RlZmdoaWo=", "e[redacted]"),
        ("abcdefghij", "eHhhYmNkZWZnaGlq=", "eH[redacted]="),
    ] {
        assert_eq!(
            at_every_split(&secrets(&[secret.as_bytes()]), text.as_bytes()),
            expected,
            "{secret} {text}"
        );
    }
}

#[test]
fn the_marker_does_not_wait_for_the_padding() {
    let mut filter = Filter::new(secrets(&[b"abcdefghij", b"nabcdefgh"]));
    let mut push = |text: &'static str| {
        String::from_utf8(filter.push(&Bytes::from_static(text.as_bytes())).unwrap().to_vec()).unwrap()
    };
    for (text, expected) in [
        ("data: YWJjZGVmZ2hpag", "data: [redacted]"),
        ("=", ""),
        ("=\n", "\n"),
        ("YWJjZGVmZ2hpag\n\n", "[redacted]\n\n"),
        ("YWJjZGVmZ2hpag%3", "[redacted]"),
        ("D\n", "\n"),
        ("YWJjZGVmZ2hpag%3", "[redacted]"),
        ("E\n", "%3E\n"),
        // An escape waits only where a match may begin within it.
        ("a\\n", "a"),
        ("x\\\"", "\\nx\\\""),
    ] {
        let out = push(text);
        assert_eq!(out, expected, "{text}");
    }
}

#[test]
fn broken_is_what_was_an_object_and_has_a_marker_in_it() {
    for (text, broken) in [
        (r#" {"n":[redacted]}"#, true),
        (r#"{"n":1[redacted]2}"#, true),
        (r#"{"n":"[redacted]"}"#, false),
        (r#"{"n":1"#, false),
        ("[redacted]", false),
        ("a [redacted]", false),
        ("", false),
    ] {
        assert_eq!(is_broken(text.as_bytes()), broken, "{text}");
    }
}

/// The places where escapes of a JSON string begin and end, read from the front.
fn escapes_in(text: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let length = match text[at..] {
            [b'\\', b'u', ..] => 6,
            [b'\\', ..] => 2,
            _ => 1,
        };
        if length > 1 {
            found.push((at, at + length));
        }
        at += length;
    }
    found
}

/// Where a match that begins here ends: each byte as it is or as `\u00XX` at any depth.
fn end_of_match(text: &[u8], mut at: usize, secret: &[u8]) -> Option<usize> {
    for byte in secret {
        let run = text[at..].iter().take_while(|one| **one == b'\\').count();
        let escaped = format!("u{byte:04x}");
        if run > 0 && text[at + run..].starts_with(escaped.as_bytes()) {
            at += run + escaped.len();
        } else if text.get(at) == Some(byte) {
            at += 1;
        } else {
            return None;
        }
    }
    Some(at)
}

fn expected(text: &[u8], values: &[&str]) -> Vec<u8> {
    let escapes = escapes_in(text);
    let mut spans = Vec::new();
    for (start, value) in (0..text.len()).flat_map(|start| values.iter().map(move |value| (start, value))) {
        if let Some(end) = end_of_match(text, start, value.as_bytes()) {
            let within = escapes.iter().find(|(begin, end)| *begin < start && start < *end);
            spans.push((within.map_or(start, |(begin, _)| *begin), end));
        }
    }
    spans.sort_unstable();
    let (mut out, mut covered) = (Vec::new(), 0);
    for (start, end) in spans {
        if start >= covered {
            out.extend_from_slice(&text[covered..start]);
            out.extend_from_slice(MARKER);
        }
        covered = covered.max(end);
    }
    out.extend_from_slice(&text[covered..]);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn json_stays_json(
        values in prop::sample::select(vec![
            vec!["nbabnbab"], vec!["0061bbab", "nbnbnbnb"], vec!["u0061bab", "61babbab"],
            vec!["1babbabb", "bbabbnnn"], vec!["n0061bab"], vec!["ffffffff", "fnfnfnfn"],
        ]),
        parts in prop::collection::vec((0..12_usize, 0..9_usize), 0..12),
    ) {
        let text = parts.iter().fold(String::from("\""), |text, (kind, at)| {
            let value = values[at % values.len()];
            text + match kind {
                0 => value,
                1 => &value[..*at.min(&7)],
                2 => &value[*at.min(&7)..],
                3 | 4 => "\\",
                5 => "\\\\",
                6 => "\\u006e",
                7 => "\\u0061",
                8 => "\\u0062",
                9 => "\\n",
                10 => "n",
                _ => "b",
            }
        }) + "\"";
        let is_json = |text: &str| serde_json::from_str::<String>(text).is_ok();
        let secrets = secrets(&values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>());
        let out = at_every_split(&secrets, text.as_bytes());
        if is_json(&text) {
            prop_assert_eq!(&out, &String::from_utf8(expected(text.as_bytes(), &values)).unwrap(), "{}", text);
            prop_assert!(is_json(&out), "{} -> {}", text, out);
        }
        prop_assert!(values.iter().all(|value| !out.contains(value)), "{} -> {}", text, out);
    }
}
