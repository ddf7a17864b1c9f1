//! The result of the modern era that says: ask your client this, then make the request again
//! (multi round-trip requests).

use std::collections::BTreeMap;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::server::gateway::message::{Envelope, offset_in};
use crate::server::gateway::naming::{NameInMessage, member};
use crate::server::gateway::outward::spliced;
use crate::server::gateway::problem::UpstreamProblem;

use super::speak::insert;

/// Things that a server may ask for at once.
const MAX_REQUESTS: usize = 32;

/// What a server wants of its client.
#[derive(Debug)]
pub(in crate::server::gateway) struct InputRequired {
    /// What it asks for, by its own keys.
    pub(in crate::server::gateway) requests: BTreeMap<String, InputRequest>,
    /// What it wants to hear again, as it was written.
    state: Option<String>,
}

/// One thing that a server asks for.
#[derive(Debug, Deserialize)]
pub(in crate::server::gateway) struct InputRequest {
    /// The method.
    pub(in crate::server::gateway) method: String,
    /// The parameters.
    #[serde(default = "no_params")]
    pub(in crate::server::gateway) params: Box<RawValue>,
}

fn no_params() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// Whether a server may answer requests of this method so.
pub(in crate::server::gateway) fn may_ask(method: &str) -> bool {
    ["tools/call", "prompts/get", "resources/read"].contains(&method)
}

impl InputRequired {
    /// Reads an answer; `None` if it is any other.
    ///
    /// # Errors
    /// [`UpstreamProblem::NotMcp`] when it says `input_required` and not what.
    pub(in crate::server::gateway) fn of(answer: &[u8]) -> Option<Result<Self, UpstreamProblem>> {
        let result = Envelope::parse(answer).ok()?.result()?;
        (NameInMessage::find(result, &["resultType"])?.text == "input_required")
            .then(|| Self::read(result).ok_or(UpstreamProblem::NotMcp))
    }

    fn read(result: &RawValue) -> Option<Self> {
        let state = match NameInMessage::find(result, &["requestState"]) {
            Some(_) => member(result, "requestState").map(|state| state.get().to_owned()),
            None if member(result, "requestState").is_some() => return None,
            None => None,
        };
        let requests: BTreeMap<String, InputRequest> = match member(result, "inputRequests") {
            Some(requests) => serde_json::from_str(requests.get()).ok()?,
            None => BTreeMap::new(),
        };
        let something = !requests.is_empty() || state.is_some();
        (something && requests.len() <= MAX_REQUESTS).then_some(Self { requests, state })
    }

