//! Identities that are the same on every attempt, after every crash and on every host: hashes of what the broker
//! keeps. They contain no clock, no attempt number, and no version of host or component.
//!
//! Each is the first 16 bytes of a BLAKE3 hash over length-framed parts, the first of which names the kind of
//! identity. A frame is the part's length as eight big-endian bytes and then the part. Numbers are big-endian.

use std::fmt;
use std::str::FromStr;

use crate::codec::is_replay;
use crate::event::{Event, Message, Source, Tenant};
use crate::handler::HandlerName;
use crate::lane::OrderKey;

const EVENT_DOMAIN: &[u8] = b"guesthouse event v1";
const EVENT_ID_DOMAIN: &[u8] = b"guesthouse event id v1";
const DEAD_LETTER_DOMAIN: &[u8] = b"guesthouse dead letter v1";
const UNDECODABLE_DOMAIN: &[u8] = b"guesthouse undecodable v1";
const ENTRY_DOMAIN: &[u8] = b"guesthouse dead letter entry v1";
const REPLAY_DOMAIN: &[u8] = b"guesthouse replay v1";
const DEAD_LETTER_REPLAY_DOMAIN: &[u8] = b"guesthouse dead letter replay v1";
const EMIT_DOMAIN: &[u8] = b"guesthouse emit v1";
const LANE_DOMAIN: &[u8] = b"guesthouse lane v1";

/// What says that there is no id.
const NIL_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Which event it is, even where a broker minted the same offset twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventIdentity(u128);

/// What all copies of an event have in common, so that a handler that wants each event once recognises them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EventKey(u128);

/// The message id of an event's dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DeadLetterId(u128);

/// The message id of one emit of a handler for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EmitId(u128);

/// The message id of an event that a replay publishes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ReplayId(u128);

impl ReplayId {
    /// Of an event in the replay of this name.
    pub(crate) fn of(replay: &str, event: EventIdentity) -> Self {
        Self(hash(&[REPLAY_DOMAIN, replay.as_bytes(), &event.0.to_be_bytes()]))
    }

    /// Of the event of a dead letter with this id that was replayed so often before.
    pub(crate) fn of_dead_letter(id: u128, replays_before: u32) -> Self {
        let id = id.to_be_bytes();
        match replays_before {
            0 => Self(hash(&[DEAD_LETTER_REPLAY_DOMAIN, &id])),
            before => Self(hash(&[DEAD_LETTER_REPLAY_DOMAIN, &id, &before.to_be_bytes()])),
        }
    }

    /// The id as a number. Never zero.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0
    }
}

/// The name of a lane of one partition, in which people and parked topics speak of it: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneName(u64);

/// A text that names no lane.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no lane: expected 16 hexadecimal digits, as `parked list` prints them")]
pub(crate) struct InvalidLaneName(String);

impl LaneName {
    /// The lane of `group` and `handler` that an event of this source is in. Where an event has no lane, it is one.
    pub(crate) fn of(
        group: &str,
        handler: &HandlerName,
        tenant: &Tenant,
        order: &OrderKey,
        source: &Source,
    ) -> Self {
        let offset = source.offset.0.to_be_bytes();
        let (kind, key): (&[u8], &[u8]) = match order {
            OrderKey::Whole => (b"whole", b""),
            OrderKey::Missing => (b"missing", b""),
            OrderKey::Text(text) => (b"text", text.as_bytes()),
            OrderKey::Partition(_) => (b"partition", b""),
            OrderKey::Alone => (b"alone", &offset),
        };
        let id = hash(&[
            LANE_DOMAIN,
            group.as_bytes(),
            handler.as_str().as_bytes(),
            tenant.as_str().as_bytes(),
            source.topic.stream.as_bytes(),
            source.topic.topic.as_bytes(),
            &source.partition.0.to_be_bytes(),
            kind,
            key,
        ]);
        Self((id >> 64) as u64)
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for LaneName {
    type Err = InvalidLaneName;

    fn from_str(text: &str) -> Result<Self, InvalidLaneName> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| InvalidLaneName(text.to_owned()))
    }
}

