//! Requests that two programs could read in two ways (T7), sent raw: each is refused or
//! read in the one safe way, and the connection is not used for what follows.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use crate::harness::Companion;
use crate::harness::http::{raw, read_answer};

const PATH: &str = "/healthz";

#[test]
fn table_of_raw_requests() {
    let companion = Companion::start();
    let host = format!("Host: {}", companion.address);
    let table: &[(&str, String, &[u16])] = &[
        ("plain", format!("GET {PATH} HTTP/1.1\r\n{host}\r\n\r\n"), &[200]),
        ("no Host", format!("GET {PATH} HTTP/1.1\r\n\r\n"), &[400]),
        ("two Hosts", format!("GET {PATH} HTTP/1.1\r\n{host}\r\n{host}\r\n\r\n"), &[400]),
        ("foreign Host", format!("GET {PATH} HTTP/1.1\r\nHost: evil.example\r\n\r\n"), &[403]),
        (
            "Host with user info",
            format!("GET {PATH} HTTP/1.1\r\nHost: x@{}\r\n\r\n", companion.address),
            &[400],
        ),
        (
            "absolute form, other host",
            format!("GET http://evil.example{PATH} HTTP/1.1\r\n{host}\r\n\r\n"),
            &[400],
        ),
        (
            "length and encoding",
            format!(
                "POST {PATH} HTTP/1.1\r\n{host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            &[400],
        ),
        (
            "two encodings",
            format!(
                "POST {PATH} HTTP/1.1\r\n{host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
            ),
            &[400],
        ),
        (
            "unknown encoding",
            format!("POST {PATH} HTTP/1.1\r\n{host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            &[400, 501],
        ),
        (
            "two lengths",
            format!("POST {PATH} HTTP/1.1\r\n{host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
            &[400],
        ),
        (
            "length with sign",
            format!("POST {PATH} HTTP/1.1\r\n{host}\r\nContent-Length: +4\r\n\r\nabcd"),
            &[400],
        ),
        ("blank before colon", format!("GET {PATH} HTTP/1.1\r\n{host}\r\nX-A : b\r\n\r\n"), &[400]),
        ("folded line", format!("GET {PATH} HTTP/1.1\r\n{host}\r\nX-A: b\r\n c\r\n\r\n"), &[400]),
        ("NUL in a header", format!("GET {PATH} HTTP/1.1\r\n{host}\r\nX-A: b\0c\r\n\r\n"), &[400]),
        ("bare CR in a header", format!("GET {PATH} HTTP/1.1\r\n{host}\r\nX-A: b\rc\r\n\r\n"), &[400]),
        (
            "foreign Origin",
            format!("GET {PATH} HTTP/1.1\r\n{host}\r\nOrigin: http://evil.example\r\n\r\n"),
            &[403],
        ),
        ("null Origin", format!("GET {PATH} HTTP/1.1\r\n{host}\r\nOrigin: null\r\n\r\n"), &[403]),
        ("HTTP/0.9", format!("GET {PATH}\r\n\r\n"), &[400]),
    ];
    for (name, bytes, expected) in table {
        let status = raw(companion.address, bytes.as_bytes()).map_or(0, |answer| answer.status);
        assert!(expected.contains(&status), "{name}: {status}, expected {expected:?}");
    }
}

#[test]
fn nothing_is_read_behind_a_refused_body() {
    let companion = Companion::start();
    let mut socket = TcpStream::connect(companion.address).unwrap();
    let host = format!("Host: {}", companion.address);
    let hidden = format!("GET {PATH} HTTP/1.1\r\n{host}\r\n\r\n");
    let outer = format!(
        "POST {PATH} HTTP/1.1\r\n{host}\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        hidden.len() + 5
    );
    socket.write_all(outer.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    assert_eq!(read_answer(&mut reader).unwrap().status, 400);
    let second = read_answer(&mut reader).map(|answer| answer.status);
    assert_eq!(second, None, "the bytes behind the refused request were answered");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let companion = Companion::start();
    let host = format!("Host: {}", companion.address);
    let long = format!("GET {PATH} HTTP/1.1\r\n{host}\r\nX-A: {}\r\n\r\n", "a".repeat(200_000));
    let many = (0..200).map(|number| format!("X-{number}: a")).collect::<Vec<_>>().join("\r\n");
    let many = format!("GET {PATH} HTTP/1.1\r\n{host}\r\n{many}\r\n\r\n");
    for bytes in [long, many] {
        let status = raw(companion.address, bytes.as_bytes()).map_or(431, |answer| answer.status);
        assert_eq!(status, 431);
    }
}

#[test]
fn a_head_may_have_64_kib() {
    let companion = Companion::start();
    let of_length = |length: usize| {
        let start = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\nX-A: ", companion.address);
        let padding = "a".repeat(length - start.len() - 4);
        raw(companion.address, format!("{start}{padding}\r\n\r\n").as_bytes()).unwrap()
    };
    assert_eq!(of_length(64 * 1024).status, 200);
    for length in [64 * 1024 + 1, 100_000] {
        let answer = of_length(length);
        answer.expect_error(431, "too_large");
        assert_eq!(answer.header("Connection"), Some("close"));
    }
}
