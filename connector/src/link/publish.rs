//! Publishing a batch: checks it, decides the partition of each message, and puts together what became of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Home, Link};
use crate::address::{PartitionId, TopicAddress};
use crate::client::Target;
use crate::connector::PublishBatchError;
use crate::error::ConnectorError;
use crate::headers::Headers;
use crate::message::{OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning, PublishRequest};
use crate::partitioning::partition_of;
use crate::publisher::Unpublished;

/// How long the number of partitions of a topic is believed.
const COUNT_TRUSTED_FOR: Duration = Duration::from_secs(5);

/// How many topics are remembered; with one more the memory starts anew.
const COUNTS_MAX: usize = 1_024;

/// The header that carries the event id of a [`PublishRequest`].
const EVENT_ID_HEADER: &str = "event-id";

/// How many partitions topics had a moment ago.
#[derive(Debug, Default)]
pub(super) struct PartitionCounts(Mutex<HashMap<TopicAddress, (u32, Instant)>>);

/// The messages of one partition and their places in the batch.
#[derive(Debug, Default)]
struct Share {
    places: Vec<usize>,
    messages: Vec<OutgoingMessage>,
}

impl Link {
    pub(crate) async fn publish(&self, request: PublishRequest) -> Result<(), ConnectorError> {
        let to = TopicAddress { stream: request.stream, topic: request.topic };
        self.ensure_home(&to).await?;
        let mut headers = Headers::new();
        if !request.event_id.is_empty() {
            headers
                .insert(EVENT_ID_HEADER, request.event_id.as_str())
                .map_err(|error| ConnectorError::Publish(error.to_string()))?;
        }
        let message = OutgoingMessage {
            id: message_id(&request.event_id),
            partition: Partitioning::Key(request.partition_key),
            payload: Bytes::from(request.payload),
            headers,
        };
        self.publish_batch(&to, vec![message]).await.map_err(|error| error.source)
    }

    /// Creates the configured topic if it is meant and does not exist.
    async fn ensure_home(&self, to: &TopicAddress) -> Result<(), ConnectorError> {
        let Home { stream, topic } = &self.home;
        let is_home = to.stream == *stream && to.topic == topic.name;
        if !is_home || self.partition_counts.recent(to).is_some() {
            return Ok(());
        }
        let found = self.client().await?.topic(&Target::new(to)?).await?;
        match found {
            Some(found) => self.partition_counts.remember(to, found.partitions_count()),
            None => self.ensure_topics(stream, std::slice::from_ref(topic)).await?,
        }
        Ok(())
    }

    pub(crate) async fn publish_batch(
        &self,
        to: &TopicAddress,
        messages: Vec<OutgoingMessage>,
    ) -> Result<(), PublishBatchError> {
        let partitions = match self.partitions_of(to, &messages).await {
            Ok(partitions) => partitions,
            Err(source) => {
                return Err(PublishBatchError { unpublished: messages, source });
            }
        };
        match Target::new(to) {
            Ok(target) => self.send_shares(&Arc::new(target), share_out(partitions, messages)).await,
            Err(source) => Err(PublishBatchError { unpublished: messages, source }),
        }
    }

    /// Sends to all partitions at once and waits for all of them.
    async fn send_shares(
        &self,
        to: &Arc<Target>,
        shares: BTreeMap<PartitionId, Share>,
    ) -> Result<(), PublishBatchError> {
        let mut submitted = Vec::with_capacity(shares.len());
        for (partition, Share { places, messages }) in shares {
            let to = Arc::clone(to);
            submitted.push((places, self.publisher.submit(to, partition, messages).await));
        }
        let mut unpublished = Vec::new();
        let mut failure = None;
        for (places, share) in submitted {
            if let Err(Unpublished { messages, error }) = share.confirmed().await {
                let confirmed = places.len() - messages.len();
                unpublished.extend(places.into_iter().skip(confirmed).zip(messages));
                failure.get_or_insert(error);
            }
        }
        let Some(source) = failure else {
            return Ok(());
        };
        self.partition_counts.forget(to.address());
        unpublished.sort_by_key(|(place, _)| *place);
        Err(PublishBatchError {
            unpublished: unpublished.into_iter().map(|(_, message)| message).collect(),
            source,
        })
    }

