//! One bad server does not take the others down: seven ways of being broken beside a good
//! server. The first list waits for them within its limit, and the next ones not at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::Companion;
use crate::harness::upstream::{Upstream, http_answer, mcp_answer};

/// How long a list may take beside broken servers: 5 s for each of them, side by side, and room
/// for a busy machine.
const LIMIT: Duration = Duration::from_secs(12);
/// What a list takes at most that waits for nobody: far below the 3 s of the shortest limit.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// Accepts connections, counts them, and does with each what `treat` says.
fn listener(treat: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, treat) = (Arc::clone(&count), Arc::new(treat));
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let treat = Arc::clone(&treat);
            std::thread::spawn(move || treat(socket));
        }
    });
    (address, count)
}

/// Writes a byte now and then, for as long as somebody listens.
fn drip(socket: &mut std::net::TcpStream, text: &[u8]) {
    for byte in text.iter().cycle() {
        if socket.write_all(&[*byte]).is_err() {
            return;
        }
        // The dripping itself, not a wait for something.
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn read_some(socket: &mut std::net::TcpStream) {
    let _ = socket.read(&mut [0; 4096]);
}

struct Stage {
    companion: Companion,
    token: String,
    counts: Vec<(&'static str, Arc<AtomicUsize>)>,
}

fn stage() -> Stage {
    let companion = Companion::start();
    let good = Upstream::mcp();
    companion.add_server("good", &good.url());
    let mut counts = Vec::new();
    // Nobody listens there any more.
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    companion.add_server("refused", &format!("http://{refused}/mcp"));
    let mut add = |slug: &'static str, (address, count): (SocketAddr, Arc<AtomicUsize>)| {
        companion.add_server(slug, &format!("http://{address}/mcp"));
        counts.push((slug, count));
    };
    add(
        "black-hole",
        listener(|mut socket| while socket.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}),
    );
    add(
        "slow-head",
        listener(|mut socket| {
            read_some(&mut socket);
            drip(&mut socket, b"HTTP/1.1 200 OK\r\nX: y\r\nX: z");
        }),
    );
    add(
        "slow-body",
        listener(|mut socket| {
            read_some(&mut socket);
            let _ = socket.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n{",
            );
            drip(&mut socket, b" ");
        }),
    );
    add(
        "cut",
        listener(|mut socket| {
            read_some(&mut socket);
            let _ = socket.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"json",
            );
        }),
    );
    add(
        "garbage",
        listener(|mut socket| {
            read_some(&mut socket);
            let _ = socket.write_all(b"\x00\xff SSH-2.0 what?\r\n\r\n");
        }),
    );
    add(
        "redirect",
        listener(|mut socket| {
            read_some(&mut socket);
            // Slow, so that a list that waited for it would be seen to.
            std::thread::sleep(Duration::from_secs(1));
            let headers = [("Location", "http://127.0.0.2:9/"), ("Connection", "close")];
            let _ = socket.write_all(&http_answer("302 Found", &headers, ""));
        }),
    );
    let token = companion.token("default");
    Stage { companion, token, counts }
}

#[test]
fn seven_broken_servers_beside_a_good_one() {
    let stage = stage();
    let started = Instant::now();
    let session = stage.companion.session(&stage.token, None);
    assert!(started.elapsed() < LIMIT, "initialize took {:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(session.tools(), ["good__echo"]);
    assert!(started.elapsed() < LIMIT, "the first list took {:?}", started.elapsed());

    // From here on the broken ones cost nothing: neither lists nor new sessions wait for them.
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(session.tools(), ["good__echo"]);
    }
    assert!(started.elapsed() < AT_ONCE, "three lists took {:?}", started.elapsed());
    let started = Instant::now();
    let another = stage.companion.session(&stage.token, None);
    assert_eq!(another.tools(), ["good__echo"]);
    assert!(started.elapsed() < AT_ONCE, "a new session took {:?}", started.elapsed());
    assert!(another.call("good__echo")["result"].is_object());
    for (slug, count) in &stage.counts {
        assert!(count.load(Ordering::SeqCst) > 0, "{slug} was never asked");
    }

    // A call says which server and why, and nothing else about it.
    for (slug, reason) in
        [("refused", "unreachable"), ("redirect", "redirect"), ("garbage", "cut"), ("cut", "cut")]
    {
        let answer = session.call(&format!("{slug}__x"));
        assert_eq!(answer["error"]["data"], json!({"server": slug, "reason": reason}), "{answer}");
        let text = answer.to_string();
        assert!(!text.contains("127.0.0") && !text.contains("http://"), "{text}");
    }
}

#[test]
fn a_server_that_comes_back_is_listed_again() {
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let upstream =
        Upstream::start(
            move |request| {
                if switch.load(Ordering::SeqCst) { mcp_answer(request) } else { Vec::new() }
            },
        );
    let good = Upstream::mcp();
    let companion = Companion::start();
    companion.add_server("good", &good.url());
    companion.add_server("weak", &upstream.url());
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["good__echo"]);
    works.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_mins(1);
    while session.tools() != ["good__echo", "weak__echo"] {
        assert!(Instant::now() < deadline, "it was never listed again");
        std::thread::yield_now();
    }
    // Another secret is a fresh start, without any rest.
    works.store(false, Ordering::SeqCst);
    let session = companion.session(&companion.token("default"), None);
    assert_eq!(session.tools(), ["good__echo"]);
    works.store(true, Ordering::SeqCst);
    companion.set("weak", "API_TOKEN", "canary");
    assert_eq!(session.tools(), ["good__echo", "weak__echo"]);
}
