//! The stream of a call whose server asks its client for something with its result (modern
//! era): the questions go out on it, and then what the server answers when the call is made
//! again, with the client's own id in it.

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Bytes;

use super::answer::{self, Answer};
use super::event_relay::EventRelay;
use super::event_splitter::event;
use super::modern::{InputRequired, Marker};
use super::problem::UpstreamProblem;
use super::relay::HOLD_LIMIT;
use super::relay_body::BrokenOff;
use super::upstream_body::UpstreamBody;

/// What a round came to.
pub(super) enum Round {
    /// A stream, to be passed on.
    Stream(Box<UpstreamBody>),
    /// The server asks again.
    Again,
    /// The call is over.
    Over(Result<(), BrokenOff>),
}

impl EventRelay {
    /// Asks the client and makes the call again.
    pub(super) async fn round(&mut self, asked: Result<InputRequired, UpstreamProblem>) -> Round {
        let made = match asked {
            Ok(asked) => self.passage.go_on(asked, &self.outlet).await,
            Err(problem) => Err(problem),
        };
        let (answer, id) = match made {
            Ok(made) => made,
            Err(problem) => return self.give_up(problem).await,
        };
        self.marker = Some(Marker::new(true, &id, &self.passage.id));
        (self.awaited, self.last_id) = (id, None);
        match answer {
            Answer::Stream(response) if answer::is_event_stream(&response) => {
                Round::Stream(Box::new(response.into_body()))
            }
            Answer::Stream(response) => self.json(*response).await,
            Answer::Whole(_, body) => self.whole(&body).await,
        }
    }

    async fn give_up(&mut self, problem: UpstreamProblem) -> Round {
        let error = event(&self.passage.failure(problem));
        self.outlet.send(error).await;
        Round::Over(Ok(()))
    }

    /// An answer that is there as a whole.
    async fn whole(&mut self, body: &[u8]) -> Round {
        if let Some(asked) = self.passage.modern.as_ref().and_then(|call| call.asked(body)) {
            self.asked = Some(asked);
            return Round::Again;
        }
        self.send(event(body)).await;
        Round::Over(Ok(()))
    }

    /// A JSON answer becomes one event. Line ends in it stand between its parts only.
    async fn json(&mut self, response: Response<UpstreamBody>) -> Round {
        let (parts, mut body) = response.into_parts();
        let (mut held, mut passing) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(piece)) => held.extend_from_slice(&piece),
                Ok(Err(_)) => {}
                Err(_) if passing => {
                    let _ = self.passage.failure(UpstreamProblem::Cut);
                    return Round::Over(Err(BrokenOff));
                }
                Err(_) => return self.give_up(UpstreamProblem::Cut).await,
            }
            if passing || held.len() > HOLD_LIMIT {
                held.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
                if !std::mem::replace(&mut passing, true) {
                    self.send("event: message\ndata: ").await;
                }
                self.send(std::mem::take(&mut held)).await;
            }
        }
        if passing {
            self.send("\n\n").await;
            return Round::Over(Ok(()));
        }
        match answer::checked(held, &parts.headers, &self.awaited) {
            Ok(held) => self.whole(&held).await,
            Err(problem) => self.give_up(problem).await,
        }
    }

    /// Hands a piece of the stream to the client.
    pub(super) async fn send(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        let piece = match &mut self.marker {
            Some(marker) => marker.push(&piece),
            None => piece,
        };
        self.outlet.send(piece).await;
    }
}
