//! A client that publishes to a house's stream and looks at what is there, past every host.

use std::collections::BTreeMap;
use std::sync::Arc;

use guesthouse_connector::{
    ConnectorConfig, GroupAddress, IggyConnector, Offset, OutgoingMessage, PartitionId, ReceivedMessage,
    TopicAddress, attach,
};
use serde_json::Value;

use crate::envelope;
use crate::house::PARTITIONS;
use crate::wait::{Patience, eventually};

/// The topic of domain events.
pub const DOMAIN: &str = "domain";

/// The topic of dead letters.
pub const DLQ: &str = "dlq";

/// Messages per request when a topic is read.
const READ_MESSAGES_MAX: u32 = 1_000;

/// A connection of its own to the broker of a house.
#[derive(Debug, Clone)]
pub struct Client {
    connector: Arc<dyn IggyConnector>,
    stream: String,
}

/// Reads a topic from its beginning, and then what has come since.
#[derive(Debug)]
pub struct TopicReader {
    client: Client,
    topic: TopicAddress,
    next: BTreeMap<PartitionId, Offset>,
}

impl Client {
    /// Connects, trying again while the broker is not there.
    pub async fn connect(config: &ConnectorConfig, stream: &str) -> Self {
        let connector = eventually("the client connects", async || attach(config).await.ok()).await;
        Self { connector, stream: stream.to_owned() }
    }

    /// A client over a connection that is open already.
    pub fn over(connector: Arc<dyn IggyConnector>, stream: &str) -> Self {
        Self { connector, stream: stream.to_owned() }
    }

    /// Makes a topic with as many partitions as those of hosts have.
    pub async fn make(&self, topic: &str) {
        let partitions = u32::try_from(PARTITIONS).expect("they are few");
        let made = self.connector.ensure_topology(&self.stream, &[topic], partitions, 1).await;
        made.expect("the broker makes a topic");
    }

    /// Publishes envelopes to the domain topic until all are confirmed.
    pub async fn publish(&self, envelopes: &[Value]) {
        self.publish_messages(DOMAIN, envelopes.iter().map(envelope::message).collect()).await;
    }

    /// Publishes messages until all are confirmed. Repeats keep their ids.
    pub async fn publish_messages(&self, topic: &str, messages: Vec<OutgoingMessage>) {
        let mut left = messages;
        let patience = Patience::for_this("everything published is confirmed");
        while let Err(unpublished) = self.try_publish(topic, left).await {
            left = unpublished;
            patience.pause().await;
        }
    }

    /// Publishes messages once.
    ///
    /// # Errors
    /// Gives back what was not confirmed.
    pub async fn try_publish(
        &self,
        topic: &str,
        messages: Vec<OutgoingMessage>,
    ) -> Result<(), Vec<OutgoingMessage>> {
        self.connector.publish_batch(&self.address(topic), messages).await.map_err(|error| error.unpublished)
    }

    /// Deletes a topic with everything that is in it, behind the backs of the hosts.
    pub async fn delete(&self, topic: &str) {
        let deleted = self.connector.delete_topic(&self.address(topic)).await;
        deleted.expect("a client with all rights may delete a topic");
    }

    /// A reader at the beginning of a topic.
    pub fn reader(&self, topic: &str) -> TopicReader {
        TopicReader { client: self.clone(), topic: self.address(topic), next: BTreeMap::new() }
    }

    /// Everything that is in a topic now.
    pub async fn read(&self, topic: &str) -> Vec<(PartitionId, ReceivedMessage)> {
        self.reader(topic).more().await
    }

    /// How many messages are in a topic now.
    pub async fn count(&self, topic: &str) -> u64 {
        let topic = self.address(topic);
        let state = eventually("the topic is there", async || self.connector.topic_state(&topic).await.ok());
        state.await.partitions.iter().map(|partition| partition.messages_count).sum()
    }

    /// The last offset that a group stored in each partition of the domain topic, where it stored any.
    pub async fn stored_offsets(&self, group: &str) -> BTreeMap<PartitionId, Offset> {
        let group = GroupAddress::new(self.address(DOMAIN), group);
        let offsets = eventually("the stored offsets are told", async || {
            self.connector.group_offsets(&group).await.ok()
        });
        offsets.await.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect()
    }

    fn address(&self, topic: &str) -> TopicAddress {
        TopicAddress::new(&self.stream, topic)
    }
}

impl TopicReader {
    /// What has come since the last time, partition by partition in the order of the offsets. A topic that does
    /// not exist yet is waited for.
    pub async fn more(&mut self) -> Vec<(PartitionId, ReceivedMessage)> {
        let connector = Arc::clone(&self.client.connector);
        let state =
            eventually("the topic is there", async || connector.topic_state(&self.topic).await.ok()).await;
        let mut found = Vec::new();
        for partition in state.partitions.iter().map(|state| state.partition) {
            loop {
                let messages = self.read_from(partition).await;
                let Some(last) = messages.last() else { break };
                self.next.insert(partition, last.offset.next());
                found.extend(messages.into_iter().map(|message| (partition, message)));
            }
        }
        found
    }

    async fn read_from(&self, partition: PartitionId) -> Vec<ReceivedMessage> {
        let from = self.next.get(&partition).copied().unwrap_or_default();
        let connector = &self.client.connector;
        eventually("the topic is readable", async || {
            connector.read_from(&self.topic, partition, from, READ_MESSAGES_MAX).await.ok()
        })
        .await
    }
}

/// The envelope in a message.
pub fn envelope_of(message: &ReceivedMessage) -> Value {
    serde_json::from_slice(&message.payload).expect("the message carries an envelope")
}
