//! Clients of the modern era have no session; most servers still want one. So each token has
//! one session of the gateway's own, in which its sessions with such servers are held.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use serde_json::json;

use crate::server::gateway::sessions::{Scope, Session};
use crate::server::gateway::{Caller, Gateway, LEGACY_VERSIONS};
use crate::server::randomness::RandomnessFailed;

/// The version that servers of the legacy era are asked for.
pub(super) const VERSION: &str = LEGACY_VERSIONS[0];
/// Tokens that are remembered; those whose session has ended are forgotten first.
const CAPACITY: usize = 16 * 1024;

/// The session id of each token in its workspace.
#[derive(Default)]
pub(in crate::server::gateway) struct BridgeSessions(Mutex<HashMap<(String, String), String>>);

impl BridgeSessions {
    /// The session of the caller, opened if there is none.
    ///
    /// # Errors
    /// [`RandomnessFailed`] when the system gives no random bytes.
    pub(in crate::server::gateway) fn session(
        &self,
        gateway: &Arc<Gateway>,
        caller: &Caller,
    ) -> Result<Arc<Session>, RandomnessFailed> {
        let (sessions, member) = (&gateway.sessions, &caller.member);
        let key = (member.workspace_id.clone(), member.token_id.clone());
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = ids.get(&key).and_then(|id| sessions.find(id, member, &Scope::Bridge)) {
            return Ok(session);
        }
        if ids.len() >= CAPACITY {
            ids.retain(|_, id| sessions.exists(id));
        }
        let session = gateway.open_session(caller, Scope::Bridge, initialize(), VERSION)?;
        ids.insert(key, session.id.clone());
        Ok(session)
    }
}

/// The `initialize` that servers of the legacy era get. No capabilities: what such a server
/// asks its client while it works cannot be put to a client of the modern era.
pub(super) fn initialize() -> Bytes {
    let own = json!({"name": "aerostack-gateway", "version": env!("CARGO_PKG_VERSION")});
    let message = json!({
        "jsonrpc": "2.0", "id": "aerostack-initialize", "method": "initialize",
        "params": {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": own},
    });
    message.to_string().into()
}
