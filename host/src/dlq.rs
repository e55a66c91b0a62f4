//! Dead letters of a platform's own consumers, by the names that RusToK knows: into the topic for dead letters and back.
//!
//! What is written is a dead letter like the host's: `guesthouse dlq` lists it, shows it and brings it back.

use guesthouse_connector::{
    ConnectorError, IggyConnector, OutgoingMessage, SubscriberMessageMetadata, TopicAddress,
};
use uuid::Uuid;

use crate::config::DeadLetterConfig;
use crate::dead_letter::{LetterState, StateRecord, dead_letter_of, entry_again, entry_id};

/// How often an entry may be retried, unless somebody says something else.
const RETRIES_MAX: u32 = 3;

/// An event that a consumer gave up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DlqEntry {
    /// Names the event.
    pub event_id: Uuid,
    /// The topic it came from.
    pub original_topic: String,
    /// Its message's payload, kept as it is.
    pub payload: Vec<u8>,
    /// Why it was given up.
    pub error: String,
    /// How often it was tried again before.
    pub retry_count: u32,
    /// Where its message stands, if that is known.
    pub connector_metadata: Option<SubscriberMessageMetadata>,
}

/// Moves events to the topic for dead letters, and tries them again. Topics must exist: a
/// [`TopologyManager`](crate::TopologyManager) or a transport makes them.
#[derive(Debug, Clone)]
pub struct DlqManager {
    stream: String,
    topic: String,
    max_retries: u32,
}

/// An event cannot be moved or tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DlqError {
    /// It was tried again often enough.
    #[error("event {event_id} was retried {retry_count} times, at most {max_retries} are allowed")]
    RetriesExhausted {
        /// The event.
        event_id: Uuid,
        /// How often it was retried.
        retry_count: u32,
        /// How often it may be.
        max_retries: u32,
    },
    /// The broker did not confirm it.
    #[error("event {event_id} is not in topic {to}: {source}")]
    Unconfirmed {
        /// The event.
        event_id: Uuid,
        /// Where it should be.
        to: TopicAddress,
        /// Why it is not.
        source: ConnectorError,
    },
}

impl DlqEntry {
    /// An entry of a message whose place is not known.
    pub fn new(
        event_id: Uuid,
        original_topic: impl Into<String>,
        payload: Vec<u8>,
        error: impl Into<String>,
        retry_count: u32,
    ) -> Self {
        let (original_topic, error) = (original_topic.into(), error.into());
        Self { event_id, original_topic, payload, error, retry_count, connector_metadata: None }
    }

    /// Adds where the message stands.
    #[must_use]
    pub fn with_connector_metadata(self, metadata: SubscriberMessageMetadata) -> Self {
        Self { connector_metadata: Some(metadata), ..self }
    }

    /// Where the message stands in its partition.
    pub fn source_offset(&self) -> Option<u64> {
        self.connector_metadata.as_ref()?.offset
    }

    /// What acknowledges the message.
    pub fn ack_token(&self) -> Option<&str> {
        self.connector_metadata.as_ref()?.ack_token.as_deref()
    }
}

impl DlqManager {
    /// For the topic `dlq` of the stream `rustok`, with 3 retries.
    pub fn new() -> Self {
        Self {
            stream: "rustok".to_owned(),
            topic: DeadLetterConfig::default().topic,
            max_retries: RETRIES_MAX,
        }
    }

    /// For another stream.
    #[must_use]
    pub fn with_stream(self, stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), ..self }
    }

    /// For another topic.
    #[must_use]
    pub fn with_topic(self, topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..self }
    }

    /// With another number of retries.
    #[must_use]
    pub fn with_max_retries(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }

    /// Publishes the event as a dead letter and waits until that is confirmed: only then may its message be acknowledged.
    /// Moving the same entry again is no second dead letter for a broker that still remembers the first.
    ///
    /// # Errors
    /// When the broker does not confirm it; it may have arrived nevertheless, and may be moved again.
    pub async fn move_to_dlq(&self, connector: &dyn IggyConnector, entry: DlqEntry) -> Result<(), DlqError> {
        let event_id = entry.event_id;
        tracing::warn!(
            %event_id,
            topic = entry.original_topic,
            attempt = entry.retry_count,
            reason = entry.error,
            "event is moved to the dead letters"
        );
        let letter = dead_letter_of(&self.stream, entry);
        self.publish(connector, event_id, (&self.topic, letter)).await
    }

    /// Publishes the event of an entry to a topic again, for all who read it, and waits until that is confirmed. Its tenant
    /// chooses the partition, and the header `gh-replays` says that it is a repetition. The dead letter that the same entry
    /// was moved to is `replayed` from then on; when the broker does not confirm that, a line of the log says that the
    /// letter stays open.
    ///
    /// # Errors
    /// When it was retried often enough, or the broker does not confirm it.
    pub async fn retry_entry(
        &self,
        connector: &dyn IggyConnector,
        entry: DlqEntry,
        target_topic: impl AsRef<str> + Send,
    ) -> Result<(), DlqError> {
        let (event_id, retry_count, max_retries) = (entry.event_id, entry.retry_count, self.max_retries);
        if retry_count >= max_retries {
            return Err(DlqError::RetriesExhausted { event_id, retry_count, max_retries });
        }
        let letter = entry_id(&self.stream, &entry).as_u128();
        let again = entry_again(&self.stream, entry);
        self.publish(connector, event_id, (target_topic.as_ref(), again)).await?;
        let replayed = StateRecord::new(LetterState::Replayed, [letter]).message();
        let states = DeadLetterConfig::states_topic_of(&self.topic);
        if let Err(error) = self.publish(connector, event_id, (&states, replayed)).await {
            tracing::warn!(%event_id, %error, "the event was published again, and its dead letter stays open");
        }
        Ok(())
    }

    async fn publish(
        &self,
        connector: &dyn IggyConnector,
        event_id: Uuid,
        (topic, message): (&str, OutgoingMessage),
    ) -> Result<(), DlqError> {
        let to = TopicAddress::new(&self.stream, topic);
        match connector.publish_batch(&to, vec![message]).await {
            Ok(()) => Ok(()),
            Err(error) => Err(DlqError::Unconfirmed { event_id, to, source: error.source }),
        }
    }
}

impl Default for DlqManager {
    fn default() -> Self {
        Self::new()
    }
}

impl DlqError {
    /// The name of the kind of error for logs, metrics and runbooks; it never changes.
    pub const fn stable_code(&self) -> &'static str {
        match self {
            Self::RetriesExhausted { .. } => "iggy.dlq.retries_exhausted",
            Self::Unconfirmed { source, .. } => source.stable_code(),
        }
    }

    /// Whether the same may be tried later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unconfirmed { source, .. } if source.is_transient())
    }
}
