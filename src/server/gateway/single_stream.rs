//! GET on the route of one server: its own stream of messages that belong to no request, as it
//! comes. The gateway adds what it knows itself: that the lists may have changed with the secrets.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};

use super::answer;
use super::calls_under_way::note_progress;
use super::event_splitter::{EventEnds, EventSplitter, Part, is_long_answer};
use super::in_use::Lease;
use super::left_calls::{InVain, cut_answer, cut_event};
use super::problem::{INTERNAL_ERROR, UpstreamProblem, rpc_error};
use super::relay::{KEEP_ALIVE, KEEP_ALIVE_TIME, events, streamed};
use super::relay_body::{BrokenOff, Outlet};
use super::sessions::Session;
use super::unasked_events::{Subscribed, UnaskedEvents, pass_unasked};
use super::upstream::{SHORT_TIME, Upstream, passing_headers};
use super::upstream_body::UpstreamBody;
use super::workspace_stream::{facts, tell_of_change};
use super::{Caller, Gateway, method_not_allowed};
use crate::server::body::AnswerBody;
use crate::server::response::json_answer;
use crate::server::store::ServerRow;

/// A stream that is being opened.
type Opening = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, UpstreamProblem>>>>;

impl Gateway {
    /// Passes the upstream's stream of unrelated messages on, or the rest of a stream after the
    /// event that the client names; an upstream that has none gets 405 for it. One that has not
    /// answered in time may begin with its first event, so the client is not kept waiting.
    pub(super) async fn single_listen(
        self: &Arc<Self>,
        caller: &Rc<Caller>,
        server: &ServerRow,
        session: &Arc<Session>,
        headers: &HeaderMap,
    ) -> Response<AnswerBody> {
        let last_event_id = headers.get("last-event-id").cloned();
        let after = last_event_id.as_ref().map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        let (left, is_rest) = (&session.workspace.left_calls, last_event_id.is_some());
        // Who asks for the rest of a call waits for its answer.
        let in_vain = |how, otherwise: Response<AnswerBody>| {
            let cut = left.failed(&server.id, &after, how).filter(|_| is_rest);
            cut.map_or(otherwise, |id| cut_answer(&id, server))
        };
        if caller.member.scope.limits_tools() && is_rest {
            // What comes again was not made for this token's limits: whole lists, for one.
            return in_vain(InVain::Refused, method_not_allowed());
        }
        let subscribed = Subscribed::now(session, &server.id);
        let upstream = match Upstream::open(self, caller, server.clone(), passing_headers(headers)) {
            Ok(upstream) => Rc::new(upstream),
            Err(problem) => return in_vain(InVain::NotNow, unavailable(server, problem)),
        };
        let lease = match upstream.lease().await {
            Ok(lease) => lease,
            Err(problem) => return in_vain(InVain::NotNow, unavailable(server, problem)),
        };
        let (asked, asking) = (Rc::clone(&upstream), Arc::clone(session));
        let is_of_a_call = is_rest && left.knows(&server.id, &after);
        let mut opening: Opening = Box::pin(async move {
            if !is_of_a_call {
                return asked.listen_after(&asking, last_event_id.as_ref()).await;
            }
            // Another session of the server's has nothing of it.
            let opened = asked.session(&asking).await?;
            asked.get_within(Duration::MAX, &opened, last_event_id.as_ref()).await
        });
        let opening = match tokio::time::timeout(SHORT_TIME, &mut opening).await {
            Ok(Ok(response)) if answer::is_event_stream(&response) => {
                Box::pin(std::future::ready(Ok(response)))
            }
            Ok(Ok(response)) => {
                let status = response.status();
                return in_vain(InVain::of(status), refused(server, status));
            }
            Ok(Err(problem)) => return in_vain(InVain::NotNow, unavailable(server, problem)),
            Err(_) => opening,
        };
        let stream = SingleStream { upstream, session: Arc::clone(session), subscribed, lease, after };
        streamed(&events(), move |outlet| stream.run(opening, outlet))
    }
}

/// The rest of a call's stream, if it is that.
struct Rest {
    /// The last event that the client has seen; empty if it wants no rest.
    after: Vec<u8>,
    /// Whether anything more has come.
    has_come: bool,
}

/// Passes a stream on as it comes, with signs of life. The session does not go idle meanwhile. Whether
/// the stream ended behind an event, and not in one.
async fn pass_pieces(
    session: &Session,
    mut body: UpstreamBody,
    outlet: &Outlet,
    (server_id, rest): (&str, &mut Rest),
) -> Result<bool, BrokenOff> {
    let mut ends = EventEnds::default();
    // Looked at and not changed: progress is a sign of life of its call.
    let mut splitter = EventSplitter::default();
    loop {
        session.touch();
        match tokio::time::timeout(KEEP_ALIVE_TIME, body.frame()).await {
            Err(_) if ends.are_reached() => outlet.send(KEEP_ALIVE).await,
            Err(_) => {}
            Ok(None) => return Ok(ends.are_reached()),
            Ok(Some(frame)) => match frame.map(Frame::into_data) {
                Ok(Ok(piece)) => {
                    ends.pass(&piece);
                    rest.has_come |= !piece.is_empty();
                    let left = &session.workspace.left_calls;
                    for part in splitter.push(&piece) {
                        match part {
                            Part::Event(event) => {
                                note_progress(session, &event);
                                if !rest.after.is_empty() {
                                    left.follow(server_id, &mut rest.after, &event);
                                }
                            }
                            Part::Piece(piece) if is_long_answer(&piece) => {
                                left.answered_after(server_id, &rest.after);
                            }
                            Part::Piece(_) => {}
                        }
                    }
                    outlet.send(piece).await;
                }
                Ok(Err(_)) => {}
                Err(_) if body.is_outdated() => return Ok(ends.are_reached()),
                Err(_) => return Err(BrokenOff),
            },
        }
    }
}

