//! `secrets import`: what a file may look like, value by value at the upstream; each defect
//! that comparable tools have here, by its number; and that no text of a file is shown.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::harness::{Companion, Ended, SHORT_VALUE, Upstream, aerostack};

const SECRETS: &str = "/api/v1/admin/mcp-servers/raw/secrets";
const LIMIT: usize = 16_384;

/// A companion whose server `raw` shows what arrives.
struct Scene {
    companion: Companion,
    upstream: Upstream,
    token: String,
}

impl Scene {
    fn new() -> Self {
        let (companion, upstream) = (Companion::start(), Upstream::mcp());
        companion.add_server("raw", &upstream.url());
        companion.set("raw", "OLD", "old value");
        let token = companion.token("default");
        Self { companion, upstream, token }
    }

    fn import(&self, content: impl Into<Vec<u8>>, rest: &[&str]) -> Ended {
        let arguments = [&["secrets", "import", "raw"], rest].concat();
        aerostack(&arguments).against(&self.companion).stdin(content).run()
    }

    /// Fails unless the import is done and exactly this is sent, beside `OLD`.
    #[track_caller]
    fn sends(&self, content: impl Into<Vec<u8>>, expected: &[(&str, &str)]) {
        assert_eq!(self.companion.admin("DELETE", SECRETS, None).status, 200);
        let ended = self.import(content, &[]).expect(0);
        let counts = format!("{} created, 0 replaced, 0 deleted.", expected.len());
        assert!(ended.out.starts_with(&counts), "{}{}", ended.out, ended.err);
        let mut told = ended.err.as_str();
        if let Some(rest) = told.strip_prefix(SHORT_VALUE.strip_suffix("this value\n").unwrap()) {
            let names = sorted(rest.trim_end().split(", ").map(str::to_owned));
            let short = expected.iter().filter(|(_, value)| value.len() < 8);
            assert_eq!(names, sorted(short.map(|(name, _)| (*name).to_owned())));
            told = "";
        }
        assert_eq!(told, "");
        assert_eq!(self.names(), sorted(expected.iter().map(|(name, _)| (*name).to_owned())));
        self.companion.session(&self.token, None).call("raw__echo");
        let call = self.upstream.received_of("tools/call").pop().unwrap();
        for (name, value) in expected {
            assert!(call.values(name) == [*value], "{name}: {:?}", call.values(name));
        }
    }

    /// Fails unless it is refused with exit 2 and these lines are told, the file's text is
    /// not, and nothing was changed.
    #[track_caller]
    fn refuses(&self, content: impl Into<Vec<u8>>, rest: &[&str], lines: &[&str]) -> String {
        let before = self.companion.admin("GET", SECRETS, None).body;
        let ended = self.import(content, rest).expect(2);
        assert!(ended.out.is_empty() && !ended.err.to_lowercase().contains("canary"), "{}", ended.both());
        for line in lines {
            assert!(ended.err.contains(&format!("\n  {line}")), "{line}: {}", ended.err);
        }
        assert_eq!(ended.err.matches("\n  line ").count(), lines.len(), "{}", ended.err);
        assert!(ended.err.contains("nothing was sent") && !ended.err.contains("request id"), "{}", ended.err);
        assert_eq!(self.companion.admin("GET", SECRETS, None).body, before);
        ended.err
    }

