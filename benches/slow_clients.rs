//! What 500 slow connections cost a good client: the time of its tool calls with and
//! without them, in turns, so that both meet the same machine. Half of the slow ones send a
//! head and half a body, a byte a second each; who is cut off comes again at once.
//! Run: `cargo bench --bench slow_clients`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]

mod stage;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stage::{Connection, Server, post, upstream};

const SLOW: usize = 500;
/// Longer than the server bears a slow one, so that each phase sees them cut off.
const PHASE: Duration = Duration::from_secs(12);
const ROUNDS: usize = 5;

/// Slow connections, until told to stop.
struct Slow {
    stop: Arc<AtomicBool>,
    cut_off: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Slow {
    fn start(address: SocketAddr, token: &str) -> Self {
        let (stop, cut_off) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let body = post(address, "/ws/default", token, "", &"x".repeat(1000));
        let body_head = body[..body.len() - 1000].to_vec();
        let head = b"GET /healthz HTTP/1.1\r\nX: ".to_vec();
        let open = move |number: usize| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(if number.is_multiple_of(2) { &head } else { &body_head }).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let mut sockets: Vec<TcpStream> = (0..SLOW).map(&open).collect();
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&cut_off));
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for (number, socket) in sockets.iter_mut().enumerate() {
                    let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
                    let is_open =
                        socket.write_all(b"x").is_ok() && socket.read(&mut [0; 512]).is_err_and(waits);
                    if !is_open {
                        counted.fetch_add(1, Ordering::Relaxed);
                        *socket = open(number);
                    }
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self { stop, cut_off, thread }
    }

    /// How many were cut off.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.cut_off.load(Ordering::Relaxed)
    }
}

/// The times of calls, one after the other, for a phase; in microseconds.
fn measure(address: SocketAddr, call: &[u8]) -> Vec<u128> {
    let mut connection = Connection::open(address);
    let mut times = Vec::new();
    let end = Instant::now() + PHASE;
    while Instant::now() < end {
        let start = Instant::now();
        let (head, body) = connection.send(call);
        times.push(start.elapsed().as_micros());
        assert!(body.contains("\"result\""), "{head}{body}");
    }
    times
}

/// Median and 99th percentile.
fn percentiles(times: &[u128]) -> (u128, u128) {
    let mut times = times.to_vec();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn main() {
    let server = Server::start("error");
    let (token, session) = server.set_up(upstream(r#"{"content":[]}"#.to_owned(), ""));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b__t"}}"#;
    let call = post(server.address, "/ws/default", &token, &session, call);
    println!("          alone                     beside {SLOW} slow connections     (microseconds)");
    println!("round     calls  median     p99     calls  median     p99  cut off   ratio of p99");
    let (mut alone, mut beside, mut all_cut_off) = (Vec::new(), Vec::new(), 0);
    for round in 1..=ROUNDS {
        let one = measure(server.address, &call);
        let slow = Slow::start(server.address, &token);
        let two = measure(server.address, &call);
        let cut_off = slow.stop();
        print_row(&round.to_string(), &one, &two, cut_off);
        all_cut_off += cut_off;
        alone.extend(one);
        beside.extend(two);
    }
    print_row("all", &alone, &beside, all_cut_off);
}

fn print_row(name: &str, alone: &[u128], beside: &[u128], cut_off: usize) {
    let ((median, p99), (slow_median, slow_p99)) = (percentiles(alone), percentiles(beside));
    #[expect(clippy::cast_precision_loss, reason = "microseconds are small")]
    let ratio = slow_p99 as f64 / p99 as f64;
    let (calls, slow_calls) = (alone.len(), beside.len());
    println!(
        "{name:>5}   {calls:>7} {median:>7} {p99:>7}   {slow_calls:>7} {slow_median:>7} {slow_p99:>7} {cut_off:>8}   {ratio:>12.2}"
    );
}
