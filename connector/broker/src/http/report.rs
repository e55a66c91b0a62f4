//! What the broker holds at a moment, as plain values: streams, topics, partitions, groups and how far they are
//! behind. The pages, the JSON and the metrics all show this.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;

use crate::catalog::{Stream, Topic};
use crate::engine::Engine;
use crate::group::{GroupKey, MemberId};
use crate::machine::{DiskSpace, ProcessUse};
use crate::partition::{Condition, Partition};
use crate::store::ConsumerKey;

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) broker: BrokerReport,
    pub(super) topics: Vec<TopicReport>,
    pub(super) groups: Vec<GroupReport>,
}

/// The broker as a whole.
#[derive(Debug, Serialize)]
pub(super) struct BrokerReport {
    pub(super) started_at_micros: u64,
    pub(super) connections: usize,
    /// Requests that failed for a fault of this machine.
    pub(super) faults: u64,
    pub(super) memory_bytes: u64,
    pub(super) disk_free_bytes: u64,
    pub(super) disk_total_bytes: u64,
    /// Why no message is taken, in no partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip)]
    pub(super) streams: Vec<StreamReport>,
}

/// One stream.
#[derive(Debug, Serialize)]
pub(super) struct StreamReport {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) topics: usize,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// One topic.
#[derive(Debug, Serialize)]
pub(super) struct TopicReport {
    pub(super) stream: String,
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Messages since the start that were sent again after a lost answer, and not stored a second time.
    pub(super) repeats: u64,
    /// Offsets, at most, of messages that are gone though nothing dropped them.
    pub(super) missing_offsets: u64,
    pub(super) partitions: Vec<PartitionReport>,
}

/// One partition.
#[derive(Debug, Serialize)]
pub(super) struct PartitionReport {
    pub(super) id: u32,
    /// `serving`, `refusing`, `damaged` or `offline`.
    pub(super) state: &'static str,
    /// Why it does not serve, or not all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) first_offset: u64,
    pub(super) next_offset: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Those that a loss of power may take.
    pub(super) unsynced_bytes: u64,
    /// Offsets, at most, of messages that are gone though nothing dropped them.
    pub(super) missing_offsets: u64,
    pub(super) segments: u32,
}

/// One consumer group.
#[derive(Debug, Serialize)]
pub(super) struct GroupReport {
    pub(super) stream: String,
    pub(super) topic: String,
    pub(super) id: u32,
    pub(super) name: String,
    /// Connections that are members now.
    pub(super) members: usize,
    /// Offsets that exist and that the group has not stored, over all partitions.
    pub(super) lag: u64,
    /// Partitions in which it is behind, the furthest first, at most [`BEHIND_MAX`].
    pub(super) behind: Vec<LagReport>,
}

/// How far a group is behind in a partition.
#[derive(Debug, Serialize)]
pub(super) struct LagReport {
    pub(super) partition: u32,
    /// The client that reads it.
    pub(super) owner: Option<u32>,
    /// What the group stored.
    pub(super) stored_offset: Option<u64>,
    pub(super) lag: u64,
}

/// Partitions listed for a group.
const BEHIND_MAX: usize = 64;

impl Report {
    /// Looks at everything. Takes each lock for a moment, and reads some small files of the system.
    pub(super) fn of(engine: &Engine) -> Self {
        let streams = engine.catalog.streams();
        let mut topics = Vec::new();
        let mut groups = Vec::new();
        let mut stream_reports = Vec::with_capacity(streams.len());
        for stream in &streams {
            let first = topics.len();
            for topic in stream.topics.iter() {
                let report = topic_report(stream, topic);
                groups.extend(group_reports(engine, &report, topic));
                topics.push(report);
            }
            let own = topics.get(first..).unwrap_or_default();
            stream_reports.push(StreamReport {
                id: stream.meta.id,
                name: stream.meta.name.clone(),
                topics: own.len(),
                messages: own.iter().map(|topic| topic.messages).sum(),
                bytes: own.iter().map(|topic| topic.bytes).sum(),
            });
        }
        Self { broker: broker_report(engine, stream_reports), topics, groups }
    }

    /// The partitions that do not serve, or not all of their messages, with their topics.
    pub(super) fn troubled(&self) -> impl Iterator<Item = (&TopicReport, &PartitionReport)> {
        let all = self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
        all.filter(|(_, partition)| partition.reason.is_some())
    }
}

