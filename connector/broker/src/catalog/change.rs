//! Changes of the catalog. Each is written to the store first and shown to readers after, so that what a client
//! was told survives a crash. All calls block on file I/O.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use iggy_binary_protocol::{WireIdentifier, WireName, WireOptions};
use iggy_common::IggyErrorDiscriminants as Code;

use super::options::{TopicOptions, entries_of};
use super::unknown::set_aside;
use super::{Catalog, Named, PARTITIONS_MAX, Stream, Topic};
use crate::clock::steady_micros;
use crate::log::{LogError, PartitionLog};
use crate::partition::Partition;
use crate::store::{GroupMeta, PartitionKey, StreamMeta, TopicMeta};
use crate::wire::Refusal;

/// What an update of a topic sets.
#[derive(Debug)]
pub(crate) struct TopicUpdate<'a> {
    pub(crate) name: &'a WireName,
    pub(crate) options: &'a WireOptions,
}

impl Catalog {
    /// Creates a stream.
    pub(crate) fn create_stream(&self, name: &WireName) -> Result<Arc<Stream>, Refusal> {
        let mut next_stream_id = self.change();
        self.require_free_stream_name(name, None)?;
        require_room(self.read().len(), self.layout.quotas.streams_max, Code::TooManyStreams)?;
        let meta = StreamMeta {
            id: *next_stream_id,
            name: name.as_str().to_owned(),
            created_at_micros: steady_micros(),
            next_topic_id: 0,
            options: Vec::new(),
        };
        self.store.put_stream(&meta)?;
        *next_stream_id += 1;
        let id = WireIdentifier::numeric(meta.id);
        self.put(Stream { meta, topics: Named::default() });
        self.stream(&id)
    }

    /// Gives a stream another name.
    pub(crate) fn rename_stream(&self, stream_id: &WireIdentifier, name: &WireName) -> Result<(), Refusal> {
        let _change = self.change();
        let stream = self.stream(stream_id)?;
        self.require_free_stream_name(name, Some(stream.meta.id))?;
        let mut stream = Stream::clone(&stream);
        name.as_str().clone_into(&mut stream.meta.name);
        self.store.put_stream(&stream.meta)?;
        self.put(stream);
        Ok(())
    }

    /// Deletes a stream with everything in it; answers its number.
    pub(crate) fn delete_stream(&self, stream_id: &WireIdentifier) -> Result<u32, Refusal> {
        let _change = self.change();
        let stream = self.stream(stream_id)?;
        self.store.delete_stream(stream.meta.id)?;
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(stream.meta.id);
        for topic in stream.topics.iter() {
            self.delete_files(topic, 0);
        }
        remove_empty(&self.layout.stream_dir(stream.meta.id));
        Ok(stream.meta.id)
    }

