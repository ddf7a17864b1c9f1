//! The grammar of .env files, rule by rule, and that every legal value can be written.

use proptest::prelude::*;

use super::*;

type Seen = (usize, String, String);

fn outcome(text: impl AsRef<[u8]>) -> Result<Vec<Seen>, String> {
    let mut entries = Entries::default();
    read(text.as_ref(), &mut entries);
    let list = entries.finish("the file").map_err(|failure| failure.whole_message())?;
    let parts = list
        .into_iter()
        .map(|entry| (entry.line, entry.name.to_string(), entry.value.expose_text().to_owned()));
    Ok(parts.collect())
}

/// Fails unless this is read as exactly one secret `A` with this value.
#[track_caller]
fn value(text: &str, expected: &str) {
    let read = outcome(text).unwrap_or_else(|told| panic!("{text:?}: {told}"));
    let values: Vec<(&str, &str)> =
        read.iter().map(|(_, name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("A", expected)], "{text:?}");
}

/// Fails unless these are the problems, each beginning with its text, and no word of the
/// file is told.
#[track_caller]
fn problems(text: impl AsRef<[u8]>, expected: &[&str]) {
    let told = outcome(text.as_ref()).unwrap_err();
    assert!(!told.contains("canary"), "{told}");
    let lines: Vec<&str> = told.lines().skip(1).map(str::trim).collect();
    let alike = lines.iter().zip(expected).all(|(line, begin)| line.starts_with(begin));
    let text = String::from_utf8_lossy(text.as_ref());
    assert!(lines.len() == expected.len() && alike, "{text:?}\n{told}");
}

#[test]
fn plain_lines() {
    let text = "# a comment\n\n  \t\nA=1\n\t B = two words \nexport C=3\n  export\t D =\t4\r\n #E=5\nF=6";
    let expected = [(4, "A", "1"), (5, "B", "two words"), (6, "C", "3"), (7, "D", "4"), (9, "F", "6")];
    let expected = expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned()));
    assert_eq!(outcome(text).unwrap(), expected);
    assert_eq!(outcome("export=1\nexported=2").unwrap().len(), 2);
    value("A=1\r\n", "1");
    value("A=1", "1");
}

