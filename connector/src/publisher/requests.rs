//! Which messages go into one request.
//!
//! A request is stored as a whole or not at all, and a broker recognises a repeated request only if all its messages
//! were stored before. So messages whose first request got no answer are repeated in the same company, never mixed
//! with others.

use std::collections::HashMap;

use crate::config::Batching;
use crate::error::ConnectorError;
use crate::message::OutgoingMessage;

/// How many messages may be in doubt before the record of them starts anew; repeating them could then store them twice.
const IN_DOUBT_MAX: usize = 65_536;

/// What a message takes in a request besides its payload and headers.
const MESSAGE_OVERHEAD_BYTES: usize = 48;

/// Messages that were sent without an answer, by id, with the number of the request they were in.
#[derive(Debug, Default)]
pub(super) struct InDoubt {
    requests: HashMap<u128, u64>,
    last_request: u64,
}

impl InDoubt {
    /// Remembers what became of a request.
    pub(super) fn note(&mut self, request: &[&OutgoingMessage], failure: Option<&ConnectorError>) {
        match failure {
            None if self.requests.is_empty() => {}
            None => {
                for message in request {
                    self.requests.remove(&message.id);
                }
            }
            Some(error) if error.is_transient() => self.remember(request),
            Some(_) => {}
        }
    }

    fn remember(&mut self, request: &[&OutgoingMessage]) {
        if self.requests.len() + request.len() > IN_DOUBT_MAX {
            self.requests.clear();
        }
        self.last_request += 1;
        let ids = request.iter().map(|message| message.id);
        let last_request = self.last_request;
        self.requests.extend(ids.filter(|id| *id != 0).map(|id| (id, last_request)));
    }

    fn request_of(&self, message: &OutgoingMessage) -> Option<u64> {
        self.requests.get(&message.id).copied()
    }
}

/// How many of these messages, from the front, go into the next request: at least one.
pub(super) fn next_request(messages: &[&OutgoingMessage], in_doubt: &InDoubt, batching: &Batching) -> usize {
    let company = messages.first().and_then(|first| in_doubt.request_of(first));
    let mut bytes = 0_usize;
    let fitting = messages.iter().take(batching.messages_max).take_while(|message| {
        bytes = bytes.saturating_add(request_bytes(message));
        bytes <= batching.bytes_max && in_doubt.request_of(message) == company
    });
    fitting.count().max(1)
}

pub(super) fn request_bytes(message: &OutgoingMessage) -> usize {
    MESSAGE_OVERHEAD_BYTES + message.payload.len() + message.headers.encoded_len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::address::PartitionId;
    use crate::headers::Headers;
    use crate::message::Partitioning;

    fn messages(ids: impl IntoIterator<Item = u128>) -> Vec<OutgoingMessage> {
        let message = |id| OutgoingMessage {
            id,
            partition: Partitioning::Partition(PartitionId(0)),
            payload: Bytes::from_static(&[0; 52]),
            headers: Headers::new(),
        };
        ids.into_iter().map(message).collect()
    }

    fn split(messages: &[&OutgoingMessage], in_doubt: &InDoubt) -> Vec<usize> {
        let batching = Batching { messages_max: 4, bytes_max: 300, ..Batching::default() };
        let mut counts = Vec::new();
        let mut rest = messages;
        while !rest.is_empty() {
            let count = next_request(rest, in_doubt, &batching);
            counts.push(count);
            rest = &rest[count..];
        }
        counts
    }

    #[test]
    fn requests_are_bounded_by_bytes_and_by_number() {
        let owned = messages(1..=8);
        let all: Vec<_> = owned.iter().collect();
        assert_eq!(split(&all, &InDoubt::default()), [3, 3, 2]);
        let batching = Batching { messages_max: 2, bytes_max: 1, ..Batching::default() };
        assert_eq!(next_request(&all, &InDoubt::default(), &batching), 1);
    }

    #[test]
    fn messages_in_doubt_are_repeated_in_the_same_company() {
        let owned = messages(1..=6);
        let all: Vec<_> = owned.iter().collect();
        let lost = ConnectorError::Connection("lost".into());
        let mut in_doubt = InDoubt::default();
        in_doubt.note(&all[0..2], Some(&lost));
        in_doubt.note(&all[2..3], Some(&lost));
        assert_eq!(split(&all, &in_doubt), [2, 1, 3]);
        in_doubt.note(&all[0..2], None);
        in_doubt.note(&all[2..3], None);
        assert_eq!(split(&all, &in_doubt), [3, 3]);
    }

    #[test]
    fn a_refusal_leaves_no_doubt() {
        let owned = messages(1..=2);
        let all: Vec<_> = owned.iter().collect();
        let mut in_doubt = InDoubt::default();
        in_doubt.note(&all, Some(&ConnectorError::Publish("no".into())));
        assert!(in_doubt.requests.is_empty());
    }
}
