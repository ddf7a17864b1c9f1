//! Clients of the modern era have no session; most servers still want one. So each token has a
//! session of the gateway's own, in which its sessions with such servers are held: one for all
//! clients that can do the same things.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::server::gateway::sessions::{Scope, Session};
use crate::server::gateway::{Caller, Gateway, LEGACY_VERSIONS};
use crate::server::randomness::RandomnessFailed;

/// The version that servers of the legacy era are asked for.
pub(super) const VERSION: &str = LEGACY_VERSIONS[0];
/// Tokens that are remembered; those whose session has ended are forgotten first.
const CAPACITY: usize = 16 * 1024;

/// The ids of the sessions.
#[derive(Default)]
pub(in crate::server::gateway) struct BridgeSessions(Mutex<HashMap<Key, String>>);

/// Workspace, token, and a digest of what the client can do.
type Key = (String, String, Vec<u8>);

impl BridgeSessions {
    /// The session of a caller with these capabilities, opened if there is none.
    ///
    /// # Errors
    /// [`RandomnessFailed`] when the system gives no random bytes.
    pub(in crate::server::gateway) fn session(
        &self,
        gateway: &Arc<Gateway>,
        caller: &Caller,
        capabilities: &Value,
    ) -> Result<Arc<Session>, RandomnessFailed> {
        let (sessions, member) = (&gateway.sessions, &caller.member);
        let capable = digest::digest(&digest::SHA256, capabilities.to_string().as_bytes());
        let key = (member.workspace_id.clone(), member.token_id.clone(), capable.as_ref().to_vec());
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = ids.get(&key).and_then(|id| sessions.find(id, member, &Scope::Bridge)) {
            return Ok(session);
        }
        if ids.len() >= CAPACITY {
            ids.retain(|_, id| sessions.is_open(id));
        }
        let session = gateway.open_session(caller, Scope::Bridge, initialize(capabilities), VERSION)?;
        ids.insert(key, session.id.clone());
        Ok(session)
    }
}

/// The `initialize` that servers of the legacy era get.
pub(super) fn initialize(capabilities: &Value) -> Bytes {
    let own = json!({"name": "aerostack-gateway", "version": env!("CARGO_PKG_VERSION")});
    let message = json!({
        "jsonrpc": "2.0", "id": "aerostack-initialize", "method": "initialize",
        "params": {"protocolVersion": VERSION, "capabilities": capabilities, "clientInfo": own},
    });
    message.to_string().into()
}