impl EventIdentity {
    /// Hashes stream, topic, partition, offset, message id, origin timestamp and the payload's hash.
    pub(crate) fn of(message: &Message) -> Self {
        let source = &message.source;
        Self(hash(&[
            EVENT_DOMAIN,
            source.topic.stream.as_bytes(),
            source.topic.topic.as_bytes(),
            &source.partition.0.to_be_bytes(),
            &source.offset.0.to_be_bytes(),
            &source.message_id.to_be_bytes(),
            &source.origin_timestamp_micros.to_be_bytes(),
            blake3::hash(&message.payload).as_bytes(),
        ]))
    }

    /// The identity that was a number.
    pub(crate) const fn from_u128(identity: u128) -> Self {
        Self(identity)
    }

    /// The identity as a number. Never zero.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0
    }
}

impl EventKey {
    /// Hashes the id that the producer gave. An event without one is like itself alone, and so is one that was published
    /// again to be handled again.
    pub(crate) fn of(event: &Event, identity: EventIdentity) -> Self {
        let has_id = !event.id.is_empty() && event.id != NIL_ID;
        match has_id && !is_replay(&event.message.headers) {
            true => Self(hash(&[EVENT_ID_DOMAIN, event.id.as_bytes()])),
            false => Self(identity.0),
        }
    }

    /// A key for tests.
    #[cfg(test)]
    pub(crate) const fn of_number(number: u64) -> Self {
        Self(number as u128)
    }

    /// The key as bytes.
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl DeadLetterId {
    /// The dead letter of an event that a handler gave up on.
    pub(crate) fn of_handler(event: EventIdentity, handler: &HandlerName) -> Self {
        Self(hash(&[DEAD_LETTER_DOMAIN, &event.0.to_be_bytes(), handler.as_str().as_bytes()]))
    }

    /// The dead letter of a message that no codec could read.
    pub(crate) fn of_undecodable(event: EventIdentity) -> Self {
        Self(hash(&[UNDECODABLE_DOMAIN, &event.0.to_be_bytes()]))
    }

    /// The dead letter of an event that somebody beside the host gave up on.
    pub(crate) fn of_entry(parts: &[&[u8]; 6]) -> Self {
        let [a, b, c, d, e, f] = parts;
        Self(hash(&[ENTRY_DOMAIN, a, b, c, d, e, f]))
    }

    /// The id as the broker takes it. Never zero.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0
    }
}

impl EmitId {
    /// The emit at a position, counted from zero, in the list that a handler returned for an event.
    pub(crate) fn of(event: EventIdentity, handler: &HandlerName, index: u32) -> Self {
        let parts: [&[u8]; 4] =
            [EMIT_DOMAIN, &event.0.to_be_bytes(), handler.as_str().as_bytes(), &index.to_be_bytes()];
        Self(hash(&parts))
    }

    /// The id as the broker takes it. Never zero.
    pub(crate) const fn as_u128(self) -> u128 {
        self.0
    }
}

macro_rules! display_as_uuid {
    ($($id:ty),+) => {
        $(impl fmt::Display for $id {
            /// The hyphenated form of a UUID.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
            }
        })+
    };
}

display_as_uuid!(EventIdentity, DeadLetterId, EmitId);

