//! Every way to write a secret, at every split; and that nothing else changes.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::filter::MARKER;
use super::*;

pub(super) fn secrets(values: &[&[u8]]) -> Rc<Secrets> {
    let mut secrets = Secrets::default();
    for value in values {
        secrets.add(value);
    }
    Rc::new(secrets)
}

/// What comes out when these pieces go in.
pub(super) fn filtered<'a>(secrets: &Rc<Secrets>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut filter = Filter::new(Rc::clone(secrets));
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(filter.push(&Bytes::copy_from_slice(piece)).unwrap());
    }
    out.extend(filter.finish());
    assert_eq!(filter.held_bytes(), 0);
    out
}

fn whole(secrets: &Rc<Secrets>, text: &str) -> String {
    String::from_utf8_lossy(&filtered(secrets, [text.as_bytes()])).into_owned()
}

fn per_char(text: &str, escape: impl Fn(char, &mut String)) -> String {
    text.chars().fold(String::new(), |mut out, one| {
        escape(one, &mut out);
        out
    })
}

fn json_ascii(text: &str, upper: bool) -> String {
    per_char(text, |one, out| {
        for unit in one.encode_utf16(&mut [0; 2]) {
            if upper {
                write!(out, "\\u{unit:04X}").unwrap();
            } else {
                write!(out, "\\u{unit:04x}").unwrap();
            }
        }
    })
}

fn percent(text: &str, all: bool) -> String {
    let mut upper = false;
    text.bytes().fold(String::new(), |mut out, byte| {
        if !all && (byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) {
            out.push(char::from(byte));
        } else {
            upper = !upper;
            let text = if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            out.push_str(&text);
        }
        out
    })
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

fn latin1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// A way in which a secret may be written, and what comes out of it.
struct Written {
    name: String,
    text: String,
    expected: String,
    /// Whether it is tried at every split; byte by byte it always is.
    every_split: bool,
}

/// All ways in which the text itself may be written: nothing of it stays.
fn escaped_forms(secret: &str) -> Vec<Written> {
    let in_html = |one: char, out: &mut String| match one {
        '<' | '>' | '&' | '\'' | '+' => write!(out, "\\u{:04x}", u32::from(one)).unwrap(),
        one if one.is_ascii() => out.push(one),
        one => out.push_str(&json_ascii(&one.to_string(), true)),
    };
    let in_script = percent(secret, true).replace('%', "\\x");
    let forms = [
        ("as it is", secret.to_owned()),
        ("hex", hex::encode(secret)),
        ("HEX", hex::encode_upper(secret)),
        ("JSON", json(secret)),
        ("JSON with slashes", json(secret).replace('/', "\\/")),
        ("JSON in JSON", json(&json(secret))),
        ("JSON in JSON in JSON", json(&json(&json(secret)))),
        ("JSON in ASCII", json_ascii(secret, false)),
        ("JSON in ASCII, upper case", json_ascii(secret, true)),
        ("JSON in ASCII, in JSON", json(&json_ascii(secret, false))),
        ("JSON for HTML", per_char(&json(secret), in_html)),
        ("JavaScript", in_script),
        ("percent", percent(secret, false)),
        ("percent, all", percent(secret, true)),
        ("percent, twice", percent(&percent(secret, false), false)),
        ("form", percent(secret, false).replace("%20", "+")),
        ("Latin-1", latin1(secret)),
        ("Latin-1 in JSON in ASCII", json_ascii(&latin1(secret), false)),
        ("Latin-1, percent", percent(&latin1(secret), false)),
    ];
    let written = |(name, text): (&str, String)| Written {
        name: name.to_owned(),
        text,
        expected: "[redacted]".to_owned(),
        every_split: true,
    };
    forms.into_iter().map(written).collect()
}

type Escape = fn(&str) -> String;

/// Base64 with something before and after the secret, escaped and broken into lines: what
/// stays are the characters that hold no bit of it, but not the padding right behind it.
fn base64_forms(secret: &str) -> Vec<Written> {
    let escapes: [(&str, Escape); 4] = [
        ("", str::to_owned),
        ("escaped slashes", |text| text.replace('/', "\\/")),
        ("percent", |text| percent(text, false)),
        ("JSON in ASCII", |text| json_ascii(text, false)),
    ];
    let breaks = [(usize::MAX, ""), (1, "\n"), (5, "\r\n"), (19, "\\n"), (64, "\\r\\n"), (7, "\\\\n")];
    let mut forms = Vec::new();
    for (prefix, suffix) in
        [("", ""), ("u", ""), ("us", "x"), ("user:", ""), ("Bearer ", "yz"), ("a b", "\u{e4}")]
    {
        let (first, last) = (prefix.len() * 8 / 6, ((prefix.len() + secret.len()) * 8).div_ceil(6));
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(format!("{prefix}{secret}{suffix}"));
            for ((name, escape), (line, end)) in
                escapes.iter().flat_map(|escape| breaks.map(|end| (escape, end)))
            {
                let (mut text, mut expected) = (String::new(), String::new());
                let mut is_all = true;
                for (at, one) in encoded.chars().enumerate() {
                    let before = if at > 0 && at % line == 0 { end } else { "" };
                    is_all &= at < last || one == '=' && before.is_empty();
                    let one = escape(&one.to_string());
                    text.push_str(before);
                    text.push_str(&one);
                    if at <= first || at >= last {
                        expected.push_str(before);
                    }
                    if at == first {
                        expected.push_str("[redacted]");
                    } else if at < first || !is_all {
                        expected.push_str(&one);
                    }
                }
                let every_split = secret.len() < 13 && (line == 5 || end.is_empty());
                let name = format!("base64 of {prefix}...{suffix}, {name}");
                forms.push(Written { name, text, expected, every_split });
            }
        }
    }
    forms
}

