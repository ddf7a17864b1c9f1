//! A small HTTP proxy: it knows CONNECT only, leads every tunnel to the one place the test
//! names, and keeps each byte that it saw from the client.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::upstream::{Received, read_request};

/// What the proxy saw.
#[derive(Default)]
struct Seen {
    requests: Vec<Received>,
    /// What went through the tunnels from the client's side.
    tunnelled: Vec<u8>,
}

/// A listening proxy. Its threads end with the test's process.
pub struct ConnectProxy {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl ConnectProxy {
    /// Leads to this place, whatever is asked for.
    pub fn to(place: SocketAddr) -> Self {
        Self::answering(b"HTTP/1.1 200 Connection established\r\n\r\n", Some(place))
    }

    /// Refuses with these bytes; without any, it closes the connection.
    pub fn refusing(answer: &'static [u8]) -> Self {
        Self::answering(answer, None)
    }

    fn answering(answer: &'static [u8], place: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = Arc::clone(&seen);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(socket, answer, place, &kept));
            }
        });
        Self { address, seen }
    }

    /// Each request, in order.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// All that the client sent, in a form to look for a text in.
    pub fn everything(&self) -> String {
        let seen = self.seen.lock().unwrap();
        let heads: String = seen.requests.iter().map(Received::head_text).collect();
        format!("{heads}{}", String::from_utf8_lossy(&seen.tunnelled))
    }
}

fn serve(socket: TcpStream, answer: &[u8], place: Option<SocketAddr>, kept: &Arc<Mutex<Seen>>) {
    let mut reader = BufReader::new(socket);
    let Some(request) = read_request(&mut reader) else { return };
    kept.lock().unwrap().requests.push(request);
    if reader.get_mut().write_all(answer).is_err() {
        return;
    }
    let Some(place) = place else { return };
    let mut far = TcpStream::connect(place).unwrap();
    let mut back = (far.try_clone().unwrap(), reader.get_ref().try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut back.0, &mut back.1);
        let _ = back.1.shutdown(Shutdown::Both);
    });
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut chunk) {
        kept.lock().unwrap().tunnelled.extend_from_slice(&chunk[..count]);
        if far.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = far.shutdown(Shutdown::Both);
}
