//! Everything the broker remembers besides messages: the catalog, consumer offsets, offset floors, and the root
//! user. One redb file, `meta.redb`, and a small journal for offsets. All calls block on file I/O.

use std::path::{Path, PathBuf};

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

/// How much the ends of the logs can be trusted at this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogEnds {
    /// The last run ended cleanly, or only its process died: what was acknowledged is in the files.
    Exact,
    /// The machine may have lost power: every log goes on at its reserved floor.
    Uncertain,
}

/// How long an offset must last before [`Store::put_offsets`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetDurability {
    /// Handed to the operating system: survives the death of the process.
    Written,
    /// On the disk: survives the loss of power.
    Synced,
}

/// The root user as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredCredentials {
    /// User name.
    pub(crate) username: String,
    /// Password hash in the PHC string format.
    pub(crate) password_hash: String,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database answered an error.
    #[error("cannot {action} in {path}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: Box<redb::Error>,
    },
}

/// The open store. Shared between threads; one writer at a time inside.
pub(crate) struct Store {}

impl Store {
    /// Opens or creates `meta.redb` in `data_dir`, which must exist.
    pub(crate) fn open(_data_dir: &Path) -> Result<Store, StoreError> {
        unimplemented!()
    }

    /// Whether the ends of the logs are exact at this start. Decides between `0` and
    /// [`Store::floor`] as the floor of every log.
    pub(crate) fn log_ends(&self) -> LogEnds {
        unimplemented!()
    }

    /// Records that the broker runs on this boot of the machine. Call it once EVERY log has been opened with its
    /// floor, and before the first append.
    pub(crate) fn mark_running(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Records a clean stop. Call it after every log has been synced, as the last thing.
    pub(crate) fn mark_clean(&self) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Reads the catalog.
    pub(crate) fn load(&self) -> Result<CatalogImage, StoreError> {
        unimplemented!()
    }

    /// Creates or replaces a stream.
    pub(crate) fn put_stream(&self, _stream: &StreamMeta) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a stream with its topics, their groups, offsets and floors, at once.
    pub(crate) fn delete_stream(&self, _stream_id: u32) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Creates or replaces a topic. Offsets and floors of partitions at or above `partitions_count` go with it.
    pub(crate) fn put_topic(&self, _topic: &TopicMeta) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a topic with its groups, offsets and floors, at once.
    pub(crate) fn delete_topic(&self, _stream_id: u32, _topic_id: u32) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Creates or replaces a consumer group.
    pub(crate) fn put_group(&self, _group: &GroupMeta) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a consumer group with its offsets, at once.
    pub(crate) fn delete_group(
        &self,
        _stream_id: u32,
        _topic_id: u32,
        _group_id: u32,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// The stored offset. From memory.
    pub(crate) fn offset(&self, _key: OffsetKey) -> Option<u64> {
        unimplemented!()
    }

    /// Stores one offset so that it survives the death of the process. A few microseconds.
    pub(crate) fn put_offset(&self, _key: OffsetKey, _offset: u64) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Stores offsets.
    pub(crate) fn put_offsets(
        &self,
        _offsets: &[(OffsetKey, u64)],
        _durability: OffsetDurability,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a stored offset; answers whether there was one.
    pub(crate) fn delete_offset(&self, _key: OffsetKey) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Deletes all offsets stored for a topic (for a purge).
    pub(crate) fn delete_topic_offsets(&self, _stream_id: u32, _topic_id: u32) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// The floor reserved for a partition: no offset at or above it was ever given to a message. Zero when none
    /// was reserved.
    pub(crate) fn floor(&self, _partition: PartitionKey) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// Reserves offsets for a partition durably, from `next_offset` on, at least `messages` and a whole block of
    /// 65,536 beyond. Answers the new floor: offsets below it may be minted. Call it before the first append of a
    /// run and whenever an append would reach the last answer.
    pub(crate) fn reserve_floor(
        &self,
        _partition: PartitionKey,
        _next_offset: u64,
        _messages: u32,
    ) -> Result<u64, StoreError> {
        unimplemented!()
    }

    /// The root user, if one was stored.
    pub(crate) fn root_credentials(&self) -> Result<Option<StoredCredentials>, StoreError> {
        unimplemented!()
    }

    /// Stores the root user.
    pub(crate) fn set_root_credentials(&self, _credentials: &StoredCredentials) -> Result<(), StoreError> {
        unimplemented!()
    }
}
