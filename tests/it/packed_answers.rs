//! MCP servers that compress their answers although they were asked not to: they are
//! unpacked, filtered, and passed on as they come.

use std::io::Write as _;

use serde_json::json;

use crate::harness::upstream::Received;
use crate::harness::{Upstream, mcp_answer};
use crate::redaction::{ROUTES, TOKEN, body, call, chunked, must_not_leak, stage, switch};
use crate::streaming::{ByHand, Client, EVENTS_HEAD, chunk};

fn packed(coding: &str, body: &[u8]) -> Vec<u8> {
    if coding == "gzip" {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        return encoder.finish().unwrap();
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// The answer of `echo` or `mcp_answer` with its body packed, as JSON or as an event.
fn packed_answer(request: &Received, coding: &str, events: bool, size: usize) -> Vec<u8> {
    if request.json().get("id").is_none() {
        return mcp_answer(request);
    }
    let plain = if request.method() == "tools/call" {
        body(request)
    } else {
        let answer = mcp_answer(request);
        String::from_utf8(answer)
            .unwrap()
            .split_once("\r\n\r\n")
            .unwrap()
            .1
            .replace("\"raw\"", &format!("\"{TOKEN}\""))
    };
    let (kind, text) = if events {
        ("text/event-stream", format!("data: {plain}\n\n"))
    } else {
        ("application/json", plain)
    };
    chunked(kind, &format!("Content-Encoding: {coding}\r\n"), &packed(coding, text.as_bytes()), size)
}

#[test]
fn packed_answers_to_initialize_lists_and_calls() {
    for (coding, events, size) in
        [("gzip", false, 1), ("gzip", true, 9), ("gzip", true, 1 << 20), ("deflate", false, 5)]
    {
        let (companion, token, _upstream) =
            stage(move |request| packed_answer(request, coding, events, size));
        for (slug, tool) in ROUTES {
            let session = companion.session(&token, slug);
            assert_eq!(session.tools(), [if slug.is_none() { "echo__echo" } else { "echo" }]);
            let answer = call(&session, tool, &json!({"form": 4}));
            assert_eq!(answer.header("Content-Encoding"), None);
            must_not_leak(answer.whole().as_bytes());
            assert!(answer.text().contains("\"text\":\"a [redacted] b [redacted] c\""), "{}", answer.text());
            switch(&companion, false);
            assert!(
                call(&session, tool, &json!({})).text().contains(TOKEN),
                "unpacked without redaction too"
            );
            switch(&companion, true);
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_an_error_and_a_bomb_is_bounded() {
    let good = Upstream::mcp();
    let (companion, token, _upstream) = stage(|request| match request.method().as_str() {
        "tools/list" => {
            let bomb = packed("gzip", &vec![b' '; 64 << 20]);
            chunked("application/json", "Content-Encoding: gzip\r\n", &bomb, 1 << 16)
        }
        "tools/call" => chunked("application/json", "Content-Encoding: br\r\n", b"\x0b\x02\x80{}\x03", 9),
        _ => mcp_answer(request),
    });
    companion.add_server("good", &good.url());
    let session = companion.session(&token, None);
    assert_eq!(session.tools(), ["good__echo"]);
    let answer = session.call("echo__say");
    assert_eq!(answer["error"]["data"], json!({"server": "echo", "reason": "not_mcp"}), "{answer}");
}

#[test]
fn a_packed_event_is_delivered_before_the_next_one_is_sent() {
    let hand = ByHand::start();
    hand.companion.set("hand", "TOKEN", TOKEN);
    let session = hand.session(None);
    let client = Client::call(&session, "hand__echo");
    let mut upstream = hand.socket();
    let head = format!("{EVENTS_HEAD}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
    upstream.write_all(head.as_bytes()).unwrap();
    let mut client = Client::answered(client);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for number in 0..5 {
        encoder.write_all(format!("data: {number} {TOKEN}\n\n").as_bytes()).unwrap();
        encoder.flush().unwrap();
        upstream.write_all(&chunk(&std::mem::take(encoder.get_mut()))).unwrap();
        let expected = format!("data: {number} [redacted]\n\n");
        assert_eq!(String::from_utf8(client.exactly(expected.len())).unwrap(), expected);
    }
    // Cut off inside the packed stream, though cleanly as HTTP: that is no clean end.
    upstream.write_all(b"0\r\n\r\n").unwrap();
    let rest = String::from_utf8(client.rest().unwrap()).unwrap();
    assert!(rest.contains(r#""reason":"cut""#), "{rest}");
}
