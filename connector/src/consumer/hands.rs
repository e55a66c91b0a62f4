//! What a member has in its hands: the message that is outstanding and those that come after it. A pure state machine.

use std::collections::VecDeque;

use super::SubscriberMessage;
use crate::address::{GroupAddress, Offset, PartitionId};
use crate::message::ReceivedMessage;

/// The messages that were polled and are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Hands {
    outstanding: Option<Outstanding>,
    ready: VecDeque<(PartitionId, ReceivedMessage)>,
    /// The last message that was handed out and how often, so that attempts are counted over reconnections.
    last: Option<(PartitionId, Offset, u32)>,
}

/// A message that was handed out.
#[derive(Debug)]
struct Outstanding {
    partition: PartitionId,
    message: ReceivedMessage,
}

/// The place of a message that may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: PartitionId,
    pub(super) offset: Offset,
}

impl Hands {
    /// Whether polling would only pile up messages.
    pub(super) fn are_full(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn take(&mut self, partition: PartitionId, messages: Vec<ReceivedMessage>) {
        self.ready.extend(messages.into_iter().map(|message| (partition, message)));
    }

    /// Drops what belongs to partitions of others.
    pub(super) fn revoke(&mut self, partitions: &[PartitionId]) {
        self.ready.retain(|(partition, _)| !partitions.contains(partition));
        if self.outstanding.as_ref().is_some_and(|held| partitions.contains(&held.partition)) {
            self.outstanding = None;
        }
    }

    /// The message that is handed out next, if there is one: the outstanding one again, or else the next.
    pub(super) fn hand_out(&mut self, group: &GroupAddress) -> Option<SubscriberMessage> {
        if self.outstanding.is_none() {
            let (partition, message) = self.ready.pop_front()?;
            self.outstanding = Some(Outstanding { partition, message });
        }
        let Outstanding { partition, message } = self.outstanding.as_ref()?;
        let attempt = match self.last {
            Some((last, offset, attempt)) if (last, offset) == (*partition, message.offset) => {
                attempt.saturating_add(1)
            }
            _ => 1,
        };
        self.last = Some((*partition, message.offset, attempt));
        let mut handed = SubscriberMessage::of(message, &group.topic, *partition);
        handed.metadata.delivery_attempt = Some(attempt);
        handed.metadata.ack_token = Some(token(group, *partition, message.offset));
        Some(handed)
    }

    /// What a token acknowledges; `None` unless it is of the outstanding message.
    pub(super) fn acknowledged(&self, group: &GroupAddress, ack_token: &str) -> Option<Place> {
        let Outstanding { partition, message } = self.outstanding.as_ref()?;
        let place = Place { partition: *partition, offset: message.offset };
        (token(group, place.partition, place.offset) == ack_token).then_some(place)
    }

    /// The outstanding message is settled, or somebody else's.
    pub(super) fn let_go(&mut self) {
        self.outstanding = None;
    }
}

/// Tokens are compared, never parsed, so names may contain anything.
fn token(group: &GroupAddress, partition: PartitionId, offset: Offset) -> String {
    let GroupAddress { topic, group } = group;
    format!("iggy-sdk:{}:{}:{partition}:{offset}:{group}", topic.stream, topic.topic)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::address::TopicAddress;
    use crate::headers::RawHeaders;

    const P0: PartitionId = PartitionId(0);
    const P1: PartitionId = PartitionId(1);

    fn group() -> GroupAddress {
        GroupAddress::new(TopicAddress::new("a:b", "c:d"), "e:f")
    }

    fn messages(offsets: std::ops::Range<u64>) -> Vec<ReceivedMessage> {
        let message = |offset| ReceivedMessage {
            id: u128::from(offset) + 1,
            offset: Offset(offset),
            timestamp_micros: 0,
            origin_timestamp_micros: 0,
            headers: RawHeaders::default(),
            payload: Bytes::from_static(b"x"),
        };
        offsets.map(message).collect()
    }

    /// Offset, attempt and token of what is handed out next.
    fn next(hands: &mut Hands) -> Option<(u64, u32, String)> {
        let metadata = hands.hand_out(&group())?.metadata;
        Some((metadata.offset?, metadata.delivery_attempt?, metadata.ack_token?))
    }

    #[test]
    fn a_message_comes_again_until_it_is_let_go() {
        let mut hands = Hands::default();
        hands.take(P0, messages(7..9));
        let (offset, attempt, token) = next(&mut hands).unwrap();
        assert_eq!((offset, attempt, token.as_str()), (7, 1, "iggy-sdk:a:b:c:d:0:7:e:f"));
        assert_eq!(next(&mut hands), Some((7, 2, token.clone())));
        assert_eq!(hands.acknowledged(&group(), "iggy-sdk:a:b:c:d:0:8:e:f"), None);
        let place = Place { partition: P0, offset: Offset(7) };
        assert_eq!(hands.acknowledged(&group(), &token), Some(place));
        hands.let_go();
        assert_eq!(hands.acknowledged(&group(), &token), None);
        assert_eq!(next(&mut hands).map(|(offset, attempt, _)| (offset, attempt)), Some((8, 1)));
        hands.let_go();
        assert_eq!(next(&mut hands), None);
    }

    #[test]
    fn revoked_partitions_leave_nothing_behind_but_the_count_of_attempts() {
        let mut hands = Hands::default();
        hands.take(P0, messages(0..2));
        hands.take(P1, messages(5..6));
        let (_, _, token) = next(&mut hands).unwrap();
        hands.revoke(&[P0]);
        assert_eq!(hands.acknowledged(&group(), &token), None);
        assert!(hands.are_full());
        hands.revoke(&[P1]);
        assert!(!hands.are_full());
        hands.take(P0, messages(0..1));
        assert_eq!(next(&mut hands).map(|(offset, attempt, _)| (offset, attempt)), Some((0, 2)));
    }
}
