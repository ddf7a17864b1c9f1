//! What a server is told when what it asks is not put to a client.

use crate::server::gateway::problem::{INTERNAL_ERROR, METHOD_NOT_FOUND};

/// Why a server's request is not put to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server::gateway) enum Unasked {
    /// Nobody here can be asked for this.
    CannotBe,
    /// Too many are open, or they are too large.
    TooMuch,
    /// Nothing says to which call it belongs.
    WhoseItIs,
}

impl Unasked {
    /// Code and message of the error that the server gets.
    pub(in crate::server::gateway) fn error(self) -> (i32, &'static str) {
        match self {
            Self::CannotBe => (METHOD_NOT_FOUND, "there is no client here that could be asked"),
            Self::TooMuch => {
                (INTERNAL_ERROR, "too much is asked already; ask again when some of it has been answered")
            }
            Self::WhoseItIs => (
                INTERNAL_ERROR,
                "other calls run in this session or were just left, and nothing says which one asks; ask on the stream of the call",
            ),
        }
    }
}
