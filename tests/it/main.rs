//! The integration tests: the real server, the real program, real MCP clients and
//! servers. One file for each command or promise.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]
#![expect(unreachable_pub, reason = "nothing here is used from outside")]
#![expect(clippy::format_push_string, reason = "texts of tests are short")]
#![expect(clippy::disallowed_methods, reason = "tests read where their parts are from the environment")]

mod aggregated_lists;
mod auth_login;
mod auth_logout;
mod auth_status;
mod auth_terminal;
mod authentication;
mod bad_bodies;
mod bad_values;
mod canaries;
mod client_sessions;
mod completions;
mod completions_shells;
mod crash;
mod credential_upstream;
mod demo;
mod doc_examples;
mod exact_values;
mod exit_codes;
mod foreign_files;
mod guide;
mod hardening;
mod harness;
mod help_topics;
mod https_upstream;
mod interrupts;
mod key_origin;
mod keyring_trouble;
mod layers;
mod legacy_transport;
mod lookalike_headers;
mod mcp_servers;
mod network_manners;
mod output;
mod peer_defects;
mod peer_defects_values;
mod plain_key_file;
mod private_networks;
mod proxies;
mod races;
mod real_clients;
mod redirects;
mod reference;
mod request_smuggling;
mod rmcp_client;
mod rotation;
mod scoping;
mod secrets_batch;
mod secrets_batch_races;
mod secrets_delete;
mod secrets_import;
mod secrets_import_files;
mod secrets_inject;
mod secrets_list;
mod secrets_rotate;
mod secrets_set;
mod secrets_set_options;
mod secrets_stale;
mod secrets_terminal;
mod seed_examples;
mod serve_and_mock;
mod session_bus;
mod store;
mod streaming;
mod system_calls;
mod tampering;
mod tls_flow;
mod tokens;
mod upstream_connections;
mod upstream_sessions;
mod vault;
mod workspaces;
mod wycheproof;
