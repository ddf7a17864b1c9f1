//! `subscriptions/listen`: what a server of the modern era tells unasked. For a session of
//! the legacy era it takes the place of the GET stream. On the route of a workspace a client
//! of the modern era gets what the servers of both eras tell, as far as it asked for it.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answering::{Asked, NO_NOTIFICATIONS, failure};
use super::bridge_sessions::initialize;
use super::speak::with_meta;
use super::{SUBSCRIPTION_ID, bridge_sessions::VERSION};
use crate::server::body::AnswerBody;
use crate::server::gateway::Gateway;
use crate::server::gateway::addressing::Addressed;
use crate::server::gateway::capabilities::Capabilities;
use crate::server::gateway::event_splitter::{EventSplitter, Fields, Part, event};
use crate::server::gateway::listing::{ListKind, own_request_id};
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::naming::{Naming, member};
use crate::server::gateway::problem::{INVALID_PARAMS, UpstreamProblem};
use crate::server::gateway::relay::streamed;
use crate::server::gateway::relay_body::{BrokenOff, Outlet, RelayBody};
use crate::server::gateway::session_end::HeldSession;
use crate::server::gateway::sessions::{Scope, Session};
use crate::server::gateway::side_by_side::join_all;
use crate::server::gateway::upstream::{SHORT_TIME, Upstream};
use crate::server::gateway::upstream_body::UpstreamBody;
use crate::server::gateway::workspace_session::Subscription;

/// Resources of one subscription.
const MAX_RESOURCES: usize = 1000;

/// What a client wants to be told.
#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<String>,
}

impl Filter {
    /// That of a request; `None` if it has none that is one.
    pub(super) fn of(envelope: &Envelope<'_>) -> Option<Self> {
        let wanted = member(envelope.params()?, "notifications")?.get();
        // The reader would take an array in the order of the members for an object.
        wanted.starts_with('{').then(|| serde_json::from_str(wanted).ok())?
    }

    /// What of it a token that is limited to tools may be told.
    pub(super) fn of_tools(&self) -> Self {
        Self { tools_list_changed: self.tools_list_changed, ..Self::default() }
    }

    /// Whether this was asked for. `servers` are the slugs of those with a subscription: what such
    /// a server says of a resource was asked of it, as the one that it names may be a part of the
    /// one that the client named.
    fn allows(&self, method: &str, uri: Option<&str>, servers: &HashSet<String>) -> bool {
        match method {
            "notifications/tools/list_changed" => self.tools_list_changed,
            "notifications/prompts/list_changed" => self.prompts_list_changed,
            "notifications/resources/list_changed" => self.resources_list_changed,
            "notifications/resources/updated" => uri.is_some_and(|uri| {
                let is_named = self.resource_subscriptions.iter().any(|one| one == uri);
                is_named || Naming::Uri.split(uri).is_some_and(|(slug, _)| servers.contains(slug))
            }),
            _ => false,
        }
    }

    /// As the acknowledgment repeats it.
    pub(super) fn agreed(&self) -> Value {
        let mut agreed = Map::new();
        for (name, wanted) in [
            ("toolsListChanged", self.tools_list_changed),
            ("promptsListChanged", self.prompts_list_changed),
            ("resourcesListChanged", self.resources_list_changed),
        ] {
            if wanted {
                agreed.insert(name.to_owned(), true.into());
            }
        }
        if !self.resource_subscriptions.is_empty() {
            agreed.insert("resourceSubscriptions".to_owned(), self.resource_subscriptions.clone().into());
        }
        agreed.into()
    }
}

impl Upstream {
    /// Opens the stream of what the server tells about its lists, and about the resources that
    /// the session subscribed to.
    pub(in crate::server::gateway) async fn listen_modern(
        &self,
        session: &Session,
    ) -> Result<Response<UpstreamBody>, UpstreamProblem> {
        let mut wanted = json!({
            "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
        });
        let mut resources: Vec<String> =
            session.workspace.subscriptions(&self.server.id).into_iter().collect();
        if !resources.is_empty() {
            resources.sort();
            wanted["resourceSubscriptions"] = resources.into();
        }
        let request = json!({
            "jsonrpc": "2.0", "id": own_request_id(), "method": "subscriptions/listen",
            "params": {"notifications": wanted},
        });
        let message = with_meta(request.to_string().as_bytes(), "{}", None).ok_or(UpstreamProblem::NotMcp)?;
        self.post_modern(message.into(), HeaderMap::new(), SHORT_TIME).await
    }
}

impl Gateway {
    /// Answers `subscriptions/listen` on the route of a workspace. Each has sessions of its own
    /// with the servers, which end with it.
    pub(super) async fn modern_listen(self: &Arc<Self>, asked: &Asked<'_>) -> Response<AnswerBody> {
        let id = asked.envelope.id();
        let Some(mut filter) = Filter::of(asked.envelope) else {
            return failure(id, INVALID_PARAMS, NO_NOTIFICATIONS);
        };
        if asked.caller.member.scope.limits_tools() {
            filter = filter.of_tools();
        }
        filter.resource_subscriptions.truncate(MAX_RESOURCES);
        let Ok(session) = self.open_session(asked.caller, Scope::Bridge, initialize(&json!({})), VERSION)
        else {
            return failure(id, INVALID_PARAMS, "no subscription can be opened now; try again");
        };
        session.workspace.announce(&Capabilities::everything());
        let servers = self.note_subscriptions(asked, &session, &mut filter).await;
        let mut describing = HeaderMap::new();
        describing.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let held = HeldSession::new(self, asked.caller, &session);
        let (gateway, caller) = (Arc::clone(self), Rc::clone(asked.caller));
        let id: Value = serde_json::from_str(id).unwrap_or_default();
        let listening = Listening { filter, servers, id, _held: held };
        streamed(&describing, move |outlet| {
            let all = RelayBody::new(|inner| gateway.workspace_stream(caller, session, None, inner));
            listening.run(all, outlet)
        })
    }