/// The answer for an upstream that does not give its stream.
fn refused(server: &ServerRow, status: StatusCode) -> Response<AnswerBody> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => method_not_allowed(),
        // JSON, for one.
        status if status.is_success() => method_not_allowed(),
        status => unavailable(server, UpstreamProblem::Status(status.as_u16())),
    }
}

/// The stream may be there later.
fn unavailable(server: &ServerRow, problem: UpstreamProblem) -> Response<AnswerBody> {
    let slug = &server.slug;
    tracing::debug!(server = %slug, %problem, "a server's stream could not be opened");
    let message = format!("the stream of {slug} could not be opened now; ask for it again later");
    json_answer(StatusCode::SERVICE_UNAVAILABLE, rpc_error("null", INTERNAL_ERROR, &message))
}

struct SingleStream {
    upstream: Rc<Upstream>,
    session: Arc<Session>,
    subscribed: Subscribed,
    /// Ends when other secrets are used.
    lease: Lease,
    /// The last event that the client has seen; empty for none.
    after: Vec<u8>,
}

impl SingleStream {
    async fn run(self, opening: Opening, outlet: Outlet) -> Result<(), BrokenOff> {
        let session = Arc::clone(&self.session);
        tokio::select! {
            done = self.pass(opening, outlet) => done,
            () = session.ended() => Ok(()),
        }
    }

    async fn pass(mut self, opening: Opening, outlet: Outlet) -> Result<(), BrokenOff> {
        // The secrets may have changed while nobody listened.
        self.tell_of_change(&outlet).await;
        let body = match self.opened(opening, &outlet).await {
            Ok(body) => body,
            Err(how) => {
                self.tell_if_cut(&self.after, how, &outlet).await;
                self.tell_of_change(&outlet).await;
                return Ok(());
            }
        };
        let is_scoped = self.upstream.caller().member.scope.limits_tools();
        let is_modern = self.upstream.opened().is_some_and(|opened| opened.modern);
        if !is_scoped && !is_modern {
            let mut rest = Rest { after: std::mem::take(&mut self.after), has_come: false };
            let passed =
                pass_pieces(&self.session, body, &outlet, (&self.upstream.server.id, &mut rest)).await;
            if !rest.has_come && !rest.after.is_empty() {
                self.tell_if_cut(&rest.after, InVain::Empty, &outlet).await;
            }
            if passed? {
                self.tell_of_change(&outlet).await;
            }
            return Ok(());
        }
        let mut events = UnaskedEvents::new(&self.upstream, &self.session, body, self.subscribed.clone());
        pass_unasked(&self.session, &mut events, &outlet, is_scoped).await?;
        if events.is_between_events() {
            self.tell_of_change(&outlet).await;
        }
        Ok(())
    }

    /// Tells a client that asked in vain for the rest of a call.
    async fn tell_if_cut(&self, after: &[u8], how: InVain, outlet: &Outlet) {
        let server = &self.upstream.server;
        if let Some(id) = self.session.workspace.left_calls.failed(&server.id, after, how) {
            outlet.send(cut_event(&id, server.slug.as_str())).await;
        }
    }

    /// Waits for the stream, with signs of life. There is none also if other secrets are used.
    async fn opened(&mut self, mut opening: Opening, outlet: &Outlet) -> Result<UpstreamBody, InVain> {
        loop {
            let lease = &mut self.lease;
            tokio::select! {
                biased;
                opened = &mut opening => {
                    return match opened {
                        Ok(response) if answer::is_event_stream(&response) => Ok(response.into_body()),
                        Ok(response) => Err(InVain::of(response.status())),
                        Err(_) => Err(InVain::NotNow),
                    };
                }
                () = poll_fn(|context| if lease.poll_over(context) { Poll::Ready(()) } else { Poll::Pending }) => {
                    return Err(InVain::Refused);
                }
                () = tokio::time::sleep(KEEP_ALIVE_TIME) => {
                    self.session.touch();
                    outlet.send(KEEP_ALIVE).await;
                }
            }
        }
    }

    /// Tells that the lists may have changed, if the server's secrets, rules or URL have.
    async fn tell_of_change(&self, outlet: &Outlet) {
        let (upstream, known) = (&self.upstream, &self.session.workspace);
        let member = &upstream.caller().member;
        let server = upstream.gateway().enabled_server(member, upstream.server.slug.as_str()).await;
        let Ok(Some(server)) = server else { return };
        let now = facts(&server);
        if known.has_seen_other_than(now) {
            tell_of_change(&self.session, outlet).await;
            known.note_seen(now);
        }
    }
}
