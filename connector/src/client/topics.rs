//! Streams and topics: what exists, and creating what does not.

use bytes::{BufMut, BytesMut};
use iggy::prelude::{
    ClusterClient as _, IggyDuration, IggyError, IggyExpiry, MaxTopicSize, Partition, StreamClient as _,
    TopicClient as _, TopicCreateOptions, TopicDetails, TopicUpdateOptions, topic_option_keys,
};
use iggy_binary_protocol::codes::CREATE_TOPIC_CODE;
use iggy_binary_protocol::requests::topics::CreateTopicRequest;
use iggy_binary_protocol::{WireEncode as _, WireIdentifier, WireName, WireOptions};
use iggy_common::BinaryTransport as _;
use tracing::warn;

use super::fault::Fault;
use super::{Client, Target, identifier};
use crate::address::{Offset, PartitionId};
use crate::error::ConnectorError;
use crate::topology::{Durability, PartitionState, RetentionAge, RetentionSize, TopicSpec, TopicState};

const CODE_STREAM_EXISTS: u32 = 1012;
const CODE_TOPIC_EXISTS: u32 = 2013;
const CODE_UNKNOWN_OPTION: u32 = 4041;

/// The codes of a string and of unsigned integers in an options block.
const KIND_STRING: u8 = 2;
const KIND_U32: u8 = 11;
const KIND_U64: u8 = 12;

/// A topic as the broker describes it.
#[derive(Debug)]
pub(crate) struct FoundTopic(TopicDetails);

