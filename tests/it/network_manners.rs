//! Which requests are sent a second time, after which wait, and what is said when it helped
//! nothing. The API is a raw socket that counts; nothing here waits longer than a second.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::parts::parts;
use crate::harness::program::Aerostack;
use crate::harness::strace::strace;
use crate::harness::upstream::{Received, http_answer, json_answer};
use crate::harness::{Companion, Ended, Upstream, aerostack};

const LIST: [&str; 3] = ["secrets", "list", "github-mcp"];
const INJECT: [&str; 5] = ["secrets", "inject", "github-mcp", "TOKEN", "--bearer"];
const SET: [&str; 4] = ["secrets", "set", "github-mcp", "TOKEN"];
const DELETE: [&str; 5] = ["secrets", "delete", "github-mcp", "TOKEN", "--yes"];
const REVOKE: [&str; 6] = ["workspace", "token", "revoke", "default", "abcdefghijkl", "--yes"];
const LOOK_FIRST: &str = "the change may have been made all the same; look before trying again";

fn run_against(api: &Upstream, arguments: &[&str]) -> Aerostack {
    let run = aerostack(arguments).env("AEROSTACK_API_URL", format!("http://{}", api.address));
    run.env("AEROSTACK_API_KEY", "ak_canary-key")
}

fn secret() -> Value {
    let day = "2026-03-15T00:00:00Z";
    json!({"name": "TOKEN", "injection": {"type": "bearer"}, "created_at": day, "updated_at": day, "version": 1})
}

/// What an API that is well answers.
fn well(request: &Received) -> Vec<u8> {
    match request.head_text().split(' ').next().unwrap_or_default() {
        "GET" => json_answer(&json!({"secrets": [secret()]})),
        "PUT" => json_answer(&json!({"secret": secret()})),
        "DELETE" => http_answer("204 No Content", &[], ""),
        _ => json_answer(&json!({"status": "updated", "secret": secret()})),
    }
}

/// An API that answers the requests of this method with these bytes, one after the other, and
/// then as it should; all other requests at once.
fn ailing(method: &'static str, answers: Vec<Vec<u8>>) -> Upstream {
    let left = std::sync::Mutex::new(answers.into_iter());
    Upstream::start(move |request| {
        let matches = request.head_text().starts_with(method);
        matches.then(|| left.lock().unwrap().next()).flatten().unwrap_or_else(|| well(request))
    })
}

fn gateway_page(status: &str) -> Vec<u8> {
    http_answer(status, &[], "<html>canary</html>")
}

fn asking_to_wait(status: &str, wait: &str) -> Vec<u8> {
    http_answer(status, &[("Retry-After", wait)], "<html>canary</html>")
}

/// The requests of a method, as they arrived.
fn requests(api: &Upstream, method: &str) -> Vec<Received> {
    api.received().into_iter().filter(|request| request.head_text().starts_with(method)).collect()
}

#[track_caller]
fn fails(ended: Ended, code: i32, message: &str, hint: &str) {
    let ended = ended.expect(code);
    assert!(ended.err.contains(&format!("error: {message}")), "{}", ended.err);
    assert!(ended.err.contains(&format!("hint: {hint}")), "{}", ended.err);
    assert!(!ended.both().contains("canary"), "{}", ended.err);
}

#[test]
fn what_may_be_made_twice_is_tried_again() {
    for (method, arguments) in [("GET", &LIST[..]), ("PUT", &INJECT), ("DELETE", &DELETE)] {
        for status in ["429 Too Many Requests", "502 Bad Gateway", "503 Unavailable", "504 Gateway Timeout"] {
            let api = ailing(method, vec![gateway_page(status)]);
            run_against(&api, arguments).run().expect(0);
            assert_eq!(requests(&api, method).len(), 2, "{method} {status}");
        }
    }
    // Three times and no more, and each try is seen.
    let api = ailing("GET", vec![gateway_page("503 Unavailable"); 9]);
    let ended = run_against(&api, &[&LIST[..], &["--verbose"]].concat()).run().expect(1);
    assert_eq!(api.received().len(), 3);
    assert_eq!(ended.err.matches("GET /api/v1/admin/mcp-servers/github-mcp/secrets 503").count(), 3);
    assert_eq!(ended.err.matches("HTTP 503 (not available now); trying again in ").count(), 2);
    // Other statuses are final.
    for status in
        ["500 Internal Server Error", "404 Not Found", "507 Insufficient Storage", "400 Bad Request"]
    {
        let api = ailing("GET", vec![gateway_page(status)]);
        run_against(&api, &LIST).run().expect(1);
        assert_eq!(api.received().len(), 1, "{status}");
    }
}

