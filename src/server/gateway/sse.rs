//! Server-sent events (WHATWG HTML, section 9.2): finds the data of each event in a stream that
//! arrives in pieces, and where the stream can be taken up again. Only for answers the gateway reads itself; what is passed on to a
//! client is not touched.

use super::message::messages_of_batch;

/// Collects pieces and gives out events.
#[derive(Default)]
pub(super) struct EventReader {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    last_was_cr: bool,
    /// The id in the event that is being read.
    id: Option<Vec<u8>>,
    /// Id of the last event that was complete and had one; empty if the server took it back.
    pub(super) last_id: Option<Vec<u8>>,
    /// Milliseconds to wait before the rest is asked for.
    pub(super) retry: Option<u64>,
}

impl EventReader {
    /// Takes a piece; the answer is the data of each event it completes, and of a batch in it each message.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.last_was_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => match self.end_line() {
                    Some(data) if data.trim_ascii_start().starts_with(b"[") => {
                        let messages = messages_of_batch(&data);
                        let single = messages.iter().map(|message| message.get().as_bytes().to_vec());
                        events.extend(single);
                        if messages.is_empty() {
                            events.push(data);
                        }
                    }
                    data => events.extend(data),
                },
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.last_id = self.id.take().or(self.last_id.take());
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(data);
        }
        if let Some(rest) = line.strip_prefix(b"data") {
            let value = match rest.strip_prefix(b":") {
                Some(value) => value.strip_prefix(b" ").unwrap_or(value),
                None if rest.is_empty() => rest,
                None => return None,
            };
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
        } else if let Some(id) = line.strip_prefix(b"id:") {
            let id = id.strip_prefix(b" ").unwrap_or(id);
            self.id = (!id.contains(&0)).then(|| id.to_vec()).or(self.id.take());
        } else if let Some(retry) = line.strip_prefix(b"retry:") {
            let number = std::str::from_utf8(retry).ok().and_then(|text| text.trim().parse().ok());
            self.retry = number.or(self.retry);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\ndata: {\"a\":1}\n\ndata: x\ndata:y\r\rretry: 5\n\ndatabase: no\n\n";

    #[test]
    fn every_split_gives_the_same_events() {
        let expected: Vec<Vec<u8>> = vec![b"".to_vec(), b"{\"a\":1}".to_vec(), b"x\ny".to_vec()];
        for split in 0..=STREAM.len() {
            let mut reader = EventReader::default();
            let mut events = reader.push(&STREAM.as_bytes()[..split]);
            events.extend(reader.push(&STREAM.as_bytes()[split..]));
            assert_eq!(events, expected, "split at {split}");
            assert_eq!((reader.last_id.as_deref(), reader.retry), (Some(&b"1"[..]), Some(5)));
        }
    }

    #[test]
    fn messages_of_a_batch_are_events() {
        let (one, two) = (r#"{"jsonrpc":"2.0","method":"a"}"#, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let read = |text: String| EventReader::default().push(text.as_bytes());
        assert_eq!(read(format!("data: [{one},\ndata: {two}]\n\n")), [one.as_bytes(), two.as_bytes()]);
        assert_eq!(read("data: [1]\n\n".to_owned()), [b"[1]"]);
    }

    #[test]
    fn an_id_counts_when_its_event_is_complete() {
        let mut reader = EventReader::default();
        reader.push(b"id: a\ndata: 1\n\nid: b\ndata: 2\n");
        assert_eq!(reader.last_id.as_deref(), Some(&b"a"[..]));
        reader.push(b"\n");
        assert_eq!(reader.last_id.as_deref(), Some(&b"b"[..]));
    }
}