impl Client {
    /// Creates a stream unless it exists.
    pub(crate) async fn ensure_stream(&self, name: &str) -> Result<(), ConnectorError> {
        let id = identifier("stream", name)?;
        let described = |fault: Fault| fault.describe(format_args!("stream {name:?}"));
        if self.ask(self.sdk.get_stream(&id)).await.map_err(described)?.is_some() {
            return Ok(());
        }
        match self.ask(self.sdk.create_stream(name)).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.code() == CODE_STREAM_EXISTS => Ok(()),
            Err(fault) => Err(described(fault)),
        }
    }

    /// What the broker knows about a topic; `None` when the topic or its stream does not exist.
    pub(crate) async fn topic(&self, target: &Target) -> Result<Option<FoundTopic>, ConnectorError> {
        match self.ask(self.sdk.get_topic(&target.stream, &target.topic)).await {
            Ok(topic) => Ok(topic.map(FoundTopic)),
            Err(fault) => match fault.describe(format_args!("topic {}", target.address)) {
                ConnectorError::Topology(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Creates a topic; one that was created by somebody else in the meantime is left as it is.
    pub(crate) async fn create_topic(&self, target: &Target, spec: &TopicSpec) -> Result<(), ConnectorError> {
        let options = create_options(spec);
        let request = self.sdk.create_topic(&target.stream, &spec.name, &options);
        let created = match self.ask(request).await {
            Err(fault) if fault.code() == CODE_UNKNOWN_OPTION => {
                self.create_topic_on_older_server(target, spec).await
            }
            answer => answer.map(drop),
        };
        match created {
            Err(fault) if fault.code() == CODE_TOPIC_EXISTS => Ok(()),
            answer => {
                answer.map_err(|fault| fault.describe(format_args!("creating topic {}", target.address)))
            }
        }
    }

    /// Lets a topic keep its messages as long as it should.
    pub(crate) async fn update_retention(
        &self,
        target: &Target,
        spec: &TopicSpec,
    ) -> Result<(), ConnectorError> {
        let options = TopicUpdateOptions {
            message_expiry: Some(expiry(spec)),
            max_topic_size: Some(size_max(spec)),
            ..TopicUpdateOptions::default()
        };
        self.ask(self.sdk.update_topic(&target.stream, &target.topic, &spec.name, &options))
            .await
            .map_err(|fault| fault.describe(format_args!("changing topic {}", target.address)))
    }

    /// How many servers the cluster has.
    pub(crate) async fn servers_count(&self) -> Result<usize, ConnectorError> {
        let cluster = self.ask(self.sdk.get_cluster_metadata()).await;
        Ok(cluster.map_err(|fault| fault.describe("asking for the servers of the cluster"))?.nodes.len())
    }

    /// Deletes a topic.
    pub(crate) async fn delete_topic(&self, target: &Target) -> Result<(), ConnectorError> {
        let request = self.sdk.delete_topic(&target.stream, &target.topic);
        self.ask(request)
            .await
            .map_err(|fault| fault.describe(format_args!("deleting topic {}", target.address)))
    }

    /// Servers before the options `durability` and `consumer_offset_durability` refuse every topic that the SDK
    /// creates, because the SDK always sends them. They get the request in their own words.
    async fn create_topic_on_older_server(&self, target: &Target, spec: &TopicSpec) -> Result<(), Fault> {
        warn!(
            topic = %target.address,
            "the server does not know the option durability; creating the topic with the options of older servers"
        );
        match self.create_topic_raw(target, spec, older_options(spec)?).await {
            Err(fault) if fault.code() == CODE_UNKNOWN_OPTION => {
                warn!(
                    topic = %target.address,
                    "creating the topic without options: its retention and durability are the server's defaults"
                );
                self.create_topic_raw(target, spec, WireOptions::empty()).await
            }
            answer => answer,
        }
    }

    async fn create_topic_raw(
        &self,
        target: &Target,
        spec: &TopicSpec,
        options: WireOptions,
    ) -> Result<(), Fault> {
        let invalid = |_| Fault::new(IggyError::InvalidFormat);
        let request = CreateTopicRequest {
            stream_id: WireIdentifier::named(&target.address.stream).map_err(invalid)?,
            partitions_count: spec.partitions,
            name: WireName::new(spec.name.as_str()).map_err(invalid)?,
            options,
        };
        let sent = self.sdk.send_raw_with_response(CREATE_TOPIC_CODE, request.to_bytes());
        self.ask(sent).await.map(drop)
    }
}

impl FoundTopic {
    pub(crate) const fn partitions_count(&self) -> u32 {
        self.0.partitions_count
    }

    /// How much each partition holds, ordered by id.
    pub(crate) fn state(&self) -> TopicState {
        let state = |partition: &Partition| PartitionState {
            partition: PartitionId(partition.id),
            messages_count: partition.messages_count,
            last_offset: (partition.messages_count > 0).then_some(Offset(partition.current_offset)),
        };
        let mut partitions: Vec<_> = self.0.partitions.iter().map(state).collect();
        partitions.sort_by_key(|state| state.partition);
        TopicState {
            partitions,
            age_max: match self.0.message_expiry {
                IggyExpiry::NeverExpire => RetentionAge::Forever,
                IggyExpiry::ExpireDuration(age) => RetentionAge::Micros(age.as_micros()),
                IggyExpiry::ServerDefault => RetentionAge::ServerDefault,
            },
            size_max: match self.0.max_topic_size {
                MaxTopicSize::Unlimited => RetentionSize::Unbounded,
                MaxTopicSize::Custom(size) => RetentionSize::Bytes(size.as_bytes_u64()),
                MaxTopicSize::ServerDefault => RetentionSize::ServerDefault,
            },
            size_bytes: self.0.size.as_bytes_u64(),
        }
    }
}

fn create_options(spec: &TopicSpec) -> TopicCreateOptions {
    let durability = match spec.durability {
        Durability::Replicated => iggy::prelude::Durability::Replicated,
        Durability::Persisted => iggy::prelude::Durability::Persisted,
    };
    TopicCreateOptions {
        partitions_count: Some(spec.partitions),
        message_expiry: Some(expiry(spec)),
        max_topic_size: Some(size_max(spec)),
        durability,
        consumer_offset_durability: durability,
        ..TopicCreateOptions::default()
    }
}

fn expiry(spec: &TopicSpec) -> IggyExpiry {
    match spec.age_max {
        Some(age) => IggyExpiry::ExpireDuration(IggyDuration::from(age)),
        None => IggyExpiry::NeverExpire,
    }
}

fn size_max(spec: &TopicSpec) -> MaxTopicSize {
    MaxTopicSize::new(spec.size_bytes_max.map(Into::into))
}

/// Retention as ever, and durability as older servers understand it: save every message, and sync it.
fn older_options(spec: &TopicSpec) -> Result<WireOptions, Fault> {
    let mut block = BytesMut::new();
    let (expiry, size) = (u64::from(expiry(spec)), u64::from(size_max(spec)));
    put_option(&mut block, topic_option_keys::MESSAGE_EXPIRY, KIND_U64, &expiry.to_le_bytes());
    put_option(&mut block, topic_option_keys::MAX_TOPIC_SIZE, KIND_U64, &size.to_le_bytes());
    if spec.durability == Durability::Persisted {
        let key = topic_option_keys::MESSAGES_REQUIRED_TO_SAVE;
        put_option(&mut block, key, KIND_U32, &1_u32.to_le_bytes());
        put_option(&mut block, "enforce_fsync", KIND_STRING, b"true");
    }
    WireOptions::from_bytes(block.freeze()).map_err(|_| Fault::new(IggyError::InvalidFormat))
}

fn put_option(block: &mut BytesMut, key: &str, kind: u8, value: &[u8]) {
    for (kind, bytes) in [(KIND_STRING, key.as_bytes()), (kind, value)] {
        block.put_u8(kind);
        block.put_u32_le(u32::try_from(bytes.len()).expect("options are short"));
        block.put_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn older_servers_are_asked_in_their_own_words() {
        let spec = TopicSpec {
            name: "topic".into(),
            partitions: 1,
            replication_factor: 1,
            durability: Durability::Persisted,
            age_max: Some(Duration::from_secs(60)),
            size_bytes_max: None,
        };
        let options = older_options(&spec).unwrap();
        let entries: Vec<_> =
            options.iter().map(|entry| (entry.key, entry.value_kind.0, entry.value)).collect();
        let expected: [(&[u8], u8, &[u8]); 4] = [
            (b"message_expiry", KIND_U64, &60_000_000_u64.to_le_bytes()),
            (b"max_topic_size", KIND_U64, &u64::MAX.to_le_bytes()),
            (b"messages_required_to_save", KIND_U32, &1_u32.to_le_bytes()),
            (b"enforce_fsync", KIND_STRING, b"true"),
        ];
        assert_eq!(entries, expected);
    }
}
