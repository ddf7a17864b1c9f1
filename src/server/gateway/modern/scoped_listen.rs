//! `subscriptions/listen` on the route of one server for a token that is limited to tools: the
//! server is asked for changes of its list of tools alone, and the token hears nothing else.

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Bytes, Frame};
use serde_json::json;

use super::listen::Filter;
use crate::server::body::AnswerBody;
use crate::server::gateway::answer::is_event_stream;
use crate::server::gateway::event_splitter::{EventSplitter, Fields, Part};
use crate::server::gateway::message::{Envelope, Kind};
use crate::server::gateway::naming::member;
use crate::server::gateway::outward::{is_same_id, spliced};
use crate::server::gateway::relay_body::{BrokenOff, Outlet, RelayBody};
use crate::server::gateway::scoped_message::may_hear;

/// The request for changes of tools alone; `None` if it asks for nothing that can be read. What
/// stays of its parameters are their `_meta`: other members might be read in two ways.
pub(super) fn of_tools(envelope: &Envelope<'_>, message: &[u8]) -> Option<Bytes> {
    let params = envelope.params()?;
    let meta = member(params, "_meta")?;
    let agreed = json!(Filter::of(envelope)?.of_tools().agreed());
    let limited = format!(r#"{{"_meta":{meta},"notifications":{agreed}}}"#);
    spliced(message, &[(params.get(), limited)]).map(Bytes::from)
}

/// The server's answer as the token may hear it.
pub(super) fn heard(response: Response<AnswerBody>, id: &str) -> Response<AnswerBody> {
    if !is_event_stream(&response) {
        return response;
    }
    let id = id.to_owned();
    response.map(|body| AnswerBody::Streamed(Box::pin(RelayBody::new(|outlet| pass_heard(body, outlet, id)))))
}

async fn pass_heard(mut body: AnswerBody, outlet: Outlet, id: String) -> Result<(), BrokenOff> {
    let mut splitter = EventSplitter::default();
    while let Some(frame) = body.frame().await {
        let piece = frame.map_err(|_| BrokenOff)?.into_data().map_err(|_: Frame<_>| ()).unwrap_or_default();
        for part in splitter.push(&piece) {
            // One that is too long to be looked at is not passed on.
            let Part::Event(held) = part else { continue };
            let data = Fields::of(&held).data.filter(|data| !data.is_empty());
            if data.is_none_or(|data| may_hear(&data) || is_end(&data, &id)) {
                outlet.send(held).await;
            }
        }
    }
    Ok(())
}

/// Whether a message is the answer to the request, which ends it.
fn is_end(message: &[u8], id: &str) -> bool {
    Envelope::parse(message)
        .is_ok_and(|answer| answer.kind() == Kind::Response && is_same_id(answer.id(), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_tools_is_asked_for() {
        let limited = |params: &str| {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{params}}}"#);
            let limited = of_tools(&Envelope::parse(text.as_bytes()).unwrap(), text.as_bytes())?;
            Some(serde_json::from_slice::<serde_json::Value>(&limited).unwrap()["params"].clone())
        };
        let all = r#"{"_meta":{"a":1},"Notifications":{},"x":1,"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["x:1"],"y":{}}}"#;
        let only = json!({"_meta": {"a": 1}, "notifications": {"toolsListChanged": true}});
        assert_eq!(limited(all), Some(only));
        let none = r#"{"_meta":{},"notifications":{"promptsListChanged":true}}"#;
        assert_eq!(limited(none), Some(json!({"_meta": {}, "notifications": {}})));
        for bad in [
            "{}",
            r#"{"_meta":{},"notifications":7}"#,
            r#"{"_meta":{},"notifications":{},"notifications":{}}"#,
        ] {
            assert_eq!(limited(bad), None, "{bad}");
        }
    }
}
