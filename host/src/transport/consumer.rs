//! Consumer groups that read envelopes one at a time, by the names that RusToK knows: one kind of group for root
//! envelopes, one for those of bounded families. The topics hold both, and each group passes over what is not its kind.

mod failure;

use std::fmt;
use std::marker::PhantomData;

use guesthouse_connector::{
    ConnectorError, ConsumerCursor, SubscriberMessage, SubscriberMessageMetadata, TopicAddress,
};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::serializer::EventSerializer as _;
use super::{ContractEventEnvelope, EventEnvelope, TransportError};
use crate::codec::{self, Format};
use crate::dlq::DlqEntry;

pub use self::failure::{ConsumedContractDecodeFailure, ContractDecodeFailureKind};

/// A member of a consumer group that reads root envelopes.
pub type PersistentConsumerGroup = EnvelopeGroup<EventEnvelope>;

/// A member of a consumer group that reads envelopes of bounded families.
pub type PersistentContractConsumerGroup = EnvelopeGroup<ContractEventEnvelope>;

/// A root envelope that was received.
pub type ConsumedEvent = Consumed<EventEnvelope>;

/// An envelope of a bounded family that was received.
pub type ConsumedContractEvent = Consumed<ContractEventEnvelope>;

/// What a [`PersistentContractConsumerGroup`] receives.
pub type PersistentContractDelivery = Delivery<ContractEventEnvelope>;

/// A member of a consumer group that reads envelopes of one kind, and has one message outstanding at most.
///
/// What is not acknowledged is delivered again, here or to another member. Dropping it ends the membership.
/// Calls take turns, so it can be shared.
pub struct EnvelopeGroup<E> {
    topic: TopicAddress,
    format: Format,
    cursor: Mutex<Box<dyn ConsumerCursor>>,
    reads: PhantomData<fn() -> E>,
}

/// What a group receives.
#[derive(Debug, Clone)]
pub enum Delivery<E> {
    /// An envelope.
    Event(Box<Consumed<E>>),
    /// A message that is none. It stays outstanding until [`EnvelopeGroup::acknowledge_decode_failure`].
    DecodeFailure(Box<ConsumedContractDecodeFailure>),
}

/// An envelope that was received, and where it comes from.
#[derive(Debug, Clone)]
pub struct Consumed<E> {
    /// The stream.
    pub stream: String,
    /// The topic within the stream.
    pub topic: String,
    /// The partition, counted from zero.
    pub partition: u32,
    /// The envelope.
    pub envelope: E,
    /// Where its message stands, and what acknowledges it.
    pub connector_metadata: SubscriberMessageMetadata,
    /// The message's payload as it was.
    pub raw_payload: Vec<u8>,
}

/// A kind of envelope. There are no others than those of this crate.
pub trait Envelope: Sized {
    /// The envelope if it is of this kind.
    #[doc(hidden)]
    fn of(envelope: EventEnvelope) -> Option<Self>;

    /// Names the event.
    #[doc(hidden)]
    fn event_id(&self) -> Uuid;
}

impl Envelope for EventEnvelope {
    fn of(envelope: EventEnvelope) -> Option<Self> {
        (!codec::is_contract(&envelope.event)).then_some(envelope)
    }

    fn event_id(&self) -> Uuid {
        self.id
    }
}

impl Envelope for ContractEventEnvelope {
    fn of(envelope: EventEnvelope) -> Option<Self> {
        Self::new(envelope).ok()
    }

    fn event_id(&self) -> Uuid {
        self.as_envelope().id
    }
}

impl<E> EnvelopeGroup<E> {
    pub(super) fn new(topic: TopicAddress, format: Format, cursor: Box<dyn ConsumerCursor>) -> Self {
        Self { topic, format, cursor: Mutex::new(cursor), reads: PhantomData }
    }