    /// Notes the resources in the session, so that the servers are asked to tell of them, and
    /// takes out those that no server here has. The answer are the slugs of the servers.
    async fn note_subscriptions(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        session: &Session,
        filter: &mut Filter,
    ) -> HashSet<String> {
        let (mut found, mut servers, mut is_listed) = (Vec::new(), HashSet::new(), false);
        for uri in std::mem::take(&mut filter.resource_subscriptions) {
            let mut holders = self.holders(asked, &uri).await;
            if holders.is_empty() && !std::mem::replace(&mut is_listed, true) {
                self.list_resources(asked).await;
                holders = self.holders(asked, &uri).await;
            }
            if holders.is_empty() {
                continue;
            }
            for Addressed { server, name, .. } in holders {
                let bare = name == uri;
                session.workspace.subscribe(Subscription { server_id: server.id, uri: name, bare });
                servers.insert(server.slug.to_string());
            }
            found.push(uri);
        }
        filter.resource_subscriptions = found;
        servers
    }

    /// The servers that have a resource: the one whose slug it carries, or those that announce it.
    async fn holders(&self, asked: &Asked<'_>, uri: &str) -> Vec<Addressed> {
        let resources = &asked.session.workspace.resources;
        let params = json!({"uri": uri});
        let message =
            json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params}).to_string();
        let Ok(envelope) = Envelope::parse(message.as_bytes()) else { return Vec::new() };
        let found = self.address(asked.caller, &envelope, message.as_bytes(), resources).await;
        let (mut found, announced) = (found.unwrap_or_default(), resources.servers_of(uri));
        let scope = &asked.caller.member.scope;
        found.retain(|to| {
            let has_it = to.name != uri || announced.contains(&to.server.id);
            has_it && scope.allows_beyond_tools(to.server.slug.as_str())
        });
        found
    }

    /// Reads what the servers announce, for resources that carry no slug.
    async fn list_resources(self: &Arc<Self>, asked: &Asked<'_>) {
        let listing = [ListKind::Resources, ListKind::Templates].map(|kind| async move {
            let listed = self.list(asked.caller, &asked.session, kind, &HeaderMap::new()).await;
            if let Ok(lists) = listed {
                asked.session.workspace.resources.remember(kind, &lists);
            }
        });
        join_all(listing).await;
    }
}

/// One subscription.
struct Listening {
    filter: Filter,
    /// The slugs of servers with a subscription.
    servers: HashSet<String>,
    /// The id of the request, by which the client knows it.
    id: Value,
    _held: HeldSession,
}

impl Listening {
    async fn run(self, mut all: RelayBody, outlet: Outlet) -> Result<(), BrokenOff> {
        let acknowledged = json!({
            "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
            "params": {"_meta": {SUBSCRIPTION_ID: self.id}, "notifications": self.filter.agreed()},
        });
        outlet.send(event(acknowledged.to_string().as_bytes())).await;
        let mut splitter = EventSplitter::default();
        while let Some(frame) = all.frame().await {
            let Ok(piece) = frame.map_err(|_| BrokenOff)?.into_data().map_err(|_: Frame<_>| ()) else {
                continue;
            };
            for part in splitter.push(&piece) {
                let Part::Event(held) = part else { continue };
                match Fields::of(&held).data {
                    None => outlet.send(held).await,
                    Some(data) => {
                        if let Some(message) = self.message(&data) {
                            outlet.send(event(message.to_string().as_bytes())).await;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// A notification as this subscription tells it; `None` if it is not wanted.
    fn message(&self, data: &[u8]) -> Option<Value> {
        let envelope = Envelope::parse(data).ok().filter(|envelope| envelope.kind() == Kind::Notification)?;
        let mut params: Map<String, Value> =
            envelope.params().and_then(|params| serde_json::from_str(params.get()).ok()).unwrap_or_default();
        let uri = params.get("uri").and_then(Value::as_str);
        if !self.filter.allows(envelope.method(), uri, &self.servers) {
            return None;
        }
        let meta = params.entry("_meta").or_insert_with(|| json!({}));
        if !meta.is_object() {
            *meta = json!({});
        }
        meta[SUBSCRIPTION_ID] = self.id.clone();
        Some(json!({"jsonrpc": "2.0", "method": envelope.method(), "params": params}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_told() {
        let filter: Filter = serde_json::from_value(json!({
            "toolsListChanged": true, "resourceSubscriptions": ["s+x://1", "bare:1"], "other": 1,
        }))
        .unwrap();
        let servers = HashSet::from(["s".to_owned()]);
        let allows = |method: &str, uri| filter.allows(&format!("notifications/{method}"), uri, &servers);
        assert!(allows("tools/list_changed", None));
        assert!(!allows("prompts/list_changed", None) && !allows("message", None));
        let updated = |uri| allows("resources/updated", Some(uri));
        assert!(updated("s+x://1") && updated("s+x://1/part") && updated("bare:1"));
        assert!(!updated("x://1") && !updated("t+x://1") && !updated("bare:1/part"));
        let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["s+x://1", "bare:1"]});
        assert_eq!(filter.agreed(), agreed);
        assert_eq!(filter.of_tools().agreed(), json!({"toolsListChanged": true}));
        assert_eq!(Filter::default().agreed(), json!({}));
    }
}
