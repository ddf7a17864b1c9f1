//! The modern era (2026-07-28): no sessions, each request says all about itself. Towards
//! clients on both routes, and towards upstreams; where the eras differ, this is the bridge.

mod answering;
mod bridge_sessions;
mod call_body;
mod cancellation;
mod check;
mod client_capabilities;
mod discover;
mod hearing;
mod held_bytes;
mod input_required;
mod legacy_call;
mod legacy_meta;
mod listen;
mod log_level;
mod message_editor;
mod modern_call;
mod one_token;
mod param_headers;
mod parked_calls;
mod progress_token;
mod questions;
mod result_type;
mod scoped_listen;
mod session_upstream;
mod speak;
#[cfg(test)]
mod tests;
mod trying;
mod unasked;
mod unfinished;
mod waiting_pieces;
mod wanted_input;

pub(super) use bridge_sessions::BridgeSessions;
pub(super) use client_capabilities::of_initialize;
pub(super) use discover::{Eras, is_of_the_modern_era};
pub(super) use hearing::Hearing;
pub(super) use input_required::InputRequired;
pub(super) use modern_call::ModernCall;
pub(super) use param_headers::{KnownSchemas, ParamHeaders};
pub(super) use parked_calls::ParkedCalls;
pub(super) use questions::Questions;
pub(super) use result_type::Marker;
pub(super) use speak::with_meta;
pub(super) use unasked::Unasked;
pub(super) use wanted_input::WantedInput;

/// What every result of this era has.
const COMPLETE: &str = r#""resultType":"complete""#;
/// What lists and resources have besides: the servers' own may differ for each token, and a
/// rotation may change them at any time.
const CACHED: &str = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;
/// The version of this era.
pub(super) const MODERN_VERSION: &str = "2026-07-28";
/// Header that says the method.
pub(super) const METHOD_HEADER: &str = "mcp-method";
/// Header that says the name or URI.
const NAME_HEADER: &str = "mcp-name";
/// Member of `_meta`: the version.
pub(super) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Member of `_meta`: what the client can do.
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Member of `_meta`: who the client is.
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Member of `_meta`: the lowest level of log messages.
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// The extension in which a result may be a task, to be fetched with methods of its own.
pub(super) const TASKS: &str = "io.modelcontextprotocol/tasks";
/// Member of `_meta`: who the server is.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Member of `_meta`: the subscription that a notification belongs to.
pub(super) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
