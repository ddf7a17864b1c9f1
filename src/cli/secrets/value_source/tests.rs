//! Each source of a value, what is taken off and said, and that no refusal repeats it.

use super::*;
use crate::cli::global_options::GlobalOptions;
use crate::cli::settings::Settings;
use crate::cli::terminal::Terminal;

/// A run: arguments, standard input, and what there is around.
#[derive(Default)]
struct Run {
    arguments: ValueArgs,
    input: Vec<u8>,
    tty: bool,
    no_input: bool,
    settings: Settings,
}

impl Run {
    fn argument(text: &str) -> Self {
        Self { arguments: ValueArgs { value: Some(text.into()), ..ValueArgs::default() }, ..Self::default() }
    }

    fn input(bytes: impl AsRef<[u8]>) -> Self {
        Self { input: bytes.as_ref().to_vec(), ..Self::default() }
    }

    fn typed(bytes: impl AsRef<[u8]>) -> Self {
        Self { tty: true, ..Self::input(bytes) }
    }

    fn form(mut self, change: impl Fn(&mut ValueForm)) -> Self {
        change(&mut self.arguments.form);
        self
    }

    /// The value, what is reported after it is stored, and all that was said.
    fn outcome(self) -> (Result<(String, String), Failure>, String) {
        let mut terminal = Terminal::captured(self.tty);
        terminal.feed(&self.input);
        let options = GlobalOptions { no_input: self.no_input, ..GlobalOptions::default() };
        let mut context = Context::new(&mut terminal, &self.settings, &options);
        let (server, name) = (ServerSlug::parse("github-mcp").unwrap(), SecretName::parse("TOKEN").unwrap());
        let wanted = For { command: "set", server: &server, name: &name };
        let result = self.arguments.obtain(&wanted, &mut context).map(|given| {
            let length = given.value.byte_length();
            let changes = given.changes.join(", ");
            let told = format!("stored {length} bytes; {changes}");
            (given.value.expose_text().to_owned(), if changes.is_empty() { String::new() } else { told })
        });
        assert_eq!(terminal.out_text(), "", "data is printed by the command alone");
        (result, terminal.err_text())
    }

    #[track_caller]
    fn gives(self, value: &str, told: &str) {
        let (result, err) = self.outcome();
        assert_eq!(result.unwrap(), (value.to_owned(), told.to_owned()));
        assert!(!err.contains("canary"), "{err}");
    }

    #[track_caller]
    fn fails(self, message: &str, hint: &str) {
        let (result, err) = self.outcome();
        let failure = result.unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(failure.message(), format!("{message}; nothing was stored"));
        assert!(failure.hint().unwrap().contains(hint), "{:?}", failure.hint());
        assert!(!format!("{failure:?}{err}").contains("canary"));
    }
}

#[test]
fn the_argument_wins_and_is_taken_as_it_is() {
    Run { input: b"other".to_vec(), ..Run::argument("canary") }.gives("canary", "");
    Run::argument("\u{feff}canary").gives("\u{feff}canary", "");
    Run::argument("@canary").gives("@canary", "");
    Run::argument("").fails("the value is empty", "secrets delete");
    Run::argument("canary\n").fails("the value has more than one line: it ends with a line end", "--trim");
    Run::argument("canary\n")
        .form(|form| form.trim = true)
        .gives("canary", "stored 6 bytes; took 1 byte off its ends");
}

#[test]
fn an_argument_on_a_terminal_is_talked_about() {
    let (_, err) = Run { tty: true, ..Run::argument("canary") }.outcome();
    assert_eq!(
        err,
        "The shell's history now has that value. Safer, it asks: aerostack secrets set github-mcp TOKEN\n"
    );
    assert_eq!(Run::argument("canary").outcome().1, "");
    let settings = || Settings { no_argv_secrets: true, ..Settings::default() };
    Run { settings: settings(), ..Run::argument("canary") }.fails(
        "AEROSTACK_NO_ARGV_SECRETS is set, so no value is taken from the command line",
        "aerostack secrets set github-mcp TOKEN",
    );
    Run { settings: settings(), input: b"canary".to_vec(), ..Run::argument("-") }.gives("canary", "");
}

