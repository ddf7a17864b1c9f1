//! What a server says unasked, part by part. A server of the modern era is told with the stream
//! what the client wants to hear, so the stream is opened anew when that changes; and what it
//! says of the subscription itself is not for clients of the legacy era.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::answer;
use super::calls_under_way::note_progress;
use super::event_splitter::{EventSplitter, Fields, Part, rewritten};
use super::message::Envelope;
use super::modern::SUBSCRIPTION_ID;
use super::naming::member;
use super::outward::spliced;
use super::relay::{KEEP_ALIVE, KEEP_ALIVE_TIME};
use super::relay_body::{BrokenOff, Outlet};
use super::scoped_message::may_hear;
use super::sessions::Session;
use super::upstream::Upstream;
use super::upstream_body::UpstreamBody;

/// What the session's client has subscribed to at one server, as far as its stream was told.
#[derive(Clone)]
pub(super) struct Subscribed {
    changes: watch::Receiver<()>,
    told: HashSet<String>,
}

impl Subscribed {
    /// As it is now: to be called before a stream is opened.
    pub(super) fn now(session: &Session, server_id: &str) -> Self {
        let changes = session.workspace.subscribed();
        Self { changes, told: session.workspace.subscriptions(server_id) }
    }
}

/// A stream, and the ones that take its place.
pub(super) struct UnaskedEvents<'a> {
    upstream: &'a Upstream,
    session: &'a Arc<Session>,
    body: UpstreamBody,
    splitter: EventSplitter,
    parts: VecDeque<Part>,
    /// For a server of the modern era.
    subscribed: Option<Subscribed>,
}

impl<'a> UnaskedEvents<'a> {
    /// What comes on a stream that was opened with this upstream.
    pub(super) fn new(
        upstream: &'a Upstream,
        session: &'a Arc<Session>,
        body: UpstreamBody,
        subscribed: Subscribed,
    ) -> Self {
        let is_modern = upstream.opened().is_some_and(|opened| opened.modern);
        let subscribed = Some(subscribed).filter(|_| is_modern);
        let (splitter, parts) = (EventSplitter::default(), VecDeque::new());
        Self { upstream, session, body, splitter, parts, subscribed }
    }

    /// Whether the parts so far end with an event.
    pub(super) fn is_between_events(&self) -> bool {
        self.parts.is_empty() && !self.splitter.is_passing()
    }

    /// The next part; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Result<Part, BrokenOff>> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Some(Ok(part));
            }
            let ended = match &mut self.subscribed {
                Some(subscribed)
                    if subscribed.told != self.session.workspace.subscriptions(&self.upstream.server.id) =>
                {
                    self.open_again().await
                }
                Some(subscribed) => tokio::select! {
                    frame = self.body.frame() => self.take(frame),
                    _ = subscribed.changes.changed() => None,
                },
                None => {
                    let frame = self.body.frame().await;
                    self.take(frame)
                }
            };
            if let Some(ended) = ended {
                return ended.err().map(Err);
            }
        }
    }

    /// Takes what has come; how the stream ended, if it did.
    fn take<E>(&mut self, frame: Option<Result<Frame<Bytes>, E>>) -> Option<Result<(), BrokenOff>> {
        let piece = match frame {
            None => return Some(Ok(())),
            Some(Err(_)) if self.body.is_outdated() => return Some(Ok(())),
            Some(Err(_)) => return Some(Err(BrokenOff)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let parts = self.splitter.push(&piece);
        let is_modern = self.subscribed.is_some();
        self.parts.extend(
            parts.into_iter().filter_map(|part| if is_modern { of_client(part) } else { Some(part) }),
        );
        None
    }

    /// Opens the stream with what the client wants now; the one before is heard until then.
    async fn open_again(&mut self) -> Option<Result<(), BrokenOff>> {
        let (upstream, session) = (self.upstream, self.session);
        let now = Subscribed::now(session, &upstream.server.id);
        let mut opening = Box::pin(upstream.listen_modern(session));
        let mut is_over = false;
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                frame = self.body.frame(), if !is_over => is_over = self.take(frame).is_some(),
            }
        };
        match opened {
            Ok(response) if answer::is_event_stream(&response) => {
                self.body = response.into_body();
                self.splitter = EventSplitter::default();
                self.subscribed = Some(now);
                None
            }
            // Who reads this opens another one, in time.
            _ => Some(Ok(())),
        }
    }
}

/// Passes on what comes, with signs of life. The session does not go idle meanwhile. A token that
/// `is_scoped` gets only what it may hear.
pub(super) async fn pass_unasked(
    session: &Session,
    events: &mut UnaskedEvents<'_>,
    outlet: &Outlet,
    is_scoped: bool,
) -> Result<(), BrokenOff> {
    loop {
        session.touch();
        match tokio::time::timeout(KEEP_ALIVE_TIME, events.next()).await {
            Err(_) if events.is_between_events() => outlet.send(KEEP_ALIVE).await,
            Ok(None) => return Ok(()),
            Ok(Some(Err(broken))) => return Err(broken),
            Ok(Some(Ok(Part::Piece(piece)))) if !is_scoped => outlet.send(piece).await,
            Err(_) | Ok(Some(Ok(Part::Piece(_)))) => {}
            Ok(Some(Ok(Part::Event(held)))) => {
                note_progress(session, &held);
                let data = Fields::of(&held).data.filter(|data| !data.is_empty());
                if !is_scoped || data.is_none_or(|data| may_hear(&data)) {
                    outlet.send(held).await;
                }
            }
        }
    }
}

/// A part as clients of the legacy era get it; `None` if it says that a subscription has begun.
fn of_client(part: Part) -> Option<Part> {
    let Part::Event(held) = part else { return Some(part) };
    let Some(data) = Fields::of(&held).data else { return Some(Part::Event(held)) };
    let Ok(envelope) = Envelope::parse(&data) else { return Some(Part::Event(held)) };
    if envelope.method() == "notifications/subscriptions/acknowledged" {
        return None;
    }
    let meta = envelope.params().and_then(|params| member(params, "_meta"));
    let members = meta.and_then(|meta| serde_json::from_str::<BTreeMap<String, &RawValue>>(meta.get()).ok());
    let (Some(meta), Some(mut members)) = (meta, members) else { return Some(Part::Event(held)) };
    if members.remove(SUBSCRIPTION_ID).is_none() {
        return Some(Part::Event(held));
    }
    let left = serde_json::to_string(&members).ok()?;
    let data = spliced(&data, &[(meta.get(), left)]);
    Some(Part::Event(data.map_or(held.clone(), |data| rewritten(&held, Some(&data), ""))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(data: &str) -> Option<String> {
        let part = of_client(Part::Event(format!("event: message\ndata: {data}\n\n").into()))?;
        let Part::Event(event) = part else { panic!("{part:?}") };
        Some(String::from_utf8(Fields::of(&event).data.unwrap()).unwrap())
    }

    #[test]
    fn the_subscription_is_the_gateways_own() {
        let meta = format!(r#""_meta":{{"a":1.50,"{SUBSCRIPTION_ID}":"aerostack-7","b":{{}}}}"#);
        let updated = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"x:1",{meta}}}}}"#
        );
        let expected = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:1","_meta":{"a":1.50,"b":{}}}}"#;
        assert_eq!(told(&updated).as_deref(), Some(expected));
        for same in
            [expected, r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}"#, "no JSON"]
        {
            assert_eq!(told(same).as_deref(), Some(same));
        }
        let begun = updated.replace("resources/updated", "subscriptions/acknowledged");
        assert_eq!(told(&begun), None);
    }
}