    /// The partition of each message.
    async fn partitions_of(
        &self,
        to: &TopicAddress,
        messages: &[OutgoingMessage],
    ) -> Result<Vec<PartitionId>, ConnectorError> {
        let mut partitions = Vec::with_capacity(messages.len());
        let mut known_count = None;
        for (place, message) in messages.iter().enumerate() {
            check_payload(place, message)?;
            partitions.push(match &message.partition {
                Partitioning::Partition(partition) => *partition,
                Partitioning::Key(key) => {
                    let count = match known_count {
                        Some(count) => count,
                        None => *known_count.insert(self.partition_count(to).await?),
                    };
                    partition_of(key, count)
                        .ok_or_else(|| ConnectorError::Topology(format!("topic {to} has no partitions")))?
                }
            });
        }
        Ok(partitions)
    }

    async fn partition_count(&self, topic: &TopicAddress) -> Result<u32, ConnectorError> {
        if let Some(count) = self.partition_counts.recent(topic) {
            return Ok(count);
        }
        let count = self.existing_topic(&Target::new(topic)?).await?.partitions_count();
        self.partition_counts.remember(topic, count);
        Ok(count)
    }
}

impl PartitionCounts {
    fn recent(&self, topic: &TopicAddress) -> Option<u32> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = counts.get(topic)?;
        (since.elapsed() < COUNT_TRUSTED_FOR).then_some(*count)
    }

    fn remember(&self, topic: &TopicAddress, count: u32) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTS_MAX {
            counts.clear();
        }
        counts.insert(topic.clone(), (count, Instant::now()));
    }

    fn forget(&self, topic: &TopicAddress) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(topic);
    }
}

fn check_payload(place: usize, message: &OutgoingMessage) -> Result<(), ConnectorError> {
    let bytes = message.payload.len();
    if !(1..=PAYLOAD_BYTES_MAX).contains(&bytes) {
        return Err(ConnectorError::Publish(format!(
            "payload of message {place} of the batch is {bytes} bytes long, expected 1 to {PAYLOAD_BYTES_MAX}"
        )));
    }
    Ok(())
}

fn share_out(partitions: Vec<PartitionId>, messages: Vec<OutgoingMessage>) -> BTreeMap<PartitionId, Share> {
    let mut shares = BTreeMap::<_, Share>::new();
    for (place, (partition, message)) in partitions.into_iter().zip(messages).enumerate() {
        let share = shares.entry(partition).or_default();
        share.places.push(place);
        share.messages.push(message);
    }
    shares
}

/// The same for the same event id, in every release and on every machine; zero, which is no id, for none.
fn message_id(event_id: &str) -> u128 {
    if event_id.is_empty() {
        return 0;
    }
    if let Ok(id) = Uuid::parse_str(event_id) {
        return id.as_u128();
    }
    let hash = blake3::hash(event_id.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().expect("the hash has 32 bytes");
    u128::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_message_is_its_event_id() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(message_id(uuid), 0x550e_8400_e29b_41d4_a716_4466_5544_0000);
        assert_eq!(message_id("order-1"), message_id("order-1"));
        assert_ne!(message_id("order-1"), message_id("order-2"));
        assert_eq!(message_id(""), 0);
    }

    #[test]
    fn sharing_out_keeps_the_order_within_a_partition() {
        let message = |id| OutgoingMessage {
            id,
            partition: Partitioning::Key(String::new()),
            payload: Bytes::new(),
            headers: Headers::new(),
        };
        let partitions = [1, 0, 1, 0].map(PartitionId).to_vec();
        let shares = share_out(partitions, (0..4).map(message).collect());
        let share = &shares[&PartitionId(1)];
        assert_eq!(share.places, [0, 2]);
        assert_eq!(share.messages.iter().map(|m| m.id).collect::<Vec<_>>(), [0, 2]);
    }
}
