//! What a stream should look like, and what a topic looks like now.

use std::time::Duration;

use crate::address::{Offset, PartitionId};

/// When the broker may confirm what it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When every replica that counts has it; survives the death of a process.
    #[default]
    Replicated,
    /// When it is on stable storage besides; survives a power failure.
    Persisted,
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The name within the stream.
    pub name: String,
    /// How many partitions it has; an existing topic must have exactly as many.
    pub partitions: u32,
    /// How many servers of a cluster keep a copy. A single server always keeps one.
    pub replication_factor: u8,
    /// When the broker may confirm messages and offsets.
    pub durability: Durability,
    /// How long messages are kept; `None` keeps them for ever.
    pub age_max: Option<Duration>,
    /// How large the topic may grow before its oldest messages go; `None` sets no bound.
    pub size_bytes_max: Option<u64>,
}

impl TopicSpec {
    /// A topic that keeps its messages for ever.
    #[must_use]
    pub fn new(name: impl Into<String>, partitions: u32, replication_factor: u8) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication_factor,
            durability: Durability::default(),
            age_max: None,
            size_bytes_max: None,
        }
    }
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The state of each partition, ordered by id.
    pub partitions: Vec<PartitionState>,
}

/// A partition as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which partition.
    pub partition: PartitionId,
    /// How many messages it holds.
    pub messages_count: u64,
    /// The offset of its last message; `None` while it holds none.
    pub last_offset: Option<Offset>,
}