#[test]
fn the_check_of_a_key_changes_nothing_and_is_tried_again() {
    let api = ailing("POST", vec![gateway_page("502 Bad Gateway")]);
    run_against(&api, &["auth", "status"]).run();
    assert_eq!(requests(&api, "POST /api/v1/cli/validate").len(), 2);
}

#[test]
fn a_change_that_may_have_been_made_is_not_made_again() {
    let add = ["mcp", "add", "github-mcp", "--url", "https://a.example/"];
    let update = ["mcp", "update", "github-mcp", "--name", "N"];
    for (method, arguments) in [("POST", &add[..]), ("PATCH", &update)] {
        for status in ["502 Bad Gateway", "503 Unavailable", "504 Gateway Timeout"] {
            let api = ailing(method, vec![gateway_page(status); 9]);
            fails(run_against(&api, arguments).run(), 1, "the answer (HTTP 50", LOOK_FIRST);
            assert_eq!(requests(&api, method).len(), 1, "{method} {status}");
        }
        let api = ailing(method, vec![gateway_page("429 Too Many Requests"); 9]);
        fails(
            run_against(&api, arguments).run(),
            8,
            "the server says that there were too many",
            "wait a little",
        );
        assert_eq!(requests(&api, method).len(), 1, "{method}");
    }
    // What it was is answered by the one that did it, so not a second time either.
    let all = ["secrets", "delete", "github-mcp", "--all", "--yes"];
    let api = ailing("DELETE", vec![gateway_page("502 Bad Gateway"); 9]);
    fails(run_against(&api, &all).run(), 1, "the answer (HTTP 502)", LOOK_FIRST);
    assert_eq!(requests(&api, "DELETE").len(), 1);
    // After the last try it is not known either.
    let api = ailing("PUT", vec![gateway_page("504 Gateway Timeout"); 9]);
    fails(run_against(&api, &INJECT).run(), 1, "the answer (HTTP 504)", LOOK_FIRST);
    let api = ailing(
        "PUT",
        vec![gateway_page("502 Bad Gateway"), gateway_page("429 Too Many Requests"), Vec::new()],
    );
    fails(run_against(&api, &INJECT).run(), 7, "could not reach", LOOK_FIRST);
}

#[test]
fn a_delete_that_finds_nothing_the_second_time_says_so() {
    let error = json!({"error": {"code": "not_found", "message": "no such token", "request_id": "r-2"}});
    let gone = || http_answer("404 Not Found", &[("X-Request-Id", "r-2")], &error.to_string());
    let api = ailing("DELETE", vec![gateway_page("502 Bad Gateway"), gone()]);
    let ended = run_against(&api, &[&REVOKE[..], &["--json"]].concat()).run().expect(3);
    let error = ended.error_document();
    let message =
        "there is no such thing now; an earlier try had the answer HTTP 502 and may have deleted it";
    assert_eq!((&error["code"], &error["message"]), (&json!("not_found"), &json!(message)));
    assert_eq!(error["request_id"], "r-2");
    // 429 means that nothing was done, and without an earlier try there is nothing to explain.
    for answers in [vec![gone()], vec![gateway_page("429 Too Many Requests"), gone()]] {
        let api = ailing("DELETE", answers);
        assert!(run_against(&api, &REVOKE).run().expect(3).err.starts_with("error: no such token\n"));
    }
}

