//! The transport over Iggy.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use guesthouse_connector::{
    ConnectorError, ConsumerCursor, DOMAIN_TOPIC, IggyConnector, OutgoingMessage, PublishBatchError,
    TopicAddress, connector,
};

use super::{
    ContractEventEnvelope, EnvelopeGroup, EventEnvelope, EventTransport, IggyConfig, PersistentConsumerGroup,
    PersistentContractConsumerGroup, ReliabilityLevel, TransportCounts, TransportError,
};
use crate::dlq::{DlqEntry, DlqError, DlqManager};
use crate::spans::ProducerSpans;

/// Publishes the platform's events to the topics that their types belong to, keyed by tenant, each under its own id.
///
/// Callers may publish from any number of tasks; what waits while a request is under way shares the next one. It is
/// cheap to keep for the life of a process, in an [`Arc`]. Dropping it closes the connection, and the broker with it
/// in embedded mode, without waiting; [`shutdown`](Self::shutdown) waits.
#[derive(Debug)]
pub struct IggyTransport {
    config: IggyConfig,
    connector: Arc<dyn IggyConnector>,
    counts: Arc<TransportCounts>,
}

/// Messages of one topic, each with its place among what was to be published.
#[derive(Debug, Default)]
struct Share {
    places: Vec<usize>,
    messages: Vec<OutgoingMessage>,
}

impl IggyTransport {
    /// Opens the connection, in embedded mode starting the broker first, and makes sure that the topics are as
    /// configured. Waits no longer than the configured timeouts.
    ///
    /// # Errors
    /// When no broker answers, it refuses the credentials, or a topic has another number of partitions.
    pub async fn new(config: IggyConfig) -> Result<Self, TransportError> {
        let connector = connector(config.mode);
        connector.connect(&config.connector_config()).await?;
        let topics = config.topics();
        if let Err(error) = connector.ensure_topics(&config.topology.stream_name, &topics).await {
            // The reason why it cannot be used is worth more than how its closing went.
            drop(connector.shutdown().await);
            return Err(error.into());
        }
        Ok(Self { config, connector, counts: Arc::default() })
    }

    /// What it was opened with.
    pub const fn config(&self) -> &IggyConfig {
        &self.config
    }

    /// Whether the broker answered the last time somebody asked it something; a ping asks every few seconds.
    pub fn is_connected(&self) -> bool {
        self.connector.is_connected()
    }

    /// The connection, for a host or whoever else should share it.
    pub const fn connector(&self) -> &Arc<dyn IggyConnector> {
        &self.connector
    }

    /// What it counted.
    pub(crate) const fn counts(&self) -> &Arc<TransportCounts> {
        &self.counts
    }

    /// Publishes events in as few requests as possible and says of each what became of it, in their order.
    pub async fn publish_each(&self, envelopes: &[EventEnvelope]) -> Vec<Result<(), TransportError>> {
        let mut results = vec![Ok(()); envelopes.len()];
        let mut topics: BTreeMap<&'static str, Share> = BTreeMap::new();
        for (place, (envelope, result)) in envelopes.iter().zip(&mut results).enumerate() {
            match envelope.to_message(self.config.serialization) {
                Ok((topic, message)) => {
                    let share = topics.entry(topic).or_default();
                    share.places.push(place);
                    share.messages.push(message);
                }
                Err(error) => *result = Err(error),
            }
        }
        for (topic, share) in topics {
            for (place, error) in self.publish_share(topic, share).await {
                if let Some(result) = results.get_mut(place) {
                    *result = Err(error.into());
                }
            }
        }
        self.counts.note(&results);
        results
    }

    /// Publishes to one topic; gives back the places of what is not confirmed.
    async fn publish_share(&self, topic: &str, share: Share) -> Vec<(usize, ConnectorError)> {
        let Share { places, mut messages } = share;
        let ids: Vec<u128> = messages.iter().map(|message| message.id).collect();
        let to = TopicAddress { stream: self.config.topology.stream_name.clone(), topic: topic.to_owned() };
        let spans = ProducerSpans::begin(topic, &messages);
        spans.put_into(&mut messages);
        let sent = self.connector.publish_batch(&to, messages).await;
        spans.end(&sent);
        let Err(PublishBatchError { unpublished, source }) = sent else { return Vec::new() };
        // What is not confirmed comes back in order, so one walk over both finds the places.
        let mut unpublished = unpublished.iter().map(|message| message.id).peekable();
        let is_left = |id: &u128| unpublished.next_if_eq(id).is_some();
        let left = ids.iter().map(is_left).collect::<Vec<_>>();
        places
            .into_iter()
            .zip(left)
            .filter(|(_, left)| *left)
            .map(|(place, _)| (place, source.clone()))
            .collect()
    }