/// Zero means "choose one for me" to the broker's clients, so the one hash in 2^128 becomes one.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut first = [0; 16];
    hasher.finalize_xof().fill(&mut first);
    u128::from_be_bytes(first).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use guesthouse_connector::{Headers, Offset, PartitionId, RawHeaders};

    use super::*;
    use crate::codec::{Codec, RawCodec, RawEventType, RawTenant};
    use crate::event::{Source, SourceTopic, Tenant};

    fn message() -> Message {
        let topic = Arc::new(SourceTopic { stream: "rustok".into(), topic: "domain".into() });
        let source = Source {
            topic,
            partition: PartitionId(3),
            offset: Offset(42),
            message_id: 7,
            timestamp_micros: 2,
            origin_timestamp_micros: 1,
        };
        Message { source, headers: RawHeaders::default(), payload: Bytes::from_static(b"{}") }
    }

    fn handler(name: &str) -> HandlerName {
        HandlerName::new(name).unwrap()
    }

    /// These values are a promise: a change would make repeats look new.
    #[test]
    fn identities_are_fixed() {
        let event = EventIdentity::of(&message());
        let totals = handler("order-totals");
        let ids = [
            event.to_string(),
            DeadLetterId::of_handler(event, &totals).to_string(),
            DeadLetterId::of_undecodable(event).to_string(),
            EmitId::of(event, &totals, 0).to_string(),
            EmitId::of(event, &totals, 1).to_string(),
        ];
        let expected = [
            "0f5fbb79-ab89-16c8-6461-972059dc5f89",
            "e6087165-12a9-15f1-b4f0-7b3037593e5f",
            "9a9b841d-4986-9c26-e896-aed439cf6fb9",
            "a154ec6f-9c63-62de-82c2-76c511cbe926",
            "6fa85f87-9424-4c66-74f6-552154b17bac",
        ];
        assert_eq!(ids, expected);
    }

    #[test]
    fn each_part_of_the_source_counts_and_the_append_time_does_not() {
        let original = EventIdentity::of(&message());
        let changes: [fn(&mut Message); 7] = [
            |m| m.source.topic = Arc::new(SourceTopic { stream: "rusto".into(), topic: "kdomain".into() }),
            |m| m.source.topic = Arc::new(SourceTopic { stream: "rustok".into(), topic: "system".into() }),
            |m| m.source.partition = PartitionId(4),
            |m| m.source.offset = Offset(43),
            |m| m.source.message_id = 8,
            |m| m.source.origin_timestamp_micros = 9,
            |m| m.payload = Bytes::from_static(b"[]"),
        ];
        for change in changes {
            let mut changed = message();
            change(&mut changed);
            assert_ne!(EventIdentity::of(&changed), original, "{changed:?}");
        }
        let mut appended_later = message();
        appended_later.source.timestamp_micros = 99;
        assert_eq!(EventIdentity::of(&appended_later), original);
    }

    #[test]
    fn copies_of_an_event_have_its_id_in_common_unless_they_are_to_be_handled_again() {
        let codec = RawCodec {
            tenant: RawTenant::Fixed(Tenant::Platform),
            event_type: RawEventType::Fixed("order.placed".into()),
        };
        let identity = EventIdentity::of(&message());
        let key = |id: &str, replays: &str| {
            let mut message = message();
            let mut headers = Headers::new();
            headers.insert("event-id", id).unwrap();
            headers.insert("gh-replays", replays).unwrap();
            message.headers = RawHeaders(headers.encode());
            EventKey::of(&Codec::Raw(codec.clone()).decode(message).unwrap(), identity)
        };
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_ne!(key(id, "0"), key("order-1", "0"));
        assert_eq!([key(NIL_ID, "0"), key(id, "1"), key("order-1", "2")], [EventKey(identity.0); 3]);
        assert_eq!(format!("{:032x}", key(id, "0").0), "6569b616b4984544af230fd8f315eac7");
    }

    #[test]
    fn handlers_and_positions_have_ids_of_their_own() {
        let event = EventIdentity::of(&message());
        let (a, b) = (handler("a"), handler("b"));
        assert_ne!(DeadLetterId::of_handler(event, &a), DeadLetterId::of_handler(event, &b));
        assert_ne!(EmitId::of(event, &a, 0), EmitId::of(event, &b, 0));
        assert_ne!(EmitId::of(event, &a, 0), EmitId::of(event, &a, 1));
    }
}