    fn names(&self) -> Vec<String> {
        let list = self.companion.admin("GET", SECRETS, None).json();
        let secrets = list["secrets"].as_array().unwrap().iter();
        secrets.map(|secret| secret["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn peer_defect_03_a_written_grammar_and_lines_of_any_length() {
    let scene = Scene::new();
    scene.sends(
        "A=ab#cd\nexport B=1\nC=x # comment\nD='a # b'\n",
        &[("A", "ab#cd"), ("B", "1"), ("C", "x"), ("D", "a # b")],
    );
    // A line over 64 KiB does not end the file in silence.
    let (comment, value) = ("#".repeat(100_000), "x".repeat(10_000));
    scene.sends(
        format!("A=1\n{comment}\nB={value}\nC=\"{value}\"\nD=4\n"),
        &[("A", "1"), ("B", &value), ("C", &value), ("D", "4")],
    );
    let long = "canary".repeat(12_000);
    scene.refuses(
        format!("A=1\nB={long}\nC=\n"),
        &[],
        &["line 2: the value has 72000 bytes; at most 16384 are allowed", "line 3: the value is empty"],
    );
}

#[test]
fn peer_defect_04_lines_are_named_and_their_text_is_not() {
    let scene = Scene::new();
    let text = "canary\nCANARY canary\nA='canary' canary\nB=\"canary\nC-canary=x\n=canary\nD=`canary`\n\
                E=\"\\canary\nF=canary\u{7}\nOK=canary\nOK=canary\n";
    scene.refuses(
        text,
        &[],
        &[
            "line 1: there is no '='",
            "line 2: there is no '='",
            "line 3: there is more text after the closing quote (line 3)",
            "line 4: there is more text after the closing quote (line 8)",
            "line 5: a secret's name is",
            "line 6: a secret's name is",
            "line 7: a value that begins with a backquote",
            "line 8: the quote that begins here is not closed",
            "line 9: the value has a control character",
            "line 11: the same name stands on line 10",
        ],
    );
    let json = "{\"canary-1\": \"canary\",\n\"A\": [\"canary\"],\n\"B\": canary}";
    scene.refuses(json, &["--json"], &[]);
    scene.refuses(
        json,
        &[],
        &["line 1: a secret's name is", "line 2: the value is not a text", "line 3: this is not valid JSON"],
    );
}

#[test]
fn peer_defect_05_values_arrive_as_they_are_or_are_refused() {
    let scene = Scene::new();
    scene.sends(
        "A=x\u{a0}\u{3000}\nB='y\u{2003}'\nC=\"\u{e4}\u{1f511}\"\n",
        &[("A", "x\u{a0}\u{3000}"), ("B", "y\u{2003}"), ("C", "\u{e4}\u{1f511}")],
    );
    scene.refuses(
        "A='canary '\nB=\"canary\t\"\n",
        &[],
        &["line 1: the value begins or ends with a blank", "line 2: the value has a control character"],
    );
    scene.refuses(b"A=1\nB=canary\xff\n", &[], &["line 2: the value is not UTF-8 text"]);
    scene.refuses(b"{\"A\":\"1\",\n\"B\":\"canary\xff\"}", &[], &["line 2: this is not UTF-8 text"]);
    let mut broken = utf16("\u{feff}A=1\nB=canary", u16::to_le_bytes);
    broken.extend(0xd800_u16.to_le_bytes());
    scene.refuses(broken, &[], &["line 2: this is not valid UTF-16 text"]);
}

#[test]
fn peer_defect_06_nothing_is_refused_and_deletes_nothing() {
    let scene = Scene::new();
    for content in ["", "\n", " \t\r\n", "# only a comment\n", "\u{feff}", "{}", "{ }\n"] {
        for rest in [&[][..], &["--prune", "--yes"], &["--dry-run"]] {
            let told = scene.refuses(content, rest, &[]);
            assert!(told.contains("holds no secrets; nothing was sent"), "{content:?}: {told}");
        }
    }
    for content in ["A=\n", "A=\"\"\n", "A=''\n", "A= # canary\n", "{\"A\": \"\"}"] {
        scene.refuses(content, &["--prune", "--yes"], &["line 1: the value is empty"]);
    }
}

#[test]
fn peer_defect_13_case_is_kept_and_it_is_all_or_nothing() {
    let scene = Scene::new();
    scene.sends("apiKey=1\nWEBHOOK_Secret=2\n", &[("apiKey", "1"), ("WEBHOOK_Secret", "2")]);
    // One bad line of many, wherever it stands, and every bad one is told.
    for bad in [0, 1, 50, 98, 99] {
        let lines: Vec<String> = (0..100)
            .map(|number| if number == bad { "N-1=canary".to_owned() } else { format!("N{number}=canary") })
            .collect();
        scene.refuses(lines.join("\n"), &[], &[&format!("line {}: a secret's name", bad + 1)]);
    }
    let all: Vec<String> = (1..=100).map(|number| format!("line {number}: the value is empty")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let empty: Vec<String> = (1..=100).map(|number| format!("N{number}=")).collect();
    let told = scene.refuses(empty.join("\n"), &[], &all);
    let places: Vec<usize> = all.iter().map(|line| told.find(&format!("  {line}\n")).unwrap()).collect();
    assert!(places.is_sorted(), "in another order: {told}");
}

#[test]
fn peer_defect_14_limits_are_known_before_anything_is_sent() {
    let scene = Scene::new();
    let longest = "x".repeat(LIMIT);
    scene.sends(format!("A={longest}\n"), &[("A", &longest)]);
    scene.refuses(format!("A={longest}x\n"), &[], &["line 1: the value has 16385 bytes"]);
    let many: Vec<String> = (0..1_001).map(|number| format!("N{number}=x")).collect();
    scene.refuses(many.join("\n"), &[], &["line 1001: more than 1000 secrets"]);
    let told = scene.refuses("#".repeat((16 << 20) + 1), &[], &[]);
    assert!(told.contains("standard input has more than 16 MiB"), "{told}");
    assert!(
        scene.import(many[..1_000].join("\n"), &[]).expect(0).out.starts_with("1000 created, 0 replaced")
    );
    // Within the limits as a file, beyond them as JSON.
    let quotes = "\"".repeat(LIMIT - 1);
    let lines: Vec<String> = (0..600).map(|number| format!("N{number}=x{quotes}")).collect();
    let told = scene.refuses(lines.join("\n"), &[], &[]);
    assert!(
        told.contains("as JSON that is more than 16 MiB; nothing was sent\nhint: import it in"),
        "{told}"
    );
    // No connection is made for what is refused.
    let silent = Upstream::start(|_| Vec::new());
    let run = aerostack(&["secrets", "import", "raw"]).env("AEROSTACK_API_KEY", "ak_x");
    let run = run.env("AEROSTACK_API_URL", format!("http://{}", silent.address));
    run.stdin(format!("A={longest}x\n")).run().expect(2);
    assert_eq!(silent.connections(), 0);
}

#[test]
fn peer_defect_19_unusable_input_is_exit_2() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("canary").to_str().unwrap().to_owned();
    let unusable: [(&[u8], &[&str]); 10] = [
        (b"", &[&missing]),
        (b"", &[folder.path().to_str().unwrap()]),
        (b"", &["", "-y"]),
        (b"\x7fELF\0\0\0canary", &[]),
        (b"[{\"A\":\"canary\"}]", &[]),
        (b"[\"canary\"]", &["--format", "json"]),
        (b"A=canary", &["--format", "json"]),
        (b"{\"A\":\"canary\"}", &["--format", "env"]),
        (b"A: canary", &[]),
        (b"A=canary", &["--format", "yaml"]),
    ];
    for (content, rest) in unusable {
        for json in [&[][..], &["--json"]] {
            let ended = scene.import(content, &[rest, json].concat()).expect(2);
            assert!(ended.out.is_empty() && !ended.err.contains("canary"), "{rest:?}: {}", ended.both());
            if !json.is_empty() {
                let code = ended.error_document()["code"].as_str().unwrap().to_owned();
                assert!(["invalid_request", "invalid_value"].contains(&code.as_str()), "{code}");
            }
        }
    }
    assert_eq!(scene.names(), ["OLD"]);
}

#[test]
fn peer_defect_21_what_powershell_adds_and_writes() {
    let scene = Scene::new();
    let text = "# c\r\nA=1\r\n\r\nB='two'\r\nC=\"\u{e4}\"\r\n";
    let expected = [("A", "1"), ("B", "two"), ("C", "\u{e4}")];
    scene.sends(text, &expected);
    scene.sends(format!("\u{feff}{text}"), &expected);
    scene.sends(utf16(&format!("\u{feff}{text}"), u16::to_le_bytes), &expected);
    scene.sends(utf16(&format!("\u{feff}{text}"), u16::to_be_bytes), &expected);
    scene.sends("\u{feff}{\r\n\"A\": \"1\"\r\n}\r\n", &[("A", "1")]);
    let trailing = utf16("\u{feff}A=x # c\r\n", u16::to_le_bytes);
    scene.sends(trailing, &[("A", "x")]);
}

/// One of about the longest length, made of what another one is made of.
fn long(unit: &str, spare: usize) -> String {
    let mut left = LIMIT - spare - 1;
    let fits = |one: &char| {
        let fits = one.len_utf8() <= left;
        left = left.saturating_sub(one.len_utf8());
        fits
    };
    format!("{}.", unit.chars().cycle().take_while(fits).collect::<String>())
}

/// In double quotes.
fn quoted(value: &str) -> String {
    let escape =
        |one: char| if matches!(one, '\\' | '"' | '$' | '`') { format!("\\{one}") } else { one.to_string() };
    format!("\"{}\"", value.chars().map(escape).collect::<String>())
}

/// Whether it may stand without quotes.
fn plain(value: &str) -> bool {
    !value.starts_with(['\'', '"', '`', '#']) && !value.contains(" #")
}

/// Random legal values, short ones and some of about the longest length, arrive byte for byte
/// in each form that can hold them: without quotes, in either quotes, as JSON.
#[test]
fn any_legal_value_arrives_byte_for_byte() {
    let scene = Scene::new();
    let mut runner = TestRunner::default();
    let characters = r#"[!-~\u{80}-\u{d7ff}\u{e000}-\u{10ffff}#'"\\$`=]"#;
    let values = proptest::string::string_regex(&format!("{characters}(.{{0,300}}{characters})?")).unwrap();
    let legal =
        values.prop_filter("a control character", |value| !value.chars().any(|one| one.is_ascii_control()));
    let (mut bare, mut single) = (0, 0);
    for round in 0..4 {
        let mut values: Vec<String> =
            (0..40).map(|_| legal.new_tree(&mut runner).unwrap().current()).collect();
        values[round] = long(&values[round], round);
        let names: Vec<String> = (0..40).map(|number| format!("N{number}")).collect();
        let expected: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        let lines = expected.iter().map(|(name, value)| format!("{name}={} # comment\n", quoted(value)));
        scene.sends(lines.collect::<String>(), &expected);
        let lines = expected.iter().map(|(name, value)| match value {
            _ if plain(value) => {
                bare += 1;
                format!("{name}={value}\n")
            }
            _ if !value.contains('\'') => {
                single += 1;
                format!("{name}='{value}'\n")
            }
            _ => format!("{name}={}\n", quoted(value)),
        });
        scene.sends(lines.collect::<String>(), &expected);
        let lines = expected.iter().map(|(name, value)| match value {
            _ if !value.contains('\'') => {
                single += 1;
                format!("{name}='{value}' # comment\n")
            }
            _ => format!("{name}={}\n", quoted(value)),
        });
        scene.sends(lines.collect::<String>(), &expected);
        let object: serde_json::Map<_, _> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        scene.sends(serde_json::to_string_pretty(&object).unwrap(), &expected);
    }
    assert!(bare > 20 && single > 20, "{bare} without quotes, {single} in single ones");
}