fn broker_report(engine: &Engine, streams: Vec<StreamReport>) -> BrokerReport {
    let disk = DiskSpace::at(engine.data_dir.path());
    BrokerReport {
        started_at_micros: engine.started_at_micros,
        connections: engine.peers.list().len(),
        faults: engine.faults(),
        memory_bytes: ProcessUse::now(1.0).memory_bytes,
        disk_free_bytes: disk.free_bytes,
        disk_total_bytes: disk.total_bytes,
        reason: engine.data_dir.require_there().err().map(|gone| gone.to_string()),
        streams,
    }
}

fn topic_report(stream: &Stream, topic: &Topic) -> TopicReport {
    let partitions: Vec<_> =
        (0..).zip(&topic.partitions).map(|(id, partition)| partition_report(id, partition)).collect();
    TopicReport {
        stream: stream.meta.name.clone(),
        id: topic.meta.id,
        name: topic.meta.name.clone(),
        messages: partitions.iter().map(|partition| partition.messages).sum(),
        bytes: partitions.iter().map(|partition| partition.bytes).sum(),
        missing_offsets: partitions.iter().map(|partition| partition.missing_offsets).sum(),
        repeats: topic.partitions.iter().map(|partition| partition.repeats()).sum(),
        partitions,
    }
}

fn partition_report(id: u32, partition: &Partition) -> PartitionReport {
    let (state, reason) = match partition.condition() {
        Condition::Serving => ("serving", None),
        Condition::Refusing(reason) => ("refusing", Some(reason)),
        Condition::Damaged(reason) => ("damaged", Some(reason)),
        Condition::Offline(reason) => ("offline", Some(reason)),
    };
    let extent = partition.extent();
    PartitionReport {
        id,
        state,
        reason,
        first_offset: extent.first_offset,
        next_offset: extent.next_offset,
        messages: extent.messages,
        bytes: extent.bytes,
        unsynced_bytes: partition.unsynced_bytes(),
        missing_offsets: partition.missing_offsets(),
        segments: extent.segments,
    }
}

fn group_reports(engine: &Engine, report: &TopicReport, topic: &Topic) -> Vec<GroupReport> {
    if topic.groups.len() == 0 {
        return Vec::new();
    }
    let mut stored: HashMap<(u32, u32), u64> = HashMap::new();
    for (key, offset) in engine.store.offsets_of_topic(topic.meta.stream_id, topic.meta.id) {
        if let ConsumerKey::Group(group_id) = key.consumer {
            stored.insert((group_id, key.partition_id), offset);
        }
    }
    let of_group = |group: &crate::store::GroupMeta| {
        let key = GroupKey { stream_id: topic.meta.stream_id, topic_id: topic.meta.id, group_id: group.id };
        let members = engine.groups().members(key, Instant::now());
        let partitions = report.partitions.iter();
        let mut behind: Vec<LagReport> = partitions
            .map(|partition| {
                let stored = stored.get(&(group.id, partition.id)).copied();
                lag_report(partition, stored, owner_of(&members, partition.id))
            })
            .filter(|partition| partition.lag > 0)
            .collect();
        behind.sort_by_key(|partition| std::cmp::Reverse(partition.lag));
        let lag = behind.iter().map(|partition| partition.lag).sum();
        behind.truncate(BEHIND_MAX);
        GroupReport {
            stream: report.stream.clone(),
            topic: report.name.clone(),
            id: group.id,
            name: group.name.clone(),
            members: members.len(),
            lag,
            behind,
        }
    };
    topic.groups.iter().map(of_group).collect()
}

fn owner_of(members: &[(MemberId, Vec<u32>)], partition: u32) -> Option<u32> {
    members.iter().find(|(_, owned)| owned.contains(&partition)).map(|(member, _)| member.0)
}

/// What lies between the stored offset, or the beginning, and the end.
fn lag_report(partition: &PartitionReport, stored_offset: Option<u64>, owner: Option<u32>) -> LagReport {
    let next = stored_offset.map_or(0, |offset| offset.saturating_add(1)).max(partition.first_offset);
    let lag = partition.next_offset.saturating_sub(next);
    LagReport { partition: partition.id, owner, stored_offset, lag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_counts_what_is_there_and_was_not_stored() {
        let partition = PartitionReport {
            id: 3,
            state: "serving",
            reason: None,
            first_offset: 10,
            next_offset: 25,
            messages: 15,
            bytes: 1,
            unsynced_bytes: 0,
            missing_offsets: 0,
            segments: 1,
        };
        for (stored, lag) in [(None, 15), (Some(4), 15), (Some(9), 15), (Some(14), 10), (Some(24), 0)] {
            assert_eq!(lag_report(&partition, stored, None).lag, lag, "{stored:?}");
        }
        assert_eq!(lag_report(&partition, Some(u64::MAX), None).lag, 0);
    }
}