const SECRETS: [&str; 9] = [
    "a%Gbc%zdef",
    "a\\qbc\\td",
    "12345678",
    "ghp_AbCdEf0123456789xyzXYZ",
    "p\"w\\d/<&'>+ %41 x",
    "p\u{e4}ssw\u{f6}rd \u{20ac} \u{1f511}",
    "\\\\\\\\////",
    "aaaaaaaaaaaa",
    "\u{1f511}\u{1f512}",
];

#[test]
fn every_form_at_every_split() {
    for secret in SECRETS {
        let secrets = secrets(&[secret.as_bytes()]);
        for Written { name, text, expected, every_split } in
            escaped_forms(secret).into_iter().chain(base64_forms(secret))
        {
            let (text, expected) = (format!("{{\"a\":\"{text}\"}}"), format!("{{\"a\":\"{expected}\"}}"));
            assert_eq!(whole(&secrets, &text), expected, "{name}: {text}");
            for split in (0..=text.len()).filter(|_| every_split) {
                let (one, two) = text.as_bytes().split_at(split);
                assert_eq!(filtered(&secrets, [one, two]), expected.as_bytes(), "{name} at {split}: {text}");
            }
            assert_eq!(filtered(&secrets, text.as_bytes().chunks(1)), expected.as_bytes(), "{name}: {text}");
        }
    }
}

#[test]
fn what_stands_around_it_stays() {
    let secrets = secrets(&[b"ghp_0123456789"]);
    for (text, expected) in [
        ("{\"t\":\"ghp_0123456789\"}", "{\"t\":\"[redacted]\"}"),
        ("C:\\\\ghp_0123456789\\n", "C:\\\\[redacted]\\n"),
        ("\\nghp_0123456789ghp_0123456789%", "\\n[redacted][redacted]%"),
        ("ghp_012345678ghp_0123456789", "ghp_012345678[redacted]"),
        ("authorization: Bearer ghp_0123456789\r\n", "authorization: Bearer [redacted]\r\n"),
        ("ghp_012345678", "ghp_012345678"),
        ("dXNlcjpnaHBfMDEyMzQ1Njc4OQ==", "dXNlcj[redacted]"),
    ] {
        assert_eq!(whole(&secrets, text), expected);
    }
}

#[test]
fn secrets_that_overlap() {
    let secrets = secrets(&[b"abcdefgh", b"abcdefghijkl", b"ijklmnop", b"defghijk"]);
    for (text, expected) in [
        ("-abcdefgh-", "-[redacted]-"),
        ("-abcdefghijkl-", "-[redacted]-"),
        ("-abcdefghijkX-", "-[redacted]X-"),
        ("-abcdefghijklmnop-", "-[redacted]-"),
        ("-abcdefghijklmnoX-", "-[redacted]mnoX-"),
        ("-XdefghijklmnopX-", "-X[redacted]X-"),
    ] {
        for split in 0..=text.len() {
            let (one, two) = text.as_bytes().split_at(split);
            assert_eq!(String::from_utf8(filtered(&secrets, [one, two])).unwrap(), expected, "{split}");
        }
    }
}

