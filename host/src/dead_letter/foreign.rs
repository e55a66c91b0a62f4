//! Dead letters of those who consume events beside the host: what their entries become, and the event again.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use guesthouse_connector::{Headers, OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning, RawHeaders};
use serde_json::json;

use super::again::REPLAY_OF;
use super::headers::LetterHeaders;
use super::{REFERENCE, SCHEMA};
use crate::codec::{Format, REPLAYS};
use crate::dlq::DlqEntry;
use crate::event::Tenant;
use crate::identity::{DeadLetterId, ReplayId};
use crate::outcome::OutcomeKind;
use crate::transport::{EventEnvelope, EventSerializer as _, partition_key};

/// Who said that the event cannot be handled: not a guest, but a consumer that moved it.
const CODE: &str = "moved";

/// The dead letter of an entry, whose event came from a topic of this stream unless it says another. It cannot fail.
pub(crate) fn dead_letter_of(stream: &str, entry: DlqEntry) -> OutgoingMessage {
    let (id, about) = (entry_id(stream, &entry), About::payload(&entry.payload));
    let mut letter = LetterHeaders::default();
    letter.number("gh-schema", SCHEMA);
    describe_source(&mut letter, stream, &entry);
    letter.text("gh-event-id", &entry.event_id.to_string());
    letter.text("gh-outcome", OutcomeKind::Reject.as_str());
    letter.text("gh-code", CODE);
    letter.reason(&entry.error);
    letter.number("gh-attempts", entry.retry_count.saturating_add(1));
    letter.number("gh-failed-at", now_micros());
    letter.number(REPLAYS, entry.retry_count);
    if let Some(envelope) = &about.envelope {
        letter.text("gh-tenant", &partition_key(envelope.tenant_id));
        letter.text("gh-event-type", &envelope.event_type);
    }
    let (partition, source) = (about.partition(), about.headers());
    let payload = if (1..=PAYLOAD_BYTES_MAX).contains(&entry.payload.len()) {
        Bytes::from(entry.payload)
    } else {
        letter.text("gh-payload", REFERENCE);
        reference(stream, &entry)
    };
    OutgoingMessage { id: id.as_u128(), partition, payload, headers: letter.with_source_headers(&source) }
}

/// The event of an entry as it goes to its consumers again. The same entry gives the same message.
pub(crate) fn entry_again(stream: &str, entry: DlqEntry) -> OutgoingMessage {
    let (id, about) = (entry_id(stream, &entry), About::payload(&entry.payload));
    let mut headers = LetterHeaders::default();
    headers.number(REPLAYS, entry.retry_count.saturating_add(1));
    headers.text(REPLAY_OF, &id.to_string());
    OutgoingMessage {
        id: ReplayId::of_dead_letter(id.as_u128(), 0).as_u128(),
        partition: about.partition(),
        payload: entry.payload.into(),
        headers: headers.with_source_headers(&about.headers()),
    }
}

/// What a payload says about itself.
struct About {
    format: Format,
    envelope: Option<EventEnvelope>,
}

impl About {
    fn payload(payload: &[u8]) -> Self {
        let read = |format: Format| format.deserialize(payload).ok().map(|envelope| (format, envelope));
        match Format::ALL.into_iter().find_map(read) {
            Some((format, envelope)) => Self { format, envelope: Some(envelope) },
            None => Self { format: Format::default(), envelope: None },
        }
    }

    /// By the tenant, or the platform when nobody knows whose event it is.
    fn partition(&self) -> Partitioning {
        let tenant = self.envelope.as_ref().map(|envelope| partition_key(envelope.tenant_id));
        Partitioning::Key(tenant.unwrap_or_else(|| Tenant::PLATFORM_ID.to_owned()))
    }

    /// The headers that its message had if a transport published it.
    fn headers(&self) -> RawHeaders {
        let of = |envelope: &EventEnvelope| envelope.headers(self.format).ok();
        let headers: Headers = self.envelope.as_ref().and_then(of).unwrap_or_default();
        RawHeaders(headers.encode())
    }
}

fn describe_source(letter: &mut LetterHeaders, stream: &str, entry: &DlqEntry) {
    letter.text("gh-topic", &entry.original_topic);
    let Some(source) = &entry.connector_metadata else {
        letter.text("gh-stream", stream);
        return;
    };
    letter.text("gh-stream", &source.stream);
    letter.number("gh-partition", source.partition);
    if let Some(offset) = source.offset {
        letter.number("gh-offset", offset);
    }
    letter.text("gh-message-id", source.message_id.as_deref().unwrap_or_default());
}

