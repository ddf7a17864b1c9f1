//! The integration tests: the real server, the real program, real MCP clients and
//! servers. One file for each command or promise.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]
#![expect(missing_docs, reason = "nothing here is used from outside")]
#![expect(clippy::disallowed_methods, reason = "tests read where their parts are from the environment")]

mod aggregated_lists;
mod client_sessions;
mod credential_upstream;
mod harness;
mod legacy_transport;
mod lookalike_headers;
mod real_clients;
mod redirects;
mod rmcp_client;
mod rotation;
mod streaming;
mod tls_flow;
mod upstream_sessions;