#[test]
fn seven_bytes_stay_and_eight_go() {
    let secrets = secrets(&[b"1234567", b"abcdefgh"]);
    assert_eq!(whole(&secrets, "1234567 abcdefg abcdefgh"), "1234567 abcdefg [redacted]");
    assert!(self::secrets(&[b"1234567"]).is_empty());
}

#[test]
fn nothing_waits_that_cannot_be_a_beginning() {
    let secrets = secrets(&[b"ghp_0123456789"]);
    let mut filter = Filter::new(Rc::clone(&secrets));
    let mut push = |text: &str| {
        String::from_utf8(filter.push(&Bytes::copy_from_slice(text.as_bytes())).unwrap().to_vec()).unwrap()
    };
    for event in ["data: {\"a\":\"ghp_012\"}\n\n", "data: ghp_\r\n\r\n", ": %41\\\n\n", "data: g\n\n"] {
        assert_eq!(push(event), event);
    }
    assert_eq!(push("data: ghp_0123"), "data: ");
    assert_eq!(push("4567"), "");
    assert_eq!(push("x\n\n"), "ghp_01234567x\n\n");
    assert_eq!(push("data: ghp_0123456789"), "data: [redacted]");
    assert_eq!(push("0\n\n"), "0\n\n");
}

#[test]
fn a_text_made_to_cost_much_ends_the_stream() {
    let secrets = secrets(&["a".repeat(16_384).as_bytes()]);
    let mut filter = Filter::new(secrets);
    assert_eq!(filter.push(&Bytes::from("a".repeat(10_000))), Err(Unfilterable));
}

#[test]
fn what_is_held_is_bounded() {
    let secrets = secrets(&[b"\"0123456789"]);
    let mut filter = Filter::new(secrets);
    for text in ["\\", "%25", "%", "\\u005c", "\n"] {
        for _ in 0..10_000 {
            filter.push(&Bytes::from_static(text.as_bytes())).unwrap();
            assert!(filter.held_bytes() <= 256, "{text} {}", filter.held_bytes());
        }
    }
}

fn benign() -> impl Strategy<Value = Vec<u8>> {
    let near = prop::sample::select(vec![
        "ghp_AbCdEf0123456789xy",
        "Z2hwX0FiQ2RFZjAx",
        "6768705f416243644566",
        "%67%68%70_",
        "\\u0067hp_A",
        "\\\\\\\"",
        "%2",
        "\\u",
        "\n",
        "\r\n\r\n",
        "\u{e4}\u{1f511}",
        "g",
    ]);
    let piece = prop_oneof![
        4 => near.prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        2 => "[a-zA-Z0-9+/=_%\\\\\"{}:, -]{0,40}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn benign_text_stays(text in benign(), cuts in prop::collection::vec(1..64_usize, 1..50)) {
        let secrets = secrets(&[b"ghp_AbCdEf0123456789xyzXYZ", "p\u{e4}ss\"w\\\u{f6}rd\u{1f511}".as_bytes()]);
        let (mut pieces, mut rest, mut turn) = (Vec::new(), text.as_slice(), 0);
        while !rest.is_empty() {
            let (piece, other) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
            pieces.push(piece);
            (rest, turn) = (other, turn + 1);
        }
        prop_assert_eq!(filtered(&secrets, pieces), text);
    }

    #[test]
    fn any_secret_in_any_mix_of_forms(
        secret in "[ -~\u{a0}-\u{17f}\u{20ac}\u{1f511}]{8,40}",
        ways in prop::collection::vec(0..7_usize, 1..40),
        around in "[a-z ]{0,10}",
        cut in 1..9_usize,
    ) {
        let mixed = secret.chars().zip(ways.iter().cycle()).fold(String::new(), |mut out, (one, way)| {
            let text = one.to_string();
            out.push_str(&match way {
                1 => json(&text),
                2 => json_ascii(&text, true),
                3 => percent(&text, true),
                4 => json(&json_ascii(&text, false)),
                5 => percent(&json_ascii(&text, false), false),
                6 => latin1(&text),
                _ => text,
            });
            out
        });
        let secrets = secrets(&[secret.as_bytes()]);
        let text = format!("\t{around}{mixed}\t");
        let out = filtered(&secrets, text.as_bytes().chunks(cut));
        let out = String::from_utf8_lossy(&out);
        prop_assert!(out.contains("[redacted]"), "{} -> {}", text, out);
        prop_assert!(out.len() <= 2 + around.len() + MARKER.len(), "{} -> {}", text, out);
    }
}