/// What stands for a payload that no message can carry.
fn reference(stream: &str, entry: &DlqEntry) -> Bytes {
    let source = entry.connector_metadata.as_ref();
    let record = json!({
        "stream": source.map_or(stream, |source| &source.stream),
        "topic": entry.original_topic,
        "partition": source.map(|source| source.partition),
        "offset": source.and_then(|source| source.offset),
        "payload_bytes": entry.payload.len(),
        "payload_blake3": blake3::hash(&entry.payload).to_string(),
    });
    record.to_string().into()
}

/// The same for the same entry, and another one when the event dies again.
pub(crate) fn entry_id(stream: &str, entry: &DlqEntry) -> DeadLetterId {
    let source = entry.connector_metadata.as_ref();
    let place = source.map(|source| (source.stream.as_str(), source.partition, source.offset));
    let (stream, place) = match place {
        Some((stream, partition, offset)) => (stream, format!("{partition}/{offset:?}")),
        None => (stream, String::new()),
    };
    DeadLetterId::of_entry(&[
        stream.as_bytes(),
        entry.original_topic.as_bytes(),
        place.as_bytes(),
        entry.event_id.as_bytes(),
        &entry.retry_count.to_be_bytes(),
        blake3::hash(&entry.payload).as_bytes(),
    ])
}

fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use guesthouse_connector::{Offset, PartitionId, ReceivedMessage};
    use uuid::Uuid;

    use super::*;
    use crate::dead_letter::{DeadLetter, EventAgain, again};

    const STREAM: &str = "rustok";

    fn envelope() -> EventEnvelope {
        EventEnvelope::new(Uuid::from_u128(7), "order.placed", &json!({"type": "OrderPlaced"})).unwrap()
    }

    fn read(entry: DlqEntry) -> (ReceivedMessage, DeadLetter) {
        let OutgoingMessage { id, payload, headers, .. } = dead_letter_of(STREAM, entry);
        let message = ReceivedMessage {
            id,
            offset: Offset(0),
            timestamp_micros: 1,
            origin_timestamp_micros: 1,
            headers: RawHeaders(headers.encode()),
            payload,
        };
        let letter = DeadLetter::read(message.clone(), PartitionId(0)).unwrap();
        (message, letter)
    }

    /// For that is what the command line does with it.
    #[test]
    fn it_is_read_and_brought_back_like_the_hosts_own() {
        for format in Format::ALL {
            let envelope = envelope();
            let payload = format.serialize(&envelope).unwrap();
            let (message, letter) =
                read(DlqEntry::new(envelope.id, "domain", payload.clone(), "no such order", 2));
            let summary = letter.summary;
            assert_eq!(summary.tenant.as_deref(), Some("00000000-0000-0000-0000-000000000007"));
            assert_eq!(summary.event_id, Some(envelope.id.to_string()));
            assert_eq!(summary.event_type.as_deref(), Some("order.placed"));
            assert_eq!(
                (summary.outcome.as_deref(), summary.code.as_deref()),
                (Some("reject"), Some("moved"))
            );
            assert_eq!((summary.reason.as_str(), summary.replays), ("no such order", Some(2)));

            let EventAgain { topic, message: back, .. } = again(&message, &summary, 0).unwrap();
            assert_eq!(topic.to_string(), "rustok/domain");
            assert_eq!(back.partition, Partitioning::Key(partition_key(envelope.tenant_id)));
            assert_eq!(back.payload, payload);
            let content_type = back.headers.get("content-type").unwrap();
            assert_eq!(content_type, &format.media_type().into());
        }
    }

    #[test]
    fn a_payload_that_no_message_can_carry_is_named_by_its_hash() {
        let (_, letter) = read(DlqEntry::new(Uuid::from_u128(1), "domain", Vec::new(), "", 0));
        assert!(letter.summary.payload_is_reference);
        let record: serde_json::Value = serde_json::from_slice(&letter.payload).unwrap();
        assert_eq!((&record["topic"], &record["payload_bytes"]), (&json!("domain"), &json!(0)));
    }

    #[test]
    fn an_event_that_dies_again_has_another_dead_letter() {
        let entry = |retry_count| DlqEntry::new(Uuid::from_u128(1), "domain", vec![1], "e", retry_count);
        let id = |entry| dead_letter_of(STREAM, entry).id;
        assert_eq!(id(entry(0)), id(DlqEntry { error: "other".to_owned(), ..entry(0) }));
        assert_ne!(id(entry(0)), id(entry(1)));
        assert_ne!(entry_again(STREAM, entry(0)).id, id(entry(0)));
    }
}
