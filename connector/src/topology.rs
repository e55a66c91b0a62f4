//! What a stream should look like, what a topic looks like now, and how the two differ.

mod difference;
mod manager;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::address::{Offset, PartitionId};

pub use difference::{Difference, Remedy};
pub use manager::{TopicReport, TopologyManager};

/// The platform's topic for all events that have no other.
pub const DOMAIN_TOPIC: &str = "domain";

/// The platform's topic for events about indexes and builds.
pub const SYSTEM_TOPIC: &str = "system";

/// The platform's topic for modules that are to be built.
pub const MODULE_BUILD_TOPIC: &str = "module-build";

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicState {
    /// The state of each partition, ordered by id.
    pub partitions: Vec<PartitionState>,
    /// How long messages are kept.
    pub age_max: RetentionAge,
    /// How large the topic may grow before its oldest messages go.
    pub size_max: RetentionSize,
    /// How large it is.
    pub size_bytes: u64,
}

/// How long a topic keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionAge {
    /// For ever.
    Forever,
    /// For this many microseconds.
    Micros(u64),
    /// As long as the server is configured to by default.
    ServerDefault,
}

/// How large a topic may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionSize {
    /// Without a bound.
    Unbounded,
    /// To this many bytes, and some more: whole segments go, and the last one never does.
    Bytes(u64),
    /// As large as the server is configured to let it by default.
    ServerDefault,
}

/// A partition as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionState {
    /// Which partition.
    pub partition: PartitionId,
    /// How many messages it holds.
    pub messages_count: u64,
    /// The offset of its last message; `None` while it holds none.
    pub last_offset: Option<Offset>,
}

impl From<Option<Duration>> for RetentionAge {
    fn from(age: Option<Duration>) -> Self {
        age.map_or(Self::Forever, |age| Self::Micros(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl From<Option<u64>> for RetentionSize {
    fn from(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unbounded, Self::Bytes)
    }
}

impl fmt::Display for RetentionAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 3_600;
        match self {
            Self::Forever => f.write_str("for ever"),
            Self::ServerDefault => f.write_str("as the server's default says"),
            Self::Micros(micros) => match (micros / 1_000_000, micros % 1_000_000) {
                (secs, 0) if secs >= DAY && secs % DAY == 0 => write!(f, "{} days", secs / DAY),
                (secs, 0) => write!(f, "{secs} s"),
                _ => write!(f, "{micros} µs"),
            },
        }
    }
}

impl fmt::Display for RetentionSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbounded => f.write_str("any size"),
            Self::ServerDefault => f.write_str("the server's default size"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}