    /// Creates a topic.
    pub(crate) fn create_topic(
        &self,
        stream_id: &WireIdentifier,
        name: &WireName,
        partitions_count: u32,
        options: TopicOptions,
    ) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change();
        let mut stream = Stream::clone(self.stream(stream_id)?.as_ref());
        if stream.topics.id_of(name).is_some() {
            return Err(Code::TopicNameAlreadyExists.into());
        }
        require_room(self.topics().len(), self.layout.quotas.topics_max, Code::TooManyTopics)?;
        let meta = TopicMeta {
            stream_id: stream.meta.id,
            id: stream.meta.next_topic_id,
            name: name.as_str().to_owned(),
            created_at_micros: steady_micros(),
            partitions_count: 0,
            next_group_id: 0,
            options: entries_of(&options.explicit),
        };
        let mut topic = Topic { meta, options, partitions: Vec::new(), groups: Named::default() };
        self.add_partitions(&mut topic, partitions_count)?;
        // Counted first: a crash between the two wastes a number instead of giving it away twice.
        stream.meta.next_topic_id += 1;
        self.store.put_stream(&stream.meta)?;
        self.store.put_topic(&topic.meta)?;
        let id = WireIdentifier::numeric(topic.meta.id);
        let stream_id = WireIdentifier::numeric(stream.meta.id);
        self.put(stream);
        self.put_topic(topic);
        self.topic(&stream_id, &id)
    }

    /// Changes the name and options of a topic.
    pub(crate) fn update_topic(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
        update: &TopicUpdate<'_>,
    ) -> Result<(), Refusal> {
        let _change = self.change();
        let mut topic = Topic::clone(self.topic(stream_id, topic_id)?.as_ref());
        let owner = self.stream(stream_id)?.topics.id_of(update.name);
        if owner.is_some_and(|owner| owner != topic.meta.id) {
            return Err(Code::TopicNameAlreadyExists.into());
        }
        topic.options = topic.options.updated(update.options, self.layout.segment_bytes_default)?;
        update.name.as_str().clone_into(&mut topic.meta.name);
        topic.meta.options = entries_of(&topic.options.explicit);
        self.store.put_topic(&topic.meta)?;
        self.put_topic(topic);
        Ok(())
    }

    /// Deletes a topic with its messages, groups and offsets; answers what it was.
    pub(crate) fn delete_topic(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
    ) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change();
        let topic = self.topic(stream_id, topic_id)?;
        self.store.delete_topic(topic.meta.stream_id, topic.meta.id)?;
        let mut stream = Stream::clone(self.stream(stream_id)?.as_ref());
        stream.topics.remove(topic.meta.id);
        self.put(stream);
        self.delete_files(&topic, 0);
        Ok(topic)
    }

    /// Drops all messages of a topic, and the consumer offsets with them. Message offsets go on counting.
    pub(crate) fn purge_topic(&self, topic: &Topic) -> Result<(), Refusal> {
        let _change = self.change();
        for partition in &topic.partitions {
            partition.purge()?;
        }
        Ok(self.store.delete_topic_offsets(topic.meta.stream_id, topic.meta.id)?)
    }

    /// Adds partitions to a topic; answers the topic as it is then.
    pub(crate) fn create_partitions(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
        count: u32,
    ) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change();
        let mut topic = Topic::clone(self.topic(stream_id, topic_id)?.as_ref());
        self.add_partitions(&mut topic, count)?;
        self.store.put_topic(&topic.meta)?;
        self.put_topic(topic);
        self.topic(stream_id, topic_id)
    }

    /// Deletes the partitions with the highest numbers; answers the topic as it is then.
    pub(crate) fn delete_partitions(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
        count: u32,
    ) -> Result<Arc<Topic>, Refusal> {
        let _change = self.change();
        let before = self.topic(stream_id, topic_id)?;
        let mut topic = Topic::clone(&before);
        let kept = topic.meta.partitions_count.checked_sub(count).ok_or(Code::InvalidPartitionsCount)?;
        topic.meta.partitions_count = kept;
        topic.partitions.truncate(kept as usize);
        self.store.put_topic(&topic.meta)?;
        self.put_topic(topic);
        self.delete_files(&before, kept);
        self.topic(stream_id, topic_id)
    }

    /// Creates a consumer group.
    pub(crate) fn create_group(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
        name: &WireName,
    ) -> Result<GroupMeta, Refusal> {
        let _change = self.change();
        let mut topic = Topic::clone(self.topic(stream_id, topic_id)?.as_ref());
        if topic.groups.id_of(name).is_some() {
            return Err(Code::ConsumerGroupNameAlreadyExists.into());
        }
        // No code says that there are too many groups; what they take room for are offsets.
        require_room(topic.groups.len(), self.layout.quotas.groups_max, Code::TooManyConsumerOffsets)?;
        let group = GroupMeta {
            stream_id: topic.meta.stream_id,
            topic_id: topic.meta.id,
            id: topic.meta.next_group_id,
            name: name.as_str().to_owned(),
        };
        topic.meta.next_group_id += 1;
        self.store.put_topic(&topic.meta)?;
        self.store.put_group(&group)?;
        topic.groups.insert(group.id, name, group.clone());
        self.put_topic(topic);
        Ok(group)
    }

    /// Deletes a consumer group with its offsets; answers what it was.
    pub(crate) fn delete_group(
        &self,
        stream_id: &WireIdentifier,
        topic_id: &WireIdentifier,
        group_id: &WireIdentifier,
    ) -> Result<GroupMeta, Refusal> {
        let _change = self.change();
        let mut topic = Topic::clone(self.topic(stream_id, topic_id)?.as_ref());
        let group = topic.group(group_id)?.clone();
        self.store.delete_group(group.stream_id, group.topic_id, group.id)?;
        topic.groups.remove(group.id);
        self.put_topic(topic);
        Ok(group)
    }

    fn change(&self) -> MutexGuard<'_, u32> {
        self.next_stream_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn require_free_stream_name(&self, name: &WireName, own_id: Option<u32>) -> Result<(), Refusal> {
        let owner = self.read().id_of(name);
        if owner.is_some() && owner != own_id {
            return Err(Code::StreamNameAlreadyExists.into());
        }
        Ok(())
    }

    fn add_partitions(&self, topic: &mut Topic, count: u32) -> Result<(), Refusal> {
        let first = topic.meta.partitions_count;
        let end = first.checked_add(count).filter(|end| *end <= PARTITIONS_MAX);
        let end = end.ok_or(Code::TooManyPartitions)?;
        let present: usize = self.topics().iter().map(|topic| topic.partitions.len()).sum();
        let more = usize::try_from(count).unwrap_or(usize::MAX);
        if present.saturating_add(more) > self.layout.quotas.partitions_max {
            return Err(Code::TooManyPartitions.into());
        }
        if let Err(error) = self.make_partitions(topic, first..end) {
            self.take_back_partitions(topic, first);
            return Err(error.into());
        }
        topic.meta.partitions_count = end;
        Ok(())
    }

    fn make_partitions(&self, topic: &mut Topic, ids: Range<u32>) -> Result<(), LogError> {
        let settings = topic.options.log_settings(self.layout.segment_bytes_default);
        for partition_id in ids {
            let key = PartitionKey { stream_id: topic.meta.stream_id, topic_id: topic.meta.id, partition_id };
            let dir = self.layout.partition_dir(key);
            set_aside(&dir).map_err(LogError::io("move aside the messages in", &dir))?;
            let partition = Partition::create(key, &dir, settings)?;
            topic.partitions.push(Arc::new(partition));
        }
        Ok(())
    }

    /// Removes what was made of partitions from number `first` on when one of them could not be made. Nobody has heard of
    /// them, and closing them gives back the files that they held open.
    fn take_back_partitions(&self, topic: &mut Topic, first: u32) {
        let failed = u32::try_from(topic.partitions.len()).unwrap_or(first);
        let key =
            PartitionKey { stream_id: topic.meta.stream_id, topic_id: topic.meta.id, partition_id: failed };
        delete_partitions(topic, first);
        topic.partitions.truncate(first as usize);
        let dir = self.layout.partition_dir(key);
        // What could not be moved aside is not ours.
        if dir.is_dir()
            && PartitionLog::bytes_in(&dir) == 0
            && let Err(error) = PartitionLog::remove(&dir)
        {
            tracing::warn!(dir = %dir.display(), %error, "the directory of a partition that could not be made remains");
        }
        if first == 0 {
            remove_empty(&self.layout.topic_dir(topic.meta.stream_id, topic.meta.id));
        }
    }

    /// Removes the files of partitions from number `first` on. The catalog has forgotten them already, so a
    /// failure leaves only garbage behind.
    fn delete_files(&self, topic: &Topic, first: u32) {
        delete_partitions(topic, first);
        if first == 0 {
            remove_empty(&self.layout.topic_dir(topic.meta.stream_id, topic.meta.id));
        }
    }
}

fn delete_partitions(topic: &Topic, first: u32) {
    for partition in topic.partitions.iter().skip(first as usize) {
        if let Err(error) = partition.delete() {
            tracing::warn!(topic = topic.meta.name, %error, "files of a deleted partition remain");
        }
    }
}

fn require_room(present: usize, present_max: usize, refused: Code) -> Result<(), Refusal> {
    if present < present_max { Ok(()) } else { Err(refused.into()) }
}

fn remove_empty(dir: &Path) {
    match std::fs::remove_dir(dir) {
        // A stream or topic that never had a partition has no directory.
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "directory of a deleted stream or topic remains");
        }
        _ => {}
    }
}