#[test]
fn peer_defect_09_each_try_has_its_whole_body() {
    let api = ailing("PUT", vec![gateway_page("503 Unavailable"), gateway_page("502 Bad Gateway")]);
    run_against(&api, &INJECT).run().expect(0);
    let bodies: Vec<_> = requests(&api, "PUT").iter().map(Received::json).collect();
    assert_eq!(bodies, vec![json!({"type": "bearer"}); 3]);
    let ended = run_against(&api, &SET).stdin("").run().expect(2);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

/// A connection that did not come up carried nothing: even a POST is sent again.
#[test]
fn peer_defect_09_a_write_after_a_lost_connection_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    for dropped in [1, 2, 3] {
        let (api, pem) = Upstream::tls(&["localhost"], dropped, well);
        std::fs::write(&authority, pem).unwrap();
        let run = aerostack(&SET).stdin("canary-value").env("AEROSTACK_CA_CERT", &authority);
        let run = run.env("AEROSTACK_API_URL", format!("https://localhost:{}", api.address.port()));
        let ended = run.env("AEROSTACK_API_KEY", "ak_canary-key").run();
        if dropped < 3 {
            ended.expect(0);
            let received = api.received();
            assert_eq!((received.len(), api.connections()), (1, dropped + 1));
            assert_eq!(received[0].json()["value"], "canary-value");
        } else {
            fails(ended, 7, "could not reach https://localhost", "check --api-url");
            assert_eq!((api.received().len(), api.connections()), (0, 3));
        }
    }
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    // A certificate of nobody we know.
    let (api, _) = Upstream::tls(&["localhost"], 0, well);
    let run = aerostack(&LIST).env("AEROSTACK_API_URL", format!("https://localhost:{}", api.address.port()));
    fails(
        run.env("AEROSTACK_API_KEY", "ak_canary-key").run(),
        7,
        "could not reach",
        "if the server's certificate",
    );
    assert_eq!((api.received().len(), api.connections()), (0, 1));
    // An answer that broke off.
    let half = Upstream::start(|_| Vec::new());
    fails(run_against(&half, &LIST).run(), 7, "could not reach", "check --api-url");
    assert_eq!(half.received().len(), 1);
}

#[test]
fn peer_defect_11_retry_after_is_obeyed() {
    let api = ailing("GET", vec![asking_to_wait("429 Too Many Requests", "1")]);
    let start = Instant::now();
    let ended = run_against(&api, &LIST).run().expect(0);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((api.received().len(), ended.err.as_str()), (2, ""), "a second is nothing to talk about");
    // As a date, by the server's clock.
    let dates = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Retry-After", "Sun, 06 Nov 1994 08:49:38 GMT")];
    let api = ailing("GET", vec![http_answer("503 Service Unavailable", &dates, "")]);
    let start = Instant::now();
    run_against(&api, &LIST).run().expect(0);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(api.received().len(), 2);
}

#[test]
fn peer_defect_11_a_wait_that_cannot_end_in_time_is_not_begun() {
    for (wait, seconds, timeout) in [("61", "61", "300"), ("60", "60", "60"), ("5", "5", "4")] {
        let api = ailing("GET", vec![asking_to_wait("429 Too Many Requests", wait); 9]);
        let start = Instant::now();
        let ended = run_against(&api, &[&LIST[..], &["--timeout", timeout]].concat()).run();
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        let hint = format!("the server asks to wait {seconds} s before the next try\n");
        fails(ended, 8, "the server says that there were too many requests (HTTP 429)\n", &hint);
        assert_eq!(api.received().len(), 1, "{wait}");
    }
    // A word that is no time is not obeyed, and does not stop the tries either.
    let api = ailing("GET", vec![asking_to_wait("429 Too Many Requests", "soon"); 9]);
    fails(run_against(&api, &LIST).run(), 8, "the server says", "wait a little, then try again\n");
    assert_eq!(api.received().len(), 3);
}

/// The limit is for all tries and pauses together: their times, as the program tells them,
/// are no more than that (and what a busy machine adds).
#[test]
fn tries_do_not_stretch_the_time_limit() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let api = Upstream::start(move |_| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(500));
            return gateway_page("503 Unavailable");
        }
        loop {
            std::thread::park();
        }
    });
    let ended = run_against(&api, &[&LIST[..], &["--timeout", "1", "--verbose"]].concat()).run();
    let times =
        ended.err.lines().filter_map(|line| line.strip_suffix(" ms")?.rsplit_once(' ')?.1.parse().ok());
    let times: Vec<u64> = times.collect();
    assert!(!times.is_empty() && times.iter().sum::<u64>() < 1_300, "{times:?} {}", ended.err);
    assert!(ended.code == 7 || ended.code == 1, "{ended:?}");
}

/// An answer of somebody in between, or one that cannot be read, does not say that nothing
/// was done; one of the API itself does.
#[test]
fn what_an_answer_leaves_open_is_said() {
    let huge = "x".repeat((16 << 20) + 1);
    for (code, answer) in [
        (1, gateway_page("524 A Timeout Occurred")),
        (1, gateway_page("500 Internal Server Error")),
        (1, gateway_page("408 Request Timeout")),
        (1, http_answer("200 OK", &[], &huge)),
        (1, http_answer("500 Internal Server Error", &[], &huge)),
    ] {
        let api = ailing("POST", vec![answer]);
        fails(run_against(&api, &SET).stdin("value").run(), code, "the answer ", LOOK_FIRST);
    }
    let own = json!({"error": {"code": "internal", "message": "it failed", "request_id": "r"}}).to_string();
    for status in ["500 Internal Server Error", "507 Insufficient Storage"] {
        let api = ailing("POST", vec![http_answer(status, &[], &own)]);
        let ended = run_against(&api, &SET).stdin("value").run().expect(1);
        assert!(!ended.err.contains("may have been made"), "{}", ended.err);
    }
    let api = ailing("GET", vec![http_answer("200 OK", &[], &huge)]);
    let ended = run_against(&api, &LIST).run().expect(1);
    assert!(!ended.err.contains("may have been made"), "{}", ended.err);
}

