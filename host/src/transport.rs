//! The transport: how a platform publishes its events to Iggy, by the names that RusToK knows.
//!
//! [`EventTransport`] is the platform's own trait in neutral types; [`IggyTransport`] implements it over a connector,
//! which the [`Host`](crate::Host) of the same process can share.

mod config;
mod consumer;
mod counts;
mod envelope;
mod iggy;
mod serializer;

use std::any::Any;

use async_trait::async_trait;
use guesthouse_connector::ConnectorError;
use uuid::Uuid;

use crate::codec::Format;

pub(crate) use self::counts::TransportCounts;

pub use self::config::{Access, IggyConfig, TopologyConfig};
pub use self::consumer::{
    Consumed, ConsumedContractDecodeFailure, ConsumedContractEvent, ConsumedEvent, ContractDecodeFailureKind,
    Delivery, Envelope, EnvelopeGroup, PersistentConsumerGroup, PersistentContractConsumerGroup,
    PersistentContractDelivery,
};
pub use self::envelope::{ContractEventEnvelope, EventEnvelope};
pub use self::iggy::IggyTransport;
pub use self::serializer::{
    EventSerializer, JsonSerializer, MessagePackSerializer, PostcardSerializer, partition_key,
};

/// Publishes events so that nothing that was promised is lost.
#[async_trait]
pub trait EventTransport: Send + Sync {
    /// Publishes an event and waits until the broker has confirmed it.
    ///
    /// The same event may be published again: its id goes with it, so the broker or a reader can tell.
    /// Cancelling gives up waiting; the event may still arrive.
    ///
    /// # Errors
    /// When the envelope is wrong, cannot be written, or is not confirmed.
    async fn publish(&self, envelope: EventEnvelope) -> Result<(), TransportError>;

    /// Publishes an event of a bounded family, as [`publish`](Self::publish) does.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    async fn publish_contract(&self, envelope: ContractEventEnvelope) -> Result<(), TransportError>;

    /// Publishes events in as few requests as possible. Those of one tenant keep their order.
    ///
    /// # Errors
    /// The first one's. Others may have been confirmed: [`IggyTransport::publish_each`] tells which.
    async fn publish_batch(&self, envelopes: Vec<EventEnvelope>) -> Result<(), TransportError>;

    /// Has nothing left to do for a transport that streams: an event is confirmed when its publishing ends.
    ///
    /// # Errors
    /// None here.
    async fn acknowledge(&self, _event_id: Uuid) -> Result<(), TransportError> {
        Ok(())
    }

    /// What is promised of a published event.
    fn reliability_level(&self) -> ReliabilityLevel;

    /// The transport itself, for those who know which one it is.
    fn as_any(&self) -> &dyn Any;
}

/// What a transport promises of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReliabilityLevel {
    /// It is handed to those who listen now.
    InMemory,
    /// It is kept in a database until somebody carries it on.
    Outbox,
    /// It is in a log, confirmed by a broker, and read by whoever wants to.
    Streaming,
}

/// An event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The envelope breaks a rule.
    #[error("the envelope of event {id} is wrong: {reason}")]
    Validation {
        /// The event.
        id: Uuid,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The envelope cannot be written in the configured format.
    #[error("event {id} cannot be written: {reason}")]
    Serialization {
        /// The event.
        id: Uuid,
        /// Why.
        reason: String,
    },
    /// The bytes are no envelope in the format.
    #[error("not an envelope in {}: {reason}", format.as_str())]
    Unreadable {
        /// The format that was expected.
        format: Format,
        /// Why.
        reason: String,
    },
    /// The broker did not confirm it.
    #[error(transparent)]
    External(#[from] ConnectorError),
}

impl TransportError {
    /// The name of the kind of error for logs, metrics and runbooks; it never changes.
    pub const fn stable_code(&self) -> &'static str {
        match self {
            Self::Validation { .. } => "iggy.transport.envelope_invalid",
            Self::Serialization { .. } => "iggy.transport.serialization_failed",
            Self::Unreadable { .. } => "iggy.transport.envelope_unreadable",
            Self::External(error) => error.stable_code(),
        }
    }

    /// Whether the same event may be published later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::External(error) if error.is_transient())
    }
}
