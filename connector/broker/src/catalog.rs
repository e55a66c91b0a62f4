//! The streams, topics, partitions and groups that exist: a picture in memory for the readers, kept equal to the
//! store by one writer at a time.

mod change;
mod named;
mod options;
mod unknown;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use iggy_binary_protocol::WireIdentifier;
use iggy_common::IggyErrorDiscriminants as Code;

use crate::config::Limits;
use crate::log::{Gap, PartitionLog, Presence};
use crate::partition::{Expected, Found, Partition, missing_text};
use crate::store::{GroupMeta, KnownEnds, LogEnds, PartitionKey, Store, StoreError, StreamMeta, TopicMeta};
use crate::wire::{Refusal, in_one_line};

pub(crate) use change::TopicUpdate;
pub(crate) use named::Named;
pub(crate) use options::{AppendDurability, TopicOptions, describe_topic_options};
pub(crate) use unknown::{CatalogError, Origin, partition_directories, unknown_partitions};

/// Partitions that a topic may have.
const PARTITIONS_MAX: u32 = 4_096;

/// A stream with its topics.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) meta: StreamMeta,
    pub(crate) topics: Named<Arc<Topic>>,
}

/// A topic with its partitions and groups, as it was when it was looked up.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) meta: TopicMeta,
    pub(crate) options: TopicOptions,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) groups: Named<GroupMeta>,
}

impl Topic {
    /// The partition with this number.
    pub(crate) fn partition(&self, partition_id: u32) -> Result<&Arc<Partition>, Refusal> {
        let at = usize::try_from(partition_id).map_err(|_| Code::PartitionNotFound)?;
        Ok(self.partitions.get(at).ok_or(Code::PartitionNotFound)?)
    }

    /// The group a client calls so.
    pub(crate) fn group(&self, group_id: &WireIdentifier) -> Result<&GroupMeta, Refusal> {
        Ok(self.groups.find(group_id).ok_or(Code::ConsumerGroupIdNotFound)?)
    }

    /// The group that a consumer reads for. Commands about messages and offsets tell a missing name from a missing
    /// number, as the client documents; those about groups do not, as on Iggy's server.
    pub(crate) fn consumer_group(&self, group_id: &WireIdentifier) -> Result<&GroupMeta, Refusal> {
        let missing = match group_id {
            WireIdentifier::Numeric(_) => Code::ConsumerGroupIdNotFound,
            WireIdentifier::String(_) => Code::ConsumerGroupNameNotFound,
        };
        Ok(self.groups.find(group_id).ok_or(missing)?)
    }
}

/// Where partitions live on disk.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) data_dir: PathBuf,
    /// Size of a segment in topics that do not say.
    pub(crate) segment_bytes_default: u64,
    pub(crate) quotas: Quotas,
}

/// How many things there may be. What an earlier run left counts, but is never refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotas {
    streams_max: usize,
    topics_max: usize,
    partitions_max: usize,
    groups_max: usize,
}

impl Quotas {
    /// Those of the configuration.
    pub(crate) fn of(limits: &Limits) -> Self {
        let Limits { streams_max, topics_max, partitions_max, groups_max, .. } = *limits;
        Self { streams_max, topics_max, partitions_max, groups_max }
    }
}

impl Layout {
    fn stream_dir(&self, stream_id: u32) -> PathBuf {
        stream_dir(&self.data_dir, stream_id)
    }

    fn topic_dir(&self, stream_id: u32, topic_id: u32) -> PathBuf {
        self.stream_dir(stream_id).join(topic_id.to_string())
    }

    fn partition_dir(&self, key: PartitionKey) -> PathBuf {
        partition_dir(&self.data_dir, key)
    }
}

fn stream_dir(data_dir: &Path, stream_id: u32) -> PathBuf {
    data_dir.join("streams").join(stream_id.to_string())
}

