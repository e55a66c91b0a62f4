//! What is published and what is received.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::address::{Offset, PartitionId};
use crate::headers::{Headers, RawHeaders};
use crate::topology::DOMAIN_TOPIC;

/// The most bytes that the payload of one message may have.
pub const PAYLOAD_BYTES_MAX: usize = 64_000_000;

/// How the partition of a message is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Partitioning {
    /// By a stable hash of the key over the partitions that the topic has now.
    Key(String),
    /// This partition.
    Partition(PartitionId),
}

/// A message to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingMessage {
    /// Identifies the message; publishing it again with the same id does not make it another one.
    /// Zero lets the broker's client choose a random one.
    pub id: u128,
    /// Which partition it goes to.
    pub partition: Partitioning,
    /// The content, 1 to [`PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Bytes,
    /// The user headers.
    pub headers: Headers,
}

/// A message as the broker stored it.
///
/// The payload and the headers share the memory of the whole answer that brought them: what is kept for long
/// should be copied out.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMessage {
    /// The id that the publisher gave.
    pub id: u128,
    /// The place of the message in its partition.
    pub offset: Offset,
    /// When the broker stored it, in microseconds since the Unix epoch.
    pub timestamp_micros: u64,
    /// When the publisher made it, in microseconds since the Unix epoch.
    pub origin_timestamp_micros: u64,
    /// The user headers.
    pub headers: RawHeaders,
    /// The content.
    pub payload: Bytes,
}

/// One message with text fields, as the platform's publishers describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// The stream.
    pub stream: String,
    /// The topic within the stream.
    pub topic: String,
    /// Decides the partition, see [`Partitioning::Key`].
    pub partition_key: String,
    /// The content.
    pub payload: Vec<u8>,
    /// Becomes the message id and the header `event-id`.
    pub event_id: String,
}

impl PublishRequest {
    /// A request for any stream and topic.
    #[must_use]
    pub fn new(
        stream: impl Into<String>,
        topic: impl Into<String>,
        partition_key: impl Into<String>,
        payload: Vec<u8>,
        event_id: impl Into<String>,
    ) -> Self {
        Self {
            stream: stream.into(),
            topic: topic.into(),
            partition_key: partition_key.into(),
            payload,
            event_id: event_id.into(),
        }
    }

    /// A request for the topic `domain` of the stream `rustok`.
    #[must_use]
    pub fn simple(partition_key: impl Into<String>, payload: Vec<u8>, event_id: impl Into<String>) -> Self {
        Self::new("rustok", DOMAIN_TOPIC, partition_key, payload, event_id)
    }
}