#[test]
fn without_quotes_everything_stands_for_itself() {
    value("A=ab#cd", "ab#cd");
    value("A=#cd", "#cd");
    value("A=ab #cd", "ab");
    value("A=ab\t# cd # ef", "ab");
    value("A=ab# cd", "ab# cd");
    value("A=b=c==", "b=c==");
    value("A=$HOME ${X} `id` $(id)", "$HOME ${X} `id` $(id)");
    value(r"A=C:\new\table", r"C:\new\table");
    value(r#"A=x"y"'z'"#, r#"x"y"'z'"#);
    value("A=@file", "@file");
    value("A=\u{a0}x\u{a0}", "\u{a0}x\u{a0}");
    value("A=x\u{2028}y", "x\u{2028}y");
}

#[test]
fn single_quotes_change_nothing() {
    value(r#"A='a "b" \n $c # d'"#, r#"a "b" \n $c # d"#);
    value("A = 'x' # comment\r\n", "x");
    value("A='x'\t\t\n", "x");
}

#[test]
fn double_quotes_have_seven_escapes() {
    value(r#"A="a 'b' # \\ \" \$ \` $c""#, r#"a 'b' # \ " $ ` $c"#);
    value("A=\"x\"  #comment", "x");
    // These three are legal in the file and not in a header.
    problems(r#"A="a\nb""#, &["line 1: the value has more than one line"]);
    problems(r#"A="a\rb""#, &["line 1: the value has more than one line"]);
    problems(r#"A="a\tb""#, &["line 1: the value has a control character"]);
    for bad in [r#"A="\d""#, r#"A="C:\files""#, r#"A="\'""#, "A=\"x\\\ny\"", r#"A="\x41""#] {
        problems(bad, &["line 1: in double quotes a backslash"]);
    }
}

#[test]
fn a_quote_goes_on_over_lines() {
    let pem = "-----BEGIN KEY-----\nMIIcanary=\nA=canary\n-----END KEY-----\n";
    for quote in ['"', '\''] {
        let text = format!("A={quote}{pem}{quote} # comment\nB-\n");
        problems(&text, &["line 1: the value has more than one line", "line 6: there is no '='"]);
        let text = format!("A={quote}{pem}{quote}\nB=2").replace('\n', "\r\n");
        problems(&text, &["line 1: the value has more than one line"]);
    }
}

#[test]
fn quotes_that_do_not_end_well() {
    problems("A=\"canary\nB-C=canary\n", &["line 1: the quote that begins here", "line 2: a secret's name"]);
    problems("A='canary", &["line 1: the quote that begins here is not closed"]);
    problems("A=\"canary\\\"", &["line 1: the quote that begins here is not closed"]);
    problems("A=\"canary\\", &["line 1: the quote that begins here is not closed"]);
    problems("A='it's canary'", &["line 1: there is more text after the closing quote (line 1)"]);
    problems("A=\"x\"#canary", &["line 1: there is more text after the closing quote (line 1)"]);
    problems("A=\"x\" \"canary\"", &["line 1: there is more text after the closing quote (line 1)"]);
    problems(
        "A-B=`canary`\nC-D='canary\n",
        &[
            "line 1: a secret's name",
            "line 1: a value that begins with a backquote",
            "line 2: a secret's name",
            "line 2: the quote that begins here",
        ],
    );
    // A forgotten quote does not hide what stands on the lines after it.
    problems(
        "A=\"canary\nB=\"canary\"\nC\n",
        &["line 1: there is more text after the closing quote (line 2)", "line 3: there is no '='"],
    );
}

#[test]
fn every_other_mistake_by_its_line() {
    let bad = "canary\nA=\nB=''\nC= # canary\nD=\" canary\"\nexport canary\n=canary\n1A=canary\nE F=canary\n\
               G=`canary`\nH=1\nH=canary\nset I=canary\nJ: canary\n";
    problems(
        bad,
        &[
            "line 1: there is no '='",
            "line 2: the value is empty",
            "line 3: the value is empty",
            "line 4: the value is empty",
            "line 5: the value begins or ends with a blank",
            "line 6: there is no '='",
            "line 7: a secret's name",
            "line 8: a secret's name",
            "line 9: a secret's name",
            "line 10: a value that begins with a backquote",
            "line 12: the same name stands on line 11",
            "line 13: a secret's name",
            "line 14: there is no '='",
        ],
    );
    problems(
        b"A=1\nB=canary\xff\nC=canary\0\n\xff=x\n",
        &[
            "line 2: the value is not UTF-8 text",
            "line 3: the value has a control character",
            "line 4: a secret's name",
        ],
    );
    problems("A=x\rB=canary\n", &["line 1: the value has more than one line"]);
}

#[test]
fn lines_of_any_length() {
    let long = "x".repeat(10_000);
    value(&format!("# {}\nA={long}\n", "#".repeat(100_000)), &long);
    problems(
        format!("A={}\nB\n", "x".repeat(70_000)),
        &["line 1: the value has 70000 bytes", "line 2: there is no '='"],
    );
}

/// Texts that are legal values.
fn legal() -> impl Strategy<Value = String> {
    let inner = r#"[ -~\u{a0}-\u{d7ff}\u{e000}-\u{10ffff}]|[#'"\\$` =]"#;
    let outer = r#"[!-~\u{a0}-\u{d7ff}\u{e000}-\u{10ffff}]|[#'"\\$`=]"#;
    let (first, last) = (proptest::string::string_regex(outer), proptest::string::string_regex(outer));
    let middle = proptest::string::string_regex(&format!("({inner}){{0,60}}"));
    (first.unwrap(), middle.unwrap(), last.unwrap(), any::<bool>())
        .prop_map(|(first, middle, last, one)| if one { first } else { format!("{first}{middle}{last}") })
}

fn in_double_quotes(value: &str) -> String {
    let mut quoted = String::new();
    for character in value.chars() {
        if matches!(character, '\\' | '"' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    format!("\"{quoted}\"")
}

proptest! {
    #[test]
    fn every_legal_value_can_be_written(value in legal(), indent in "[ \t]{0,2}", end in "(|\n|\r\n| # c\n|\t#)") {
        let mut forms = vec![in_double_quotes(&value)];
        if !value.contains('\'') {
            forms.push(format!("'{value}'"));
        }
        if !value.starts_with(['"', '\'', '`']) && !value.contains(" #") {
            forms.push(value.clone());
        }
        for form in forms {
            let text = format!("# c\n{indent}export A{indent}={indent}{form}{end}");
            // Without quotes and without a blank, the value itself may begin with '#'.
            if !indent.is_empty() && form.starts_with('#') {
                continue;
            }
            prop_assert_eq!(outcome(&text), Ok(vec![(2, "A".to_owned(), value.clone())]), "{:?}", text);
        }
    }

    #[test]
    fn nothing_makes_it_panic_and_every_line_is_counted(text in "([A-C'\"\\\\=# \t\r\n`x]|export ){0,80}") {
        let mut entries = Entries::default();
        let (mut at, mut line) = (0, 1);
        while at < text.len() {
            let used = read_entry(&text.as_bytes()[at..], line, &mut entries);
            prop_assert!(used > 0, "it would never end");
            at += used;
            line += 1;
            prop_assert!(at == text.len() || text.as_bytes()[at - 1] == b'\n', "it stopped inside a line");
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes, &mut Entries::default());
    }
}