/// Where the log of a partition lies.
pub(crate) fn partition_dir(data_dir: &Path, key: PartitionKey) -> PathBuf {
    stream_dir(data_dir, key.stream_id).join(key.topic_id.to_string()).join(key.partition_id.to_string())
}

/// The catalog.
pub(crate) struct Catalog {
    store: Arc<Store>,
    layout: Layout,
    streams: RwLock<Named<Arc<Stream>>>,
    /// Held by the one that changes the catalog; guards the number of the next stream.
    next_stream_id: Mutex<u32>,
}

impl Catalog {
    /// Loads the catalog and opens every partition in it. One that cannot be opened is offline; the others serve.
    /// Refuses when messages are there that the catalog does not know and would write over. What is missing is told.
    pub(crate) fn open(store: Arc<Store>, layout: Layout) -> Result<Self, CatalogError> {
        let image = store.load()?;
        unknown::require_no_older_catalog(&layout.data_dir, &image)?;
        let ends = store.known_ends()?;
        let catalog = Self {
            store,
            layout,
            streams: RwLock::default(),
            next_stream_id: Mutex::new(image.next_stream_id),
        };
        for meta in image.streams {
            catalog.put(Stream { meta, topics: Named::default() });
        }
        for meta in image.topics {
            let groups = image.groups.iter();
            let groups =
                groups.filter(|group| (group.stream_id, group.topic_id) == (meta.stream_id, meta.id));
            let groups: Vec<GroupMeta> = groups.cloned().collect();
            let topic = catalog.open_topic(meta, groups, &ends)?;
            catalog.put_topic(topic);
        }
        catalog.report_missing();
        Ok(catalog)
    }

    /// Tells in one line what the data directory lost, after a line for each partition.
    fn report_missing(&self) {
        let topics = self.topics();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        let missing: Vec<u64> =
            partitions.map(|partition| partition.missing_offsets()).filter(|offsets| *offsets > 0).collect();
        if !missing.is_empty() {
            tracing::error!(
                data_dir = %self.layout.data_dir.display(),
                partitions = missing.len(),
                offsets_max = missing.iter().sum::<u64>(),
                "files with messages are gone from the data directory; put them back while the broker is stopped"
            );
        }
    }

    /// The stream a client calls so.
    pub(crate) fn stream(&self, stream_id: &WireIdentifier) -> Result<Arc<Stream>, Refusal> {
        Ok(self.read().find(stream_id).cloned().ok_or(Code::StreamIdNotFound)?)
    }

    /// The topic a client calls so.
    pub(crate) fn topic(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
    ) -> Result<Arc<Topic>, Refusal> {
        let streams = self.read();
        let stream = streams.find(stream_id).ok_or(Code::StreamIdNotFound)?;
        Ok(stream.topics.find(topic_id).cloned().ok_or(Code::TopicIdNotFound)?)
    }