    /// Opens a member of a consumer group that reads the topic `domain`, one message at a time; creates the group if it
    /// does not exist. Dropping the member ends its membership.
    ///
    /// # Errors
    /// As [`IggyConnector::open_consumer_group`].
    pub async fn subscribe_as_group(&self, group: &str) -> Result<Box<dyn ConsumerCursor>, TransportError> {
        let stream = &self.config.topology.stream_name;
        Ok(self.connector.open_consumer_group(stream, DOMAIN_TOPIC, group).await?)
    }

    /// Opens a member of a consumer group that reads the root envelopes of a topic, and passes over those of bounded
    /// families; creates the group if it does not exist.
    ///
    /// # Errors
    /// As [`IggyConnector::open_consumer_group`].
    pub async fn open_persistent_consumer_group(
        &self,
        group_name: &str,
        topic: &str,
    ) -> Result<PersistentConsumerGroup, TransportError> {
        self.open_group(group_name, topic).await
    }

    /// Opens a member of a consumer group that reads the envelopes of bounded families in a topic, and passes over root
    /// envelopes; creates the group if it does not exist.
    ///
    /// # Errors
    /// As [`IggyConnector::open_consumer_group`].
    pub async fn open_persistent_contract_consumer_group(
        &self,
        group_name: &str,
        topic: &str,
    ) -> Result<PersistentContractConsumerGroup, TransportError> {
        self.open_group(group_name, topic).await
    }

    async fn open_group<E>(&self, group: &str, topic: &str) -> Result<EnvelopeGroup<E>, TransportError> {
        let stream = &self.config.topology.stream_name;
        let cursor = self.connector.open_consumer_group(stream, topic, group).await?;
        Ok(EnvelopeGroup::new(TopicAddress::new(stream, topic), self.config.serialization, cursor))
    }

    /// Moves an event that a consumer gave up on to the topic for dead letters, see [`DlqManager::move_to_dlq`].
    ///
    /// # Errors
    /// As that.
    pub async fn move_to_dlq(&self, entry: DlqEntry) -> Result<(), DlqError> {
        self.dlq().move_to_dlq(self.connector.as_ref(), entry).await
    }

    /// Publishes the event of an entry to a topic again, see [`DlqManager::retry_entry`].
    ///
    /// # Errors
    /// As that.
    pub async fn retry_dlq_entry(
        &self,
        entry: DlqEntry,
        target_topic: impl AsRef<str> + Send,
    ) -> Result<(), DlqError> {
        self.dlq().retry_entry(self.connector.as_ref(), entry, target_topic).await
    }

    fn dlq(&self) -> DlqManager {
        let topology = &self.config.topology;
        DlqManager::new()
            .with_stream(topology.stream_name.as_str())
            .with_topic(topology.dead_letters.topic.as_str())
    }

    /// Closes the connection; in embedded mode it stops the broker afterwards. Hosts that share it should have ended.
    ///
    /// # Errors
    /// When the embedded broker could not stop in order. What it confirmed is safe nevertheless.
    pub async fn shutdown(&self) -> Result<(), TransportError> {
        Ok(self.connector.shutdown().await?)
    }
}

#[async_trait]
impl EventTransport for IggyTransport {
    async fn publish(&self, envelope: EventEnvelope) -> Result<(), TransportError> {
        self.publish_each(std::slice::from_ref(&envelope)).await.pop().unwrap_or(Ok(()))
    }

    async fn publish_contract(&self, envelope: ContractEventEnvelope) -> Result<(), TransportError> {
        self.publish(envelope.into_inner()).await
    }

    async fn publish_batch(&self, envelopes: Vec<EventEnvelope>) -> Result<(), TransportError> {
        self.publish_each(&envelopes).await.into_iter().collect()
    }

    fn reliability_level(&self) -> ReliabilityLevel {
        ReliabilityLevel::Streaming
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