#[test]
fn input_loses_one_line_end_of_a_single_line() {
    let newline = "stored 6 bytes; removed the trailing newline";
    let mark = "stored 6 bytes; removed the byte order mark";
    for (input, told) in [
        ("canary", String::new()),
        ("canary\n", newline.to_owned()),
        ("canary\r\n", newline.to_owned()),
        ("\u{feff}canary", mark.to_owned()),
        ("\u{feff}canary\r\n", format!("{mark}, removed the trailing newline")),
    ] {
        Run::input(input).gives("canary", &told);
        Run { arguments: Run::argument("-").arguments, ..Run::input(input) }.gives("canary", &told);
        let value_file = Some(PathBuf::from("-"));
        let arguments = ValueArgs { value_file, ..ValueArgs::default() };
        Run { arguments, ..Run::input(input) }.gives("canary", &told);
    }
    Run { arguments: Run::argument("-").arguments, ..Run::typed("canary\n") }.gives("canary", newline);
    let utf_16: Vec<u8> = "\u{feff}canary ä\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    Run::input(utf_16).gives("canary ä", "stored 9 bytes; decoded UTF-16, removed the trailing newline");
    for raw in ["canary", "\u{feff}canary"] {
        Run::input(raw).form(|form| form.raw = true).gives(raw, "");
    }
    Run::input("canary\n")
        .form(|form| form.raw = true)
        .fails("the value has more than one line: it ends with a line end", "--trim");
    Run::input(" \r\n canary a \t\n")
        .form(|form| form.trim = true)
        .gives("canary a", "stored 8 bytes; took 7 bytes off its ends");
}

#[test]
fn bad_input_is_refused_with_a_way_out() {
    let lines = "the value has more than one line; an HTTP header has one";
    for input in ["canary\nmore", "canary\nmore\n\n", "a\ncanary\n", "\n\n"] {
        Run::input(input).fails(lines, "--base64");
        Run::input(input).fails(lines, "--compact-json");
    }
    for (input, place) in [("canary\n\n", "ends"), ("canary\r", "ends"), ("\ncanary", "begins")] {
        Run::input(input)
            .fails(&format!("the value has more than one line: it {place} with a line end"), "--trim");
    }
    for empty in ["", "\n", "\r\n", "\u{feff}", "\u{feff}\n"] {
        Run::input(empty).fails("the value is empty", "--prompt");
    }
    Run::input(" \n ").form(|form| form.trim = true).fails("the value is empty", "--prompt");
    Run::input(" canary").fails("the value begins or ends with a blank, which HTTP would drop", "--trim");
    Run::input("canary\t")
        .fails("the value has a control character (tab, NUL, escape ...) at byte 6", "--base64");
    Run::input(b"canary\xff").fails("the value is not UTF-8 text (first bad byte at 6)", "--base64");
    Run::input(b"\xff\xfecan")
        .fails("the value begins with the byte order mark of UTF-16, and it is not UTF-16 text", "--base64");
    Run::input(vec![b'x'; 16_385]).fails("the value has 16385 bytes; at most 16384 are allowed", "token");
    Run::input(vec![b'x'; MAX_INPUT_BYTES + 1])
        .fails("standard input holds more than 1 MiB, and a value at most 16384 bytes", "token");
}

#[test]
fn base64_is_of_the_bytes_that_came_in() {
    let base64 = |form: &mut ValueForm| form.base64 = true;
    let pem = "-----BEGIN KEY-----\ncanary\n-----END KEY-----\n";
    let encoded = "LS0tLS1CRUdJTiBLRVktLS0tLQpjYW5hcnkKLS0tLS1FTkQgS0VZLS0tLS0K";
    Run::input(pem).form(base64).gives(encoded, "stored 60 bytes; encoded as base64");
    // One line of text is what was typed before Enter, with base64 too.
    let told = "stored 8 bytes; removed the trailing newline, encoded as base64";
    Run::input("canary\n").form(base64).gives("Y2FuYXJ5", told);
    // Not so in binary values, nor with --raw.
    Run::input(b"\x00\n").form(base64).gives("AAo=", "stored 4 bytes; encoded as base64");
    Run::input(b"\xff\xfe\x00").form(base64).gives("//4A", "stored 4 bytes; encoded as base64");
    Run::input("a\n")
        .form(base64)
        .form(|form| form.raw = true)
        .gives("YQo=", "stored 4 bytes; encoded as base64");
    Run::input("").form(base64).fails("the value is empty", "--prompt");
    Run::argument("a\nb").form(base64).gives("YQpi", "stored 4 bytes; encoded as base64");
}

#[test]
fn json_in_one_line() {
    let compact = |form: &mut ValueForm| form.compact_json = true;
    Run::input("\u{feff}{\n  \"b\": 1.0,\n  \"a\": \"canary \"\n}\n").form(compact).gives(
        r#"{"b":1.0,"a":"canary "}"#,
        "stored 23 bytes; removed the byte order mark, took 10 bytes of blanks out of the JSON",
    );
    Run::input("{\"a\":1}").form(compact).gives("{\"a\":1}", "");
    for bad in ["canary\n", "{\"canary\":", "1 2", ""] {
        Run::input(bad).form(compact).fails("the value is not a JSON document", "--compact-json");
    }
}

