//! Aerostack: the secrets of MCP servers. Set once by an admin, encrypted at rest,
//! injected by the gateway as HTTP headers, never readable again.
//!
//! `domain` holds the words, `api` the wire, `client` and `cli` the command line,
//! `server` the companion server. `docs/ARCHITECTURE.md` has the map.

pub mod api;
pub mod cli;
pub mod client;
pub mod domain;
#[cfg(feature = "server")]
pub mod server;