    /// All streams, in the order of their numbers.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.read().iter().cloned().collect()
    }

    /// All topics of all streams.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let streams = self.read();
        streams.iter().flat_map(|stream| stream.topics.iter().cloned()).collect()
    }

    /// The newest stamp of a message in any topic, in microseconds since the epoch; zero when there is none.
    pub(crate) fn newest_stamp(&self) -> u64 {
        let topics = self.topics();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.newest_stamp()).max().unwrap_or(0)
    }

    /// Size of a segment in topics that do not say.
    pub(crate) fn segment_bytes_default(&self) -> u64 {
        self.layout.segment_bytes_default
    }

    fn read(&self) -> RwLockReadGuard<'_, Named<Arc<Stream>>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, stream: Stream) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let (id, name) = (stream.meta.id, stream.meta.name.clone());
        streams.insert(id, &name, Arc::new(stream));
    }

    fn put_topic(&self, topic: Topic) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = streams.find(&WireIdentifier::numeric(topic.meta.stream_id)) else {
            tracing::error!(topic = topic.meta.name, "topic of a stream that does not exist is left aside");
            return;
        };
        let mut stream = Stream::clone(stream);
        let (id, name) = (topic.meta.id, topic.meta.name.clone());
        stream.topics.insert(id, &name, Arc::new(topic));
        let (id, name) = (stream.meta.id, stream.meta.name.clone());
        streams.insert(id, &name, Arc::new(stream));
    }

    fn open_topic(
        &self,
        meta: TopicMeta,
        groups: Vec<GroupMeta>,
        ends: &KnownEnds,
    ) -> Result<Topic, StoreError> {
        let options = TopicOptions::stored(&meta.options, self.layout.segment_bytes_default);
        let mut partitions = Vec::new();
        for partition_id in 0..meta.partitions_count {
            let key = PartitionKey { stream_id: meta.stream_id, topic_id: meta.id, partition_id };
            partitions.push(Arc::new(self.open_partition(key, &options, ends)?));
        }
        let mut named = Named::default();
        for group in groups {
            named.insert(group.id, &group.name.clone(), group);
        }
        Ok(Topic { meta, options, partitions, groups: named })
    }

    fn open_partition(
        &self,
        key: PartitionKey,
        options: &TopicOptions,
        ends: &KnownEnds,
    ) -> Result<Partition, StoreError> {
        let reserved = self.store.floor(key)?;
        let dir = self.layout.partition_dir(key);
        // An empty log would begin at offset 0, and give the offsets of the lost messages away again.
        if reserved > 0 && PartitionLog::is_in(&dir) == Presence::Missing {
            return Ok(take_offline(key, &dir, gone_text(&dir, reserved, ends.stored_end(key)), reserved));
        }
        let floor = match self.store.log_ends() {
            LogEnds::Exact => 0,
            LogEnds::Uncertain => reserved,
        };
        let settings = options.log_settings(self.layout.segment_bytes_default);
        let expected = Expected { floor, reserved, stored_end: ends.stored_end(key), skips: ends.skips(key) };
        match Partition::open(key, &dir, settings, expected) {
            Ok((partition, found)) => {
                report(key, &dir, &found);
                Ok(partition)
            }
            Err(error) => Ok(take_offline(key, &dir, in_one_line(&error), 0)),
        }
    }
}

/// How many messages may have been in a directory that is empty, or not there.
fn gone_text(dir: &Path, reserved: u64, stored_end: u64) -> String {
    let read = match stored_end {
        0 => String::new(),
        end => format!(", and consumers have read up to offset {}", end - 1),
    };
    format!(
        "there are no segment files in {}, and there have been: messages with offsets below {reserved} were in them{read}",
        dir.display()
    )
}

fn take_offline(key: PartitionKey, dir: &Path, reason: String, missing_offsets: u64) -> Partition {
    tracing::error!(?key, reason, "partition is offline, the others serve");
    Partition::offline(key, dir, reason, missing_offsets)
}

/// Tells the operator what recovery found. Nothing acknowledged is in a torn tail.
fn report(key: PartitionKey, dir: &Path, found: &Found) {
    let recovery = &found.recovery;
    if let Some(cut) = &recovery.cut {
        tracing::warn!(
            ?key,
            segment = %cut.path.display(),
            position = cut.position,
            bytes = cut.bytes,
            "cut off a record that was not completely written"
        );
    }
    for damage in &recovery.damage {
        tracing::error!(?key, %damage, "a partition does not hold all that was written");
    }
    for gap in &found.missing {
        let Gap { first, end } = *gap;
        let problem = missing_text(dir, *gap);
        tracing::error!(
            ?key,
            first,
            last = end - 1,
            problem,
            "a partition does not hold all that was written"
        );
    }
    if recovery.skipped_offsets > 0 {
        tracing::warn!(
            ?key,
            offsets = recovery.skipped_offsets,
            "skipped offsets that may have been given away"
        );
    }
}
