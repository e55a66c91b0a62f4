//! What is stored, as plain values: the catalog's entries and the keys.

use serde::{Deserialize, Serialize};

/// One option of a stream or topic, kept as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OptionEntry {
    /// Key.
    pub(crate) key: String,
    /// Kind code of the value.
    pub(crate) kind: u8,
    /// Value bytes.
    pub(crate) value: Vec<u8>,
}

/// A stream as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamMeta {
    /// Stream id.
    pub(crate) id: u32,
    /// Name, unique among streams.
    pub(crate) name: String,
    /// Creation time in µs since the epoch.
    pub(crate) created_at_micros: u64,
    /// Id that the next topic gets.
    pub(crate) next_topic_id: u32,
    /// Options verbatim.
    pub(crate) options: Vec<OptionEntry>,
}

/// A topic as stored. Its partitions are `0..partitions_count`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicMeta {
    /// Stream it belongs to.
    pub(crate) stream_id: u32,
    /// Topic id, unique in its stream.
    pub(crate) id: u32,
    /// Name, unique in its stream.
    pub(crate) name: String,
    /// Creation time in µs since the epoch.
    pub(crate) created_at_micros: u64,
    /// Number of partitions.
    pub(crate) partitions_count: u32,
    /// Id that the next consumer group gets; group ids are never used again.
    pub(crate) next_group_id: u32,
    /// Options verbatim.
    pub(crate) options: Vec<OptionEntry>,
}

/// A consumer group as stored. Memberships are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupMeta {
    /// Stream of its topic.
    pub(crate) stream_id: u32,
    /// Topic it belongs to.
    pub(crate) topic_id: u32,
    /// Group id, unique in its topic.
    pub(crate) id: u32,
    /// Name, unique in its topic.
    pub(crate) name: String,
}

/// The whole catalog, in the order of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CatalogImage {
    /// Id that the next stream gets.
    pub(crate) next_stream_id: u32,
    /// All streams.
    pub(crate) streams: Vec<StreamMeta>,
    /// All topics.
    pub(crate) topics: Vec<TopicMeta>,
    /// All consumer groups.
    pub(crate) groups: Vec<GroupMeta>,
}

/// Names a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartitionKey {
    /// Stream id.
    pub(crate) stream_id: u32,
    /// Topic id.
    pub(crate) topic_id: u32,
    /// Partition id.
    pub(crate) partition_id: u32,
}

/// Whose offset it is. The two spaces of ids are separate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ConsumerKey {
    /// A single consumer.
    Consumer(u32),
    /// A consumer group.
    Group(u32),
}

/// Names a stored offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OffsetKey {
    /// Stream id.
    pub(crate) stream_id: u32,
    /// Topic id.
    pub(crate) topic_id: u32,
    /// Partition id.
    pub(crate) partition_id: u32,
    /// Whose offset.
    pub(crate) consumer: ConsumerKey,
}

impl PartitionKey {
    /// Its row among the floors.
    pub(super) fn row(self) -> (u32, u32, u32) {
        (self.stream_id, self.topic_id, self.partition_id)
    }
}