    /// Stores the position behind a message that no codec could read; waits until the broker has it. To be called when
    /// the message is safe elsewhere.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub async fn acknowledge_decode_failure(
        &self,
        consumed: &ConsumedContractDecodeFailure,
    ) -> Result<(), TransportError> {
        self.acknowledge_message(consumed.connector_metadata()).await
    }

    async fn acknowledge_message(&self, metadata: &SubscriberMessageMetadata) -> Result<(), TransportError> {
        Ok(acknowledge(self.cursor.lock().await.as_mut(), metadata).await?)
    }
}

impl<E: Envelope> EnvelopeGroup<E> {
    /// The next message, or the outstanding one again. Waits about a second for one; `None` says that none came, and
    /// the owner asks again. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`TransportError::External`] with wrong credentials or a topic that is missing. A lost connection is no error: it is
    /// opened again meanwhile.
    pub async fn receive_delivery(&self) -> Result<Option<Delivery<E>>, TransportError> {
        let mut cursor = self.cursor.lock().await;
        while let Some(message) = cursor.receive().await? {
            let SubscriberMessage { payload, metadata } = message;
            match self.format.deserialize(&payload).map(E::of) {
                Ok(Some(envelope)) => {
                    return Ok(Some(Delivery::Event(Box::new(Consumed::new(envelope, metadata, payload)))));
                }
                Ok(None) => acknowledge(cursor.as_mut(), &metadata).await?,
                Err(error) => {
                    let failure = ConsumedContractDecodeFailure::new(metadata, payload, error);
                    return Ok(Some(Delivery::DecodeFailure(Box::new(failure))));
                }
            }
        }
        Ok(None)
    }

    /// The next envelope, as [`receive_delivery`](Self::receive_delivery) has it.
    ///
    /// # Errors
    /// As that, and why the outstanding message is no envelope. It stays outstanding, and comes again until
    /// [`receive_delivery`](Self::receive_delivery) is asked for it.
    pub async fn receive(&self) -> Result<Option<Consumed<E>>, TransportError> {
        match self.receive_delivery().await? {
            Some(Delivery::Event(consumed)) => Ok(Some(*consumed)),
            Some(Delivery::DecodeFailure(failure)) => Err(failure.into_error()),
            None => Ok(None),
        }
    }

    /// Stores the position behind the outstanding message; waits until the broker has it. To be called when the event is
    /// handled or safe elsewhere.
    ///
    /// # Errors
    /// [`ConnectorError::Receive`] when it is not the outstanding one or its partition has gone to another member, which
    /// gets the message again. Any other error leaves the message outstanding: try again.
    pub async fn acknowledge(&self, consumed: &Consumed<E>) -> Result<(), TransportError> {
        self.acknowledge_message(&consumed.connector_metadata).await
    }
}

impl<E: Envelope> Consumed<E> {
    fn new(envelope: E, connector_metadata: SubscriberMessageMetadata, raw_payload: Vec<u8>) -> Self {
        let SubscriberMessageMetadata { stream, topic, partition, .. } = &connector_metadata;
        let (stream, topic, partition) = (stream.clone(), topic.clone(), *partition);
        Self { stream, topic, partition, envelope, connector_metadata, raw_payload }
    }

    /// The place in the partition.
    pub fn offset(&self) -> Option<u64> {
        self.connector_metadata.offset
    }

    /// The message's payload as it was.
    pub fn raw_payload(&self) -> &[u8] {
        &self.raw_payload
    }

    /// What acknowledges the message.
    pub fn ack_token(&self) -> Option<&str> {
        self.connector_metadata.ack_token.as_deref()
    }

    /// An entry for the topic for dead letters, with this payload.
    pub fn into_dlq_entry(self, payload: Vec<u8>, error: impl Into<String>, retry_count: u32) -> DlqEntry {
        DlqEntry::new(self.envelope.event_id(), self.topic, payload, error, retry_count)
            .with_connector_metadata(self.connector_metadata)
    }
}

impl<E> fmt::Debug for EnvelopeGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeGroup")
            .field("topic", &self.topic)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

async fn acknowledge(
    cursor: &mut dyn ConsumerCursor,
    metadata: &SubscriberMessageMetadata,
) -> Result<(), ConnectorError> {
    cursor.acknowledge(metadata.ack_token.as_deref().unwrap_or_default()).await
}
