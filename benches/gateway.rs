//! What a tool call costs the server: CPU time per call, from `/proc`, with the server as a
//! process of its own, so that neither the client nor the upstream counts. `/healthz` is
//! measured in turns with it, as the yardstick of the same machine in the same minute.
//! Run: `cargo bench --bench gateway`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

mod stage;

use std::thread;

use stage::{Connection, Server, post, upstream};

const CALLS: u32 = 20_000;
const ROUNDS: u32 = 5;
const CONNECTIONS: u32 = 4;
/// Clock ticks of `/proc/PID/stat` in a second, on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU that the server's process has used.
fn cpu(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
}

/// Sends a request `CALLS` times over some connections; microseconds of the server's CPU for each.
fn measure(server: &Server, bytes: &[u8], expected: &str) -> f64 {
    let before = cpu(server);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = Connection::open(server.address);
                for _ in 0..CALLS / CONNECTIONS {
                    let (head, body) = connection.send(bytes);
                    assert!(body.contains(expected), "{head}{body}");
                }
            });
        }
    });
    (cpu(server) - before) * 1e6 / f64::from(CALLS)
}

fn main() {
    let server = Server::start("warn");
    let result = format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, "x".repeat(128));
    let (token, session) = server.set_up(upstream(result, "ghp_bench"));
    let secret = r#"{"name":"TOKEN","value":"ghp_bench_0123456789012345678901234567"}"#;
    server.admin("/api/v1/admin/mcp-servers/b/secrets", secret);
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__t","arguments":{"a":1}}}"#;
    let call = post(server.address, "/ws/default", &token, &session, body);
    let health = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).into_bytes();
    measure(&server, &call, "\"result\"");
    println!("round   tool call   /healthz   ratio   (CPU microseconds of the server per request)");
    let (mut calls, mut yardsticks) = (0.0, 0.0);
    for round in 1..=ROUNDS {
        let (one, two) = (measure(&server, &call, "\"result\""), measure(&server, &health, "ok"));
        println!("{round:>5}   {one:>9.1}   {two:>8.1}   {:>5.2}", one / two);
        (calls, yardsticks) = (calls + one, yardsticks + two);
    }
    let rounds = f64::from(ROUNDS);
    println!(" mean   {:>9.1}   {:>8.1}   {:>5.2}", calls / rounds, yardsticks / rounds, calls / yardsticks);
}
