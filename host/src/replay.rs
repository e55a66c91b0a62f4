//! Replay: publishing a range of a topic again, on purpose.
//!
//! A replay has a name and a record on disk that says what is asked for, how far it is, and how it ended, so it can be
//! paused, resumed after a crash, and told apart from one that is done. Its messages have ids that depend on the replay
//! and the original alone: what a crash makes it publish twice is one message for a broker that still remembers it, and
//! recognisable for everybody else. Reading leaves no trace in the broker.

mod manager;
mod message;
mod range;
mod record;
mod runner;

use std::num::NonZeroU32;

use guesthouse_connector::ConnectorError;
use serde::{Deserialize, Serialize};

pub use self::manager::{ActiveReplay, ReplayManager};
pub use self::record::{ReplayInfo, ReplayProgress, ReplayStatus};

/// What to publish again, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// The stream.
    pub stream: String,
    /// The topic to read.
    pub topic: String,
    /// Which of its partitions; all when empty.
    pub partitions: Vec<u32>,
    /// Where to begin in each of them.
    pub from: ReplayBound,
    /// Before what to end in each of them.
    pub to: ReplayBound,
    /// Who gets it.
    pub target: ReplayTarget,
    /// Messages a second at most; no bound when absent.
    pub rate_max: Option<NonZeroU32>,
    /// Only count.
    pub dry_run: bool,
}

/// One end of what is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayBound {
    /// The beginning of the partition, or its end when the replay starts.
    Open,
    /// This offset.
    Offset(u64),
    /// The first message that the broker appended then or later, in microseconds since 1970.
    TimeMicros(u64),
}

/// Who gets what is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayTarget {
    /// Another topic of the stream, or the same one, with all who read it.
    Topic(String),
    /// One handler that reads the topic; the others pass over it.
    Handler(String),
}

/// A replay cannot be made, or go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The name cannot be one.
    #[error("`{0}` cannot be the name of a replay: expected 1 to 63 of a-z, 0-9 and '-'")]
    Name(String),
    /// The name is taken.
    #[error("a replay `{0}` exists already; choose another name, or resume it")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no replay `{0}`")]
    Unknown(String),
    /// Another process runs it.
    #[error("replay `{0}` is running")]
    Running(String),
    /// It has ended.
    #[error("replay `{name}` is {}", status.as_str())]
    Ended {
        /// Which one.
        name: String,
        /// How it ended.
        status: ReplayStatus,
    },
    /// What is asked for does not fit the topic.
    #[error("{0}")]
    Range(String),
    /// Its record cannot be kept.
    #[error("cannot keep the record of replay `{name}`")]
    Record {
        /// Which one.
        name: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The broker refused something before it began.
    #[error("replay `{name}` did not start, and its name is free")]
    Start {
        /// Which one.
        name: String,
        /// Why.
        source: ConnectorError,
    },
    /// The broker refused something.
    #[error("replay `{name}` stopped; resume it when the reason is gone")]
    Broker {
        /// Which one.
        name: String,
        /// Why.
        source: ConnectorError,
    },
}
