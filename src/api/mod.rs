//! The wire between the command line and the server: data only, the one thing both
//! sides import. Times are RFC 3339 in UTC.

pub mod analytics;
pub mod error;
pub mod object;
pub mod routes;
pub mod secrets;
pub mod secrets_batch;
pub mod server_test;
pub mod servers;
pub mod tokens;
pub mod workspaces;