    /// The request made again: another id, the answers by their keys (if anything was asked),
    /// and the server's state. All else is as it was. `None` if the request has such members already.
    pub(in crate::server::gateway) fn retry(
        &self,
        request: &[u8],
        id: &str,
        answers: &BTreeMap<String, Box<RawValue>>,
    ) -> Option<Bytes> {
        let envelope = Envelope::parse(request).ok()?;
        let params = envelope.params()?;
        if is_retry(params) {
            return None;
        }
        let mut members = Vec::new();
        if !answers.is_empty() {
            members.push(format!(r#""inputResponses":{}"#, serde_json::to_string(answers).ok()?));
        }
        members.extend(self.state.as_ref().map(|state| format!(r#""requestState":{state}"#)));
        let params = insert(params.get().as_bytes(), 0, &members.join(","))?;
        let edits =
            [(envelope.id(), id.to_owned()), (envelope.params()?.get(), String::from_utf8(params).ok()?)];
        offset_in(request, edits[1].0.as_bytes())?;
        spliced(request, &edits).map(Bytes::from)
    }
}

/// Whether parameters belong to a request that is made again.
fn is_retry(params: &RawValue) -> bool {
    let is_there = |name| member(params, name).is_some();
    is_there("inputResponses") || is_there("requestState")
}

impl InputRequest {
    /// The request as a client of the legacy era knows it. `id` is as it is to be written.
    pub(in crate::server::gateway) fn message(&self, id: &str) -> Vec<u8> {
        let method = Value::from(self.method.as_str());
        let mut params = self.params.get().to_owned();
        let names =
            |name| member(&self.params, name).and_then(|text| serde_json::from_str::<Value>(text.get()).ok());
        // The older era wants an id for each visit to a URL.
        if names("mode") == Some(json!("url"))
            && names("elicitationId").is_none()
            && let Some(brace) = params.find('{')
            && let Some(with_id) = insert(params.as_bytes(), brace, &format!(r#""elicitationId":{id}"#))
            && let Ok(with_id) = String::from_utf8(with_id)
        {
            params = with_id;
        }
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(result: &str) -> Option<Result<InputRequired, UpstreamProblem>> {
        InputRequired::of(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#).as_bytes())
    }

    #[test]
    fn what_is_asked() {
        let asked = read(
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"x":1.50}}},"requestState":"s"}"#,
        );
        let asked = asked.unwrap().unwrap();
        assert_eq!(asked.requests["a"].params.get(), "{}");
        let message = String::from_utf8(asked.requests["b"].message("\"i\"")).unwrap();
        assert_eq!(
            message,
            r#"{"jsonrpc":"2.0","id":"i","method":"elicitation/create","params":{"x":1.50}}"#
        );
        for other in [
            "{}",
            r#"{"resultType":"complete","requestState":"s"}"#,
            r#"{"inputRequests":{"a":{"method":"m"}}}"#,
            "7",
        ] {
            assert!(read(other).is_none(), "{other}");
        }
        for wrong in [
            "",
            r#","requestState":7"#,
            r#","inputRequests":{}"#,
            r#","inputRequests":[]"#,
            r#","inputRequests":{"a":{}}"#,
        ] {
            assert!(
                read(&format!(r#"{{"resultType":"input_required"{wrong}}}"#)).unwrap().is_err(),
                "{wrong}"
            );
        }
        let many: Vec<String> =
            (0..=MAX_REQUESTS).map(|key| format!(r#""{key}":{{"method":"roots/list"}}"#)).collect();
        let many = format!(r#"{{"resultType":"input_required","inputRequests":{{{}}}}}"#, many.join(","));
        assert!(read(&many).unwrap().is_err());
    }

    #[test]
    fn an_url_gets_the_id_that_the_older_era_wants() {
        let params = RawValue::from_string(r#"{"mode":"url","url":"u"}"#.to_owned()).unwrap();
        let request = InputRequest { method: "elicitation/create".to_owned(), params };
        let message: Value = serde_json::from_slice(&request.message("\"i\"")).unwrap();
        assert_eq!(message["params"], json!({"mode": "url", "url": "u", "elicitationId": "i"}));
    }

    #[test]
    fn a_request_is_made_again() {
        let asked = |state: &str| {
            read(&format!(r#"{{"resultType":"input_required","inputRequests":{{"a":{{"method":"roots/list"}}}}{state}}}"#)).unwrap().unwrap()
        };
        let answers =
            BTreeMap::from([("a".to_owned(), RawValue::from_string(r#"{"n":1.50}"#.to_owned()).unwrap())]);
        let request =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{ "name":"t","arguments":{"x":1e2}}}"#;
        let again = asked(r#","requestState":"\u00e9\/""#).retry(request, "\"n\"", &answers).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":"n","method":"tools/call","params":{"inputResponses":{"a":{"n":1.50}},"requestState":"\u00e9\/", "name":"t","arguments":{"x":1e2}}}"#;
        assert_eq!(String::from_utf8(again.to_vec()).unwrap(), expected);
        let again = asked("").retry(request, "2", &answers).unwrap();
        assert!(!String::from_utf8(again.to_vec()).unwrap().contains("requestState"));
        let only = read(r#"{"resultType":"input_required","requestState":"s"}"#).unwrap().unwrap();
        let again = only.retry(request, "2", &BTreeMap::new()).unwrap();
        assert!(!String::from_utf8(again.to_vec()).unwrap().contains("inputResponses"));
        let own = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"requestState":"mine"}}"#;
        assert!(only.retry(own, "2", &BTreeMap::new()).is_none());
    }
}
