//! Where things are: streams, topics, partitions, offsets and consumer groups, each with a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A partition of a topic, counted from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

/// The place of a message in its partition, counted from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset after this one; the last possible offset is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A topic and the stream it belongs to; written `stream/topic`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicAddress {
    /// The name of the stream.
    pub stream: String,
    /// The name of the topic within the stream.
    pub topic: String,
}

impl TopicAddress {
    /// Names a topic of a stream.
    #[must_use]
    pub fn new(stream: impl Into<String>, topic: impl Into<String>) -> Self {
        Self { stream: stream.into(), topic: topic.into() }
    }
}

/// A consumer group and the topic it reads; written `stream/topic#group`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupAddress {
    /// The topic that the group reads.
    pub topic: TopicAddress,
    /// The name of the group within the topic.
    pub group: String,
}

impl GroupAddress {
    /// Names a group of a topic.
    #[must_use]
    pub fn new(topic: TopicAddress, group: impl Into<String>) -> Self {
        Self { topic, group: group.into() }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TopicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.topic)
    }
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.topic, self.group)
    }
}
