//! Reading as a member of a consumer group, one message at a time: what is received, and the trait that receives it.

mod group;
mod hands;

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use crate::address::{PartitionId, TopicAddress};
use crate::error::ConnectorError;
use crate::message::ReceivedMessage;

pub(crate) use group::GroupConsumer;

/// A member of a consumer group that has one message outstanding at most, owned by one task.
///
/// The owner calls [`receive`](Self::receive), handles the message, and calls [`acknowledge`](Self::acknowledge) when
/// it is handled or safe elsewhere. What is not acknowledged is delivered again, here or to another member. Dropping it
/// ends the membership.
#[async_trait]
pub trait ConsumerCursor: Send + fmt::Debug {
    /// The next message, or the outstanding one again, as the next attempt. Waits about a second for one; `None` says
    /// that none came, and the owner asks again. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Wrong credentials, or a topic that is missing. A lost connection is no error: it is opened again meanwhile.
    async fn receive(&mut self) -> Result<Option<SubscriberMessage>, ConnectorError>;

    /// Stores the position behind the outstanding message; waits until the broker has it.
    ///
    /// # Errors
    ///
    /// [`ConnectorError::Receive`] when the token is not of the outstanding message or its partition has gone to
    /// another member, which gets the message again. Any other error leaves the message outstanding: try again.
    async fn acknowledge(&mut self, ack_token: &str) -> Result<(), ConnectorError>;
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberMessage {
    /// The content.
    pub payload: Vec<u8>,
    /// Where it comes from.
    pub metadata: SubscriberMessageMetadata,
}

/// Where a received message comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberMessageMetadata {
    /// The stream.
    pub stream: String,
    /// The topic within the stream.
    pub topic: String,
    /// The partition, counted from zero.
    pub partition: u32,
    /// The place in the partition.
    pub offset: Option<u64>,
    /// The id that the publisher gave, as a UUID.
    pub message_id: Option<String>,
    /// Counts the deliveries of the message by this cursor, from one on.
    pub delivery_attempt: Option<u32>,
    /// What acknowledges the message; a text without meaning to anybody but the cursor.
    pub ack_token: Option<String>,
}

impl SubscriberMessage {
    /// A message from somewhere.
    #[must_use]
    pub fn new(payload: Vec<u8>, metadata: SubscriberMessageMetadata) -> Self {
        Self { payload, metadata }
    }

    pub(crate) fn of(message: &ReceivedMessage, topic: &TopicAddress, partition: PartitionId) -> Self {
        let metadata = SubscriberMessageMetadata::new(&topic.stream, &topic.topic, partition.0)
            .with_offset(message.offset.0);
        let metadata = match message.id {
            0 => metadata,
            id => metadata.with_message_id(Uuid::from_u128(id).to_string()),
        };
        Self { payload: message.payload.to_vec(), metadata }
    }
}

impl SubscriberMessageMetadata {
    /// The place of a message, and nothing more about it.
    #[must_use]
    pub fn new(stream: impl Into<String>, topic: impl Into<String>, partition: u32) -> Self {
        Self { stream: stream.into(), topic: topic.into(), partition, ..Self::default() }
    }

    /// Adds the place in the partition.
    #[must_use]
    pub fn with_offset(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// Adds the id of the message.
    #[must_use]
    pub fn with_message_id(self, message_id: impl Into<String>) -> Self {
        Self { message_id: Some(message_id.into()), ..self }
    }

    /// Adds which delivery this is.
    #[must_use]
    pub fn with_delivery_attempt(self, delivery_attempt: u32) -> Self {
        Self { delivery_attempt: Some(delivery_attempt), ..self }
    }

    /// Adds what acknowledges the message.
    #[must_use]
    pub fn with_ack_token(self, ack_token: impl Into<String>) -> Self {
        Self { ack_token: Some(ack_token.into()), ..self }
    }
}
