//! Signals while a question is open. They end the question first, so that the terminal is
//! put back, and only then do what they do to any program.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level};

use super::interruption;

/// `true` while signals other than Ctrl-C's do what they do by default.
static NO_QUESTION: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// A handler, once there, stays for the life of the process: it is registered once.
static DEFAULT_KEPT: OnceLock<bool> = OnceLock::new();

const OTHERS: [i32; 3] = [SIGTERM, SIGHUP, SIGQUIT];

/// Signals that arrive are noted until it ends.
pub(super) struct Watch {
    arrived: Arc<AtomicUsize>,
    bell: UnixStream,
    actions: Vec<SigId>,
}

impl Watch {
    /// Begins with every signal that ends a program and can be caught.
    pub(super) fn begin() -> io::Result<Self> {
        let no_question = no_question();
        let keep = |signal| flag::register_conditional_default(signal, Arc::clone(&no_question)).is_ok();
        if !*DEFAULT_KEPT.get_or_init(|| OTHERS.into_iter().all(keep)) {
            return Err(io::Error::other("could not prepare for signals"));
        }
        let (bell, ring) = UnixStream::pair()?;
        let mut watch = Self { arrived: Arc::default(), bell, actions: Vec::new() };
        for signal in OTHERS.into_iter().chain([SIGINT]) {
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            watch.actions.push(flag::register_usize(signal, Arc::clone(&watch.arrived), number)?);
            watch.actions.push(low_level::pipe::register(signal, ring.try_clone()?)?);
        }
        by_default(false);
        Ok(watch)
    }

    /// Can be read once a signal has arrived.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Ends it; the signal that arrived. From here on they do again what they do by default,
    /// so that none is lost.
    pub(super) fn end(self) -> Option<i32> {
        let arrived = Arc::clone(&self.arrived);
        drop(self);
        i32::try_from(arrived.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        by_default(true);
        for action in self.actions.drain(..) {
            low_level::unregister(action);
        }
    }
}

fn no_question() -> Arc<AtomicBool> {
    Arc::clone(NO_QUESTION.get_or_init(|| Arc::new(AtomicBool::new(true))))
}

/// For Ctrl-C it is the same flag as outside of requests.
fn by_default(on: bool) {
    no_question().store(on, Ordering::SeqCst);
    interruption::outside_requests().store(on, Ordering::SeqCst);
}

/// Does what the signal does to any program; only Ctrl-C is left to the caller, who has
/// something to say.
pub(super) fn obey(signal: i32) {
    if signal != SIGINT {
        // The signal was made to be one that ends the process.
        let _ = low_level::emulate_default_handler(signal);
    }
}
