//! Reading dead letters back, for people who want to know what went wrong.

use std::borrow::Cow;

use bytes::Bytes;
use guesthouse_connector::{Offset, PartitionId, RawHeaders, ReceivedMessage};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::headers::{OURS, REASON};
use super::{LetterState, REFERENCE, SCHEMA};

/// A dead letter as the topic keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DeadLetter {
    /// What it says about itself.
    #[serde(flatten)]
    pub(crate) summary: LetterSummary,
    /// The source's own headers.
    #[serde(flatten)]
    pub(crate) headers: SourceHeaders,
    /// The source's payload.
    #[serde(serialize_with = "text_or_hex")]
    pub(crate) payload: Bytes,
}

/// The source's own headers in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceHeaders(pub(crate) Vec<SourceHeader>);

/// One of them, in text forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SourceHeader {
    pub(crate) key: String,
    /// What the key is, in Iggy's words.
    pub(crate) key_kind: Cow<'static, str>,
    pub(crate) value: String,
    /// What the value is, in Iggy's words.
    pub(crate) value_kind: Cow<'static, str>,
}

/// What a dead letter says about itself. Fields that the record does not have are `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LetterSummary {
    /// Its own message id, in the form of a UUID.
    pub(crate) id: String,
    /// Its own place in the dead letter topic.
    pub(crate) partition: PartitionId,
    /// Its own offset there.
    pub(crate) offset: Offset,
    /// Where the event came from.
    pub(crate) source: LetterSource,
    /// Whose event it was; `None` when no codec could read it.
    pub(crate) tenant: Option<String>,
    /// Id of the event.
    pub(crate) event_id: Option<String>,
    /// Type of the event.
    pub(crate) event_type: Option<String>,
    /// Handler that gave it up, or `decode`.
    pub(crate) handler: Option<String>,
    /// Digest of the handler's component.
    pub(crate) component_digest: Option<String>,
    /// Kind of the last outcome.
    pub(crate) outcome: Option<String>,
    /// Finer code inside the kind.
    pub(crate) code: Option<String>,
    /// Why, put together from all its headers.
    pub(crate) reason: String,
    /// Attempts in all.
    pub(crate) attempts: Option<u64>,
    /// When the first attempt failed, in microseconds since 1970.
    pub(crate) first_failed_at: Option<u64>,
    /// When the last attempt failed, in microseconds since 1970.
    pub(crate) failed_at: Option<u64>,
    /// How long the last attempt took, in microseconds.
    pub(crate) duration_us: Option<u64>,
    /// Most memory the guest used in it, in bytes.
    pub(crate) memory_peak_bytes: Option<u64>,
    /// Order key of the event.
    pub(crate) lane: Option<String>,
    /// How often it was replayed before.
    pub(crate) replays: Option<u64>,
    /// Source headers that found no room.
    pub(crate) headers_dropped: Option<u64>,
    /// Whether the payload is only a reference to the source's.
    pub(crate) payload_is_reference: bool,
    /// What became of it; open as long as no record says otherwise.
    pub(crate) state: LetterState,
}

/// Where the event of a dead letter came from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct LetterSource {
    pub(crate) stream: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) partition: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) message_id: Option<String>,
    /// When the broker appended the event, in microseconds since 1970.
    pub(crate) timestamp: Option<u64>,
}

/// A message of the dead letter topic that is no dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotADeadLetter {
    /// It has no `gh-schema`.
    #[error("the message has no header `gh-schema`: something else wrote it")]
    NoSchema,
    /// Its schema is newer.
    #[error("the dead letter has schema {found}, this program reads {SCHEMA}: use a newer one")]
    NewerSchema {
        /// The schema it has.
        found: u64,
    },
}

impl DeadLetter {
    /// Reads a message of the dead letter topic's `partition`. Headers that are missing or of another kind do not
    /// make it unreadable.
    ///
    /// # Errors
    /// When it is no dead letter, or one of a later kind.
    pub(crate) fn read(message: ReceivedMessage, partition: PartitionId) -> Result<Self, NotADeadLetter> {
        let headers = &message.headers;
        let text = |name: &str| headers.get(name).map(|value| value.to_string());
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let schema = number("gh-schema").ok_or(NotADeadLetter::NoSchema)?;
        if schema > u64::from(SCHEMA) {
            return Err(NotADeadLetter::NewerSchema { found: schema });
        }
        let summary = LetterSummary {
            id: uuid::Uuid::from_u128(message.id).to_string(),
            partition,
            offset: message.offset,
            source: LetterSource::read(headers),
            tenant: text("gh-tenant"),
            event_id: text("gh-event-id"),
            event_type: text("gh-event-type"),
            handler: text("gh-handler"),
            component_digest: text("gh-component-digest"),
            outcome: text("gh-outcome"),
            code: text("gh-code"),
            reason: REASON.iter().filter_map(|name| text(name)).collect(),
            attempts: number("gh-attempts"),
            first_failed_at: number("gh-first-failed-at"),
            failed_at: number("gh-failed-at"),
            duration_us: number("gh-duration-us"),
            memory_peak_bytes: number("gh-memory-peak"),
            lane: text("gh-lane"),
            replays: number("gh-replays"),
            headers_dropped: number("gh-headers-dropped"),
            payload_is_reference: text("gh-payload").as_deref() == Some(REFERENCE),
            state: LetterState::Open,
        };
        Ok(Self { summary, headers: SourceHeaders::read(headers), payload: message.payload })
    }
}

impl LetterSource {
    fn read(headers: &RawHeaders) -> Self {
        let text = |name: &str| headers.get(name).map(|value| value.to_string());
        let number = |name: &str| text(name).and_then(|text| text.parse().ok());
        Self {
            stream: text("gh-stream"),
            topic: text("gh-topic"),
            group: text("gh-group"),
            partition: number("gh-partition"),
            offset: number("gh-offset"),
            message_id: text("gh-message-id"),
            timestamp: number("gh-timestamp"),
        }
    }
}

impl SourceHeaders {
    fn read(headers: &RawHeaders) -> Self {
        let theirs = headers.entries().filter(|entry| !entry.name().starts_with(OURS));
        let shown = theirs.map(|entry| SourceHeader {
            key: entry.name().into_owned(),
            key_kind: entry.raw_key().kind_name(),
            value: entry.value().to_string(),
            value_kind: entry.value().kind_name(),
        });
        Self(shown.collect())
    }
}

/// As `headers`, pairs of key and value in the text form that those of most messages have anyway, and as `typed_headers` with
/// the kinds, which tell the number `1` from the text.
impl Serialize for SourceHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<_> = self.0.iter().map(|header| (&header.key, &header.value)).collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("headers", &pairs)?;
        map.serialize_entry("typed_headers", &self.0)?;
        map.end()
    }
}

/// Text as it is, anything else as `hex:` and lower-case hexadecimal.
pub(crate) fn payload_text(payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) => text.to_owned(),
        Err(_) => payload.iter().fold("hex:".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}

fn text_or_hex<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&payload_text(payload))
}