#[test]
fn a_file_is_taken_as_it_is() {
    let folder = std::env::temp_dir().join(format!("aerostack-value-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("value");
    let file = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let arguments = ValueArgs { value_file: Some(path.clone()), ..ValueArgs::default() };
        Run { arguments, ..Run::input("other") }
    };
    file(b"canary").gives("canary", "");
    file(b"canary\n").fails("the value has more than one line: it ends with a line end", "--trim");
    let trimmed = file(b"\xef\xbb\xbfcanary\r\n").form(|form| form.trim = true);
    trimmed.gives("canary", "stored 6 bytes; removed the byte order mark, took 2 bytes off its ends");
    file(b"\xef\xbb\xbfcanary").fails("the file begins with a byte order mark", "--raw");
    file(b"\xef\xbb\xbfcanary").form(|form| form.raw = true).gives("\u{feff}canary", "");
    // Every byte counts.
    let encoded = file(b"\xff\xfea\n").form(|form| form.base64 = true);
    encoded.gives("//5hCg==", "stored 8 bytes; encoded as base64");
    file(b"").fails("the value is empty", "secrets delete");
    file(&vec![b'x'; MAX_INPUT_BYTES + 1])
        .fails("the file holds more than 1 MiB, and a value at most 16384 bytes", "token");
    for missing in [folder.join("canary"), folder.clone()] {
        let arguments = ValueArgs { value_file: Some(missing), ..ValueArgs::default() };
        let failure = Run { arguments, ..Run::default() }.outcome().0.unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().starts_with("could not read the file of --value-file: "));
        assert!(!failure.message().contains("canary"));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_variable() {
    let lookup: fn(&OsStr) -> Option<OsString> = |name| match name.to_str() {
        Some("TOKEN") => Some("canary".into()),
        Some("LINES") => Some("canary\n".into()),
        Some("PEM") => Some("{\n  canary-1\r\n  canary-2 \n}\n".into()),
        Some("EMPTY") => Some(OsString::new()),
        _ => None,
    };
    let from = |name: &str, github_actions| {
        let arguments = ValueArgs { from_env: Some(name.into()), ..ValueArgs::default() };
        let settings = Settings { lookup: Some(lookup), github_actions, ..Settings::default() };
        Run { arguments, settings, ..Run::input("other") }
    };
    from("TOKEN", false).gives("canary", "");
    from("LINES", false).fails("the value has more than one line: it ends with a line end", "--trim");
    for name in ["EMPTY", "MISSING", "", "canary"] {
        from(name, false).fails("the variable that --from-env names is not set, or empty", "without '$'");
    }
    // In a workflow the log is told to hide it, in each form in which it could be seen.
    assert_eq!(from("TOKEN", true).outcome().1, "::add-mask::canary\n");
    let (result, err) = from("TOKEN", true).form(|form| form.base64 = true).outcome();
    assert_eq!(result.unwrap().0, "Y2FuYXJ5");
    assert_eq!(err, "::add-mask::canary\n::add-mask::Y2FuYXJ5\n");
    // Also what is refused, and each line that is long enough to be told from others.
    assert_eq!(from("LINES", true).outcome().1, "::add-mask::canary\n");
    assert_eq!(from("PEM", true).outcome().1, "::add-mask::canary-1\n::add-mask::canary-2\n");
    let settings = || Settings { github_actions: true, ..Settings::default() };
    let refused = Settings { no_argv_secrets: true, ..settings() };
    assert_eq!(Run { settings: refused, ..Run::argument("canary") }.outcome().1, "::add-mask::canary\n");
    let (_, err) = Run { settings: settings(), ..Run::argument("100%25 \u{9b}") }.outcome();
    assert_eq!(err, "::add-mask::100%2525 \u{9b}\n");
    assert_eq!(Run { settings: settings(), ..Run::input("canary") }.outcome().1, "");
}

#[test]
fn the_prompt_is_hidden_told_about_and_can_be_forbidden() {
    let (result, err) = Run::typed("canary\n").outcome();
    assert_eq!(result.unwrap(), ("canary".to_owned(), String::new()));
    assert_eq!(err, "Value of TOKEN for github-mcp (not shown): \nReceived 6 bytes.\n");
    let prompt = || ValueArgs { prompt: true, ..ValueArgs::default() };
    Run { arguments: prompt(), ..Run::typed("canary\n") }.gives("canary", "");
    let nobody = "there is no value, and nobody can be asked for it";
    Run { arguments: prompt(), ..Run::input("canary\n") }.fails(nobody, "standard input");
    Run { arguments: prompt(), no_input: true, ..Run::typed("canary\n") }.fails(nobody, "--no-input");
    Run { no_input: true, ..Run::typed("canary\n") }.fails(nobody, "--no-input");
    Run { no_input: true, ..Run::input("canary\n") }
        .gives("canary", "stored 6 bytes; removed the trailing newline");
    Run::typed("can\tary\n")
        .fails("the value has a control character (tab, NUL, escape ...) at byte 3", "--base64");
    let failure = Run::typed("canary\x03").outcome().0.unwrap_err();
    assert_eq!(failure.exit_code(), 130);
}
