//! What the tests are made with: the companion server in this process or as a process of
//! its own, the real program, a plain HTTP client, an MCP session on it, and upstreams.

pub mod companion;
pub mod http;
pub mod mcp;
pub mod parts;
pub mod program;
pub mod shell;
pub mod upstream;

pub use companion::Companion;
pub use http::{Answer, request};
pub use mcp::McpSession;
pub use program::{Ended, Running, aerostack};
pub use shell::{Mock, cli};
pub use upstream::{Upstream, mcp_answer};
