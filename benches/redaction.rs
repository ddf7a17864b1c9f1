//! What taking secrets out of an answer costs: CPU time of this thread for a MiB
//! of text that has no secret in it (100 MB, near-matches included, in pieces of all sizes;
//! it stops if a byte of it changes), and for a whole answer, patterns included.
//! Run: `cargo bench --bench redaction`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures are shown with two digits")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::rc::Rc;

use aerostack::server::gateway::redaction::{Filter, Secrets};
use hyper::body::Bytes;

const BENIGN_BYTES: usize = 100_000_000;
const ROUNDS: u32 = 3;
const CALLS: u32 = 20_000;
const MIB: f64 = 1_048_576.0;

/// Nanoseconds of CPU that this thread has used.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

const SECRET: &str = "ghp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789";

fn secrets(count: usize) -> Rc<Secrets> {
    let mut secrets = Secrets::default();
    secrets.add(SECRET.as_bytes());
    let mut numbers = Numbers(7);
    for number in 1..count {
        let value: String =
            (0..40).map(|_| char::from(b'!' + u8::try_from(numbers.below(90)).unwrap())).collect();
        secrets.add(format!("{number}{value}").as_bytes());
    }
    Rc::new(secrets)
}

/// Texts of one kind, about 1 MiB, over and over.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let mut numbers = Numbers(1);
    let mut made = |one: &mut dyn FnMut(&mut Numbers, &mut String)| {
        let mut text = String::new();
        while text.len() < 1 << 20 {
            one(&mut numbers, &mut text);
        }
        text.into_bytes()
    };
    let prose = made(&mut |numbers, text| {
        let words = [
            "the", "server", "answers", "with", "a", "list", "of", "all", "Files", "that", "were", "changed.",
        ];
        write!(text, "{} ", words[numbers.below(words.len())]).unwrap();
    });
    let json = made(&mut |numbers, text| {
        let (id, score) = (numbers.below(1 << 30), numbers.below(1000));
        writeln!(text, r#"{{"id":{id},"name":"item-{score}","tags":["a","b\n"],"url":"https://e.example/x%20y?q={id}"}},"#).unwrap();
    });
    let nested = made(&mut |numbers, text| {
        let id = numbers.below(1 << 30);
        write!(text, r#"{{\"id\":{id},\"path\":\"C:\\\\dir\\\\{id}\",\"text\":\"a\\nb\"}},\n"#).unwrap();
    });
    let base64 = made(&mut |numbers, text| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        text.push(char::from(alphabet[numbers.below(64)]));
    });
    let events = made(&mut |numbers, text| {
        write!(text, "event: message\r\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{}}}\r\n\r\n", numbers.below(99))
            .unwrap();
    });
    let near = made(&mut |numbers, text| {
        let base64 = "Z2hwX0FiQ2RFZkdoSWpLbE1uT3BRclN0VXZXeFl6MDEyMzQ1Njc4OQ==";
        let hex = "6768705f41624364456647684";
        let percent = "%67%68%70%5F%41%62%43%64";
        let unicode = "\\u0067\\u0068\\u0070\\u005f\\u0041";
        let whole = [SECRET, base64, hex, percent, unicode][numbers.below(5)];
        // Never the whole of it.
        let end = 1 + numbers.below(whole.len().min(38) - 1);
        write!(text, "{}~ ", &whole[..end]).unwrap();
    });
    vec![
        ("prose", prose),
        ("JSON", json),
        ("JSON in JSON", nested),
        ("base64", base64),
        ("events", events),
        ("near-matches", near),
    ]
}

/// Sends the text through in pieces of all sizes up to `most`; stops if a byte differs.
/// Nanoseconds without the comparison.
fn pass(secrets: &Rc<Secrets>, text: &Bytes, most: usize, numbers: &mut Numbers) -> f64 {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = text.len().min(at + 1 + numbers.below(most));
        pieces.push(text.slice(at..end));
        at = end;
    }
    let mut out = Vec::with_capacity(pieces.len() + 1);
    let before = cpu();
    let mut filter = Filter::new(Rc::clone(secrets));
    out.extend(pieces.iter().map(|piece| filter.push(piece).unwrap()));
    out.push(filter.finish());
    let spent = cpu() - before;
    let mut compared = 0;
    for piece in out {
        assert!(text[compared..].starts_with(&piece), "a byte changed after byte {compared}");
        compared += piece.len();
    }
    assert_eq!(compared, text.len(), "bytes are missing at the end");
    spent
}

fn benign() {
    println!("text            secrets   CPU ns per byte   CPU ms per MiB");
    let mut bytes = 0;
    let kinds = kinds();
    let share = BENIGN_BYTES / kinds.len() + 1;
    let mut numbers = Numbers(3);
    for (name, text) in &kinds {
        for count in [1, 5, 50] {
            let secrets = secrets(count);
            let whole = Bytes::from(text.iter().copied().cycle().take(share).collect::<Vec<u8>>());
            let rounds = if count == 1 { ROUNDS } else { 1 };
            let spent = (0..rounds).map(|_| pass(&secrets, &whole, 1 << 16, &mut numbers));
            let best = spent.fold(f64::INFINITY, f64::min);
            let (byte, mib) = (best / share as f64, best / 1e6 / (share as f64 / MIB));
            println!("{name:<15} {count:>7}   {byte:>15.2}   {mib:>14.2}");
            bytes += if count == 1 { share } else { 0 };
        }
        // Very small pieces too.
        let whole = Bytes::copy_from_slice(&text[..1 << 16]);
        pass(&secrets(1), &whole, 3, &mut numbers);
    }
    println!("{bytes} bytes with one secret, and twice as many with more: 0 changed");
}

fn calls() {
    println!("\nanswer          secrets   CPU microseconds, patterns included");
    let kinds = kinds();
    for (name, size) in
        [("no body", 0), ("JSON, 200 B", 200), ("JSON, 4 KiB", 4096), ("JSON, 64 KiB", 1 << 16)]
    {
        let answer = Bytes::copy_from_slice(&kinds[1].1[..size]);
        for count in [1, 5, 50] {
            let values: Vec<String> = (0..count).map(|number| format!("{SECRET}{number}")).collect();
            let rounds = if size > 4096 { CALLS / 20 } else { CALLS };
            let before = cpu();
            for _ in 0..rounds {
                let mut secrets = Secrets::default();
                for value in &values {
                    secrets.add(value.as_bytes());
                }
                let mut filter = Filter::new(Rc::new(secrets));
                if size > 0 {
                    black_box(filter.push(&answer).unwrap());
                    black_box(filter.finish());
                }
            }
            println!("{name:<15} {count:>7}   {:>10.2}", (cpu() - before) / 1e3 / f64::from(rounds));
        }
    }
}

fn main() {
    benign();
    calls();
}
