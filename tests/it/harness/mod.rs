//! What the tests are made with: the companion server in this process or as a process of
//! its own, the real program (also on a terminal, or with its system calls written down), a
//! plain HTTP client, an MCP session on it, upstreams, and session buses with a keyring.

pub mod asking_server;
pub mod companion;
pub mod conformance;
pub mod connect_proxy;
pub mod display;
pub mod http;
pub mod kept;
pub mod keyring_session;
pub mod mcp;
pub mod parts;
pub mod program;
pub mod pseudo_terminal;
pub mod session_bus;
pub mod shell;
pub mod strace;
pub mod talker;
pub mod tmux;
pub mod upstream;
pub mod waiting_tools;

pub use companion::Companion;
pub use http::{Answer, request};
pub use mcp::McpSession;
pub use program::{Ended, Running, aerostack};
pub use shell::{Mock, SHORT_VALUE, cli};
pub use upstream::{Upstream, mcp_answer};