#[test]
fn the_head_of_an_answer_counts_whatever_its_length() {
    let huge = "x".repeat((16 << 20) + 1);
    let answer = http_answer("429 Too Many Requests", &[("Retry-After", "61")], &huge);
    let api = ailing("GET", vec![answer]);
    let hint = "the server asks to wait 61 s before the next try\n";
    fails(run_against(&api, &LIST).run(), 8, "the server says that there were too many requests", hint);
}

/// Before a connection is up nothing was sent, and so nothing is uncertain.
#[test]
fn without_a_connection_nothing_is_uncertain() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let authority = own_authority();
    let run =
        aerostack(&[&SET[..], &["--timeout", "1"]].concat()).stdin("value").env("AEROSTACK_API_URL", url);
    let run = run.env("AEROSTACK_API_KEY", "ak_canary-key").env("AEROSTACK_CA_CERT", authority.path());
    let ended = run.run().expect(7);
    assert!(!ended.err.contains("may have been made"), "{}", ended.err);
    // With one, it is.
    let api = Upstream::start(|_| {
        loop {
            std::thread::park();
        }
    });
    let run = run_against(&api, &[&SET[..], &["--timeout", "1"]].concat()).stdin("value");
    fails(run.run(), 7, "no answer within 1 s", LOOK_FIRST);
}

/// A file with an authority of ours.
fn own_authority() -> tempfile::NamedTempFile {
    let (_, pem) = Upstream::tls(&["localhost"], 0, well);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    file
}

/// A file of authorities without an end, and one that never begins.
#[test]
fn a_file_of_authorities_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let run = |more: &[&str]| {
        let run = aerostack(&[&LIST[..], more].concat()).env("AEROSTACK_API_URL", "https://localhost:1");
        run.env("AEROSTACK_API_KEY", "ak_canary-key")
    };
    let endless = ["--ca-cert", "/dev/zero", "--timeout", "60"];
    fails(run(&endless).run(), 2, "the file of --ca-cert has more than 4 MiB", "give a PEM file");
    let silent = ["--ca-cert", pipe.to_str().unwrap(), "--timeout", "1"];
    fails(
        run(&silent).run(),
        7,
        "the certificates could not be read within 1 s",
        "check the file of --ca-cert",
    );
    let variable = run(&["--timeout", "1"]).env("SSL_CERT_FILE", &pipe).run();
    fails(variable, 7, "the certificates could not be read within 1 s", "check the file");
}

/// One connection, to the API; also when a command fails.
#[test]
fn peer_defect_17_nobody_but_the_api_is_told() {
    if parts("peer_defect_17_nobody_but_the_api_is_told").is_none() {
        return;
    }
    let companion = Companion::start();
    companion.add_server("github-mcp", "https://github-mcp.example/");
    let set = ["secrets", "set", "github-mcp", "TOKEN", "canary-value"];
    let unknown = ["secrets", "list", "nothing-mcp"];
    for (arguments, code, connections) in [
        (&set[..], 0, 1),
        (&LIST, 0, 1),
        (&unknown, 3, 1),
        (&["secrets", "nothing"], 2, 0),
        (&["--help"], 0, 0),
    ] {
        let traced = strace("connect,sendto,sendmsg,sendmmsg", aerostack(arguments).against(&companion));
        assert_eq!(traced.ended.code, code, "{arguments:?}: {}", traced.ended.err);
        let made = traced.lines_with("connect(");
        assert_eq!(made.len(), connections, "{arguments:?}: {made:?}");
        let port = format!("htons({})", companion.address.port());
        assert!(made.iter().all(|line| line.contains(&port)), "{made:?}");
        let elsewhere: Vec<_> =
            traced.lines.iter().filter(|line| line.contains("sin_addr") && !line.contains(&port)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }
    assert!(aerostack(&["--help"]).run().expect(0).out.contains("No telemetry, no update check"));
}
