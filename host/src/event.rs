//! An event: one message with its envelope decoded. Everything in it is a cheap slice of the message.

mod shared;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use guesthouse_connector::{Offset, PartitionId, RawHeaders, TopicAddress};

pub(crate) use shared::SharedEvent;

/// Whose event it is. It comes from the envelope or the subscription, never from a guest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tenant {
    /// The platform itself (the nil tenant). Reaches only handlers that ask for platform events.
    Platform,
    /// A tenant, by the name its envelope gives.
    Named(ByteString),
}

impl Tenant {
    /// The nil UUID, by which envelopes name the platform.
    pub const PLATFORM_ID: &'static str = "00000000-0000-0000-0000-000000000000";

    /// Reads the name an envelope or a config gives; the nil UUID is the platform.
    pub fn from_name(name: ByteString) -> Self {
        if name == Self::PLATFORM_ID { Self::Platform } else { Self::Named(name) }
    }

    /// A copy that keeps no message alive, for whoever remembers the tenant for longer than its event.
    pub(crate) fn detached(&self) -> Self {
        match self {
            Self::Platform => Self::Platform,
            Self::Named(name) => Self::Named(ByteString::from(name.to_string())),
        }
    }

    /// The name as an envelope writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Platform => Self::PLATFORM_ID,
            Self::Named(name) => name,
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The topic a subscription reads, shared by all its events.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceTopic {
    /// Name of the stream.
    pub(crate) stream: String,
    /// Name of the topic.
    pub(crate) topic: String,
}

impl SourceTopic {
    /// The address of the topic.
    pub(crate) fn address(&self) -> TopicAddress {
        TopicAddress { stream: self.stream.clone(), topic: self.topic.clone() }
    }
}

/// Where and as what the broker keeps the message of an event.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Stream and topic.
    pub(crate) topic: Arc<SourceTopic>,
    /// Partition, counted from zero.
    pub(crate) partition: PartitionId,
    /// Offset in the partition.
    pub(crate) offset: Offset,
    /// Message id, as the producer or its client chose it.
    pub(crate) message_id: u128,
    /// When the broker appended the message, in microseconds since 1970.
    pub(crate) timestamp_micros: u64,
    /// When the producer made the message, in microseconds since 1970.
    pub(crate) origin_timestamp_micros: u64,
}

/// One message as it was read, before any codec looked at it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Where it stands.
    pub(crate) source: Source,
    /// Its user headers.
    pub(crate) headers: RawHeaders,
    /// Its payload, the envelope.
    pub(crate) payload: Bytes,
}

/// One message with its envelope decoded.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The message it came in, untouched.
    pub(crate) message: Message,
    /// Identity given by the producer.
    pub(crate) id: ByteString,
    /// Type, such as `order.placed`.
    pub(crate) event_type: ByteString,
    /// Version of the payload's schema; 0 when the envelope has none.
    pub(crate) schema_version: u16,
    /// Whose event it is.
    pub(crate) tenant: Tenant,
    /// Key by which the producer chose the partition, when it said so.
    pub(crate) key: Option<ByteString>,
    /// Id shared by all events of one business transaction.
    pub(crate) correlation_id: Option<ByteString>,
    /// Id of the event that caused this one.
    pub(crate) causation_id: Option<ByteString>,
    /// Id of the person or service that acted.
    pub(crate) actor: Option<ByteString>,
    /// The only handler that it is for; all that want it when absent.
    pub(crate) for_handler: Option<ByteString>,
    /// W3C trace context.
    pub(crate) traceparent: Option<ByteString>,
    /// When the event happened, in microseconds since 1970.
    pub(crate) timestamp_micros: u64,
    /// Media type of the payload.
    pub(crate) content_type: ByteString,
    /// What the guest gets as payload.
    pub(crate) payload: Bytes,
}
